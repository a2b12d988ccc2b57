Code.require_file("rebuild_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.RebuildObjectsTest do
  use Ecto.Adapters.LibSql.RebuildCase

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
end
