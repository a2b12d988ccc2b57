defmodule EctoLibSql.Driver.TypesTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Query, Result, Settled}

  setup do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, d TEXT_DECIMAL, x)")
    q(db, "INSERT INTO t (d) VALUES ('1.5'), ('2')")
    {:ok, path: path, db: db}
  end

  @sql "SELECT id, d, x, d || '' FROM t"
  @types ["INTEGER", "TEXT_DECIMAL", nil, nil]

  defp execute(db, sql, opts) do
    assert {:ok, _query, %Result{} = result, _state} =
             EctoLibSql.handle_execute(%Query{statement: sql}, [], opts, db)

    result
  end

  test "come with the result where they are asked for", %{db: db} do
    assert execute(db, @sql, []).types == nil
    assert %Result{types: @types, num_rows: 2} = execute(db, @sql, declared_types: true)
    assert execute(db, @sql, declared_types: false).types == nil

    assert {:ok, _, %Result{types: @types}, _} =
             EctoLibSql.query(db, @sql, [], declared_types: true)
  end

  test "are those of what a write returns; none where nothing is returned", %{db: db} do
    sql = "UPDATE t SET x = 1 RETURNING d, x"
    assert %Result{types: ["TEXT_DECIMAL", nil]} = execute(db, sql, declared_types: true)

    assert %Result{types: nil, columns: nil, num_rows: 2} =
             execute(db, "UPDATE t SET x = 1", declared_types: true)
  end

  test "come with prepared statements", %{db: db} do
    {:ok, stmt} = EctoLibSql.Native.prepare(db, @sql)

    assert {:ok, _, %Result{types: @types}, _} =
             EctoLibSql.query(db, stmt, [], declared_types: true)

    assert {:ok, _, %Result{types: nil}, _} = EctoLibSql.query(db, stmt, [])
  end

  @tag local: "a server's cursor sees its end with its last row"
  test "come with each fetch of a cursor", %{db: db} do
    for {opts, types} <- [{[], nil}, {[declared_types: true], @types}] do
      opts = [max_rows: 1] ++ opts
      {:ok, query, cursor, db} = EctoLibSql.handle_declare(%Query{statement: @sql}, [], opts, db)

      for _ <- 1..2 do
        assert {:cont, %Result{types: ^types, num_rows: 1}, _} =
                 EctoLibSql.handle_fetch(query, cursor, opts, db)
      end

      {:ok, _, _} = EctoLibSql.handle_deallocate(query, cursor, opts, db)
    end
  end

  test "are right after a change of the schema, here and elsewhere", %{db: db, path: path} do
    other = open(path)
    for _ <- 1..10, do: assert(%Result{types: @types} = execute(db, @sql, declared_types: true))
    q(db, "DROP TABLE t")
    q(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, d TEXT_DATE, x REAL)")

    assert %Result{types: ["INTEGER", "TEXT_DATE", "REAL", nil]} =
             execute(db, @sql, declared_types: true)

    q(other, "DROP TABLE t")
    q(other, "CREATE TABLE t (x, d BLOB_UUID, id TEXT)")

    assert %Result{types: ["TEXT", "BLOB_UUID", nil, nil]} = execute(db, @sql, declared_types: true)
  end

  @tag local: "there is no fast path to a server"
  test "are of the fast path too, and make no difference to it", %{db: db} do
    sql = "SELECT d FROM t WHERE id = 1"
    before = EctoLibSql.stats(db).fast_runs

    # As often as it takes to be known as short.
    assert eventually(fn ->
             assert %Result{types: ["TEXT_DECIMAL"]} = execute(db, sql, declared_types: true)
             EctoLibSql.stats(db).fast_runs > before
           end)

    assert execute(db, sql, []).types == nil
  end

  @tag local: "of the native interface"
  test "the native flag adds an element, and does nothing to batches", %{db: db} do
    conn = db.conn_id
    assert {:ok, {:select, ["d"], [_, _], 2, _, true}} = execute_native(conn, 0)
    assert {:ok, {:select, ["d"], [_, _], 2, _, true, ["TEXT_DECIMAL"]}} = execute_native(conn, 32)

    assert {:ok, [result]} = Settled.batch(conn, nil, [{"SELECT d FROM t", []}], 0, 32)

    assert tuple_size(result) == 6
  end

  defp execute_native(conn, flags), do: Settled.execute(conn, nil, "SELECT d FROM t", [], 0, flags)
end
