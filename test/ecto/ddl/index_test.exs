defmodule Ecto.Adapters.LibSql.DDL.IndexTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers
  import Ecto.Migration, only: [index: 2, index: 3, unique_index: 2, unique_index: 3]

  alias Ecto.Adapters.LibSql.DDL

  setup do
    db = open()
    q(db, "CREATE TABLE t (a, b, c)")
    {:ok, db: db}
  end

  defp run(db, command) do
    DDL.run(command, fn sql -> q(db, sql).rows end)
    command |> DDL.execute_ddl() |> Enum.map(&IO.iodata_to_binary/1)
  end

  defp create(db, index), do: db |> run({:create, index}) |> IO.iodata_to_binary()

  test "columns, unique, order and expressions", %{db: db} do
    assert create(db, index(:t, [:a])) == ~s|CREATE INDEX "t_a_index" ON "t" ("a")|

    assert create(db, unique_index(:t, [:a, :b])) ==
             ~s|CREATE UNIQUE INDEX "t_a_b_index" ON "t" ("a", "b")|

    assert create(db, index(:t, [{:desc, :a}, {:asc, :b}, "lower(c)"], name: "x")) ==
             ~s|CREATE INDEX "x" ON "t" ("a" DESC, "b" ASC, lower(c))|

    assert create(db, index(:t, [asc_nulls_first: :a, desc_nulls_last: :b], name: "y")) =~
             ~s|("a" ASC, "b" DESC)|
  end

  test "where", %{db: db} do
    assert create(db, unique_index(:t, [:a], where: "b IS NULL")) ==
             ~s|CREATE UNIQUE INDEX "t_a_index" ON "t" ("a") WHERE b IS NULL|
  end

  test "if not exists; drop and drop if exists", %{db: db} do
    index = index(:t, [:a])

    for _ <- 1..2,
        do:
          assert(
            run(db, {:create_if_not_exists, index}) ==
              [~s|CREATE INDEX IF NOT EXISTS "t_a_index" ON "t" ("a")|]
          )

    assert run(db, {:drop, index, :restrict}) == [~s|DROP INDEX "t_a_index"|]
    assert run(db, {:drop_if_exists, index, :restrict}) == [~s|DROP INDEX IF EXISTS "t_a_index"|]
    assert_raise ArgumentError, ~r/CASCADE/, fn -> run(db, {:drop, index, :cascade}) end
  end

  test "a prefix stands before the index's own name", %{db: db} do
    q(db, "ATTACH ':memory:' AS other")
    q(db, "CREATE TABLE other.t (a)")
    index = index(:t, [:a], prefix: "other")
    assert create(db, index) == ~s|CREATE INDEX "other"."t_a_index" ON "t" ("a")|
    DDL.run({:rename, index, "new"}, &q(db, &1).rows)
    assert all(db, "SELECT name FROM other.sqlite_schema WHERE type = 'index'") == [["new"]]
    assert run(db, {:drop, %{index | name: "new"}, :restrict}) == [~s|DROP INDEX "other"."new"|]
  end

  test "a comment stands in the text; concurrently is passed over", %{db: db} do
    assert create(db, index(:t, [:a], comment: "why", concurrently: true)) ==
             ~s|CREATE INDEX "t_a_index" /* why */ ON "t" ("a")|

    assert one(db, "SELECT sql FROM sqlite_schema WHERE type = 'index'") =~ "/* why */"
  end

  test "what SQLite has not is refused", %{db: db} do
    create(db, unique_index(:t, [:a], using: :btree, name: "b", nulls_distinct: true))

    for {opts, message} <- [
          {[using: :hash], ~r/using: :hash.*B-trees/},
          {[include: [:b]], ~r/:include/},
          {[nulls_distinct: false], ~r/nulls_distinct/},
          {[only: true], ~r/only/},
          {[options: "x"], ~r/:options/}
        ] do
      assert_raise ArgumentError, message, fn -> create(db, struct!(index(:t, [:a]), opts)) end
    end

    assert_raise ArgumentError, ~r/asc_nulls_last/, fn ->
      create(db, index(:t, [{:asc_nulls_last, :a}]))
    end
  end

  test "rename keeps what the index is, however its name was written", %{db: db} do
    for {name, i} <- Enum.with_index(["o", ~s|"o"|, "[o]", "`o`", "'o'"]) do
      q(db, "CREATE UNIQUE INDEX #{name} /* c */ ON t(a DESC, lower(b)) WHERE c > #{i}")
      DDL.run({:rename, index(:t, [:a], name: "o"), "n#{i}"}, &q(db, &1).rows)

      assert one(db, "SELECT sql FROM sqlite_schema WHERE name = 'n#{i}'") ==
               ~s|CREATE UNIQUE INDEX "n#{i}" /* c */ ON t(a DESC, lower(b)) WHERE c > #{i}|
    end

    assert all(db, "SELECT name FROM sqlite_schema WHERE name = 'o'") == []
  end

  test "rename without a database, of an index that is not there, and of a key's", %{db: db} do
    command = {:rename, unique_index(:t, [:a], name: "o"), "n"}

    assert command |> DDL.execute_ddl() |> Enum.map(&IO.iodata_to_binary/1) ==
             [~s|DROP INDEX "o"|, ~s|CREATE UNIQUE INDEX "n" ON "t" ("a")|]

    q(db, "CREATE UNIQUE INDEX o ON t (a)")
    for sql <- DDL.execute_ddl(command), do: q(db, sql)

    assert_raise ArgumentError, ~r/no index/, fn -> DDL.run(command, &q(db, &1).rows) end

    q(db, "CREATE TABLE k (a UNIQUE)")
    key = {:rename, index(:k, [:a], name: "sqlite_autoindex_k_1"), "n"}
    assert_raise ArgumentError, ~r/keeps its name/, fn -> DDL.run(key, &q(db, &1).rows) end
  end
end
