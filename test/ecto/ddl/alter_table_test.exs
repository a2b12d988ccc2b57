Code.require_file("ddl_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.AlterTableTest do
  use EctoLibSql.Case, async: true
  use Ecto.Adapters.LibSql.DDLCase

  setup do
    db = open()
    q(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    {:ok, db: db}
  end

  defp alter(db, changes, opts \\ []), do: run(db, {:alter, table(:t, opts), changes})

  defp text(db), do: one(db, "SELECT sql FROM sqlite_schema WHERE name = 't'")

  describe "add" do
    setup %{db: db}, do: q(db, "CREATE TABLE t (a INTEGER)") && :ok

    test "one statement for each column", %{db: db} do
      assert alter(db, [
               {:add, :b, :string, default: "x", null: false},
               {:add, :c, :uuid, comment: "see b"},
               {:add, :p_id, references(:p, on_delete: :nilify_all), []}
             ]) == [
               ~s|ALTER TABLE "t" ADD COLUMN "b" TEXT NOT NULL DEFAULT 'x'|,
               ~s|ALTER TABLE "t" ADD COLUMN "c" BLOB_UUID /* see b */|,
               ~s|ALTER TABLE "t" ADD COLUMN "p_id" INTEGER REFERENCES "p"("id") ON DELETE SET NULL|
             ]
    end

    test "with a prefix", %{db: db} do
      q(db, "ATTACH ':memory:' AS other")
      q(db, "CREATE TABLE other.t (a)")

      assert alter(db, [{:add, :b, :decimal, []}], prefix: "other") ==
               [~s|ALTER TABLE "other"."t" ADD COLUMN "b" TEXT_DECIMAL COLLATE DECIMAL|]
    end

    test "only if it is not there", %{db: db} do
      twice = List.duplicate({:add_if_not_exists, :b, :integer, []}, 2)
      add = [~s|ALTER TABLE "t" ADD COLUMN "b" INTEGER|]
      assert alter(db, twice) == add
      assert alter(db, [{:add_if_not_exists, :B, :decimal, []}]) == []

      message = ~r/add_if_not_exists of :b looks into the database/
      assert_raise ArgumentError, message, fn -> DDL.execute_ddl({:alter, table(:t), twice}) end
    end

    test "a trigger for on_delete with columns", %{db: db} do
      reference = references(:p, on_delete: {:nilify, [:p_id]})
      assert [_add, "CREATE TRIGGER" <> _] = alter(db, [{:add, :p_id, reference, []}])
      q(db, "INSERT INTO p VALUES (1)")
      q(db, "INSERT INTO t (p_id) VALUES (1)")
      q(db, "DELETE FROM p")
      assert all(db, "SELECT p_id FROM t") == [[nil]]

      assert ["DROP TRIGGER" <> _, "ALTER TABLE" <> _] =
               alter(db, [{:remove, :p_id, reference, []}])

      q(db, "DELETE FROM p")
    end

    test "what cannot be", %{db: db} do
      assert_raise ArgumentError, ~r/comment of table "t"/, fn -> alter(db, [], comment: "no") end

      assert_raise ArgumentError, ~r/already has a column :A/, fn ->
        alter(db, [{:add, :A, :integer, []}])
      end

      assert_raise ArgumentError, ~r/there is no table "none"/, fn ->
        run(db, {:alter, table(:none), [{:add_if_not_exists, :a, :integer, []}]})
      end

      assert_raise EctoLibSql.Error, ~r/no such table: none/, fn ->
        run(db, {:alter, table(:none), [{:add, :a, :integer, []}]})
      end
    end

    test "a default of the table's own for on_delete", %{db: db} do
      q(db, "DROP TABLE t")
      q(db, "CREATE TABLE t (a INTEGER CONSTRAINT d DEFAULT (1 + 4), b)")
      reference = references(:p, on_delete: {:default, [:a, :b]})
      assert [_add, trigger] = alter(db, [{:add, :p_id, reference, []}])
      assert trigger =~ ~s|SET "a" = (1 + 4), "b" = NULL WHERE|
    end
  end

  describe "remove" do
    setup %{db: db}, do: q(db, "CREATE TABLE t (a, b, c, p_id REFERENCES p)") && :ok

    test "with and without a type", %{db: db} do
      assert alter(db, [
               {:remove, :a},
               {:remove, :b, :string, []},
               {:remove, :p_id, references(:p), []}
             ]) ==
               for(name <- ~w(a b p_id), do: ~s|ALTER TABLE "t" DROP COLUMN "#{name}"|)
    end

    test "only if it is there", %{db: db} do
      changes = [{:remove_if_exists, :a}, {:remove_if_exists, :a}, {:remove_if_exists, :b, :string}]
      drop = for(name <- ~w(a b), do: ~s|ALTER TABLE "t" DROP COLUMN "#{name}"|)
      assert alter(db, changes) == drop
    end
  end

  describe "modify" do
    test "what is not spoken of stays", %{db: db} do
      q(
        db,
        ~s|CREATE TABLE t (x, "a" TEXT(5) CONSTRAINT nn NOT NULL DEFAULT 'it''s' | <>
          ~s|CHECK (length(a) > 0) COLLATE NOCASE REFERENCES p(id) ON DELETE SET NULL UNIQUE, y)|
      )

      kept = ~s|CONSTRAINT nn NOT NULL DEFAULT 'it''s' CHECK (length(a) > 0) COLLATE NOCASE |
      references = ~s|REFERENCES p(id) ON DELETE SET NULL |
      change = ~s|ALTER TABLE "t" ALTER COLUMN "a" TO "a" |

      assert alter(db, [{:modify, :a, :string, []}]) ==
               [change <> "TEXT " <> kept <> references <> "UNIQUE"]

      assert text(db) =~ "UNIQUE"
      q(db, "DROP TABLE t")
      q(db, ~s|CREATE TABLE t (x, "a" TEXT(5) #{kept}#{references}, y)|)

      assert alter(db, [{:modify, :a, :binary_id, []}]) ==
               [String.trim_trailing(change <> "TEXT " <> kept <> references)]

      assert alter(db, [{:modify, :a, :text, null: true, default: "z", collate: :rtrim}]) ==
               [
                 change <>
                   "TEXT DEFAULT 'z' COLLATE RTRIM CHECK (length(a) > 0) " <>
                   String.trim_trailing(references),
                 ~s|REINDEX "t"|
               ]

      assert alter(db, [{:modify, :a, :text, from: references(:p), default: nil, check: "a > ''"}]) ==
               [change <> "TEXT CHECK (a > '') COLLATE RTRIM", ~s|UPDATE "t" SET "a" = "a"|]

      assert text(db) =~ "TEXT CHECK (a > '') COLLATE RTRIM, y"
    end

    test "to a reference and back, with rows", %{db: db} do
      q(db, "CREATE TABLE t (p_id INTEGER REFERENCES p(id) NOT DEFERRABLE)")
      q(db, "INSERT INTO p VALUES (1)")
      q(db, "INSERT INTO t VALUES (1)")
      change = ~s|ALTER TABLE "t" ALTER COLUMN "p_id" TO "p_id" INTEGER|
      rewrite = ~s|UPDATE "t" SET "p_id" = "p_id"|
      reference = references(:p, on_delete: :delete_all)

      assert alter(db, [{:modify, :p_id, :bigint, from: {references(:p), null: false}}]) == [change]
      q(db, "INSERT INTO t VALUES (9)")
      q(db, "DELETE FROM t WHERE p_id = 9")

      assert alter(db, [{:modify, :p_id, reference, from: :integer}]) ==
               [change <> ~s| REFERENCES "p"("id") ON DELETE CASCADE|, rewrite]

      assert alter(db, [{:modify, :p_id, :integer, null: false}]) ==
               [change <> ~s| NOT NULL REFERENCES "p"("id") ON DELETE CASCADE|, rewrite]

      q(db, "DELETE FROM p")
      assert all(db, "SELECT * FROM t") == []
    end

    test "null and default as Ecto's suite wants them", %{db: db} do
      q(
        db,
        ~s|CREATE TABLE "t" ("a" INTEGER, "b" INTEGER NOT NULL, "c" INTEGER DEFAULT 0, "d" INTEGER)|
      )

      alter(db, [
        {:modify, :a, :string, null: false},
        {:modify, :b, :string, null: true},
        {:modify, :c, :integer, default: nil},
        {:modify, :d, :integer, default: 0}
      ])

      assert text(db) ==
               ~s|CREATE TABLE "t" ("a" TEXT NOT NULL, "b" TEXT, "c" INTEGER, "d" INTEGER DEFAULT 0)|

      q(db, "INSERT INTO t (a) VALUES ('foo')")
      assert all(db, "SELECT * FROM t") == [["foo", nil, nil, 0]]
      assert err(db, "INSERT INTO t (b) VALUES ('foo')").constraint.kind == :not_null
    end

    test "without a database: what the migration says", %{db: db} do
      q(db, "CREATE TABLE t (a)")
      command = {:alter, table(:t), [{:modify, :a, :decimal, null: false}]}
      sqls = for sql <- DDL.execute_ddl(command), do: IO.iodata_to_binary(sql)

      assert sqls == [
               ~s|ALTER TABLE "t" ALTER COLUMN "a" TO "a" TEXT_DECIMAL NOT NULL COLLATE DECIMAL|,
               ~s|REINDEX "t"|,
               ~s|UPDATE "t" SET "a" = "a"|
             ]

      for sql <- sqls, do: q(db, sql)
    end

    test "a trigger for on_delete with columns is made anew", %{db: db} do
      q(db, "CREATE TABLE t (p_id INTEGER)")
      nilify = references(:p, on_delete: {:nilify, [:p_id]})

      assert [_alter, _rewrite, "CREATE TRIGGER" <> _] =
               alter(db, [{:modify, :p_id, nilify, from: :integer}])

      assert ["DROP TRIGGER" <> _, alter] = alter(db, [{:modify, :p_id, :integer, from: nilify}])
      assert alter == ~s|ALTER TABLE "t" ALTER COLUMN "p_id" TO "p_id" INTEGER|
      assert one(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'") == 0
    end

    test "a primary key by the same statement, where its kind stays", %{db: db} do
      q(db, "CREATE TABLE t (id INTEGER PRIMARY KEY)")

      assert alter(db, [{:modify, :id, :bigint, from: :integer}]) ==
               [~s|ALTER TABLE "t" ALTER COLUMN "id" TO "id" INTEGER PRIMARY KEY|]
    end
  end

  describe "modify of what is stored" do
    @types [:string, :integer, :float, :decimal, :binary, :numeric, "NUMERIC"]

    test "values and indexes fit the new type, whatever both are", %{db: db} do
      for from <- @types, to <- @types, collate <- [[], [collate: :nocase]] do
        q(db, "DROP TABLE IF EXISTS t")
        run(db, {:create, table(:t), [{:add, :x, from, []}, {:add, :y, :integer, []}]})
        q(db, "CREATE INDEX t_x ON t (x, y)")
        q(db, "CREATE INDEX t_e ON t (x || 'a')")
        q(db, "CREATE INDEX t_p ON t (y) WHERE x > 5")

        q(db, """
        INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100)
        SELECT n, n FROM c
        """)

        q(db, "INSERT INTO t VALUES (1.5, 1), ('b', 2), ('A', 3), ('c', 4), ('B', 5), (NULL, 6)")
        alter(db, [{:modify, :x, to, collate}])
        assert all(db, "PRAGMA integrity_check") == [["ok"]], inspect({from, to, collate})
        assert one(db, "SELECT count(*) FROM t") == 106

        if to not in [:binary] do
          assert one(db, "SELECT y FROM t WHERE x = 77") == 77, inspect({from, to, collate})
          assert one(db, "SELECT y FROM t NOT INDEXED WHERE x = 77") == 77
        end
      end
    end

    test "the statements", %{db: db} do
      q(db, "CREATE TABLE t (a INTEGER)")
      change = &(~s|ALTER TABLE "t" ALTER COLUMN "a" TO "a" | <> &1)
      rewrite = ~s|UPDATE "t" SET "a" = "a"|

      assert alter(db, [{:modify, :a, :string, []}]) == [change.("TEXT"), ~s|REINDEX "t"|, rewrite]
      assert alter(db, [{:modify, :a, :text, size: 5}]) == [change.("TEXT(5)")]

      assert alter(db, [{:modify, :a, :text, collate: :nocase}]) ==
               [change.("TEXT COLLATE NOCASE"), ~s|REINDEX "t"|]

      assert alter(db, [{:modify, :a, :text, null: false}]) ==
               [change.("TEXT NOT NULL COLLATE NOCASE"), rewrite]
    end

    test "rows that break a new constraint refuse it", %{db: db} do
      for {value, change} <- [
            {"NULL", {:modify, :a, :integer, null: false}},
            {"-1", {:modify, :a, :integer, check: "a > 0"}},
            {"77", {:modify, :a, references(:p), []}}
          ] do
        q(db, "DROP TABLE IF EXISTS t")
        q(db, "CREATE TABLE t (a INTEGER)")
        q(db, "INSERT INTO t VALUES (#{value})")

        error = assert_raise EctoLibSql.Error, fn -> alter(db, [change]) end
        assert error.code == :constraint
      end

      assert [_alter] = alter(db, [{:modify, :a, references(:p, validate: false), []}])
    end
  end

  test "a STRICT table is recognised", %{db: db} do
    q(db, "CREATE TABLE t (a INTEGER) STRICT")

    assert alter(db, [{:add, :b, :decimal, default: "1.50"}, {:modify, :a, :string, size: 3}]) == [
             ~s|ALTER TABLE "t" ADD COLUMN "b" TEXT DEFAULT '1.50' COLLATE DECIMAL|,
             ~s|ALTER TABLE "t" ALTER COLUMN "a" TO "a" TEXT|,
             ~s|REINDEX "t"|,
             ~s|UPDATE "t" SET "a" = "a"|
           ]
  end

  describe "drop and rename" do
    setup %{db: db}, do: q(db, "CREATE TABLE t (a)") && :ok

    test "tables", %{db: db} do
      assert run(db, {:rename, table(:t), table(:u)}) == [~s|ALTER TABLE "t" RENAME TO "u"|]
      assert run(db, {:drop, table(:u), :restrict}) == [~s|DROP TABLE "u"|]
      assert run(db, {:drop_if_exists, table(:u), :restrict}) == [~s|DROP TABLE IF EXISTS "u"|]

      assert DDL.execute_ddl({:drop, table(:u), :restrict}) |> IO.iodata_to_binary() ==
               ~s|DROP TABLE "u"|
    end

    test "a table whose rows other tables' keys act for stays", %{db: db} do
      for action <- ["CASCADE", "SET NULL", "SET DEFAULT"] do
        q(db, "CREATE TABLE c (x, p_id REFERENCES p ON DELETE #{action})")
        run(db, {:drop, table(:p), :restrict})
        q(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
        q(db, "INSERT INTO p VALUES (1)")
        q(db, "INSERT INTO c VALUES (1, 1), (2, NULL)")

        message =
          ~r/"p" cannot be dropped: rows of "c" refer to it by "p_id", and ON DELETE #{action}/

        assert_raise ArgumentError, message, fn ->
          run(db, {:drop_if_exists, table(:p), :restrict})
        end

        assert all(db, "SELECT count(*), count(p_id) FROM c") == [[2, 1]]

        q(db, "PRAGMA foreign_keys = OFF")
        run(db, {:drop, table(:p), :restrict})
        q(db, "PRAGMA foreign_keys = ON")
        q(db, "DROP TABLE c")
        q(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
      end

      # Its own keys go with it.
      q(db, "CREATE TABLE s (id INTEGER PRIMARY KEY, up REFERENCES s ON DELETE CASCADE)")
      q(db, "INSERT INTO s VALUES (1, 1)")
      assert run(db, {:drop, table(:s), :restrict}) == [~s|DROP TABLE "s"|]
    end

    test "in another database", %{db: db} do
      q(db, "ATTACH ':memory:' AS other")
      q(db, "CREATE TABLE other.o (a)")
      other = &table(&1, prefix: "other")

      assert run(db, {:rename, other.(:o), other.(:u)}) == [
               ~s|ALTER TABLE "other"."o" RENAME TO "u"|
             ]

      assert run(db, {:drop, other.(:u), :restrict}) == [~s|DROP TABLE "other"."u"|]

      assert_raise ArgumentError, ~r/another database/, fn ->
        DDL.execute_ddl({:rename, table(:t), other.(:t)})
      end
    end

    test "columns", %{db: db} do
      assert run(db, {:rename, table(:t), :a, :b}) == [~s|ALTER TABLE "t" RENAME COLUMN "a" TO "b"|]
    end

    test "cascade is refused", %{db: _db} do
      assert_raise ArgumentError, ~r/CASCADE/, fn ->
        DDL.execute_ddl({:drop, table(:t), :cascade})
      end
    end
  end

  describe "constraints and plain SQL" do
    test "exclusion is refused" do
      exclude = constraint(:t, :apart, exclude: "gist (a WITH &&)")
      assert_raise ArgumentError, ~r/exclusion/, fn -> DDL.execute_ddl({:create, exclude}) end
    end

    test "text passes, a keyword list raises" do
      assert DDL.execute_ddl("SELECT 1") == ["SELECT 1"]

      assert_raise ArgumentError, ~r/keyword lists in execute/, fn ->
        DDL.execute_ddl(create: "collection")
      end
    end
  end
end
