Code.require_file("rebuild_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.RebuildColumnsTest do
  use Ecto.Adapters.LibSql.RebuildCase

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
end
