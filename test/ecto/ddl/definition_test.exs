Code.require_file("ddl_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.DefinitionTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers
  import Ecto.Adapters.LibSql.DDLCase, only: [random_table: 0]

  alias Ecto.Adapters.LibSql.DDL.{Catalog, Definition, Tokens}

  @texts [
    "CREATE TABLE t (a)",
    "CREATE TABLE \"t (x\" (\"a,b\" TEXT, [c)d] INT, `e``f`, 'g''h' DEFAULT 'i,j)')",
    """
    CREATE TABLE t ( -- the table, (really
      a INTEGER PRIMARY KEY AUTOINCREMENT, -- the key, of course
      b TEXT NOT NULL DEFAULT (lower('B,' || ')')) /* of b */, /* of c */ c NUMERIC(10, 2)
        CONSTRAINT positive CHECK (c > 0 AND c < 1e9),
      -- above d
      d AS (a + 1) STORED,
      e TEXT COLLATE NOCASE REFERENCES p (x) ON DELETE SET NULL ON UPDATE SET DEFAULT
        NOT DEFERRABLE UNIQUE, --e
      CONSTRAINT pair UNIQUE (b, c DESC) ON CONFLICT IGNORE -- the pair
      , CHECK (b <> 'x') CONSTRAINT f FOREIGN KEY (b, e) REFERENCES q DEFERRABLE INITIALLY DEFERRED
    ) STRICT, WITHOUT ROWID -- end
    """,
    "CREATE TABLE t(a unsigned big int,b DEFAULT -5 NOT NULL,c DEFAULT NULL NULL,PRIMARY KEY(a,b))",
    "CREATE TABLE t (a INT GENERATED ALWAYS AS (b), b CONSTRAINT x CONSTRAINT y NOT NULL)"
  ]

  defp commented, do: Enum.at(@texts, 2)
  defp parse(sql), do: Definition.parse(sql)

  test "what is put together again is what was taken apart" do
    for sql <- @texts do
      # Between constraints of the table comes a comma.
      sql = String.replace(sql, ") CONSTRAINT f", "), CONSTRAINT f")
      assert sql |> parse() |> Definition.to_sql() == sql
    end
  end

  test "with the name of a database" do
    for {sql, named} <- [
          {"CREATE TABLE t (a)", ~s|CREATE TABLE "x y".t (a)|},
          {"CREATE UNIQUE INDEX \"i\" ON t (a)", ~s|CREATE UNIQUE INDEX "x y"."i" ON t (a)|},
          {"CREATE VIRTUAL TABLE f USING fts5(a)", ~s|CREATE VIRTUAL TABLE "x y".f USING fts5(a)|},
          {"CREATE VIEW v AS SELECT 1", ~s|CREATE VIEW "x y".v AS SELECT 1|}
        ],
        do: assert(sql |> Catalog.with_schema("x y") |> IO.iodata_to_binary() == named)
  end

  test "columns, their types and constraints" do
    definition = parse(commented())
    assert for(c <- Definition.columns(definition), do: c.name) == ~w(a b c d e)

    column = &Definition.column(definition, &1)
    assert column.("A") == column.("a")
    assert column.("x") == nil

    assert for(c <- ~w(a b c d e), do: Definition.declared_type(column.(c))) ==
             ["INTEGER", "TEXT", "NUMERIC(10, 2)", "", "TEXT"]

    constraints = &Definition.column_constraints(column.(&1))
    assert constraints.("a") == [primary_key: "PRIMARY KEY AUTOINCREMENT"]
    assert constraints.("b") == [not_null: "NOT NULL", default: "DEFAULT (lower('B,' || ')'))"]
    assert constraints.("c") == [check: "CONSTRAINT positive CHECK (c > 0 AND c < 1e9)"]
    assert constraints.("d") == [generated: "AS (a + 1) STORED"]

    assert constraints.("e") == [
             collate: "COLLATE NOCASE",
             foreign_key: "REFERENCES p (x) ON DELETE SET NULL ON UPDATE SET DEFAULT",
             deferrable: "NOT DEFERRABLE",
             unique: "UNIQUE"
           ]
  end

  test "names in quotes, and what stands in their place" do
    definition = parse(Enum.at(@texts, 1))
    assert for(c <- Definition.columns(definition), do: c.name) == ["a,b", "c)d", "e`f", "g'h"]

    definition = parse(Enum.at(@texts, 3))
    assert definition |> Definition.column("a") |> Definition.declared_type() == "unsigned big int"

    assert definition |> Definition.column("b") |> Definition.column_constraints() ==
             [default: "DEFAULT -5", not_null: "NOT NULL"]

    assert definition |> Definition.column("c") |> Definition.column_constraints() ==
             [default: "DEFAULT NULL"]

    assert Definition.column_constraints(nil) == []
  end

  test "constraints of the table, with and without commas between them" do
    constraints = commented() |> parse() |> Definition.constraints()

    assert for(c <- constraints, do: {Definition.kind(c), c.name}) ==
             [unique: "pair", check: nil, foreign_key: "f"]

    assert for(c <- constraints, do: Definition.of_columns(c)) |> List.delete_at(1) ==
             [["b", "c"], ["b", "e"]]
  end

  test "the primary key, wherever it stands" do
    key = &(&1 |> parse() |> Definition.primary_key())
    assert key.("CREATE TABLE t (a, b)") == []
    assert key.("CREATE TABLE t (a, \"B\" TEXT PRIMARY KEY DESC)") == ["B"]

    assert key.("CREATE TABLE t (a, b, CONSTRAINT k PRIMARY KEY (b COLLATE NOCASE, a DESC))") == [
             "b",
             "a"
           ]
  end

  test "options" do
    option = fn sql, words -> sql |> parse() |> Definition.option?(words) end
    assert option.(commented(), "STRICT")
    assert option.(commented(), "WITHOUT ROWID")
    refute option.("CREATE TABLE strict (strict)", "STRICT")
    assert option.("CREATE TABLE t (a) without /* a */ rowid", "WITHOUT ROWID")
  end

  describe "changes" do
    defp changed(sql, fun), do: sql |> parse() |> fun.() |> Definition.to_sql()

    test "a new column stands behind the others, before the constraints" do
      add = &Definition.append_column(&1, "\"new\" TEXT /* n */")
      assert changed("CREATE TABLE t (a)", add) == ~s|CREATE TABLE t (a, "new" TEXT /* n */)|

      assert changed("CREATE TABLE t (a, CHECK (a > 0)) STRICT", add) ==
               ~s|CREATE TABLE t (a, "new" TEXT /* n */, CHECK (a > 0)) STRICT|

      assert changed("CREATE TABLE t (\n  a INT, -- of a\n  b INT -- of b\n)", add) ==
               "CREATE TABLE t (\n  a INT, -- of a\n  b INT, -- of b\n  \"new\" TEXT /* n */\n)"

      assert changed("CREATE TABLE t (\n  a INT\n)", add) ==
               "CREATE TABLE t (\n  a INT,\n  \"new\" TEXT /* n */\n)"
    end

    test "a new constraint stands behind all" do
      add = &Definition.append_constraint(&1, "CHECK (a > 0)")
      assert changed("CREATE TABLE t (a)", add) == "CREATE TABLE t (a, CHECK (a > 0))"

      assert changed("CREATE TABLE t (\n  a,\n  UNIQUE (a)\n)", add) ==
               "CREATE TABLE t (\n  a,\n  UNIQUE (a),\n  CHECK (a > 0)\n)"
    end

    test "a column declared anew keeps its place and, without another, its comment" do
      sql = "CREATE TABLE t (\n  a INT, -- of a\n  b INT /* of b */\n)"
      replace = fn name, text -> &Definition.replace_column(&1, name, text) end

      assert changed(sql, replace.("A", "\"a\" TEXT")) ==
               String.replace(sql, "a INT,", "\"a\" TEXT,")

      assert changed(sql, replace.("b", "b TEXT")) == String.replace(sql, "b INT", "b TEXT")
      new = replace.("b", "b TEXT /* new */")
      assert changed(sql, new) == String.replace(sql, "b INT /* of b */", "b TEXT /* new */")
    end

    test "a column goes, and its comment with it" do
      sql = "CREATE TABLE t (\n  a INT, -- of a\n  b INT, -- of b\n  c INT -- of c\n)"
      drop = fn name -> &Definition.reject(&1, fn item -> item.name == name end) end

      assert changed(sql, drop.("a")) == "CREATE TABLE t (\n  b INT, -- of b\n  c INT -- of c\n)"
      assert changed(sql, drop.("b")) == "CREATE TABLE t (\n  a INT, -- of a\n  c INT -- of c\n)"
      assert changed(sql, drop.("c")) == "CREATE TABLE t (\n  a INT, -- of a\n  b INT -- of b\n)"
      assert changed("CREATE TABLE t (a, b)", drop.("b")) == "CREATE TABLE t (a)"
    end

    test "a constraint of a column goes" do
      drop = fn column, kind ->
        &Definition.drop_column_constraints(&1, column, fn own, _name, _sql -> own == kind end)
      end

      sql = "CREATE TABLE t (a INT PRIMARY KEY NOT NULL  DEFAULT 1 /* of a */, b UNIQUE)"
      assert changed(sql, drop.("a", :primary_key)) == String.replace(sql, "PRIMARY KEY ", "")
      assert changed(sql, drop.("a", :default)) == String.replace(sql, "  DEFAULT 1", "")
      assert changed(sql, drop.("b", :unique)) == String.replace(sql, " UNIQUE", "")
      assert changed(sql, drop.("a", :check)) == sql

      named =
        &Definition.drop_column_constraints(&1, "c", fn _kind, name, _sql -> name == "positive" end)

      refute changed(commented(), named) =~ "positive"
    end
  end

  test "what speaks of a column" do
    for sql <- ["a > 0", "x = \"A\"", "t.a", "lower(a) || 'b'", "[a]"],
        do: assert(Tokens.mentions?(sql, "a"))

    for sql <- ["ab > 0", "'a'", "a(b)", "x -- a", "/* a */", "a (b)"],
        do: refute(Tokens.mentions?(sql, "a"))

    assert Tokens.qualifies?("CHECK (\"T\" . a > 0)", "t")
    refute Tokens.qualifies?("CREATE TABLE t (a)", "t")
  end

  # The engine reads what we write: columns, types, keys and NOT NULL as its own PRAGMA has them.
  test "any table, as the engine reads it" do
    for n <- 1..300 do
      db = open()
      sql = random_table()
      q(db, sql)
      definition = parse(one(db, "SELECT sql FROM sqlite_schema WHERE name = 't'"))

      told =
        for c <- Definition.columns(definition),
            do: [
              c.name,
              Definition.declared_type(c),
              if(Definition.has?(c, :not_null), do: 1, else: 0)
            ]

      assert told ==
               all(db, "SELECT name, type, \"notnull\" FROM pragma_table_xinfo('t') ORDER BY cid"),
             "#{n}: #{inspect(told)} #{sql}"

      key = all(db, "SELECT name FROM pragma_table_xinfo('t') WHERE pk > 0 ORDER BY pk")
      assert Definition.primary_key(definition) == Enum.concat(key), sql
      EctoLibSql.close(db)
    end
  end
end
