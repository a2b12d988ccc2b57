defmodule EctoLibSql.NIF.StressTest do
  # Everything at once, at random. ExUnit prints the seed of it all.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.Call
  alias EctoLibSql.Settled, as: NIF

  @duration 5_000
  @processes 10
  @connections 3

  @tag timeout: 60_000
  test "many processes on few connections, killed now and then" do
    path = tmp_path()
    setup = connect(path)
    execute!(setup, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c)")
    execute!(setup, "CREATE INDEX i ON t(b)")
    :cancelled = NIF.cancel(setup, start_endless(setup))
    close!(setup)
    eventually(fn -> descriptors(path) == 0 end)
    start = settled_memory()

    reasons = run_in_process(fn -> exit({:done, stress(path)}) end, 50_000)
    assert {:done, {calls, killed}} = reasons
    assert calls > 1_000 and killed > 10

    # Nobody holds a handle any more.
    eventually(fn -> descriptors(path) == 0 end, 15_000)
    assert_memory_back(start)

    conn = connect(path)
    assert rows!(conn, "PRAGMA integrity_check") == [["ok"]]
    # Rows come in pairs, by transactions.
    assert rows!(conn, "SELECT b FROM t WHERE c = 'pair' GROUP BY b HAVING count(*) <> 2") == []
    assert mailbox() == []
  end

  defp stress(path) do
    table = :ets.new(:connections, [:public, :set])
    calls = :counters.new(1, [])
    for slot <- 1..@connections, do: :ets.insert(table, {slot, connect(path)})
    world = %{path: path, table: table, calls: calls, until: now() + @duration}
    # Process dictionary of the owner: pids of the workers that live.
    workers = for number <- 1..@processes, into: %{}, do: start_worker(world, number)
    {:done, killed} = supervise(world, workers, 0)

    for slot <- 1..@connections do
      [{^slot, conn}] = :ets.lookup(table, slot)
      assert_ends(conn)
    end

    {:counters.get(calls, 1), killed}
  end

  # At the end each connection comes free by itself, works, and has no transaction it does not know.
  defp assert_ends(conn) do
    eventually(fn -> NIF.info(conn, false) != :in_use end, 10_000)

    case NIF.status(conn) do
      {:transaction, trx} -> :ok = NIF.rollback(conn, trx)
      :idle -> :ok
      {:error, closed} -> :closed = elem(closed, 0)
    end

    case Call.execute(conn, nil, "SELECT 1", [], 5_000) do
      {:ok, {:select, ["1"], [[1]], 1, _, true}} -> close!(conn)
      error -> :closed = code(error)
    end
  end

  defp start_worker(world, number) do
    seed = :rand.uniform(1_000_000_000)

    {pid, monitor} =
      spawn_monitor(fn ->
        :rand.seed(:exsss, seed)
        work(world, [])
      end)

    {pid, {monitor, number}}
  end

  # Kills a worker every few ms and starts another one, until the time is over; then waits for all.
  defp supervise(world, workers, killed) do
    receive do
      {:DOWN, _monitor, :process, pid, reason} when reason in [:normal, :killed] ->
        {{_, number}, workers} = Map.pop!(workers, pid)

        cond do
          now() < world.until ->
            {pid, worker} = start_worker(world, number)
            supervise(world, Map.put(workers, pid, worker), killed)

          workers == %{} ->
            {:done, killed}

          true ->
            supervise(world, workers, killed)
        end

      {:DOWN, _monitor, :process, _pid, reason} ->
        flunk("a worker failed: #{inspect(reason, limit: 50)}")
    after
      :rand.uniform(60) ->
        cond do
          now() < world.until ->
            Process.exit(Enum.random(Map.keys(workers)), :kill)
            supervise(world, workers, killed + 1)

          now() > world.until + 15_000 ->
            stuck = for pid <- Map.keys(workers), do: Process.info(pid, :current_stacktrace)
            flunk("calls have not come back: #{inspect(stuck, limit: 50)}")

          true ->
            supervise(world, workers, killed)
        end
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp work(world, stmts) do
    if now() >= world.until do
      assert mailbox() == []
      :ok
    else
      slot = :rand.uniform(@connections)
      [{^slot, conn}] = :ets.lookup(world.table, slot)
      :counters.add(world.calls, 1, 1)
      work(world, act(:rand.uniform(20), world, slot, conn, stmts))
    end
  end

  defp act(kind, _world, _slot, conn, stmts) when kind <= 3 do
    sql = Enum.random(["SELECT count(*) FROM t", "SELECT 1", "SELECT * FROM t WHERE b = 7 LIMIT 9"])
    known(NIF.execute(conn, nil, sql, [], 0, :rand.uniform(2) - 1))
    stmts
  end

  defp act(kind, _world, _slot, conn, stmts) when kind <= 5 do
    b = :erlang.unique_integer()
    insert = {"INSERT INTO t(b, c) VALUES (?, 'pair')", [b]}
    known(NIF.batch(conn, nil, [insert, insert], 100, 16))
    stmts
  end

  defp act(6, _world, _slot, conn, stmts) do
    known(Call.execute(conn, nil, "INSERT INTO t(b) VALUES (?)", [:rand.uniform(100)], 50))
    stmts
  end

  defp act(7, _world, _slot, conn, stmts) do
    case Call.execute(conn, nil, endless(), [], :rand.uniform(30)) do
      {kind, native} when kind in [:error, :abandoned] -> known({:error, native})
    end

    stmts
  end

  defp act(kind, _world, _slot, conn, stmts) when kind in 8..9 do
    case NIF.prepare(
           conn,
           Enum.random([endless(), "SELECT * FROM t", "UPDATE t SET b = b + 0 WHERE a = 1"])
         ) do
      {:ok, stmt} -> Enum.take([stmt | stmts], 20)
      other -> known(other) && stmts
    end
  end

  defp act(10, _world, _slot, conn, [stmt | _] = stmts) do
    known(NIF.stmt_execute(conn, nil, stmt, [], 5, :rand.uniform(2) - 1))
    stmts
  end

  defp act(11, _world, _slot, conn, [stmt | _] = stmts) do
    known(NIF.cursor_start(conn, nil, stmt, []))
    for _ <- 1..2, do: known(NIF.cursor_fetch(conn, stmt, 3, 5, 0))
    stmts
  end

  defp act(12, _world, _slot, _conn, [stmt | stmts]) do
    known(Enum.random([&NIF.stmt_interrupt/1, &NIF.stmt_finalize/1]).(stmt))
    Enum.take_random(stmts, 10)
  end

  defp act(13, _world, _slot, conn, stmts) do
    known(NIF.interrupt(conn))
    stmts
  end

  defp act(kind, _world, _slot, conn, stmts) when kind in 14..15 do
    ref = make_ref()

    sql =
      Enum.random([endless(), "SELECT count(*) FROM t", "DELETE FROM t WHERE c IS NULL AND a < 90"])

    known(NIF.submit(conn, ref, :execute, [conn, nil, sql, [], :rand.uniform(40), 0]))
    if :rand.uniform(2) == 1, do: Process.sleep(:rand.uniform(10))

    if :rand.uniform(2) == 1 or NIF.cancel(conn, ref) == :sent do
      known(answer(ref))
    else
      told(ref)
    end

    stmts
  end

  defp act(16, _world, _slot, conn, stmts) do
    ref = make_ref()
    {:ok, waiter} = NIF.notify_idle(conn, ref)
    Process.sleep(:rand.uniform(3))

    if NIF.cancel_idle(waiter) == :sent do
      receive do: ({^ref, :idle} -> :ok)
    end

    stmts
  end

  defp act(17, world, slot, conn, stmts) do
    if :rand.uniform(8) == 1 do
      case :rand.uniform(3) do
        1 -> :ok = NIF.close(conn, nil, make_ref())
        2 -> close!(conn)
        3 -> :ok
      end

      :ets.insert(world.table, {slot, connect(world.path)})
    end

    stmts
  end

  defp act(18, _world, _slot, conn, stmts) do
    with {:ok, trx} <- NIF.begin(conn, Enum.random([:deferred, :immediate, :read]), 10, 0) do
      known(NIF.execute(conn, trx, "INSERT INTO t(b) VALUES (1)", [], 10, 0))
      known(NIF.rollback(conn, trx))
    end

    # Whoever was killed in a transaction has left it open.
    if :rand.uniform(3) == 1, do: known(NIF.rollback(conn, nil))
    stmts
  end

  defp act(19, _world, _slot, _conn, stmts) do
    :erlang.garbage_collect()
    Enum.take_random(stmts, 5)
  end

  defp act(20, _world, _slot, conn, stmts) do
    known(NIF.checkpoint(conn, nil, Enum.random([:passive, :truncate])))
    known(NIF.info(conn, true))
    stmts
  end

  # No statement is there yet.
  defp act(_kind, _world, _slot, _conn, []), do: []

  # A cancelled call may have been told of an interrupt before.
  defp told(ref) do
    receive do
      {^ref, :interrupting} -> :ok
    after
      0 -> :ok
    end
  end

  @codes ~w(busy busy_snapshot locked interrupted timeout closed in_transaction no_transaction
            wrong_connection not_owner misuse readonly schema aborted)a

  defp known(answer) do
    case answer do
      {:error, _} -> assert code(answer) in @codes
      {:ok, _} -> true
      # On a busy machine a thread may not come to see its deadline in time.
      {:abandoned, _} -> true
      {:later, _, answer} -> answer == :async or known(answer)
      other -> assert other in [:ok, :in_use, :sent, :cancelled, :not_begun]
    end
  end
end
