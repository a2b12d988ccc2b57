defmodule EctoLibSql.Driver.CursorTest do
  # Native memory is that of the whole VM: not async.
  use EctoLibSql.Case
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Query, Result}

  setup do
    db = open(tmp_path())
    q(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?, ?)", for(n <- 1..1200, do: [n, "b#{n}"]))
    {:ok, db: db}
  end

  defp declare(db, sql, params \\ []) do
    assert {:ok, %Query{} = query, %{ref: ref} = cursor, db} =
             EctoLibSql.handle_declare(%Query{statement: sql}, params, [], db)

    assert is_reference(ref)
    {query, cursor, db}
  end

  defp fetch_all({query, cursor, db}, opts) do
    case EctoLibSql.handle_fetch(query, cursor, opts, db) do
      {:cont, result, db} -> [result.num_rows | fetch_all({query, cursor, db}, opts)]
      {:halt, result, _db} -> [{:halt, result.num_rows}]
    end
  end

  test "gives its rows in pieces of max_rows, by default 500", %{db: db} do
    {query, cursor, db} = declare(db, "SELECT a, b FROM t ORDER BY a")

    assert {:cont, %Result{command: :select, columns: ["a", "b"], rows: rows, num_rows: 500}, db} =
             EctoLibSql.handle_fetch(query, cursor, [], db)

    assert rows == for(n <- 1..500, do: [n, "b#{n}"])

    assert {:cont, %Result{rows: [[501, "b501"]]}, db} =
             EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)

    assert {:halt, %Result{rows: rest}, db} =
             EctoLibSql.handle_fetch(query, cursor, [max_rows: 5000], db)

    assert rest == for(n <- 502..1200, do: [n, "b#{n}"])
    assert {:ok, %Result{}, ^db} = EctoLibSql.handle_deallocate(query, cursor, [], db)
  end

  test "ends in whatever pieces, no row lost and none twice", %{db: db} do
    for max <- [1, 7, 100, 399, 400, 401, 600, 1199, 1200, 1201] do
      counts = fetch_all(declare(db, "SELECT a FROM t"), max_rows: max)
      assert {:halt, last} = List.last(counts)
      assert Enum.sum(Enum.drop(counts, -1)) + last == 1200
    end
  end

  test "over nothing", %{db: db} do
    {query, cursor, db} = declare(db, "SELECT a FROM t WHERE 0")

    assert {:halt, %Result{columns: ["a"], rows: [], num_rows: 0}, _} =
             EctoLibSql.handle_fetch(query, cursor, [], db)
  end

  test "binds positional and named parameters, and keeps copies", %{db: db} do
    for {sql, params} <- [
          {"SELECT b FROM t WHERE a > ? ORDER BY a", [1198]},
          {"SELECT b FROM t WHERE a > :a ORDER BY a", [a: 1198]},
          {"SELECT b FROM t WHERE a > @a ORDER BY a", %{"a" => 1198}}
        ] do
      {query, cursor, db} = declare(db, sql, params)

      assert {:cont, %Result{rows: [["b1199"]]}, db} =
               EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)

      :erlang.garbage_collect()
      assert {:halt, %Result{rows: [["b1200"]]}, _} = EctoLibSql.handle_fetch(query, cursor, [], db)
    end
  end

  @tag local: "an error of a server's cursor may come before the rows ahead of it"
  test "errors carry the statement and leave the connection alone", %{db: db} do
    assert {:error, %Error{code: :sql, statement: "SELEC"}, ^db} =
             EctoLibSql.handle_declare("SELEC", [], [], db)

    assert {:error, %Error{code: :parameters, statement: "SELECT ?"}, ^db} =
             EctoLibSql.handle_declare("SELECT ?", [], [], db)

    # A failure in the middle.
    sql = "SELECT CASE WHEN a = 3 THEN abs(-9223372036854775807 - 1) ELSE a END FROM t"
    {query, cursor, db} = declare(db, sql)

    assert {:cont, %Result{rows: [[1], [2]]}, db} =
             EctoLibSql.handle_fetch(query, cursor, [max_rows: 2], db)

    assert {:error, %Error{code: :error, statement: ^sql}, db} =
             EctoLibSql.handle_fetch(query, cursor, [], db)

    assert {:error, %Error{code: :misuse}, _} = EctoLibSql.handle_fetch(query, cursor, [], db)
    assert_usable(db)
  end

  test "other statements run between the fetches", %{db: db} do
    {query, cursor, db} = declare(db, "SELECT a FROM t ORDER BY a")
    {query2, cursor2, db} = declare(db, "SELECT a FROM t ORDER BY a DESC")

    assert {:cont, %Result{rows: [[1]]}, db} =
             EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)

    assert {:cont, %Result{rows: [[1200]]}, db} =
             EctoLibSql.handle_fetch(query2, cursor2, [max_rows: 1], db)

    assert one(db, "SELECT count(*) FROM t") == 1200
    q(db, "INSERT INTO t VALUES (5000, 'new')")

    assert {:cont, %Result{rows: [[2]]}, _} =
             EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)

    assert {:cont, %Result{rows: [[1199]]}, _} =
             EctoLibSql.handle_fetch(query2, cursor2, [max_rows: 1], db)
  end

  test "over a statement that writes: it is run, whatever is fetched", %{db: db} do
    {query, cursor, db} = declare(db, "DELETE FROM t WHERE a <= 10 RETURNING a")

    assert {:cont, %Result{rows: [[1]]}, db} =
             EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)

    EctoLibSql.handle_deallocate(query, cursor, [], db)
    assert one(db, "SELECT count(*) FROM t") == 1190
  end

  test "inside a transaction", %{db: db} do
    {:ok, trx} = Native.begin(db)
    q(trx, "DELETE FROM t WHERE a > 3")
    assert fetch_all(declare(trx, "SELECT a FROM t"), max_rows: 2) |> List.first() == 2
    {:ok, _} = Native.rollback(trx)

    assert {:error, %Error{code: :no_transaction}, _} =
             EctoLibSql.handle_declare("SELECT 1", [], [], trx)
  end

  test "deallocated twice, and after close", %{db: db} do
    {query, cursor, db} = declare(db, "SELECT a FROM t")
    assert {:ok, %Result{}, db} = EctoLibSql.handle_deallocate(query, cursor, [], db)
    assert {:ok, %Result{}, db} = EctoLibSql.handle_deallocate(query, cursor, [], db)
    assert {:error, %Error{code: :closed}, _} = EctoLibSql.handle_fetch(query, cursor, [], db)
    {query, cursor, db} = declare(db, "SELECT a FROM t")
    {:cont, _, db} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)
    :ok = EctoLibSql.close(db)
    assert {:error, %Error{code: :closed}, db} = EctoLibSql.handle_fetch(query, cursor, [], db)
    assert {:ok, %Result{}, _} = EctoLibSql.handle_deallocate(query, cursor, [], db)
  end

  test "a forgotten cursor holds neither a lock nor a snapshot for long", %{db: db} do
    Task.await(
      Task.async(fn ->
        {query, cursor, db} = declare(db, "SELECT a FROM t")
        {:cont, _, _} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)
      end),
      120_000
    )

    eventually(fn ->
      :erlang.garbage_collect()
      match?({:ok, _, _, _}, EctoLibSql.query(db, "DROP TABLE t"))
    end)
  end

  test "reads a long result in little memory", %{db: db} do
    sql =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 200000) SELECT n, zeroblob(1000) FROM c"

    {query, cursor, db} = declare(db, sql)
    {:cont, _, db} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 100], db)
    before = EctoLibSql.memory().bytes
    for _ <- 1..300, do: {:cont, _, _} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 100], db)
    # 30 MB have gone by.
    assert EctoLibSql.memory().bytes - before < 5_000_000
  end

  test "an endless one stops at its time-out", %{db: db} do
    {query, cursor, db} = declare(db, endless())

    assert {:error, %Error{code: :timeout}, db} =
             EctoLibSql.handle_fetch(query, cursor, [timeout: 100], db)

    assert_usable(db)
    assert_no_messages()
  end

  test "max_rows that is none", %{db: db} do
    for max <- [-1, :all, 1.5] do
      {query, cursor, db} = declare(db, "SELECT a FROM t")

      assert {:error, %Error{code: :bad_argument}, _} =
               EctoLibSql.handle_fetch(query, cursor, [max_rows: max], db)
    end
  end
end
