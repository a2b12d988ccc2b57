defmodule Ecto.Adapters.LibSql.DDL.CreateTableTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers
  import Ecto.Migration, only: [table: 1, table: 2]

  alias Ecto.Adapters.LibSql.DDL
  alias Ecto.Migration.Reference

  # Ecto's own asks the running migration for defaults.
  defp references(table, opts), do: struct!(%Reference{table: to_string(table)}, opts)

  # Runs the command, and answers its SQL.
  defp sql(db, command, settings \\ []) do
    texts = for sql <- DDL.execute_ddl(command, settings), do: IO.iodata_to_binary(sql)
    DDL.run(command, settings, &q(db, &1).rows)
    texts
  end

  defp create(columns, opts \\ []) do
    db = opts[:db] || open()
    [sql | triggers] = sql(db, {:create, table(:t, opts[:table] || []), columns}, opts[:set] || [])
    assert triggers == [] or opts[:triggers]
    sql
  end

  defp default(type, value, set \\ []) do
    db = open()
    create([{:add, :n, :integer, []}, {:add, :c, type, default: value}], db: db, set: set)
    q(db, "INSERT INTO t (n) VALUES (1)")
    one(db, "SELECT c FROM t")
  end

  defp assert_refused(message, columns, opts \\ []) do
    assert_raise ArgumentError, message, fn -> create(columns, opts) end
  end

  describe "columns" do
    test "names, types, null and defaults" do
      assert create([
               {:add, :id, :bigserial, primary_key: true},
               {:add, :name, :string, size: 20, default: "o'x", null: false},
               {:add, :price, :decimal, precision: 8, scale: 2, default: 0},
               {:add, :"odd \"name\"", :boolean, default: true, null: true},
               {:add, :none, :string, default: nil}
             ]) ==
               ~s|CREATE TABLE "t" ("id" INTEGER PRIMARY KEY, | <>
                 ~s|"name" TEXT(20) NOT NULL DEFAULT 'o''x', | <>
                 ~s|"price" TEXT_DECIMAL(8,2) DEFAULT 0 COLLATE DECIMAL, | <>
                 ~s|"odd ""name""" INTEGER DEFAULT 1, "none" TEXT)|
    end

    test "if not exists" do
      db = open()
      command = {:create_if_not_exists, table(:t), [{:add, :a, :integer, []}]}
      assert sql(db, command) == [~s|CREATE TABLE IF NOT EXISTS "t" ("a" INTEGER)|]
      sql(db, command)
    end

    test "a prefix is the attached database" do
      db = open()
      q(db, "ATTACH ':memory:' AS other")

      assert create([{:add, :a, :integer, []}], db: db, table: [prefix: "other"]) ==
               ~s|CREATE TABLE "other"."t" ("a" INTEGER)|

      assert one(db, "SELECT count(*) FROM other.sqlite_schema") == 1
    end

    test "primary keys: only the integer one may do without NOT NULL" do
      assert create([{:add, :id, :binary_id, primary_key: true}]) ==
               ~s|CREATE TABLE "t" ("id" TEXT PRIMARY KEY NOT NULL)|

      assert create([{:add, :a, :integer, primary_key: true}, {:add, :b, :uuid, primary_key: true}]) ==
               ~s|CREATE TABLE "t" ("a" INTEGER NOT NULL, "b" BLOB_UUID NOT NULL, PRIMARY KEY ("a", "b"))|

      assert create([{:add, :id, :id, primary_key: true, autoincrement: true}]) ==
               ~s|CREATE TABLE "t" ("id" INTEGER PRIMARY KEY AUTOINCREMENT)|

      assert_refused(~r/autoincrement/, [{:add, :id, :uuid, primary_key: true, autoincrement: true}])
    end

    test "a serial column of a key of several columns may be left out: nothing makes a value for it" do
      db = open()
      q(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")

      columns = [
        {:add, :id, :bigserial, primary_key: true},
        {:add, :p_id, references(:p, type: :bigserial), primary_key: true},
        {:add, :n, :id, primary_key: true}
      ]

      assert create(columns, db: db) ==
               ~s|CREATE TABLE "t" ("id" INTEGER, "p_id" INTEGER REFERENCES "p"("id") NOT NULL, | <>
                 ~s|"n" INTEGER NOT NULL, PRIMARY KEY ("id", "p_id", "n"))|

      q(db, "INSERT INTO p VALUES (1)")
      q(db, "INSERT INTO t (p_id, n) VALUES (1, 1)")
      assert err(db, "INSERT INTO t (id, p_id) VALUES (1, 1)").constraint.kind == :not_null
    end

    test "what only other databases have is refused" do
      assert_refused(~r/:start_value/, [{:add, :id, :identity, primary_key: true, start_value: 100}])

      assert_refused(~r/:increment/, [{:add, :id, :identity, primary_key: true, increment: 2}])
    end

    # Of ecto_sql from 3.14 on.
    if Map.has_key?(%Ecto.Migration.Table{}, :modifiers) do
      test "modifiers" do
        db = open()
        column = [{:add, :a, :integer, []}]

        assert create(column, db: db, table: [modifiers: "TEMPORARY"]) ==
                 ~s|CREATE TEMPORARY TABLE "t" ("a" INTEGER)|

        assert one(db, "SELECT count(*) FROM sqlite_schema") == 0
        assert_refused(~r/TEMPORARY tables/, column, table: [modifiers: "UNLOGGED"])
      end
    end

    test "generated, in Ecto's words and as an expression" do
      a = {:add, :a, :integer, []}

      assert create([a, {:add, :b, :integer, generated: "ALWAYS AS (a * 2) STORED"}]) ==
               ~s|CREATE TABLE "t" ("a" INTEGER, "b" INTEGER GENERATED ALWAYS AS (a * 2) STORED)|

      assert create([a, {:add, :b, :integer, generated: "a * 2", stored: true}]) ==
               ~s|CREATE TABLE "t" ("a" INTEGER, "b" INTEGER GENERATED ALWAYS AS (a * 2) STORED)|

      assert create([a, {:add, :b, :integer, generated: "a * 2"}]) ==
               ~s|CREATE TABLE "t" ("a" INTEGER, "b" INTEGER GENERATED ALWAYS AS (a * 2))|

      assert_refused(~r/cannot have a default/, [{:add, :b, :integer, generated: "1", default: 1}])
      assert_refused(~r/primary key/, [{:add, :b, :integer, generated: "1", primary_key: true}])
      assert_refused(~r/SQL expression/, [{:add, :b, :integer, generated: 1}])
    end

    test "a collation by Ecto's own option" do
      assert create([{:add, :a, :string, collation: "NOCASE"}]) ==
               ~s|CREATE TABLE "t" ("a" TEXT COLLATE NOCASE)|

      assert_raise ExUnit.AssertionError, ~r/no such collation/, fn ->
        create([{:add, :a, :string, collation: "de-DE", primary_key: true}])
      end
    end

    test "check and collate" do
      db = open()

      assert create(
               [
                 {:add, :a, :integer, check: "a > 0"},
                 {:add, :b, :integer, check: %{name: "b_positive", expr: "b > 0"}},
                 {:add, :c, :string,
                  collate: :nocase, check: [name: :c_short, expr: "length(c) < 9"]}
               ],
               db: db
             ) ==
               ~s|CREATE TABLE "t" ("a" INTEGER CHECK (a > 0), | <>
                 ~s|"b" INTEGER CONSTRAINT "b_positive" CHECK (b > 0), | <>
                 ~s|"c" TEXT CONSTRAINT "c_short" CHECK (length(c) < 9) COLLATE NOCASE)|

      assert err(db, "INSERT INTO t (b) VALUES (0)").constraint.name == "b_positive"
      assert_refused(~r/:check is/, [{:add, :a, :integer, check: 5}])
      assert_refused(~r/:check is/, [{:add, :a, :integer, check: [1]}])
    end

    test "comments stand in the text" do
      db = open()

      assert create([{:add, :a, :integer, comment: "how many"}], db: db, table: [comment: "a table"]) ==
               ~s|CREATE TABLE "t" /* a table */ ("a" INTEGER /* how many */)|

      assert one(db, "SELECT sql FROM sqlite_schema") =~ "/* how many */"
      assert_refused(~r/comment/, [{:add, :a, :integer, comment: "*/ x"}])
    end

    test "none" do
      assert_refused(~r/no columns/, [])
    end
  end

  describe "defaults come back as they were given" do
    test "plain values" do
      assert default(:string, "it's") == "it's"
      assert default(:string, "") == ""
      assert default(:integer, -5) == -5
      assert default(:float, 1.5) == 1.5
      assert default(:float, 1.0e30) == 1.0e30
      assert default(:boolean, false) == 0
      assert default(:decimal, 3) == "3"
      assert default(:decimal, Decimal.new("0.10")) == "0.10"
      assert default(:decimal, "12345678901234567890.5") == "12345678901234567890.5"
      assert default(:string, nil) == nil
      assert default(:string, {:fragment, "lower('ABC')"}) == "abc"
      assert default(:string, {:fragment, "CURRENT_DATE"}) =~ ~r/^\d{4}-/
    end

    test "what is stored in a form of its own" do
      id = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
      assert default(:uuid, id) == Ecto.UUID.dump!(id)
      assert default(:uuid, Ecto.UUID.dump!(id)) == Ecto.UUID.dump!(id)
      assert default(:uuid, id, uuid_type: :text) == id
      assert default(:binary_id, id) == id
      assert default(:binary_id, id, binary_id_type: :blob) == Ecto.UUID.dump!(id)
      assert default(:binary, <<0, 255>>) == <<0, 255>>
      assert default(:bitstring, <<42::6>>) == <<2, 42::6, 0::2>>
      assert default(:map, %{"a" => [1, "b'"]}) == ~s|{"a":[1,"b'"]}|
      assert default({:array, :uuid}, []) == "[]"
      jsonb = one(open(), ~s|SELECT jsonb('{"a":1}')|)
      assert default(:map, %{"a" => 1}, json_type: :jsonb) == jsonb
      assert default(:date, ~D[2020-01-02]) == "2020-01-02"
      assert default(:naive_datetime, ~N[2020-01-02 03:04:05]) == "2020-01-02T03:04:05"
      assert default(:naive_datetime_usec, ~N[2020-01-02 03:04:05]) == "2020-01-02T03:04:05.000000"
      assert default(:naive_datetime, ~U[2020-01-02 03:04:05.5Z]) == "2020-01-02T03:04:05"
      assert default(:utc_datetime, ~N[2020-01-02 03:04:05.5]) == "2020-01-02T03:04:05Z"
      assert default(:time_usec, ~T[03:04:05]) == "03:04:05.000000"

      assert default(:string, ~N[2020-01-02 03:04:05], datetime_type: :integer) ==
               "2020-01-02T03:04:05"

      assert default(:utc_datetime, ~N[1970-01-01 00:00:01.5], datetime_type: :integer) == 1_000_000

      assert default(:naive_datetime_usec, "1970-01-01T00:00:01.5", datetime_type: :integer) ==
               1_500_000

      assert default(:date, ~D[2020-01-02], datetime_type: :integer) == "2020-01-02"
      assert default(:string, %{"a" => 1}, json_type: :jsonb) == ~s|{"a":1}|
      assert default(:duration, "10 MONTH") == "P10M"
      assert default(:duration, "1 year 2 days 3 hours 4.5 seconds") == "P1Y2DT3H4.5S"
      assert default(:duration, "PT1H") == "PT1H"
    end

    test "others are refused" do
      assert_refused(~r/cannot be the default/, [{:add, :a, :string, default: {:odd, 1}}])
      assert_refused(~r/a duration is like/, [{:add, :a, :duration, default: "soon"}])
      assert_refused(~r/no UUID/, [{:add, :a, :uuid, default: "x"}])
      integer = [set: [datetime_type: :integer]]

      assert_refused(
        ~r/cannot be the default/,
        [{:add, :a, :utc_datetime, default: "now"}],
        integer
      )
    end
  end

  describe "references" do
    test "of one column" do
      actions = [
        {[], ""},
        {[on_delete: :nothing], ""},
        {[on_delete: :delete_all], " ON DELETE CASCADE"},
        {[on_delete: :nilify_all], " ON DELETE SET NULL"},
        {[on_delete: :default_all], " ON DELETE SET DEFAULT"},
        {[on_delete: :restrict], " ON DELETE RESTRICT"},
        {[on_update: :update_all], " ON UPDATE CASCADE"},
        {[on_update: :nilify_all], " ON UPDATE SET NULL"},
        {[on_update: :restrict], " ON UPDATE RESTRICT"}
      ]

      for {opts, text} <- actions do
        assert create([{:add, :p_id, references(:p, opts), null: false}]) ==
                 ~s|CREATE TABLE "t" ("p_id" INTEGER REFERENCES "p"("id")#{text} NOT NULL)|
      end
    end

    test "a name, a column and a type" do
      reference = references(:p, column: :key, type: :uuid, name: :my_key)

      assert create([{:add, :p_id, reference, []}]) ==
               ~s|CREATE TABLE "t" ("p_id" BLOB_UUID CONSTRAINT "my_key" REFERENCES "p"("key"))|
    end

    test "of several columns, without and with a name" do
      columns = &[{:add, :b, :integer, []}, {:add, :a, references(:p, [with: [b: :key]] ++ &1), []}]

      assert create(columns.(on_delete: :default_all)) ==
               ~s|CREATE TABLE "t" ("b" INTEGER, "a" INTEGER, FOREIGN KEY ("a", "b") | <>
                 ~s|REFERENCES "p"("id", "key") ON DELETE SET DEFAULT)|

      assert create(columns.(name: "both")) ==
               ~s|CREATE TABLE "t" ("b" INTEGER, "a" INTEGER, CONSTRAINT "both" | <>
                 ~s|FOREIGN KEY ("a", "b") REFERENCES "p"("id", "key"))|
    end

    test "never carry a prefix, and stay within one" do
      db = open()
      q(db, "ATTACH ':memory:' AS other")
      column = {:add, :p_id, references(:p, prefix: "other"), []}

      assert create([column], db: db, table: [prefix: "other"]) ==
               ~s|CREATE TABLE "other"."t" ("p_id" INTEGER REFERENCES "p"("id"))|

      assert_refused(~r/another database/, [column])
    end

    test "match: only what SQLite does" do
      create([{:add, :p_id, references(:p, match: :simple), []}])
      create([{:add, :p_id, references(:p, match: :full), []}])
      both = references(:p, with: [b: :b], match: :full)
      assert_refused(~r/match: :full/, [{:add, :b, :integer, []}, {:add, :p_id, both, []}])
    end
  end

  describe "on_delete with a list of columns" do
    defp family(on_delete) do
      db = open()

      key = [
        {:add, :id, :id, primary_key: true},
        {:add, :c1, :integer, []},
        {:add, :c2, :integer, []}
      ]

      sql(db, {:create, table(:parent), key})
      q(db, "CREATE UNIQUE INDEX parent_key ON parent (id, c1, c2)")

      child = [
        {:add, :c1, :integer, default: 2},
        {:add, :c2, :integer, default: 3},
        {:add, :parent_id, references(:parent, with: [c1: :c1, c2: :c2], on_delete: on_delete),
         default: 1}
      ]

      sqls = sql(db, {:create, table(:child), child})
      q(db, "INSERT INTO parent VALUES (1, 20, 3), (7, 20, 9)")
      q(db, "INSERT INTO child (parent_id, c1, c2) VALUES (7, 20, 9)")
      {db, sqls}
    end

    test "nilify: a trigger of the parent" do
      {db, [create, trigger]} = family({:nilify, [:parent_id, :c2]})

      assert create =~
               ~s|FOREIGN KEY ("parent_id", "c1", "c2") REFERENCES "parent"("id", "c1", "c2"))|

      assert trigger ==
               ~s|CREATE TRIGGER "child_parent_id_fkey_on_delete" BEFORE DELETE ON "parent" BEGIN | <>
                 ~s|UPDATE "child" SET "parent_id" = NULL, "c2" = NULL WHERE "parent_id" = OLD."id" | <>
                 ~s|AND "c1" = OLD."c1" AND "c2" = OLD."c2"; END|

      q(db, "DELETE FROM parent")
      assert all(db, "SELECT parent_id, c1, c2 FROM child") == [[nil, 20, nil]]
    end

    test "default: as the columns have them" do
      {db, [_create, trigger]} = family({:default, [:parent_id, :c2]})
      assert trigger =~ ~s|SET "parent_id" = 1, "c2" = 3 WHERE|
      q(db, "DELETE FROM parent WHERE id = 7")
      assert all(db, "SELECT parent_id, c1, c2 FROM child") == [[1, 20, 3]]
    end

    test "goes with the child, also after it was renamed" do
      for rename? <- [false, true] do
        {db, _} = family({:nilify, [:parent_id]})
        if rename?, do: sql(db, {:rename, table(:child), table(:kid)})
        DDL.run({:drop, table(if(rename?, do: :kid, else: :child)), :restrict}, &q(db, &1).rows)
        assert one(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'") == 0
        q(db, "DELETE FROM parent")
      end
    end

    test "the trigger of another table stays" do
      {db, _} = family({:nilify, [:parent_id]})
      sql(db, {:create, table(:chil), [{:add, :a, :integer, []}]})
      DDL.run({:drop, table(:chil), :restrict}, &q(db, &1).rows)
      assert one(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'") == 1
    end
  end

  describe "table options" do
    @column [{:add, :a, :string, primary_key: true}]

    test "keywords" do
      assert create(@column, table: [options: [strict: true]]) ==
               ~s|CREATE TABLE "t" ("a" TEXT PRIMARY KEY NOT NULL) STRICT|

      assert create(@column, table: [options: [without_rowid: true, strict: true]]) ==
               ~s|CREATE TABLE "t" ("a" TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID|

      assert create(@column, table: [options: [random_rowid: true, strict: false]]) ==
               ~s|CREATE TABLE "t" ("a" TEXT PRIMARY KEY NOT NULL) RANDOM ROWID|
    end

    test "text" do
      assert create(@column, table: [options: "WITHOUT ROWID"]) ==
               ~s|CREATE TABLE "t" ("a" TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID|
    end

    test "a STRICT table has the storage classes of its types" do
      types = [:string, :decimal, :map, :uuid, :utc_datetime, :boolean, :float, {:array, :map}]
      columns = for {type, i} <- Enum.with_index(types), do: {:add, :"c#{i}", type, size: 3}

      for options <- [[strict: true], "STRICT"] do
        assert create(columns, table: [options: options]) =~
                 ~s|("c0" TEXT, "c1" TEXT COLLATE DECIMAL, "c2" TEXT, "c3" BLOB, "c4" TEXT, "c5" INTEGER, "c6" REAL, "c7" TEXT)|
      end
    end

    test "what does not go together, and what is not known, is refused" do
      words = ~r/does not support keyword lists in :options/
      assert_refused(words, @column, table: [options: [capped: true]])
      assert_refused(words, @column, table: [options: [strict: 1]])

      assert_refused(~r/exclude/, @column,
        table: [options: [random_rowid: true, without_rowid: true]]
      )

      auto = [{:add, :id, :id, primary_key: true, autoincrement: true}]
      assert_refused(~r/autoincrement/, auto, table: [options: [random_rowid: true]])
    end
  end

  describe "rtree" do
    defp box(count), do: for(n <- 1..count//1, do: {:add, :"x#{n}", :float, []})
    defp rtree(count, opts \\ [rtree: true]), do: {[{:add, :id, :id, []} | box(count)], opts}

    test "a virtual table" do
      {columns, options} = rtree(4)
      db = open()

      assert create(columns, db: db, table: [options: options]) ==
               ~s|CREATE VIRTUAL TABLE "t" USING rtree("id", "x1", "x2", "x3", "x4")|

      q(db, "INSERT INTO t VALUES (1, 0, 1, 0, 1)")
      assert one(db, "SELECT id FROM t WHERE x1 <= 0.5 AND x2 >= 0.5") == 1
    end

    test "its rules" do
      for {{columns, options}, message} <- [
            {rtree(1), ~r/at least 3 columns/},
            {rtree(12), ~r/maximum 11 columns/},
            {rtree(3), ~r/odd number of columns/},
            {{box(3), [rtree: true]}, ~r/must have 'id' as the first column/},
            {rtree(2, rtree: true, strict: false), ~r/standard table options.*incompatible.*strict/}
          ] do
        assert_refused(message, columns, table: [options: options])
      end
    end
  end
end
