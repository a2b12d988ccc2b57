defmodule EctoLibSql.Driver.WaitingTest do
  # Times are bounds that a loaded machine keeps, not measurements.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native}

  # Longer than a second, and nothing that the engine looks up from. In parts, so that no value is
  # larger than the engine allows.
  @stubborn "SELECT " <>
              Enum.map_join(1..6, " + ", fn n ->
                "length(hex(randomblob(45000000 + #{n})))"
              end)

  defp now, do: System.monotonic_time(:millisecond)

  # A statement of another process is running on the connection.
  defp in_background(db, sql) do
    task = Task.async(fn -> EctoLibSql.query(db, sql) end)
    eventually(fn -> in_use?(db) end)
    task
  end

  # For longer than a call's first 20 ms: after those it begins anew on a thread of its own, and
  # another call may come between.
  defp in_use?(db) do
    match?({:error, %Error{code: :timeout}, _}, EctoLibSql.query(db, "SELECT 1", [], timeout: 60))
  end

  defp fill_mailbox(n) do
    for i <- 1..n, do: send(self(), {:foreign, i, make_ref()})
    n
  end

  defp assert_only_foreign(n) do
    {:messages, messages} = Process.info(self(), :messages)
    assert length(messages) == n
    assert Enum.all?(messages, &match?({:foreign, _, _}, &1))
    for i <- 1..n, do: assert_received({:foreign, ^i, _})
  end

  describe "another connection's lock" do
    setup do
      path = tmp_path()
      holder = open(path)
      q(holder, "CREATE TABLE t(a)")
      {:ok, held} = Native.begin(holder, behavior: :immediate)
      {:ok, path: path, held: held}
    end

    test "is waited for as long as busy_timeout says", %{path: path} do
      for ms <- [0, 100, 300] do
        db = open(path, busy_timeout: ms)
        {took, error} = timed(fn -> err(db, "INSERT INTO t VALUES (1)") end)
        assert %Error{code: :busy} = error
        # Clocks are read in whole ms.
        assert took >= ms - 2
        assert took < ms + 10_000
      end

      assert_no_messages()
    end

    test "busy_timeout may change at run time", %{path: path} do
      db = open(path, busy_timeout: 60_000)
      :ok = EctoLibSql.set_busy_timeout(db, 50)
      {took, _} = timed(fn -> err(db, "INSERT INTO t VALUES (1)") end)
      assert took in 48..20_000
      q(db, "PRAGMA busy_timeout = 20")
      assert %Error{code: :busy} = err(db, "INSERT INTO t VALUES (1)")
    end

    test "by default for 5 s: freed before, the call succeeds", %{path: path, held: held} do
      db = open(path)
      task = Task.async(fn -> {now(), EctoLibSql.query(db, "INSERT INTO t VALUES (1)"), now()} end)
      assert Task.yield(task, 200) == nil
      {:ok, _} = Native.commit(held)
      assert {start, {:ok, _, _, _}, finish} = Task.await(task, 60_000)
      assert finish - start >= 150
    end

    test "timeout: ends the waiting earlier", %{path: path} do
      db = open(path, busy_timeout: 60_000)
      {took, error} = timed(fn -> err(db, "INSERT INTO t VALUES (1)", [], timeout: 60) end)
      assert %Error{code: code} = error
      assert code in [:busy, :timeout]
      assert took in 50..20_000
      assert_no_messages()
    end

    test "closing ends the waiting", %{path: path, held: held} do
      db = open(path)
      task = Task.async(fn -> EctoLibSql.query(db, "INSERT INTO t VALUES (1)") end)
      assert Task.yield(task, 50) == nil
      EctoLibSql.close(db, wait: false)
      # Not await: who waits for a task without end would be told of a deadlock.
      assert {:ok, {:error, %Error{code: :closed}, _}} = Task.yield(task, 10_000)
      {:ok, _} = Native.commit(held)
    end

    # While a call waits for a lock nothing of it runs in native code, and an interrupt finds nothing.
    test "is not waited for any longer after an interrupt of the statement", %{path: path} do
      db = open(path)
      {:ok, stmt} = Native.prepare(db, "INSERT INTO t VALUES (1)")
      task = Task.async(fn -> EctoLibSql.query(db, stmt) end)
      assert Task.yield(task, 100) == nil
      EctoLibSql.interrupt_stmt(stmt)
      assert {:ok, {:error, %Error{code: :interrupted}, _}} = Task.yield(task, 10_000)
    end

    test "is waited for no longer than the call may take", %{path: path} do
      error = err(open(path), "INSERT INTO t VALUES (1)", [], timeout: 100)
      assert %Error{code: :timeout, outcome: :none} = error
    end

    test "is not waited for any longer after an interrupt", %{path: path} do
      db = open(path)
      task = Task.async(fn -> EctoLibSql.query(db, "INSERT INTO t VALUES (1)") end)
      assert Task.yield(task, 100) == nil
      EctoLibSql.interrupt_connection(db)
      assert {:ok, {:error, %Error{code: :interrupted}, _}} = Task.yield(task, 10_000)
    end

    test "many writers all have their turn", %{path: path, held: held} do
      tasks =
        for n <- 1..8 do
          Task.async(fn ->
            {:ok, db} = EctoLibSql.connect(database: path)

            for i <- 1..20 do
              {:ok, trx} = Native.begin(db, behavior: :immediate)
              {:ok, _, _, _} = EctoLibSql.query(trx, "INSERT INTO t VALUES (?)", [n * 100 + i])
              {:ok, _} = Native.commit(trx)
            end

            EctoLibSql.close(db)
          end)
        end

      {:ok, _} = Native.commit(held)
      assert Enum.all?(Task.await_many(tasks, 30_000), &(&1 == :ok))
      assert one(held |> Map.put(:trx_id, nil), "SELECT count(DISTINCT a) FROM t") == 160
    end
  end

  describe "one connection, many processes" do
    test "take turns" do
      db = open(tmp_path())
      q(db, "CREATE TABLE t(a)")

      tasks =
        for n <- 1..10 do
          Task.async(fn ->
            for i <- 1..50, do: q(db, "INSERT INTO t VALUES (?)", [n * 1000 + i])
            Process.info(self(), :messages)
          end)
        end

      for messages <- Task.await_many(tasks, 30_000), do: assert(messages == {:messages, []})
      assert one(db, "SELECT count(DISTINCT a) FROM t") == 500
    end

    test "who waits for another's call is woken when it ends" do
      db = open()
      long = in_background(db, @stubborn)
      waiting = for _ <- 1..5, do: Task.async(fn -> one(db, "SELECT 1") end)
      assert {:ok, _, _, _} = Task.await(long, 200_000)
      assert Task.await_many(waiting, 200_000) == [1, 1, 1, 1, 1]
      assert_no_messages()
    end

    test "who waits too long is told so, and the call goes on" do
      db = open()
      long = in_background(db, endless())
      n = fill_mailbox(10_000)
      {took, error} = timed(fn -> err(db, "SELECT 1", [], timeout: 100) end)
      assert %Error{code: :timeout, outcome: :none, message: message} = error
      assert message =~ "in use"
      assert took in 90..10_000
      assert_only_foreign(n)
      :ok = EctoLibSql.interrupt_connection(db)
      assert {:error, %Error{code: :interrupted}, _} = Task.await(long, 200_000)
      assert_usable(db)
    end

    test "a process killed while it waits leaves the queue" do
      db = open()
      long = in_background(db, endless())
      waiting = for _ <- 1..5, do: spawn(fn -> EctoLibSql.query(db, "SELECT 1") end)
      Process.sleep(30)
      for pid <- waiting, do: Process.exit(pid, :kill)
      :ok = EctoLibSql.interrupt_connection(db)
      assert {:error, %Error{code: :interrupted}, _} = Task.await(long, 200_000)
      assert_usable(db)
    end
  end

  describe "timeout:" do
    setup do: {:ok, db: open()}

    test "of a recursive query, on every path", %{db: db} do
      {:ok, stmt} = Native.prepare(db, endless())
      n = fill_mailbox(100)

      for fun <- [
            fn -> EctoLibSql.query(db, endless(), [], timeout: 50) end,
            fn -> EctoLibSql.query(db, stmt, [], timeout: 50) end,
            fn -> EctoLibSql.query_one(db, endless(), [], timeout: 50) end,
            fn -> EctoLibSql.run(db, endless(), [], timeout: 50) end,
            fn -> EctoLibSql.execute_many(db, endless(), [[]], timeout: 50) end,
            fn -> EctoLibSql.handle_execute(endless(), [], [timeout: 50], db) end
          ] do
        {took, answer} = timed(fun)
        assert elem(answer, 0) == :error
        assert %Error{code: :timeout, outcome: :none} = elem(answer, 1)
        assert took in 20..10_000
        assert_usable(db)
      end

      assert_only_foreign(n)
    end

    test "of 0 is the shortest, not none", %{db: db} do
      {took, error} = timed(fn -> err(db, endless(), [], timeout: 0) end)
      assert %Error{code: :timeout} = error
      assert took < 10_000
    end

    test "is not reached by what is shorter", %{db: db} do
      for _ <- 1..100 do
        assert {:ok, _, %{rows: [[1]]}, _} = EctoLibSql.query(db, "SELECT 1", [], timeout: 5000)
      end

      assert_no_messages()
    end

    test "of a write leaves nothing of it", %{db: db} do
      q(db, "CREATE TABLE t(a)")

      sql =
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"

      assert %Error{code: :timeout, outcome: :none} = err(db, sql, [], timeout: 60)
      assert one(db, "SELECT count(*) FROM t") == 0
      assert Native.get_is_autocommit(db)
    end

    test "of a write in a transaction rolls the whole transaction back", %{db: db} do
      q(db, "CREATE TABLE t(a)")
      {:ok, trx} = Native.begin(db)
      q(trx, "INSERT INTO t VALUES (1)")

      sql =
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"

      assert %Error{code: :timeout} = err(trx, sql, [], timeout: 60)
      assert %Error{code: :no_transaction} = err(trx, "INSERT INTO t VALUES (2)")
      assert {:idle, _} = EctoLibSql.handle_status([], trx)
      assert one(db, "SELECT count(*) FROM t") == 0
    end

    test "of what cannot be stopped is answered on time", %{db: db} do
      n = fill_mailbox(10_000)
      {took, error} = timed(fn -> err(db, @stubborn, [], timeout: 100) end)
      assert %Error{code: :timeout, outcome: :unknown, transient?: false} = error
      assert error.message =~ "could not be stopped"
      assert took >= 98
      assert took < 5_000
      # The engine is still at it: whoever comes must wait.
      assert %Error{code: :timeout} = err(db, "SELECT 1", [], timeout: 20)
      # And then the connection works as before.
      assert_usable(db)
      assert one(db, "SELECT 2") == 2
      assert_only_foreign(n)
    end

    test "of what cannot be stopped disconnects, for DBConnection", %{db: db} do
      assert {:disconnect, %Error{code: :timeout, outcome: :unknown, statement: @stubborn}, ^db} =
               EctoLibSql.handle_execute(@stubborn, [], [timeout: 200], db)

      assert_usable(db)
      assert_no_messages()
    end

    test "of what cannot be stopped, while the caller goes", %{db: db} do
      {pid, monitor} = spawn_monitor(fn -> EctoLibSql.query(db, @stubborn) end)
      eventually(fn -> in_use?(db) end)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      assert_usable(db)
      assert_no_messages()
    end
  end

  describe "interrupt_connection" do
    setup do: {:ok, db: open()}

    test "from another process, again and again", %{db: db} do
      for _ <- 1..5 do
        n = fill_mailbox(10_000)
        test = self()

        spawn_link(fn ->
          eventually(fn -> in_use?(db) end)

          EctoLibSql.interrupt_connection(db)
          Process.unlink(test)
        end)

        assert %Error{code: :interrupted, outcome: :none} = err(db, endless(), [], timeout: 120_000)
        assert_only_foreign(n)
        assert_usable(db)
      end
    end

    test "with nothing running does nothing to what comes", %{db: db} do
      for _ <- 1..100 do
        assert :ok = EctoLibSql.interrupt_connection(db)
        assert_usable(db)
      end

      {:ok, stmt} = Native.prepare(db, "SELECT 1")
      assert :ok = EctoLibSql.interrupt_stmt(stmt)
      assert {:ok, _} = Native.query_stmt(db, stmt, [])
    end

    test "of what cannot be stopped is answered, and outcome is unknown", %{db: db} do
      task = in_background(db, @stubborn)
      at = now()
      EctoLibSql.interrupt_connection(db)
      assert {:error, %Error{code: :interrupted, outcome: :unknown}, _} = Task.await(task, 60_000)
      assert now() - at < 1000
      assert_usable(db)
    end

    test "hits the one that runs, not those that wait", %{db: db} do
      running = in_background(db, endless())
      waiting = for _ <- 1..3, do: Task.async(fn -> one(db, "SELECT 1") end)
      Process.sleep(20)
      EctoLibSql.interrupt_connection(db)
      assert {:error, %Error{code: :interrupted}, _} = Task.await(running, 200_000)
      assert Task.await_many(waiting) == [1, 1, 1]
    end

    test "inside a transaction that has only read, the transaction stays", %{db: db} do
      {:ok, trx} = Native.begin(db)
      task = Task.async(fn -> EctoLibSql.query(trx, endless()) end)
      eventually(fn -> in_use?(db) end)
      EctoLibSql.interrupt_connection(db)
      assert {:error, %Error{code: :interrupted}, _} = Task.await(task, 60_000)
      assert {:ok, _} = Native.commit(trx)
    end
  end

  describe "many long calls" do
    test "hold up nobody who opens, compiles or reads elsewhere" do
      count = 4 * System.schedulers_online()
      long = for _ <- 1..count, do: open()
      tasks = for db <- long, do: in_background(db, endless())
      db = open()
      assert one(db, "SELECT 41 + 1") == 42
      assert {:ok, _} = EctoLibSql.execute_many(db, "SELECT ?", [[1]])
      for db <- long, do: EctoLibSql.interrupt_connection(db)
      for task <- tasks, do: assert({:error, %Error{}, _} = Task.await(task, 60_000))
    end
  end

  describe "interrupt_stmt" do
    test "stops its own statement, from any process" do
      db = open()
      {:ok, stmt} = Native.prepare(db, endless())
      {:ok, other} = Native.prepare(db, endless())
      task = in_background(db, stmt)
      for _ <- 1..10, do: :ok = EctoLibSql.interrupt_stmt(other)
      assert Task.yield(task, 50) == nil
      :ok = EctoLibSql.interrupt_stmt(stmt)
      assert {:error, %Error{code: :interrupted}, _} = Task.await(task, 60_000)
      assert_usable(db)
      assert_no_messages()
    end
  end

  describe "close" do
    test "ends what runs and what waits" do
      db = open()
      running = in_background(db, endless())
      waiting = for _ <- 1..3, do: Task.async(fn -> EctoLibSql.query(db, "SELECT 1") end)
      Process.sleep(20)
      assert :ok = EctoLibSql.close(db)
      assert {:error, %Error{code: code}, _} = Task.await(running, 200_000)
      assert code in [:interrupted, :closed]

      for answer <- Task.await_many(waiting) do
        assert {:error, %Error{code: :closed}, _} = answer
      end

      assert_no_messages()
    end

    test "of what cannot be stopped: who waits 50 ms has not waited longer" do
      db = open()
      running = in_background(db, @stubborn)
      {took, :ok} = timed(fn -> EctoLibSql.close(db, wait: 50) end)
      assert took < 5_000
      assert {:error, %Error{}, _} = Task.await(running, 200_000)
      # Until it is closed in fact.
      assert :ok = EctoLibSql.close(db, wait: 200_000)
      Process.sleep(100)
      assert_no_messages()
    end
  end
end
