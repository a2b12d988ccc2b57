defmodule EctoLibSql.NIF.LifetimeTest do
  # Handles belong to the VM: who drops them, or is killed, leaves nothing behind and holds nobody up.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.Call
  alias EctoLibSql.Settled, as: NIF

  @numbers "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) "

  setup do
    # What the engine keeps for good is there before anything is measured.
    path = tmp_path()
    conn = connect(path)
    execute!(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    execute!(conn, @numbers <> "INSERT INTO t(b) SELECT x FROM c LIMIT 1000")
    {conn, ref} = {conn, start_endless(conn)}
    :cancelled = NIF.cancel(conn, ref)
    close!(conn)
    eventually(fn -> descriptors(path) == 0 end)
    %{path: path, start: settled_memory()}
  end

  # Runs it in a process that is killed after it has said so.
  defp kill_in(fun) do
    parent = self()
    ref = make_ref()

    {pid, monitor} =
      spawn_monitor(fn ->
        fun.(fn -> send(parent, {ref, :now}) end)
        Process.sleep(:infinity)
      end)

    receive do
      {^ref, :now} -> Process.exit(pid, :kill)
      {:DOWN, ^monitor, _, _, reason} -> flunk("ended by itself: #{inspect(reason)}")
    after
      10_000 -> flunk("never came to where it is killed")
    end

    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 30_000
    :ok
  end

  defp assert_closed(path), do: eventually(fn -> descriptors(path) == 0 end, 10_000)

  defp assert_free(conn) do
    eventually(fn -> NIF.info(conn, false) != :in_use end, 10_000)
    assert {:ok, {_, _, [[1]], 1, _, _}} = NIF.execute(conn, nil, "SELECT 1", [], 0, 0)
  end

  describe "dropped" do
    test "connections are closed", %{path: path, start: start} do
      for _ <- 1..20 do
        assert run_in_process(fn ->
                 conn = connect(path)
                 assert rows!(conn, "SELECT count(*) FROM t") == [[1000]]
                 assert descriptors(path) > 0
                 # Held until here.
                 assert NIF.busy_timeout(conn) == 5000
               end) == :normal
      end

      assert_closed(path)
      assert_memory_back(start)
    end

    test "connections are closed by garbage collection", %{path: path, start: start} do
      use = fn ->
        conn = connect(path)
        {:ok, stmt} = NIF.prepare(conn, "SELECT * FROM t")
        :ok = NIF.cursor_start(conn, nil, stmt, [])
        {:ok, {_, [_, _], 2, false}} = NIF.cursor_fetch(conn, stmt, 2, 0, 0)
        count = descriptors(path)
        # Held until here.
        assert NIF.busy_timeout(conn) == 5000
        count
      end

      assert use.() > 0
      :erlang.garbage_collect()
      assert_closed(path)
      assert_memory_back(start)
    end

    test "connections that fail to open leave nothing", %{start: start} do
      path = tmp_path()
      File.write!(path, String.duplicate("no database", 1000))

      for _ <- 1..50 do
        assert code(NIF.open(config(database: path))) == :not_a_database
        assert code(NIF.open(config(database: path <> "/x"))) == :cannot_open

        assert code(NIF.open(%{config(database: path) | settings: [{"x", "1"}, {1, 2}]})) ==
                 :bad_argument
      end

      assert descriptors(path) == 0
      assert_memory_back(start)
    end

    test "statements keep their connection", %{path: path, start: start} do
      prepared = fn ->
        {:ok, stmt} = NIF.prepare(connect(path), "SELECT 1")
        stmt
      end

      stmt = prepared.()
      for _ <- 1..3, do: :erlang.garbage_collect()
      Process.sleep(150)
      assert descriptors(path) > 0
      assert NIF.stmt_interrupt(stmt) == :ok
      assert NIF.stmt_finalize(stmt) == :ok
      assert_closed_after_drop(path, start)
    end

    test "statements outlive the close of their connection", %{path: path, start: start} do
      use = fn ->
        conn = connect(path)
        stmts = for i <- 1..50, do: elem(NIF.prepare(conn, "SELECT #{i} FROM t"), 1)
        for stmt <- stmts, do: :ok = NIF.cursor_start(conn, nil, stmt, [])
        for stmt <- stmts, do: {:ok, _} = NIF.cursor_fetch(conn, stmt, 1, 0, 0)
        close!(conn)
        assert descriptors(path) == 0
        for stmt <- stmts, do: assert(code(NIF.cursor_fetch(conn, stmt, 1, 0, 0)) == :closed)
        for stmt <- Enum.take_every(stmts, 2), do: assert(NIF.stmt_finalize(stmt) == :ok)
        :ok
      end

      assert use.() == :ok
      assert_closed_after_drop(path, start)
    end

    test "cursors that are half read give their snapshot back", %{path: path} do
      reader = connect(path)
      writer = connect(path, busy_timeout: 0)

      half_read = fn ->
        {:ok, stmt} = NIF.prepare(reader, "SELECT * FROM t")
        :ok = NIF.cursor_start(reader, nil, stmt, [])
        {:ok, {_, [_], 1, false}} = NIF.cursor_fetch(reader, stmt, 1, 0, 0)
        execute!(writer, "UPDATE t SET b = b + 1")
        code(NIF.checkpoint(writer, nil, :truncate))
      end

      assert half_read.() == :busy
      :erlang.garbage_collect()
      eventually(fn -> NIF.checkpoint(writer, nil, :truncate) == {:ok, {0, 0}} end)
      assert {:ok, _} = NIF.execute(reader, nil, "SELECT 1", [], 0, 0)
    end

    test "statements by the thousand, while the connection is in use", %{path: path, start: start} do
      use = fn ->
        conn = connect(path)
        stmts = for i <- 1..1000, do: elem(NIF.prepare(conn, "SELECT #{i} FROM t"), 1)
        ref = start_endless(conn)
        {length(stmts), conn, ref}
      end

      assert {1000, conn, ref} = use.()
      with_them = NIF.memory().bytes
      :erlang.garbage_collect()
      assert NIF.cancel(conn, ref) == :cancelled
      eventually(fn -> NIF.memory().bytes < with_them - 100_000 end)
      assert_free(conn)
      assert NIF.close(conn, nil, make_ref()) == :ok
      assert_closed(path)
      assert_memory_back(start)
    end

    test "waiters and jobs, with their connection", %{path: path, start: start} do
      reason =
        run_in_process(fn ->
          conn = connect(path)
          ref = start_endless(conn, 200)
          for _ <- 1..20, do: {:ok, _} = NIF.notify_idle(conn, make_ref())

          for _ <- 1..20,
              do: :ok = NIF.submit(conn, make_ref(), :execute, [conn, nil, "SELECT 1", [], 0, 0])

          assert code(answer(ref)) == :timeout
        end)

      assert reason == :normal
      assert_closed(path)
      assert_memory_back(start)
    end
  end

  defp assert_closed_after_drop(path, start) do
    :erlang.garbage_collect()
    assert_closed(path)
    assert_memory_back(start)
  end

  describe "killed" do
    test "in a submitted call on a connection of its own", %{path: path, start: start} do
      for _ <- 1..10 do
        kill_in(fn now ->
          conn = connect(path)
          start_endless(conn)
          now.()
        end)
      end

      assert_closed(path)
      assert_memory_back(start)

      # No thread is left with work that nobody waits for.
      conn = connect(path)
      ref = make_ref()
      :ok = NIF.submit(conn, ref, :execute, [conn, nil, "SELECT 1", [], 0, 0])
      assert {:ok, _} = answer(ref, 5_000)
    end

    test "in a submitted call on another's connection", %{path: path} do
      conn = connect(path)

      for _ <- 1..10 do
        kill_in(fn now ->
          start_endless(conn)
          now.()
        end)

        assert_free(conn)
      end

      assert mailbox() == []
    end

    test "with submitted calls that wait their turn", %{path: path} do
      conn = connect(path)
      ref = start_endless(conn)

      kill_in(fn now ->
        for i <- 1..20 do
          args = [conn, nil, "INSERT INTO t(b) VALUES ('lost')", [], 0, 0]
          args = if rem(i, 2) == 0, do: List.replace_at(args, 2, endless()), else: args
          :ok = NIF.submit(conn, make_ref(), :execute, args)
        end

        now.()
      end)

      # Those of others go on.
      assert NIF.info(conn, false) == :in_use
      mine = make_ref()
      :ok = NIF.submit(conn, mine, :execute, [conn, nil, "SELECT 2", [], 0, 0])
      assert NIF.interrupt(conn) == :ok
      assert code(answer(ref)) == :interrupted
      assert {:ok, {_, _, [[2]], _, _, _}} = answer(mine)
      assert_free(conn)
      assert rows!(conn, "SELECT count(*) FROM t WHERE b = 'lost'") == [[0]]
      assert mailbox() == []
    end

    test "while they wait for a connection", %{path: path, start: start} do
      conn = connect(path)
      ref = start_endless(conn)

      for _ <- 1..20 do
        kill_in(fn now ->
          for _ <- 1..5, do: {:ok, _} = NIF.notify_idle(conn, make_ref())
          now.()
        end)

        kill_in(fn now ->
          now.()
          Call.execute(conn, nil, "SELECT 1", [], :infinity)
        end)
      end

      idle = make_ref()
      {:ok, _} = NIF.notify_idle(conn, idle)
      assert NIF.interrupt(conn) == :ok
      assert code(answer(ref)) == :interrupted
      assert_receive {^idle, :idle}, 30_000
      assert_free(conn)
      close!(conn)
      assert mailbox() == []
      assert_memory_back(start)
    end

    test "in a call on a dirty scheduler that another waits for", %{path: path} do
      conn = connect(path)
      insert = [conn, nil, @numbers <> "INSERT INTO t(b) SELECT x FROM c", [], 0, 0]
      assert {:ok, {:insert, nil, nil, 20_000, _, true}} = apply(NIF, :execute, insert)

      insert_on = fn insert_on -> apply(NIF, :execute, insert) && insert_on.(insert_on) end

      for _ <- 1..10 do
        {pid, monitor} = spawn_monitor(fn -> insert_on.(insert_on) end)
        await_in_use(conn)
        ref = make_ref()
        {:ok, waiter} = NIF.notify_idle(conn, ref)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, :process, ^pid, _}, 30_000
        assert_receive {^ref, :idle}, 30_000
        assert NIF.cancel_idle(waiter) == :sent
      end

      assert_free(conn)
      assert mailbox() == []
    end

    test "in a call on a dirty scheduler", %{path: path, start: start} do
      conn = connect(path)

      for i <- 1..20 do
        kill_in(fn now ->
          # Writes have no budget: it is in the engine when it is killed.
          now.()
          NIF.execute(conn, nil, @numbers <> "INSERT INTO t(b) SELECT x FROM c", [], 0, 0)
        end)

        if rem(i, 5) == 0, do: assert_free(conn)
      end

      assert_free(conn)
      assert NIF.status(conn) == :idle
      # Each of them is there as a whole or not at all.
      [[count]] = rows!(conn, "SELECT count(*) FROM t")
      assert rem(count, 20_000) == 1000
      close!(conn)
      assert mailbox() == []
      assert_memory_back(start)
    end

    test "in a transaction of a connection of its own", %{path: path, start: start} do
      survivor = connect(path, busy_timeout: 0)

      for _ <- 1..10 do
        kill_in(fn now ->
          conn = connect(path)
          {:ok, trx} = NIF.begin(conn, :immediate, 0, 0)
          {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t(b) VALUES ('lost')", [], 0, 0)
          now.()
        end)

        eventually(fn ->
          match?({:ok, _}, NIF.execute(survivor, nil, "UPDATE t SET b = 0 WHERE a = 1", [], 0, 0))
        end)
      end

      assert rows!(survivor, "SELECT count(*) FROM t WHERE b = 'lost'") == [[0]]
      assert rows!(survivor, "PRAGMA integrity_check") == [["ok"]]
      close!(survivor)
      assert_closed(path)
      assert_memory_back(start)
    end

    test "in a transaction of another's connection", %{path: path} do
      conn = connect(path)

      kill_in(fn now ->
        {:ok, trx} = NIF.begin(conn, :immediate, 0, 0)
        {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t(b) VALUES ('lost')", [], 0, 0)
        now.()
      end)

      assert {:transaction, trx} = NIF.status(conn)
      assert NIF.rollback(conn, trx) == :ok
      assert rows!(conn, "SELECT count(*) FROM t WHERE b = 'lost'") == [[0]]
    end

    test "in a submitted write inside a transaction", %{path: path} do
      conn = connect(path)
      {:ok, trx} = NIF.begin(conn, :immediate, 0, 0)
      {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t(b) VALUES ('lost')", [], 0, 0)

      kill_in(fn now ->
        sql =
          "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) INSERT INTO t(b) SELECT x FROM c"

        :ok = NIF.submit(conn, make_ref(), :execute, [conn, trx, sql, [], 0, 0])
        await_in_use(conn)
        # Cancelled between that and its beginning it would leave the transaction as it is.
        Process.sleep(100)
        now.()
      end)

      assert_free(conn)
      # The engine has rolled the whole transaction back, and that is known.
      assert NIF.status(conn) == :idle
      assert code(NIF.commit(conn, trx, 0, 0)) == :no_transaction
      assert rows!(conn, "SELECT count(*) FROM t") == [[1000]]
    end

    test "while a connection closes", %{path: path, start: start} do
      for _ <- 1..10 do
        kill_in(fn now ->
          conn = connect(path)
          start_endless(conn)
          :ok = NIF.close(conn, self(), make_ref())
          now.()
        end)
      end

      dead = spawn(fn -> :ok end)
      eventually(fn -> not Process.alive?(dead) end)
      assert NIF.close(connect(path), dead, make_ref()) == :ok
      assert_closed(path)
      assert_memory_back(start)
    end

    test "in EctoLibSql.Call, at any moment", %{path: path, start: start} do
      conn = connect(path)

      for i <- 1..60 do
        pid = spawn(fn -> Call.execute(conn, nil, endless(), [], :infinity) end)
        if rem(i, 3) > 0, do: Process.sleep(rem(i, 40))
        Process.exit(pid, :kill)
      end

      assert_free(conn)
      close!(conn)
      assert mailbox() == []
      assert_memory_back(start)
    end
  end

  describe "the mailbox" do
    test "holds nothing of calls that were cancelled, interrupted or late", %{path: path} do
      conn = connect(path)

      for i <- 1..60 do
        tell =
          if rem(i, 2) == 0,
            do: spawn(fn -> Process.sleep(rem(i, 7) * 4) && NIF.interrupt(conn) end)

        {kind, native} = Call.execute(conn, nil, endless(), [], rem(i, 5) * 5 + 1)
        assert kind in [:error, :abandoned]
        assert elem(native, 0) in [:timeout, :interrupted]
        if tell, do: eventually(fn -> not Process.alive?(tell) end)
      end

      assert_free(conn)
      Process.sleep(100)
      assert mailbox() == []
    end

    test "of one that waits for another holds nothing, either", %{path: path} do
      conn = connect(path)
      ref = start_endless(conn)

      for ms <- 1..20,
          do:
            assert(
              {:error, {:timeout, _, _, _, _, _, :none, _}} =
                Call.execute(conn, nil, "SELECT 1", [], ms)
            )

      assert NIF.cancel(conn, ref) == :cancelled
      assert {:ok, _} = Call.execute(conn, nil, "SELECT 1", [], 5_000)
      Process.sleep(50)
      assert mailbox() == []
    end
  end

  describe "the module's code" do
    test "is loaded again while handles are in use", %{path: path, start: start} do
      conn = connect(path)
      {:ok, stmt} = NIF.prepare(conn, "SELECT 1")
      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      ref = start_endless(conn)
      idle = make_ref()
      {:ok, waiter} = NIF.notify_idle(conn, idle)

      for _ <- 1..3 do
        :code.purge(EctoLibSql.NIF)
        assert {:module, EctoLibSql.NIF} = :code.load_file(EctoLibSql.NIF)
        :code.purge(EctoLibSql.NIF)
        assert NIF.info(conn, false) == :in_use
        assert NIF.status(conn) == {:transaction, trx}
      end

      assert NIF.interrupt(conn) == :ok
      assert_receive {^ref, :interrupting}, 30_000
      assert code(answer(ref)) == :interrupted
      assert_receive {^idle, :idle}, 30_000
      assert NIF.cancel_idle(waiter) == :sent
      assert {:ok, {_, _, [[1]], 1, _, false}} = NIF.stmt_execute(conn, trx, stmt, [], 0, 0)
      assert NIF.rollback(conn, trx) == :ok
      other = connect(path)
      {:ok, second} = NIF.begin(other, :deferred, 0, 0)
      assert code(NIF.execute(conn, second, "SELECT 1", [], 0, 0)) == :wrong_connection
      close!(other)
      close!(conn)
      assert_closed(path)
      assert mailbox() == []
      assert_memory_back(start)
    end

    test "is gone and comes back while handles are in use", %{path: path, start: start} do
      reload = fn ->
        conn = connect(path)
        {:ok, stmt} = NIF.prepare(conn, "SELECT 1")
        ref = start_endless(conn)
        :code.purge(EctoLibSql.NIF)
        assert :code.delete(EctoLibSql.NIF)
        :code.purge(EctoLibSql.NIF)
        assert {:module, EctoLibSql.NIF} = :code.load_file(EctoLibSql.NIF)
        # Handles of code that was gone are no handles any more.
        assert_raise ArgumentError, fn -> NIF.interrupt(conn) end
        assert_raise ArgumentError, fn -> NIF.stmt_finalize(stmt) end
        assert rows!(connect(path), "SELECT count(*) FROM t") == [[1000]]
        refute_received {^ref, _}
      end

      # Its end stops the query that nobody could stop.
      assert run_in_process(reload) == :normal
      assert_closed(path)
      assert_memory_back(start)
    end
  end
end
