defmodule EctoLibSql.PoolTest do
  use EctoLibSql.Case, async: true

  import ExUnit.CaptureLog

  alias EctoLibSql.{Error, Query, Result}

  @long "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
  # One function that the engine does not interrupt.
  @stubborn "SELECT length(hex(randomblob(49000000))) + length(hex(randomblob(49000000)))" <>
              " + length(hex(randomblob(49000000)))"

  defp pool(opts \\ []) do
    opts = Keyword.merge([database: tmp_path(), pool_size: 2, backoff_min: 10], opts)
    start_supervised!(DBConnection.child_spec(EctoLibSql, opts))
  end

  defp run(conn, sql, params \\ [], opts \\ []) do
    with {:ok, _query, result} <-
           DBConnection.prepare_execute(conn, %Query{statement: sql}, params, opts),
         do: {:ok, result}
  end

  defp run!(conn, sql, params \\ []) do
    {:ok, result} = run(conn, sql, params)
    result
  end

  test "a pool that stops closes its files, whoever still holds a connection" do
    path = tmp_path()
    {:ok, pool} = DBConnection.start_link(EctoLibSql, database: path, pool_size: 2)
    Process.unlink(pool)
    run!(pool, "CREATE TABLE t (a)")
    # As a client's heap has it, until it is collected.
    held = DBConnection.run(pool, fn _conn -> :ets.all() |> Enum.flat_map(&states/1) end)
    assert [%EctoLibSql.State{} | _] = held
    assert File.exists?(path <> "-wal")

    Supervisor.stop(pool)
    eventually(fn -> File.ls!(Path.dirname(path)) == [Path.basename(path)] end)
    assert length(held) > 0
  end

  defp states(table) do
    for tuple <- :ets.tab2list(table),
        is_tuple(tuple),
        %EctoLibSql.State{} = state <- Tuple.to_list(tuple),
        do: state
  rescue
    _not_ours in ArgumentError -> []
  end

  test "queries, named parameters, errors" do
    pool = pool()
    run!(pool, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE)")
    assert %Result{command: :insert, num_rows: 1} = run!(pool, "INSERT INTO t VALUES (1, 'x')")
    assert %Result{rows: [[1]]} = run!(pool, "SELECT a FROM t WHERE b = :b", %{b: "x"})

    assert {:error, %Error{code: :constraint, constraint: %{kind: :unique, columns: ["b"]}}} =
             run(pool, "INSERT INTO t VALUES (2, 'x')")

    assert {:error, %Error{code: :sql}} = run(pool, "SELEC 1")
    assert {:ok, %Query{}} = DBConnection.prepare(pool, %Query{statement: "SELECT 1"})
    assert {:ok, %Result{}} = DBConnection.close(pool, %Query{statement: "SELECT 1"})
  end

  test "transactions commit and roll back" do
    pool = pool()
    run!(pool, "CREATE TABLE t (a)")
    assert {:ok, :done} = DBConnection.transaction(pool, fn conn -> insert(conn, 1) && :done end)

    assert {:error, :no} =
             DBConnection.transaction(pool, fn conn ->
               insert(conn, 2)
               DBConnection.rollback(conn, :no)
             end)

    assert_raise RuntimeError, fn ->
      DBConnection.transaction(pool, fn conn ->
        insert(conn, 3)
        raise "no"
      end)
    end

    assert run!(pool, "SELECT a FROM t").rows == [[1]]
  end

  defp insert(conn, a), do: run!(conn, "INSERT INTO t VALUES (?)", [a])

  test "foreign keys are switched for a transaction, and hold again after a crash in it" do
    pool = pool(pool_size: 1)
    run!(pool, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    run!(pool, "CREATE TABLE c (p REFERENCES p)")
    switch = %Query{statement: {:enforce_foreign_keys, false}}

    without_keys = fn fun ->
      DBConnection.transaction(pool, fn conn ->
        assert {:ok, ^switch, %Result{rows: [[1]]}} = DBConnection.execute(conn, switch, [])
        run!(conn, "INSERT INTO c VALUES (1)")
        fun.(conn)
      end)
    end

    assert {:ok, _} = without_keys.(fn conn -> run!(conn, "DELETE FROM c") end)
    assert {:error, :no} = without_keys.(&DBConnection.rollback(&1, :no))
    assert_raise RuntimeError, fn -> without_keys.(fn _ -> raise "no" end) end

    capture_log(fn ->
      {pid, monitor} =
        spawn_monitor(fn -> without_keys.(fn _ -> Process.exit(self(), :kill) end) end)

      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 5000
    end)

    assert run!(pool, "PRAGMA foreign_keys").rows == [[1]]
    assert {:error, %Error{code: :constraint}} = run(pool, "INSERT INTO c VALUES (1)")
    assert run!(pool, "SELECT * FROM c").rows == []
    assert {:error, %Error{code: :no_transaction}} = DBConnection.execute(pool, switch, [])
  end

  test "on_connect is called for each connection, and a failure is tried again" do
    test = self()
    tries = :counters.new(1, [])

    hook = fn state ->
      :counters.add(tries, 1, 1)
      send(test, {:hooked, self()})
      if :counters.get(tries, 1) == 1, do: raise("not yet")
      {:ok, _, _, _} = EctoLibSql.query(state, "CREATE TEMP TABLE mine (a)")
    end

    capture_log(fn ->
      pool = pool(pool_size: 1, on_connect: hook)
      assert run!(pool, "SELECT * FROM mine").rows == []
      assert :counters.get(tries, 1) == 2
      DBConnection.disconnect_all(pool, 0)
      run!(pool, "SELECT 1")
      assert run!(pool, "SELECT * FROM mine").rows == []
      assert :counters.get(tries, 1) == 3
    end)
  end

  test "a write in a transaction that reads names the mode to use" do
    pool = pool()
    run!(pool, "CREATE TABLE t (a)")

    DBConnection.transaction(
      pool,
      fn conn ->
        assert run!(conn, "SELECT count(*) FROM t").rows == [[0]]

        for sql <- ["INSERT INTO t VALUES (1)", "CREATE TABLE u (a)", "PRAGMA user_version = 7"] do
          assert {:error, %Error{code: :readonly, message: message}} = run(conn, sql)
          assert message =~ "mode: :immediate"
        end

        assert run!(conn, "SELECT count(*) FROM t").rows == [[0]]
      end,
      mode: :read
    )

    assert {:ok, _} = DBConnection.transaction(pool, &insert(&1, 1), mode: :immediate)
  end

  test "databases are attached to every connection, and after a reconnect" do
    far = tmp_path("far.db")
    pool = pool(pool_size: 3, attach: [far: far])
    run!(pool, "CREATE TABLE far.t (a)")

    read_all = fn ->
      1..3
      |> Enum.map(fn _ ->
        Task.async(fn ->
          DBConnection.run(pool, fn conn ->
            Process.sleep(20)
            run!(conn, "SELECT count(*) FROM far.t").rows
          end)
        end)
      end)
      |> Task.await_many()
    end

    assert read_all.() == List.duplicate([[0]], 3)

    capture_log(fn ->
      DBConnection.disconnect_all(pool, 0)
      run!(pool, "INSERT INTO far.t VALUES (1)")
      assert read_all.() == List.duplicate([[1]], 3)
    end)
  end

  test "writers begin in turn: none is refused" do
    pool = pool(pool_size: 4)
    run!(pool, "CREATE TABLE t (a)")

    1..40
    |> Task.async_stream(
      fn i ->
        {:ok, _} =
          DBConnection.transaction(pool, fn conn ->
            %{rows: [[n]]} = run!(conn, "SELECT count(*) FROM t")
            run!(conn, "INSERT INTO t VALUES (?)", [n + i * 0])
          end)
      end,
      max_concurrency: 4,
      timeout: 30_000
    )
    |> Stream.run()

    assert run!(pool, "SELECT a FROM t ORDER BY a").rows == for(i <- 0..39, do: [i])
  end

  test "a snapshot sees nothing of what others commit" do
    pool = pool()
    run!(pool, "CREATE TABLE t (a)")

    {:ok, _} =
      DBConnection.transaction(
        pool,
        fn conn ->
          Task.async(fn -> run!(pool, "INSERT INTO t VALUES (1)") end) |> Task.await()
          assert run!(conn, "SELECT count(*) FROM t").rows == [[0]]
          assert {:error, %Error{code: :readonly}} = run(conn, "INSERT INTO t VALUES (2)")
        end,
        mode: :read
      )

    assert run!(pool, "SELECT count(*) FROM t").rows == [[1]]
  end

  test "streams read in pieces and leave nothing behind" do
    pool = pool()
    run!(pool, "CREATE TABLE t (a)")
    run!(pool, numbers(1000))

    {:ok, rows} =
      DBConnection.transaction(pool, fn conn ->
        conn
        |> DBConnection.stream(%Query{statement: "SELECT a FROM t ORDER BY a"}, [], max_rows: 64)
        |> Enum.flat_map(& &1.rows)
      end)

    assert rows == for(i <- 1..1000, do: [i])

    {:ok, pieces} =
      DBConnection.transaction(pool, fn conn ->
        conn
        |> DBConnection.prepare_stream(%Query{statement: "SELECT a FROM t"}, [], max_rows: 10)
        |> Enum.take(2)
      end)

    assert length(pieces) == 2
    # The cursor that was left early holds no snapshot: a checkpoint can finish.
    assert run!(pool, "PRAGMA wal_checkpoint(TRUNCATE)").rows == [[0, 0, 0]]
  end

  defp numbers(n) do
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < #{n}) " <>
      "INSERT INTO t SELECT i FROM n"
  end

  test "a time-out stops the query; the connection stays" do
    pool = pool(pool_size: 1)
    before = connection_of(pool)
    assert {:error, %Error{code: :timeout}} = run(pool, @long, [], timeout: 400)
    assert connection_of(pool) == before
  end

  test "what cannot be stopped is given up, and the connection replaced" do
    pool = pool(pool_size: 1)
    before = connection_of(pool)

    log =
      capture_log(fn ->
        assert {:error, %Error{code: :timeout}} = run(pool, @stubborn, [], timeout: 300)
        assert run!(pool, "SELECT 1").rows == [[1]]
      end)

    assert log =~ "disconnected"
    assert connection_of(pool) != before
  end

  # The handle of the pool's only connection.
  defp connection_of(pool) do
    DBConnection.run(pool, fn conn ->
      {:pool_ref, _, _, _, holder, _} = conn.pool_ref
      [row] = :ets.lookup(holder, :conn)

      %EctoLibSql.State{conn_id: id} =
        Enum.find(Tuple.to_list(row), &is_struct(&1, EctoLibSql.State))

      id
    end)
  end

  test "a client that is killed in a transaction leaves nothing" do
    pool = pool(pool_size: 1)
    run!(pool, "CREATE TABLE t (a)")
    test = self()

    capture_log(fn ->
      pid =
        spawn(fn ->
          DBConnection.transaction(pool, fn conn ->
            insert(conn, 1)
            send(test, :inserted)
            run(conn, @long, [], timeout: :infinity)
          end)
        end)

      assert_receive :inserted, 5000
      Process.exit(pid, :kill)
      assert run!(pool, "SELECT count(*) FROM t").rows == [[0]]
      insert(pool, 2)
    end)

    assert run!(pool, "SELECT a FROM t").rows == [[2]]
  end

  test "a constraint that fails at commit is an error of the transaction" do
    pool = pool(pool_size: 1)
    run!(pool, "CREATE TABLE a (id INTEGER PRIMARY KEY)")

    run!(
      pool,
      "CREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)"
    )

    run!(pool, "CREATE TEMP TABLE mine (a)")

    log =
      capture_log(fn ->
        error =
          assert_raise Error, fn ->
            DBConnection.transaction(pool, fn conn -> run!(conn, "INSERT INTO b VALUES (1)") end)
          end

        assert %{code: :constraint, constraint: %{kind: :foreign_key}} = error
        assert run!(pool, "SELECT count(*) FROM b").rows == [[0]]
      end)

    # It is the same connection.
    refute log =~ "FOREIGN KEY"
    assert run!(pool, "SELECT * FROM mine").rows == []
  end

  test "a database that cannot be opened is an error of each call, not a crash" do
    log =
      capture_log(fn ->
        pool = pool(database: "/nowhere/at/all.db", pool_size: 1)

        assert {:error, %DBConnection.ConnectionError{}} =
                 run(pool, "SELECT 1", [], queue_target: 50)
      end)

    assert log =~ "cannot open"
  end

  test "what cannot be stored raises in the client; the connection stays" do
    pool = pool(pool_size: 1)
    before = connection_of(pool)
    assert_raise ArgumentError, fn -> run(pool, "SELECT ?", [%{a: self()}]) end
    assert {:error, %Error{code: :parameters}} = run(pool, "SELECT ?", [self()])
    assert connection_of(pool) == before
  end
end
