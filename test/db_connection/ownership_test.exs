defmodule EctoLibSql.OwnershipTest do
  # What is used by whom it does not belong to is refused, counted and told. Where events go is the
  # application's: not async.
  use EctoLibSql.Case
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Query}

  setup do
    test = self()

    Application.put_env(:ecto_libsql, :events, fn name, measurements, metadata ->
      if name == [:ecto_libsql, :violation], do: send(test, {:violation, measurements, metadata})
    end)

    on_exit(fn -> Application.delete_env(:ecto_libsql, :events) end)
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE t (a)")
    {:ok, path: path, db: db, before: EctoLibSql.violations()}
  end

  defp pool(path),
    do: start_supervised!(DBConnection.child_spec(EctoLibSql, database: path, pool_size: 2))

  defp run(conn, sql, opts \\ []),
    do: DBConnection.execute(conn, %Query{statement: sql}, [], opts)

  defp in_another_process(fun), do: fun |> Task.async() |> Task.await()

  defp in_use?(db), do: EctoLibSql.NIF.info(db.conn_id, false) == :in_use

  # One event for each, and no other.
  defp assert_told(metadata) do
    assert_received {:violation, %{count: 1}, ^metadata}
    refute_received {:violation, _, _}
  end

  test "a statement, a cursor, a transaction, with another connection", context do
    %{path: path, db: db, before: before} = context
    other = open(tmp_path())
    {:ok, stmt} = Native.prepare(other, "SELECT 1")
    me = self()
    told = fn kind -> assert_told(%{kind: kind, pid: me, owner: nil, database: path}) end

    assert {:error, %Error{code: :wrong_connection}} = Native.query_stmt(db, stmt, [])
    told.(:statement)
    assert {:error, %Error{code: :wrong_connection}} = Native.reset_stmt(db, stmt)
    told.(:statement)

    assert {:error, %Error{code: :wrong_connection}, _} =
             EctoLibSql.handle_fetch("SELECT 1", %{ref: stmt}, [], db)

    told.(:cursor)

    assert {:error, %Error{code: :wrong_connection}} =
             Native.declare_cursor_with_context(
               db.conn_id,
               other.conn_id,
               :connection,
               "SELECT 1",
               []
             )

    told.(:cursor)

    {:ok, trx} = Native.begin(other)
    strange = %{db | trx_id: trx.trx_id}
    assert err(strange, "SELECT 1").code == :wrong_connection
    told.(:transaction)
    {:ok, own} = Native.prepare(db, "SELECT 1")
    assert {:error, %Error{code: :wrong_connection}} = Native.query_stmt(strange, own, [])
    told.(:transaction)
    assert {:error, %Error{code: :wrong_connection}} = Native.commit(strange)
    told.(:transaction)

    assert EctoLibSql.violations() == before + 7
    # Nothing came of it.
    assert {:ok, _} = Native.commit(trx)
    assert one(db, "SELECT count(*) FROM t") == 0
  end

  test "also where the call had to wait first", %{db: db} do
    {:ok, stmt} = Native.prepare(open(tmp_path()), "SELECT 1")
    long = Task.async(fn -> EctoLibSql.query(db, endless(), [], timeout: 300) end)
    eventually(fn -> in_use?(db) end)
    assert {:error, %Error{code: :wrong_connection}} = Native.query_stmt(db, stmt, [])
    assert_received {:violation, _, %{kind: :statement}}
    refute_received {:violation, _, _}
    Task.await(long)
  end

  test "a pool's transaction, by another process", %{path: path, before: before} do
    me = self()

    {:ok, :done} =
      DBConnection.transaction(pool(path), fn conn ->
        {:ok, _, _} = run(conn, "INSERT INTO t VALUES (1)")

        {pid, answer} = in_another_process(fn -> {self(), run(conn, "DELETE FROM t")} end)
        assert {:error, %Error{code: :not_owner, outcome: :none} = error} = answer
        assert error.message =~ inspect(me) and error.message =~ inspect(pid)
        assert_told(%{kind: :owner, pid: pid, owner: me, database: path})

        # Reading would show what nobody has committed; streams, too.
        assert {:error, %Error{code: :not_owner}} =
                 in_another_process(fn -> run(conn, "SELECT * FROM t") end)

        error =
          in_another_process(fn ->
            catch_error(
              conn
              |> DBConnection.stream(%Query{statement: "SELECT 1"}, [])
              |> Enum.to_list()
            )
          end)

        assert %Error{code: :not_owner} = error

        # The owner goes on.
        {:ok, _, %{rows: [[1]]}} = run(conn, "SELECT a FROM t")
        :done
      end)

    assert EctoLibSql.violations() == before + 3
  end

  test "each mode of transaction, and savepoints in it", %{path: path} do
    pool = pool(path)

    for mode <- [:deferred, :immediate, :exclusive, :read] do
      DBConnection.transaction(
        pool,
        fn conn ->
          assert {:error, %Error{code: :not_owner}} =
                   in_another_process(fn -> run(conn, "SELECT 1") end)

          assert {:ok, _, _} = run(conn, "SELECT 1")
        end,
        mode: mode
      )
    end
  end

  test "a transaction that is over is nobody's", %{path: path, before: before} do
    pool = pool(path)

    for _ <- 1..5 do
      assert {:ok, _} = DBConnection.transaction(pool, fn conn -> run(conn, "SELECT 1") end)
      assert {:ok, _, _} = in_another_process(fn -> run(pool, "INSERT INTO t VALUES (1)") end)

      assert {:ok, _} =
               in_another_process(fn ->
                 DBConnection.transaction(pool, fn conn -> run(conn, "SELECT 1") end)
               end)
    end

    # A connection outside of a transaction may still be given away.
    DBConnection.run(pool, fn conn ->
      {:ok, _} = DBConnection.transaction(conn, fn conn -> run(conn, "SELECT 1") end)
      assert {:ok, _, _} = in_another_process(fn -> run(conn, "SELECT 1") end)
    end)

    assert EctoLibSql.violations() == before
  end

  test "a state from before a transaction is no way into it for other processes", context do
    %{db: db, path: path, before: before} = context
    {:ok, trx} = Native.begin(db, behavior: :immediate)
    q(trx, "INSERT INTO t VALUES (1)")
    me = self()

    for fun <- [
          fn -> EctoLibSql.query(db, "INSERT INTO t VALUES (2)") end,
          fn -> EctoLibSql.query(db, "SELECT * FROM t") end,
          fn -> Native.batch(db, [{"DELETE FROM t", []}]) end,
          fn -> Native.rollback(db) end,
          fn -> Native.commit(db) end,
          fn -> EctoLibSql.query(db, "ROLLBACK") end
        ] do
      {pid, answer} = in_another_process(fn -> {self(), fun.()} end)
      assert :error = elem(answer, 0)
      assert %Error{code: :not_owner, outcome: :none} = error = elem(answer, 1)
      assert error.message =~ String.trim_leading(inspect(me), "#PID")
      assert_told(%{kind: :owner, pid: pid, owner: nil, database: path})
    end

    assert EctoLibSql.violations() == before + 6
    # The process that began it may do without the new state, as in scripts; others may have it.
    assert one(db, "SELECT count(*) FROM t") == 1
    assert {:ok, _} = in_another_process(fn -> Native.commit(trx) end)
    assert {:ok, _, _, _} = in_another_process(fn -> EctoLibSql.query(db, "SELECT 1") end)
    assert EctoLibSql.violations() == before + 6
  end

  test "whose process has ended, and what SQL began, is anybody's", %{db: db, before: before} do
    {:ok, _trx} = in_another_process(fn -> Native.begin(db) end)
    q(db, "INSERT INTO t VALUES (1)")
    {:ok, db} = EctoLibSql.reset_connection(db)
    {:ok, _} = EctoLibSql.run(db, "BEGIN")

    assert {:ok, _} = in_another_process(fn -> EctoLibSql.run(db, "INSERT INTO t VALUES (2)") end)

    assert {:ok, _} = in_another_process(fn -> EctoLibSql.run(db, "COMMIT") end)
    assert all(db, "SELECT a FROM t") == [[2]]
    # A reset is for everybody.
    {:ok, _trx} = Native.begin(db)
    assert {:ok, _} = in_another_process(fn -> EctoLibSql.reset_connection(db) end)
    assert EctoLibSql.violations() == before
  end

  test "the states of the driver are for whoever has them", %{db: db, before: before} do
    {:ok, trx} = Native.begin(db, behavior: :immediate)

    assert {:ok, _, _, _} =
             in_another_process(fn -> EctoLibSql.query(trx, "INSERT INTO t VALUES (1)") end)

    assert {:ok, _} = in_another_process(fn -> Native.commit(trx) end)
    # DBConnection's callbacks, called by hand.
    {:ok, _, trx} = EctoLibSql.handle_begin([], db)

    assert {:ok, _, _, trx} =
             in_another_process(fn ->
               EctoLibSql.handle_execute("INSERT INTO t VALUES (2)", [], [], trx)
             end)

    assert {:ok, _, db} = in_another_process(fn -> EctoLibSql.handle_commit([], trx) end)
    assert one(db, "SELECT count(*) FROM t") == 2
    assert EctoLibSql.violations() == before
  end
end
