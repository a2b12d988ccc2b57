Code.require_file("ddl_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.RebuildTest do
  use EctoLibSql.Case, async: true
  use Ecto.Adapters.LibSql.DDLCase

  alias EctoLibSql.Native

  setup do: {:ok, db: open()}

  defp script(db, sql), do: assert({:ok, _} = Native.execute_batch_sql(db, sql))
  defp alter(db, changes, opts \\ []), do: run(db, {:alter, table(:t, opts), changes})
  defp text(db, name \\ "t"), do: one(db, "SELECT sql FROM sqlite_schema WHERE name = ?1", [name])

  defp schema(db),
    do: all(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")

  defp settings(db) do
    for pragma <- ~w(foreign_keys legacy_alter_table ignore_check_constraints defer_foreign_keys),
        do: one(db, "PRAGMA #{pragma}")
  end

  describe "children" do
    setup %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, up INTEGER REFERENCES t (id) ON DELETE CASCADE,
        g INTEGER AS (id * 2));
      CREATE TABLE cascades (t_id INTEGER REFERENCES t ON DELETE CASCADE);
      CREATE TABLE nulls (t_id INTEGER REFERENCES "T" (id) ON DELETE SET NULL);
      CREATE TABLE defaults (t_id INTEGER DEFAULT 1 REFERENCES t (id) ON DELETE SET DEFAULT);
      CREATE TABLE restricts (t_id INTEGER REFERENCES t (id) ON DELETE RESTRICT);
      CREATE TABLE plain (t_id INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED);
      CREATE TABLE fired (what);
      CREATE TRIGGER on_delete AFTER DELETE ON t BEGIN INSERT INTO fired VALUES ('delete'); END;
      CREATE TRIGGER on_insert AFTER INSERT ON t BEGIN INSERT INTO fired VALUES ('insert'); END;
      CREATE TRIGGER on_update AFTER UPDATE ON t BEGIN INSERT INTO fired VALUES ('update'); END;
      CREATE TRIGGER elsewhere AFTER DELETE ON plain BEGIN DELETE FROM t WHERE t.id = OLD.t_id; END;
      CREATE VIEW v AS SELECT t.name, g FROM t;
      INSERT INTO t (id, name, up) VALUES (1, 'one', NULL), (2, 'two', 1), (3, 'three', 2);
      DELETE FROM fired;
      """)

      for child <- ~w(cascades nulls defaults restricts plain),
          id <- [1, 2, 3, nil],
          do: q(db, "INSERT INTO #{child} VALUES (?1)", [id])

      :ok
    end

    @children ~w(t cascades nulls defaults restricts plain fired)

    defp rows(db), do: for(child <- @children, do: all(db, "SELECT * FROM #{child} ORDER BY rowid"))

    test "keep every row, whatever their keys do, and no trigger fires", %{db: db} do
      before = {rows(db), schema(db), settings(db)}

      alter(db, [{:modify, :g, :integer, generated: "id * 3"}])
      alter(db, [{:modify, :g, :integer, generated: "id * 2"}])

      {rows, schema, settings} = before
      assert rows(db) == rows
      assert settings(db) == settings

      changed = fn [type, name, table, sql] ->
        [
          type,
          name,
          table,
          String.replace(sql, "g INTEGER AS (id * 2)", ~s|"g" INTEGER GENERATED ALWAYS AS (id * 2)|)
        ]
      end

      assert schema(db) == Enum.map(schema, changed)
      assert all(db, "SELECT * FROM v") == [["one", 2], ["two", 4], ["three", 6]]
    end

    test "find their parent again, and what their keys do works", %{db: db} do
      alter(db, [{:modify, :g, :integer, generated: "id * 3"}])
      assert err(db, "INSERT INTO cascades VALUES (9)").constraint.kind == :foreign_key
      assert err(db, "DELETE FROM t WHERE id = 1").code == :constraint
      q(db, "DELETE FROM restricts")
      q(db, "DELETE FROM defaults")
      q(db, "UPDATE plain SET t_id = NULL")
      q(db, "DELETE FROM t WHERE id = 1")
      assert all(db, "SELECT t_id FROM cascades") == [[nil]]
      assert one(db, "SELECT count(*) FROM t") == 0
      assert "delete" in List.flatten(all(db, "SELECT what FROM fired"))
    end

    test "rows without a parent that were there before stay; new ones refuse the change", %{db: db} do
      q(db, "PRAGMA foreign_keys = OFF")
      q(db, "INSERT INTO cascades VALUES (77)")
      q(db, "INSERT INTO t (id, up) VALUES (4, 78)")
      q(db, "PRAGMA foreign_keys = ON")
      alter(db, [{:modify, :g, :integer, generated: "id * 3"}])
      assert one(db, "SELECT count(*) FROM cascades WHERE t_id = 77") == 1
      assert one(db, "SELECT up FROM t WHERE id = 4") == 78
      before = {rows(db), schema(db), settings(db)}

      # Text does not become a number: 'x1' is nobody's parent, and the children's 1 finds none.
      assert_raise Ecto.MigrationError,
                   ~r/foreign key of "\w+" \(\w+\) to "t" refers to columns/,
                   fn ->
                     alter(db, [{:modify, :id, :integer, primary_key: false}])
                   end

      assert {rows(db), schema(db), settings(db)} == before

      assert_raise Ecto.MigrationError,
                   ~r/foreign key of "t" \(name, g\).* in 3 row\(s\), .* rowid 1/,
                   fn ->
                     q(db, "CREATE TABLE IF NOT EXISTS p (a, b, UNIQUE (a, b))")

                     alter(db, [
                       {:modify, :name, references(:p, type: :string, column: :a, with: [g: :b]),
                        []}
                     ])
                   end
    end
  end

  describe "a schema of many features" do
    @many """
    CREATE TABLE "parents" ("id" INTEGER PRIMARY KEY);
    CREATE TABLE "t" ( -- the table
      "id" INTEGER PRIMARY KEY AUTOINCREMENT /* its key */,
      "parent_id" INTEGER CONSTRAINT "named_fkey" REFERENCES "parents"("id") ON DELETE CASCADE, -- a parent
      "up" INTEGER REFERENCES "t"("id") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
      "email" TEXT NOT NULL COLLATE NOCASE UNIQUE,
      "price" TEXT CONSTRAINT "positive" CHECK ("price" > 0) DEFAULT '1.50',
      "data" ANY,
      "first" TEXT DEFAULT ('a' || 'b'), "last" TEXT,
      "full" TEXT GENERATED ALWAYS AS ("first" || ' ' || "last") STORED,
      "len" INTEGER AS (length("full")) VIRTUAL,
      "e" BLOB,
      "moved" INTEGER NOT NULL DEFAULT 0,
      CONSTRAINT "pair" UNIQUE ("first", "last" DESC) ON CONFLICT IGNORE,
      CHECK ("first" <> "last"),
      FOREIGN KEY ("first", "last") REFERENCES "t" ("first", "last") ON UPDATE CASCADE
    ) STRICT;
    CREATE INDEX "plain" ON "t" ("price");
    CREATE UNIQUE INDEX "expression" ON "t" (lower("email"), "id" DESC) WHERE "price" IS NOT NULL;
    CREATE INDEX "collated" ON "t" ("last" COLLATE NOCASE DESC);
    CREATE VIEW "view" AS SELECT "full", count(*) AS "n" FROM "t" GROUP BY 1;
    CREATE VIEW "view_of_view" AS SELECT "n" FROM "view";
    CREATE TRIGGER "instead" INSTEAD OF INSERT ON "view" BEGIN INSERT INTO "t" ("email") VALUES (NEW."full"); END;
    CREATE TRIGGER "log_update" AFTER UPDATE OF "price" ON "t" WHEN OLD."price" <> NEW."price"
      BEGIN UPDATE "t" SET "moved" = "moved" + 1 WHERE "id" = NEW."id"; END;
    CREATE TRIGGER "from_parent" BEFORE DELETE ON "parents" BEGIN UPDATE "t" SET "up" = NULL; END;
    CREATE TABLE "children" ("t_id" INTEGER NOT NULL REFERENCES "t" ON DELETE CASCADE, "w" TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE VIRTUAL TABLE "words" USING fts5("full", content='t', content_rowid='id');
    CREATE TRIGGER "words_insert" AFTER INSERT ON "t" BEGIN
      INSERT INTO "words" ("rowid", "full") VALUES (NEW."id", NEW."full"); END;
    CREATE TRIGGER "words_delete" AFTER DELETE ON "t" BEGIN
      INSERT INTO "words" ("words", "rowid", "full") VALUES ('delete', OLD."id", OLD."full"); END;
    INSERT INTO "parents" VALUES (1), (2);
    INSERT INTO "t" ("parent_id", "up", "email", "price", "data", "first", "last", "e") VALUES
      (1, NULL, 'A@x', '2.5', 1, 'Ada', 'L', x'0102'), (2, 1, 'b@x', NULL, 'text', 'Bob', 'K', NULL),
      (NULL, 2, 'c@x', '9', x'ff', NULL, 'M', NULL);
    INSERT INTO "t" ("id", "email", "last") VALUES (1000, 'gone@x', 'N');
    DELETE FROM "t" WHERE "id" = 1000;
    INSERT INTO "children" VALUES (1, 'one'), (1, 'two'), (2, 'three');
    ANALYZE;
    """

    defp contents(db, columns) do
      tables = ["parents", "children", "view", "view_of_view", "words", "sqlite_sequence"]

      [all(db, "SELECT rowid, #{columns} FROM t ORDER BY rowid")] ++
        for(table <- tables, do: all(db, "SELECT * FROM \"#{table}\" ORDER BY 1")) ++
        [all(db, "SELECT * FROM sqlite_stat1 ORDER BY 1, 2")]
    end

    @columns ~s|id, parent_id, up, email, price, typeof(price), data, typeof(data), first, last, "full", len, e, moved|

    # `edit` is the change that the texts of the schema show, and all that may show.
    defp assert_only(db, command, edit, columns \\ @columns) do
      schema = schema(db)
      contents = contents(db, columns)
      run(db, command)

      edited =
        for [type, name, table, sql] <- schema,
            do: [type, name, table, if(name == "t", do: edit.(sql), else: sql)]

      assert schema(db) == edited
      assert contents(db, columns) == contents
      assert all(db, "PRAGMA foreign_key_check") == []
      assert all(db, "PRAGMA integrity_check") == [["ok"]]
      assert all(db, "SELECT rowid FROM words WHERE words MATCH 'bob'") == [[2]]
      q(db, "INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    end

    setup %{db: db}, do: script(db, @many) && :ok

    test "a CHECK more, and less", %{db: db} do
      check = constraint(:t, "short", check: "length(\"email\") < 100", comment: "note")
      original = text(db)

      assert_only(db, {:create, check}, fn sql ->
        behind = ~s|ON UPDATE CASCADE|

        String.replace(
          sql,
          behind,
          behind <> ~s|,\n  CONSTRAINT "short" CHECK (length("email") < 100) /* note */|
        )
      end)

      error = err(db, "INSERT INTO t (email) VALUES ('#{String.duplicate("x", 100)}')")
      assert %{kind: :check, name: "short"} = error.constraint
      assert_only(db, {:drop, check, :restrict}, fn _sql -> original end)
    end

    test "constraints of columns and named keys go by their names", %{db: db} do
      assert_only(db, {:drop, constraint(:t, :positive), :restrict}, fn sql ->
        String.replace(sql, ~s| CONSTRAINT "positive" CHECK ("price" > 0)|, "")
      end)

      assert_only(db, {:drop_if_exists, constraint(:t, "t_up_fkey"), :restrict}, fn sql ->
        String.replace(
          sql,
          ~s| REFERENCES "t"("id") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED|,
          ""
        )
      end)

      assert_only(db, {:drop, constraint(:t, "named_fkey"), :restrict}, fn sql ->
        String.replace(
          sql,
          ~s| CONSTRAINT "named_fkey" REFERENCES "parents"("id") ON DELETE CASCADE|,
          ""
        )
      end)

      assert_only(db, {:drop, constraint(:t, "t_first_fkey"), :restrict}, fn sql ->
        String.replace(
          sql,
          ~s|,\n  FOREIGN KEY ("first", "last") REFERENCES "t" ("first", "last") ON UPDATE CASCADE|,
          ""
        )
      end)

      assert run(db, {:drop_if_exists, constraint(:t, "positive"), :restrict}) == []

      assert_raise ArgumentError, ~r/no constraint :positive/, fn ->
        run(db, {:drop, constraint(:t, :positive), :restrict})
      end

      assert_raise ArgumentError, ~r/already has a constraint "pair"/, fn ->
        run(db, {:create, constraint(:t, "pair", check: "1")})
      end

      assert_raise ArgumentError, ~r/no table "none"/, fn ->
        run(db, {:create, constraint(:none, "x", check: "1")})
      end

      assert run(db, {:drop_if_exists, constraint(:none, "x"), :restrict}) == []
    end

    test "a generated column computed otherwise", %{db: db} do
      assert_only(
        db,
        {:alter, table(:t), [{:modify, :len, :integer, generated: "length(\"last\")"}]},
        &String.replace(
          &1,
          ~s|"len" INTEGER AS (length("full")) VIRTUAL|,
          ~s|"len" INTEGER GENERATED ALWAYS AS (length("last"))|
        ),
        String.replace(@columns, "len, ", "")
      )

      assert all(db, "SELECT len FROM t") == [[1], [1], [1]]
    end

    test "a composite key to another table, and away", %{db: db} do
      q(db, "CREATE TABLE pairs (a TEXT, b TEXT, PRIMARY KEY (a, b))")
      q(db, "INSERT INTO pairs SELECT first, last FROM t")
      reference = references(:pairs, type: :string, column: :a, with: [last: :b])
      old = ~s|FOREIGN KEY ("first", "last") REFERENCES "t" ("first", "last") ON UPDATE CASCADE|
      new = ~s|FOREIGN KEY ("first", "last") REFERENCES "pairs"("a", "b")|

      assert_only(db, {:alter, table(:t), [{:modify, :first, reference, []}]}, fn sql ->
        sql |> String.replace(old, new) |> String.replace(~s|"first" TEXT|, ~s|"first" TEXT|)
      end)

      assert err(db, "UPDATE t SET first = 'Eve' WHERE id = 1").constraint.kind == :foreign_key

      assert_only(db, {:alter, table(:t), [{:modify, :first, :string, from: reference}]}, fn sql ->
        String.replace(sql, ",\n  " <> new, "")
      end)
    end

    test "a key of several columns instead of one", %{db: db} do
      # The children's key is of the old one: it has to go first.
      q(db, "DROP TABLE children")
      q(db, "CREATE TABLE children (x)")
      run(db, {:drop, constraint(:t, "t_up_fkey"), :restrict})
      old = text(db)
      rows = all(db, "SELECT rowid, #{@columns} FROM t")

      changes = [
        {:modify, :id, :integer, primary_key: true},
        {:modify, :email, :string, primary_key: true}
      ]

      run(db, {:alter, table(:t), changes})

      assert text(db) ==
               old
               |> String.replace(
                 ~s|"id" INTEGER PRIMARY KEY AUTOINCREMENT|,
                 ~s|"id" INTEGER NOT NULL|
               )
               |> String.replace(
                 ~s|ON UPDATE CASCADE\n|,
                 ~s|ON UPDATE CASCADE,\n  PRIMARY KEY ("id", "email")\n|
               )

      assert all(db, "SELECT rowid, #{@columns} FROM t") == rows
      assert all(db, "SELECT * FROM sqlite_sequence WHERE name = 't'") == []

      assert all(db, "SELECT name FROM pragma_table_info('t') WHERE pk ORDER BY pk") == [
               ["id"],
               ["email"]
             ]
    end
  end

  describe "primary keys" do
    test "a serial one for a table without: the rows' own ids", %{db: db} do
      script(db, "CREATE TABLE t (a TEXT); INSERT INTO t (rowid, a) VALUES (3, 'c'), (7, 'g')")
      alter(db, [{:add, :id, :serial, primary_key: true}])
      assert text(db) == ~s|CREATE TABLE t (a TEXT, "id" INTEGER PRIMARY KEY)|
      q(db, "INSERT INTO t (a) VALUES ('h')")
      assert all(db, "SELECT id, a FROM t") == [[3, "c"], [7, "g"], [8, "h"]]

      # As Ecto turns it round.
      alter(db, [{:remove, :id, :serial, []}])
      assert text(db) == "CREATE TABLE t (a TEXT)"
      assert all(db, "SELECT rowid, a FROM t") == [[3, "c"], [7, "g"], [8, "h"]]

      alter(db, [{:add, :id, :serial, primary_key: true, autoincrement: true}])
      assert text(db) == ~s|CREATE TABLE t (a TEXT, "id" INTEGER PRIMARY KEY AUTOINCREMENT)|
      assert all(db, "SELECT id FROM t") == [[3], [7], [8]]
      assert all(db, "SELECT * FROM sqlite_sequence") == [["t", 8]]
    end

    test "rowids are kept where a column has their name", %{db: db} do
      script(
        db,
        "CREATE TABLE t (rowid TEXT, oid TEXT); INSERT INTO t (_rowid_, rowid) VALUES (5, 'a')"
      )

      run(db, {:create, constraint(:t, :c, check: "1")})
      assert all(db, "SELECT _rowid_, rowid FROM t") == [[5, "a"]]

      script(
        db,
        "DROP TABLE t; CREATE TABLE t (rowid, oid, _rowid_); INSERT INTO t VALUES (1, 2, 3)"
      )

      run(db, {:create, constraint(:t, :c, check: "1")})
      assert all(db, "SELECT * FROM t") == [[1, 2, 3]]
    end

    test "another type, in one alter", %{db: db} do
      script(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (3, 'c'), (7, 'g')"
      )

      uuid = {:fragment, "randomblob(16)"}

      alter(db, [{:remove, :id, :id, []}, {:add, :id, :uuid, primary_key: true, default: uuid}])

      assert text(db) ==
               ~s|CREATE TABLE t (a, "id" BLOB_UUID PRIMARY KEY NOT NULL DEFAULT (randomblob(16)))|

      assert all(db, "SELECT rowid, a, length(id), count(*) OVER () FROM t") == [
               [3, "c", 16, 2],
               [7, "g", 16, 2]
             ]

      script(
        db,
        "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (3, 'c')"
      )

      alter(db, [{:modify, :id, :string, []}])
      assert text(db) == ~s|CREATE TABLE t ("id" TEXT PRIMARY KEY NOT NULL, a)|
      assert all(db, "SELECT rowid, * FROM t") == [[3, "3", "c"]]

      alter(db, [{:modify, :id, :integer, from: :string}])
      assert all(db, "SELECT rowid, id, a FROM t") == [[3, 3, "c"]]
    end

    test "AUTOINCREMENT counts on, also where no row is left", %{db: db} do
      script(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (41); DELETE FROM t"
      )

      run(db, {:create, constraint(:t, :c, check: "1")})
      q(db, "INSERT INTO t DEFAULT VALUES")
      assert all(db, "SELECT id FROM t") == [[42]]
      run(db, {:create, constraint(:t, :d, check: "1")})
      assert all(db, "SELECT * FROM sqlite_sequence") == [["t", 42]]
      alter(db, [{:modify, :id, :integer, primary_key: true}])
      assert text(db) =~ "AUTOINCREMENT"
    end

    test "of several columns, more and fewer", %{db: db} do
      script(
        db,
        "CREATE TABLE t (a INTEGER, b TEXT, c, PRIMARY KEY (b, a)); INSERT INTO t VALUES (1, 'x', 2)"
      )

      alter(db, [{:modify, :a, :integer, primary_key: false}])
      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER, b TEXT, c, PRIMARY KEY ("b"))|

      alter(db, [
        {:modify, :b, :string, primary_key: false},
        {:add, :d, :integer, primary_key: true}
      ])

      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER, "b" TEXT, c, "d" INTEGER PRIMARY KEY)|
      assert all(db, "SELECT * FROM t") == [[1, "x", 2, 1]]

      alter(db, [{:modify, :d, :integer, primary_key: false}])
      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER, "b" TEXT, c, "d" INTEGER)|
    end

    test "a second one is refused, unless it is meant", %{db: db} do
      q(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
      message = ~r/has a primary key already.*"id"/

      for change <- [
            {:add, :b, :integer, primary_key: true},
            {:modify, :a, :string, primary_key: true}
          ],
          do: assert_raise(ArgumentError, message, fn -> alter(db, [change]) end)

      alter(db, [
        {:modify, :id, :serial, primary_key: true},
        {:modify, :a, :string, primary_key: true}
      ])

      # A serial member may be left out: see Column.not_null?/3.
      assert text(db) ==
               ~s|CREATE TABLE t ("id" INTEGER, "a" TEXT NOT NULL, PRIMARY KEY ("id", "a"))|
    end

    test "named like one by Ecto, it is dropped as a constraint", %{db: db} do
      q(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
      run(db, {:drop, constraint(:t, "t_pkey"), :restrict})
      assert text(db) == "CREATE TABLE t (a INTEGER, b)"
    end

    test "without rowids", %{db: db} do
      script(
        db,
        "CREATE TABLE t (a TEXT PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO t VALUES ('x', 1), ('y', 2)"
      )

      alter(db, [
        {:modify, :a, :string, primary_key: true},
        {:modify, :b, :integer, primary_key: true}
      ])

      assert text(db) ==
               ~s|CREATE TABLE t ("a" TEXT NOT NULL, "b" INTEGER NOT NULL, PRIMARY KEY ("a", "b")) WITHOUT ROWID|

      assert all(db, "SELECT * FROM t") == [["x", 1], ["y", 2]]

      assert_raise ArgumentError, ~r/WITHOUT ROWID: it needs a primary key/, fn ->
        run(db, {:drop, constraint(:t, "t_pkey"), :restrict})
      end

      q(db, "DROP TABLE t")
      script(db, "CREATE TABLE t (a TEXT) RANDOM ROWID; INSERT INTO t VALUES ('x'), ('y')")
      before = all(db, "SELECT rowid, a FROM t")
      run(db, {:create, constraint(:t, :c, check: "1")})
      assert all(db, "SELECT rowid, a FROM t") == before
      assert text(db) =~ "RANDOM ROWID"
    end
  end

  describe "columns" do
    test "that other things speak of go, and those with them", %{db: db} do
      script(db, """
      CREATE TABLE t (a INT CHECK (a > b), b INT UNIQUE, c INT CHECK (c > 0), d INT, UNIQUE (c, d), CHECK (d <> b),
        FOREIGN KEY (d, b) REFERENCES p (x, y));
      CREATE TABLE p (x, y, UNIQUE (x, y)); INSERT INTO p VALUES (3, 1);
      CREATE INDEX t_b ON t (a, b); CREATE INDEX t_p ON t (a) WHERE b > 1; CREATE INDEX t_a ON t (a);
      INSERT INTO t VALUES (5, 1, 2, 3)
      """)

      alter(db, [{:remove, :b}])
      assert text(db) == "CREATE TABLE t (a INT, c INT CHECK (c > 0), d INT, UNIQUE (c, d))"
      assert all(db, "SELECT name FROM pragma_index_list('t') WHERE origin = 'c'") == [["t_a"]]
      assert all(db, "SELECT * FROM t") == [[5, 2, 3]]
    end

    test "that are only indexed go by DROP COLUMN", %{db: db} do
      script(db, "CREATE TABLE t (a, b); CREATE INDEX \"t_b\" ON t (lower(b))")

      assert alter(db, [{:remove, :b}]) == [
               ~s|DROP INDEX "t_b"|,
               ~s|ALTER TABLE "t" DROP COLUMN "b"|
             ]
    end

    test "that a view, a trigger or a generated column reads do not go", %{db: db} do
      script(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, c)")

      for {make, drop} <- [
            {"CREATE VIEW x AS SELECT b FROM t", "DROP VIEW x"},
            {"CREATE TRIGGER x AFTER DELETE ON t BEGIN DELETE FROM t WHERE a = OLD.b; END",
             "DROP TRIGGER x"},
            {"CREATE TABLE o (a); CREATE TRIGGER x AFTER DELETE ON o BEGIN UPDATE t SET c = b; END",
             "DROP TABLE o"},
            {"ALTER TABLE t ADD COLUMN g AS (b + 1)", "ALTER TABLE t DROP COLUMN g"}
          ] do
        script(db, make)
        before = {schema(db), settings(db)}
        error = assert_raise EctoLibSql.Error, fn -> alter(db, [{:remove, :b}]) end
        assert Exception.message(error) =~ "no such column: "
        assert {schema(db), settings(db)} == before
        q(db, drop)
      end

      alter(db, [{:remove, :b}])
      assert text(db) == "CREATE TABLE t (a INTEGER PRIMARY KEY, c)"
    end

    test "that foreign keys refer to do not go, unless they come again", %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, up REFERENCES t (a)); CREATE UNIQUE INDEX t_a ON t (a);
      CREATE UNIQUE INDEX t_b ON t (b); CREATE TABLE c (t_b REFERENCES t (b)); CREATE TABLE d (t_id REFERENCES t);
      INSERT INTO t VALUES (3, 1, 2, 1); INSERT INTO d VALUES (3)
      """)

      for {column, key} <- [b: ~s|"c" (t_b)|, id: ~s|"d" (t_id)|, a: ~s|"t" (up)|] do
        message = ~r/foreign key of #{Regex.escape(key)} refers to: remove that first/
        assert_raise ArgumentError, message, fn -> alter(db, [{:remove, column}]) end
      end

      # Of both, in one step; and a key whose values are the rows' old ones.
      alter(db, [
        {:remove, :a},
        {:remove, :up},
        {:remove, :id},
        {:add, :id, :serial, primary_key: true}
      ])

      assert all(db, "SELECT * FROM t") == [[2, 3]]
      assert all(db, "PRAGMA foreign_key_check") == []
      assert all(db, "SELECT * FROM d") == [[3]]
    end

    test "one at least stays", %{db: db} do
      q(db, "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID")

      assert_raise ArgumentError, ~r/no column of table "t" would be left/, fn ->
        alter(db, [{:remove, :a}, {:add, :b, :string, primary_key: true}])
      end
    end

    test "with a default that is computed, in a table with rows", %{db: db} do
      script(
        db,
        "CREATE TABLE t (a); CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (4)"
      )

      now =
        {:add, :at, :utc_datetime,
         default: {:fragment, "strftime('%Y-%m-%dT%H:%M:%SZ')"}, null: false}

      parent = {:add, :p_id, references(:p), default: 4}
      stored = {:add, :s, :integer, generated: "ALWAYS AS (a + 1) STORED"}

      # Where there is no row, ALTER TABLE does it.
      for add <- [now, parent, stored], do: assert(["ALTER TABLE" <> _] = alter(db, [add]))
      script(db, "DROP TABLE t; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
      alter(db, [now, parent, stored])
      assert [[1, <<_::binary-19>> <> "Z", 4, 2], [2, _, 4, 3]] = all(db, "SELECT * FROM t")
      assert text(db) =~ "STORED)"
    end

    test "changed by what writes the rows, where a trigger would see it", %{db: db} do
      script(db, """
      CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('1');
      CREATE TRIGGER seen AFTER UPDATE ON t BEGIN SELECT RAISE(ABORT, 'an update'); END
      """)

      alter(db, [{:modify, :a, :integer, null: false}])
      assert all(db, "SELECT typeof(a) FROM t") == [["integer"]]
      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER NOT NULL)|
    end

    test "changed where the engine's ALTER COLUMN would not find the end of their definition", %{
      db: db
    } do
      for definition <- [
            "a NUMERIC(5,2)",
            "a TEXT DEFAULT 'x,y'",
            "a INT CHECK (a IN (1, 2))",
            "a TEXT DEFAULT '(' ",
            "a TEXT DEFAULT ')'",
            "a TEXT -- one, two\n",
            "a TEXT /* one, two */"
          ],
          {head, tail} <- [{"", ""}, {"z, ", ""}, {"", ", z"}, {"z, ", ", y"}] do
        q(db, "DROP TABLE IF EXISTS t")
        q(db, "CREATE TABLE t (#{head}#{definition}#{tail})")
        columns = all(db, "SELECT name FROM pragma_table_info('t')")
        q(db, "INSERT INTO t (a) VALUES (1)")
        alter(db, [{:modify, :a, :integer, default: nil, check: nil}])
        assert all(db, "SELECT name FROM pragma_table_info('t')") == columns
        assert text(db) =~ ~s|"a" INTEGER|
        assert all(db, "SELECT a FROM t") == [[1]]
        assert all(db, "PRAGMA integrity_check") == [["ok"]]
      end

      q(db, "DROP TABLE t")
      q(db, "CREATE TABLE t (a INTEGER, b, PRIMARY KEY (a))")
      alter(db, [{:modify, :a, :bigint, comment: "big"}])
      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER /* big */, b, PRIMARY KEY (a))|
    end

    test "generated or not", %{db: db} do
      script(db, "CREATE TABLE t (a INT, g INT AS (a + 1)); INSERT INTO t (a) VALUES (1)")
      alter(db, [{:modify, :g, :integer, generated: nil}])
      q(db, "UPDATE t SET g = g + 10")
      assert all(db, "SELECT * FROM t") == [[1, 12]]
      alter(db, [{:modify, :g, :string, generated: "a || '!'", stored: true}])
      assert all(db, "SELECT * FROM t") == [[1, "1!"]]
      assert text(db) == ~s/CREATE TABLE t (a INT, "g" TEXT GENERATED ALWAYS AS (a || '!') STORED)/
    end

    test "all changes of an alter are made at once", %{db: db} do
      script(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO t VALUES (1, '2', 'b')"
      )

      alter(db, [
        {:add_if_not_exists, :a, :string, []},
        {:modify, :a, :integer, null: false},
        {:remove_if_exists, :nothing, :string},
        {:remove, :b},
        {:add, :b, :decimal, default: "0.5"},
        {:add_if_not_exists, :b, :string, []},
        {:remove, :id},
        {:modify, :a, :integer, primary_key: true},
        {:add, :c, :integer, []}
      ])

      assert text(db) ==
               ~s|CREATE TABLE t ("a" INTEGER PRIMARY KEY NOT NULL, "b" TEXT_DECIMAL DEFAULT '0.5' COLLATE DECIMAL, "c" INTEGER)|

      assert all(db, "SELECT * FROM t") == [[2, "0.5", nil]]
    end
  end

  describe "what may be there" do
    test "an attached database", %{db: db} do
      script(db, """
      ATTACH ':memory:' AS "o o"; CREATE TABLE t (mine); CREATE TABLE "o o".t (a, b UNIQUE);
      CREATE INDEX "o o".i ON t (a); CREATE TABLE "o o".c (t_b REFERENCES t (b) ON DELETE CASCADE);
      CREATE TRIGGER "o o".r AFTER INSERT ON t BEGIN DELETE FROM c; END;
      CREATE TEMP TRIGGER tt AFTER INSERT ON "o o".t BEGIN SELECT 1; END;
      CREATE TEMP TRIGGER mine AFTER INSERT ON main.t BEGIN SELECT 1; END;
      INSERT INTO "o o".t VALUES (1, 2); INSERT INTO "o o".c VALUES (2)
      """)

      temporary = all(db, "SELECT name, sql FROM sqlite_temp_schema ORDER BY 1")

      before =
        all(db, ~s|SELECT name, sql FROM "o o".sqlite_schema WHERE sql IS NOT NULL ORDER BY 1|)

      run(db, {:create, %{constraint(:t, :k, check: "a > 0") | prefix: "o o"}})
      run(db, {:drop, %{constraint(:t, :k) | prefix: "o o"}, :restrict})

      assert all(db, ~s|SELECT name, sql FROM "o o".sqlite_schema WHERE sql IS NOT NULL ORDER BY 1|) ==
               before

      assert all(db, "SELECT name, sql FROM sqlite_temp_schema ORDER BY 1") == temporary
      assert all(db, ~s|SELECT * FROM "o o".c|) == [[2]]
      assert text(db) == "CREATE TABLE t (mine)"
    end

    test "a temporary table, and temporary triggers", %{db: db} do
      script(db, """
      CREATE TEMP TABLE t (a UNIQUE, b); CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;
      CREATE TABLE u (a UNIQUE, b); CREATE TEMP TRIGGER ur AFTER INSERT ON u BEGIN SELECT 2; END;
      INSERT INTO t VALUES (1, 2); INSERT INTO u VALUES (3, 4)
      """)

      triggers =
        all(db, "SELECT name, sql FROM sqlite_temp_schema WHERE type = 'trigger' ORDER BY 1")

      alter(db, [{:remove, :a}], prefix: "temp")
      run(db, {:alter, table(:u), [{:remove, :a}]})
      assert all(db, "SELECT * FROM t") ++ all(db, "SELECT * FROM u") == [[2], [4]]

      assert all(db, "SELECT name, sql FROM sqlite_temp_schema WHERE type = 'trigger' ORDER BY 1") ==
               triggers
    end

    test "a CHECK that names its table", %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT CHECK ("t".a <> 'x'), b BLOB, up REFERENCES t ON DELETE CASCADE);
      INSERT INTO t VALUES (5, '1', x'00', NULL), (6, NULL, 7.5, 5)
      """)

      alter(db, [
        {:modify, :a, :integer, primary_key: nil, generated: nil},
        {:add, :c, :integer, default: {:fragment, "1 + 1"}}
      ])

      assert all(db, "SELECT * FROM t") == [[5, 1, <<0>>, nil, 2], [6, nil, 7.5, 5, 2]]
      assert err(db, "INSERT INTO t (a) VALUES ('x')").constraint.kind == :check
      assert one(db, "SELECT count(*) FROM sqlite_schema") == 1
    end

    test "a vector index", %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, e F32_BLOB(3));
      CREATE INDEX near ON t (libsql_vector_idx(e, 'metric=l2'));
      INSERT INTO t VALUES (1, vector32('[1,0,0]')), (2, vector32('[0,1,0]'))
      """)

      run(db, {:create, constraint(:t, :k, check: "id > 0")})
      assert all(db, "SELECT id FROM vector_top_k('near', vector32('[0,1,0.1]'), 1)") == [[2]]
      q(db, "INSERT INTO t VALUES (3, vector32('[0,0,1]'))")
      assert all(db, "SELECT id FROM vector_top_k('near', vector32('[0,0,1]'), 1)") == [[3]]
    end

    test "conflicts that leave rows out elsewhere", %{db: db} do
      script(db, "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 1), (1, 2)")
      q(db, "CREATE TABLE u (a, b, UNIQUE (a) ON CONFLICT REPLACE)")

      error =
        assert_raise EctoLibSql.Error, fn ->
          alter(db, [{:modify, :a, :integer, primary_key: true}])
        end

      assert error.constraint.kind == :primary_key
      assert all(db, "SELECT * FROM t") == [[1, 1], [1, 2]]
    end

    test "rows that break a CHECK: an error, or validate: false", %{db: db} do
      script(db, "CREATE TABLE t (a); INSERT INTO t VALUES (-1)")
      before = {schema(db), settings(db)}
      check = constraint(:t, :positive, check: "a > 0")
      error = assert_raise EctoLibSql.Error, fn -> run(db, {:create, check}) end
      assert %{kind: :check, name: "positive"} = error.constraint
      assert {schema(db), settings(db)} == before

      run(db, {:create, %{check | validate: false}})
      assert all(db, "SELECT * FROM t") == [[-1]]
      assert settings(db) == elem(before, 1)
      assert err(db, "INSERT INTO t VALUES (-2)").constraint.name == "positive"
    end

    test "old rows without a parent, for validate: false", %{db: db} do
      script(
        db,
        "CREATE TABLE p (a, b, UNIQUE (a, b)); CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2)"
      )

      reference = references(:p, column: :a, with: [b: :b])
      assert_raise Ecto.MigrationError, fn -> alter(db, [{:modify, :a, reference, []}]) end
      alter(db, [{:modify, :a, %{reference | validate: false}, []}])
      assert all(db, "SELECT * FROM t") == [[1, 2]]
      assert err(db, "INSERT INTO t VALUES (1, 3)").constraint.kind == :foreign_key
    end

    test "triggers of on_delete with columns, made anew and dropped", %{db: db} do
      script(
        db,
        "CREATE TABLE p (a INTEGER, b INTEGER, UNIQUE (a, b)); CREATE TABLE t (b INTEGER); INSERT INTO t VALUES (2)"
      )

      nilify = references(:p, column: :a, with: [b: :b], on_delete: {:nilify, [:a]})
      alter(db, [{:add, :a, nilify, []}])
      script(db, "INSERT INTO p VALUES (1, 2); UPDATE t SET a = 1; DELETE FROM p")
      assert all(db, "SELECT a, b FROM t") == [[nil, 2]]
      run(db, {:create, constraint(:t, :k, check: "b > 0")})
      run(db, {:create, constraint(:p, :k, check: "b > 0")})
      script(db, "INSERT INTO p VALUES (1, 2); UPDATE t SET a = 1; DELETE FROM p")
      assert all(db, "SELECT a, b FROM t") == [[nil, 2]]
      alter(db, [{:remove, :a}])
      assert one(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'") == 0
      q(db, "INSERT INTO p VALUES (1, 2)")
      q(db, "DELETE FROM p")
    end

    test "no virtual table", %{db: db} do
      q(db, "CREATE VIRTUAL TABLE t USING fts5(a)")

      assert_raise ArgumentError, ~r/virtual table "t" cannot be altered/, fn ->
        alter(db, [{:add, :id, :serial, primary_key: true}])
      end
    end
  end

  test "any table is what it was, once its new CHECK has gone again" do
    for _ <- 1..150 do
      db = open()

      script(
        db,
        "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2); PRAGMA foreign_keys = OFF"
      )

      sql = random_table()
      q(db, sql)

      names =
        for [name] <- all(db, "SELECT name FROM pragma_table_info('t')"),
            do: ~s|"#{String.replace(name, ~s|"|, ~s|""|)}"|

      q(db, "CREATE INDEX i ON t (#{Enum.join(Enum.take_random(names, 2), ", ")})")

      for _ <- 1..8 do
        values =
          for _ <- names, do: Enum.random(["NULL", "1", "2", "3.5", "'a'", "'9'", "x'00'", "-7"])

        EctoLibSql.query(db, "INSERT OR IGNORE INTO t VALUES (#{Enum.join(values, ", ")})")
      end

      before = {schema(db), all(db, "SELECT rowid, * FROM t"), all(db, "PRAGMA foreign_key_check")}
      run(db, {:create, constraint(:t, :"a new one", check: "1")})
      assert text(db) =~ ~s|CONSTRAINT "a new one" CHECK (1)|, sql
      run(db, {:drop, constraint(:t, :"a new one"), :restrict})

      assert {schema(db), all(db, "SELECT rowid, * FROM t"), all(db, "PRAGMA foreign_key_check")} ==
               before,
             sql

      assert all(db, "PRAGMA integrity_check") == [["ok"]], sql
      EctoLibSql.close(db)
    end
  end

  describe "whatever happens" do
    setup %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX t_a ON t (a);
      CREATE TABLE c (t_id REFERENCES t (id) ON DELETE CASCADE); CREATE TABLE log (n);
      CREATE TRIGGER logged AFTER DELETE ON t BEGIN INSERT INTO log VALUES (OLD.a); END;
      INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1), (2)
      """)

      :ok
    end

    @command {:alter, %Ecto.Migration.Table{name: "t"},
              [{:remove, :id, :id, []}, {:add, :k, :integer, [primary_key: true]}]}
    @check {:create, %Ecto.Migration.Constraint{table: "t", name: :k, check: "id > 0"}}

    # The statements of a change, each of which fails in turn; the error is rescued, and the transaction
    # goes on: it finds the old table.
    test "an error at any statement leaves the old table and all settings", %{db: db} do
      rows = &{all(&1, "SELECT * FROM t"), all(&1, "SELECT * FROM c"), all(&1, "SELECT * FROM log")}
      before = {schema(db), settings(db), rows.(db)}
      count = statements(db)
      assert count > 10

      for failing <- 1..count do
        {:ok, trx} = Native.begin(db)
        counter = :counters.new(1, [])

        assert_raise RuntimeError, "number #{failing}", fn ->
          DDL.run(@check, [], fn sql ->
            :counters.add(counter, 1, 1)
            if :counters.get(counter, 1) == failing, do: raise("number #{failing}")
            query(trx, sql, self())
          end)
        end

        assert {schema(trx), rows.(trx)} == {elem(before, 0), elem(before, 2)},
               "statement #{failing}"

        q(trx, "INSERT INTO log VALUES (1)")
        q(trx, "DELETE FROM log")
        {:ok, _} = Native.commit(trx)
        assert {schema(db), settings(db), rows.(db)} == before, "statement #{failing}"
      end
    end

    defp statements(db) do
      {:ok, trx} = Native.begin(db)
      counter = :counters.new(1, [])

      DDL.run(@check, [], fn sql ->
        :counters.add(counter, 1, 1)
        query(trx, sql, self())
      end)

      {:ok, _} = Native.rollback(trx)
      :counters.get(counter, 1)
    end

    test "the key is gone, and the children say so", %{db: db} do
      assert_raise ArgumentError, ~r/foreign key of "c" \(t_id\) refers to/, fn ->
        run(db, @command)
      end

      key = {:alter, table(:t), [{:modify, :id, :integer, primary_key: false}]}

      assert_raise Ecto.MigrationError,
                   ~r/foreign key of "c" \(t_id\) to "t" refers to columns/,
                   fn ->
                     run(db, key)
                   end

      assert all(db, "SELECT * FROM c") == [[1], [2]]
    end

    test "enforcement that was off stays off", %{db: db} do
      q(db, "PRAGMA foreign_keys = OFF")
      run(db, @check)
      assert hd(settings(db)) == 0
    end

    test "where keys cannot be switched off it says what to do instead", %{db: db} do
      {:ok, trx} = Native.begin(db)

      query = fn
        {:enforce_foreign_keys, _} -> raise %EctoLibSql.Error{code: :unsupported, message: "no"}
        sql -> query(trx, sql, self())
      end

      message = ~r/ALTER COLUMN.*by hand/s
      assert_raise ArgumentError, message, fn -> DDL.run(@check, [], query) end
      {:ok, _} = Native.rollback(trx)
    end

    test "there is no SQL for it without a database" do
      assert_raise ArgumentError, ~r/builds table "t" anew.*run the migration/, fn ->
        DDL.execute_ddl(@check)
      end

      assert_raise ArgumentError, ~r/builds table "t" anew/, fn -> DDL.execute_ddl(@command) end
    end
  end
end
