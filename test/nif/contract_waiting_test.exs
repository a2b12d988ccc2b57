defmodule EctoLibSql.NIF.ContractWaitingTest do
  # What lib/ecto_libsql/nif.ex says of waiting and of closing.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.NIF, as: Direct
  alias EctoLibSql.Settled, as: NIF

  # What a thread of the core does in any case: it compiles SQL, or has much to do.
  @long [:execute_many, :batch, :batch_sql, :prepare, :stmt_info, :reset, :checkpoint] ++
          [:load_extension]

  # So many that to change them takes some 100 ms.
  @rows 500_000

  setup do
    conn = connect(tmp_path())
    execute!(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    %{conn: conn}
  end

  describe "waiting" do
    test "another process is answered :in_use by every function that enters", %{conn: conn} do
      stmt = prepare!(conn, "SELECT 1")
      ref = start_endless(conn)
      parent = self()

      spawn_link(fn -> send(parent, {:answers, entering_calls(Direct, conn, stmt)}) end)
      assert_receive {:answers, answers}, 30_000
      {long, short} = Enum.split_with(answers, fn {name, _} -> name in @long end)
      for {name, answer} <- short, do: assert({name, answer} == {name, :in_use})
      for {name, answer} <- long, do: assert({name, answer} == {name, {:later, 0, :async}})

      assert NIF.busy_timeout(conn) == 5000
      assert NIF.status(conn) == :idle
      assert NIF.cancel(conn, ref) == :cancelled
      eventually(fn -> NIF.stmt_reset(conn, stmt) == :ok end)
      assert mailbox() == []
    end

    test "notify_idle tells once, when the connection is free", %{conn: conn} do
      ref = make_ref()
      assert {:ok, free} = NIF.notify_idle(conn, ref)
      assert_receive {^ref, :idle}
      assert NIF.cancel_idle(free) == :sent

      job = start_endless(conn)
      assert {:ok, waiter} = NIF.notify_idle(conn, ref)
      assert {:ok, cancelled} = NIF.notify_idle(conn, make_ref())
      assert NIF.cancel_idle(cancelled) == :cancelled
      assert NIF.cancel_idle(cancelled) == :sent
      refute_receive {_, _}, 30
      assert NIF.interrupt(conn) == :ok
      assert_receive {^ref, :idle}, 30_000
      assert code(answer(job)) == :interrupted
      assert NIF.cancel_idle(waiter) == :sent
      refute_receive {_, _}, 30
    end

    test "submit_in_turn runs when it is the connection's turn to write, in the order of asking" do
      path = tmp_path()
      [holder, second, third] = for _ <- 1..3, do: connect(path)
      {:ok, trx} = NIF.begin(holder, :immediate, 0, 0)
      write = fn conn -> [conn, nil, "CREATE TABLE IF NOT EXISTS t (a)", [], 0, 0] end

      assert {:error, {:busy, 0, _, _, _, true, :none, nil}} = NIF.begin(second, :immediate, 0, 0)
      [two, three, gone] = for _ <- 1..3, do: make_ref()
      assert :ok = NIF.submit_in_turn(second, two, :begin, [second, :immediate, 0, 0])
      assert :ok = NIF.submit_in_turn(third, gone, :execute, write.(third))
      assert :ok = NIF.submit_in_turn(third, three, :execute, write.(third))
      assert NIF.cancel_waiting(third, gone) == :not_begun
      assert NIF.cancel_waiting(third, gone) == :sent
      refute_receive {_, _}, 30

      assert NIF.commit(holder, trx, 0, 0) == :ok
      assert {:ok, trx} = answer(two)
      # Nobody overtakes.
      assert {:error, {:busy, 0, _, _, _, true, :none, nil}} = NIF.begin(holder, :immediate, 0, 0)
      refute_receive {_, _}, 30
      assert NIF.rollback(second, trx) == :ok
      assert {:ok, {:create, nil, nil, 0, 0, true}} = answer(three)
      assert NIF.cancel(third, three) == :sent
      assert {:ok, trx} = NIF.begin(holder, :immediate, 0, 0)

      # Told of an interrupt while it waits.
      assert :ok = NIF.submit_in_turn(third, three, :execute, write.(third))
      assert NIF.interrupt(third) == :ok
      assert_receive {^three, :interrupting}, 30_000
      assert NIF.cancel(third, three) == :not_begun
      assert NIF.rollback(holder, trx) == :ok
      refute_receive {_, _}, 30
    end

    # To wake a thread takes longer than most writes.
    test "what is short is run behind the call that ends the turn, before that one answers" do
      path = tmp_path()
      [holder, other] = for _ <- 1..2, do: connect(path)
      execute!(holder, "CREATE TABLE t(a)")
      insert = "INSERT INTO t VALUES (?1)"
      for n <- 1..3, do: execute!(other, insert, [n])

      # On a busy machine some are not short.
      assert Enum.any?(1..10, fn _ ->
               answers = for n <- 1..500, do: behind_a_turn(holder, other, insert, n)
               for {_when, got} <- answers, do: assert({:ok, {:insert, nil, nil, 1, _, true}} = got)
               Enum.count(answers, &match?({:at_once, _}, &1)) > 350
             end)

      [[count, sum]] = rows!(holder, "SELECT count(*), sum(a) FROM t")
      assert rem(count - 3, 500) == 0
      assert sum == 6 + div(count, 500) * 125_250
      assert mailbox() == []
    end

    test "nobody's call waits for another's that may be long" do
      # Two short runs say little. A busy machine may hide that it answered first.
      assert Enum.any?(1..3, fn _ ->
               {[holder, other], update} = with_long_update()
               {which, answer} = behind_a_turn(holder, other, update, @rows)
               assert {:ok, {:update, nil, nil, @rows, _, true}} = answer
               assert rows!(holder, "SELECT max(a) FROM t") == [[1 + 1 + 1]]
               which == :later
             end)
    end

    # It can send nothing any more.
    test "what runs behind the call of a process that was killed is answered" do
      {[holder, other], update} = with_long_update()
      insert = "INSERT INTO t VALUES (?1)"
      for n <- 1..3, do: execute!(other, insert, [n])

      for n <- 1..5 do
        # Until it begins on a dirty scheduler, though it was long before.
        eventually(fn ->
          execute!(holder, update, [0])
          match?({:ok, _}, Direct.execute(holder, nil, update, [0], 0, 0))
        end)

        ref = make_ref()
        pid = spawn(fn -> Direct.execute(holder, nil, update, [@rows], 0, 0) end)
        # By then it is mostly in the connection, and for some 100 ms.
        Process.sleep(20)
        :ok = NIF.submit_in_turn(other, ref, :execute, [other, nil, insert, [n], 0, 0])
        Process.exit(pid, :kill)
        assert {:ok, {:insert, nil, nil, 1, _, true}} = answer(ref, 60_000)
        eventually(fn -> match?({:ok, _}, NIF.info(holder, true)) end)
      end

      assert rows!(other, "SELECT count(*) FROM t") == [[@rows + 3 + 5]]
    end

    # Two connections, and a statement that is as long as its parameter says; both have it compiled.
    defp with_long_update do
      path = tmp_path()
      [holder, other] = conns = for _ <- 1..2, do: connect(path)
      execute!(holder, "CREATE TABLE t(a)")

      execute!(
        holder,
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT ?1) SELECT 1 FROM c",
        [@rows]
      )

      update = "UPDATE t SET a = a + 1 WHERE rowid <= ?1"
      for conn <- [holder, other], do: execute!(conn, update, [0])
      execute!(other, update, [1])
      {conns, update}
    end

    # What is in line when the holder's turn ends: whether its answer comes before that call's own.
    defp behind_a_turn(holder, other, sql, param) do
      ref = make_ref()
      {:ok, trx} = NIF.begin(holder, :immediate, 0, 0)
      :ok = NIF.submit_in_turn(other, ref, :execute, [other, nil, sql, [param], 0, 0])
      assert NIF.commit(holder, trx, 0, 0) == :ok

      receive do
        {^ref, answer} -> {:at_once, answer}
      after
        0 -> {:later, answer(ref, 60_000)}
      end
    end

    # Cancelled just as its turn comes, and its thread takes it up.
    test "of a job that is cancelled as :not_begun, nothing happens" do
      path = tmp_path()
      [holder, other] = for _ <- 1..2, do: connect(path)
      execute!(holder, "CREATE TABLE t(a INTEGER PRIMARY KEY)")
      insert = "INSERT INTO t VALUES (?1)"
      execute!(other, insert, [0])

      # How long it takes until then is found out on the way.
      {answers, _spins} =
        Enum.map_reduce(1..3000, 10_000, fn n, spins ->
          ref = make_ref()
          # The last one may still be about to find that it was cancelled.
          eventually(fn -> match?({:ok, _}, NIF.begin(holder, :immediate, 0, 0)) end)
          {:transaction, trx} = NIF.status(holder)
          :ok = NIF.submit_in_turn(other, ref, :execute, [other, nil, insert, [n], 0, 0])
          committing = Task.async(fn -> NIF.commit(holder, trx, 0, 0) end)
          spin(:rand.uniform(2 * spins))
          answer = apply(NIF, Enum.random([:cancel_waiting, :cancel]), [other, ref])
          assert Task.await(committing, 60_000) == :ok
          if answer == :sent, do: assert({:ok, _} = answer(ref))
          {{answer, n}, if(answer == :not_begun, do: spins + 500, else: max(spins - 500, 500))}
        end)

      eventually(fn -> match?({:ok, _}, NIF.info(other, true)) end)
      stored = path |> connect() |> rows!("SELECT a FROM t") |> List.flatten() |> MapSet.new()
      assert for({:not_begun, n} <- answers, n in stored, do: n) == []
      assert for({:sent, n} <- answers, n not in stored, do: n) == []
      assert mailbox() == []
    end

    defp spin(0), do: :ok
    defp spin(n), do: spin(n - 1)

    test "submit answers every function that may be submitted", %{conn: conn} do
      stmt = prepare!(conn, "SELECT 1")
      select = {:ok, {:select, ["1"], [[1]], 1, 0, true}}

      submit = fn op, args ->
        ref = make_ref()
        assert NIF.submit(conn, ref, op, [conn | args]) == :ok
        answer(ref)
      end

      assert submit.(:execute, [nil, "SELECT 1", [], 0, 0]) == select
      assert submit.(:stmt_execute, [nil, stmt, [], 0, 1]) == select

      assert submit.(:execute_many, [nil, "INSERT INTO t(b) VALUES (?)", [[1]], 0, 0]) |> elem(0) ==
               :ok

      assert {:ok, [_]} = submit.(:batch, [nil, [{"SELECT 1", []}], 0, 0])
      assert {:ok, [_]} = submit.(:batch_sql, [nil, "SELECT 1", 0, 0])
      assert {:ok, trx} = submit.(:begin, [:deferred, 0, 0])
      assert submit.(:savepoint, [trx, "s"]) == :ok
      assert submit.(:rollback_to, [trx, "s"]) == :ok
      assert submit.(:release, [trx, "s"]) == :ok
      assert submit.(:commit, [trx, 0, 0]) == :ok
      assert {:ok, trx} = submit.(:begin, [:deferred, 0, 0])
      assert submit.(:rollback, [trx]) == :ok
      assert submit.(:cursor_start, [nil, stmt, []]) == :ok
      assert submit.(:cursor_fetch, [stmt, 1, 0, 0]) |> elem(0) == :ok
      assert submit.(:stmt_reset, [stmt]) == :ok
      assert {:ok, {[_], [], true}} = submit.(:stmt_info, [stmt])
      assert submit.(:cacheflush, []) == :ok
      assert {:ok, {log, log}} = submit.(:checkpoint, [nil, :passive])
      assert submit.(:enable_extensions, [false]) == :ok
      assert code(submit.(:load_extension, ["none", nil])) == :auth
      assert submit.(:reset, []) == :ok
      assert code(submit.(:execute, [nil, "nonsense", [], 0, 0])) == :sql
      assert code(submit.(:execute, [trx, "SELECT 1", [], 0, 0])) == :no_transaction

      assert {:ok, prepared} = submit.(:prepare, ["SELECT 1"])

      assert {:ok, {:select, _, [[1]], 1, _, true}} =
               NIF.stmt_execute(conn, nil, prepared, [], 0, 0)

      assert {:ok, %{}} = submit.(:info, [true])
      assert submit.(:notices, []) == []
      assert submit.(:set_busy_timeout, [5000]) == :ok

      for op <- [:close, :submit, :open, :none] do
        assert_raise ArgumentError, fn -> NIF.submit(conn, make_ref(), op, [conn]) end
      end

      other = connect(tmp_path())
      args = [other, nil, "SELECT 1", [], 0, 0]
      assert_raise ArgumentError, fn -> NIF.submit(conn, make_ref(), :execute, args) end
      assert_raise ArgumentError, fn -> NIF.submit(conn, make_ref(), :execute, [conn]) end
      assert mailbox() == []
    end

    test "turn_holder knows whose turn it is, by the process that took it", %{conn: conn} do
      path = tmp_path()
      [holder, other] = for _ <- 1..2, do: connect(path)
      execute!(holder, "CREATE TABLE t(a)")
      assert NIF.turn_holder(other) == nil
      assert NIF.turn_holder(conn) == nil

      {:ok, {pid, trx}} =
        Task.await(Task.async(fn -> {:ok, {self(), NIF.begin(holder, :immediate, 0, 0)}} end))

      assert {:ok, trx} = trx
      execute!(holder, "INSERT INTO t VALUES (1)")
      assert {^pid, ms, "BEGIN IMMEDIATE"} = NIF.turn_holder(other)
      assert ms in 0..60_000
      assert NIF.turn_holder(holder) == nil
      assert NIF.commit(holder, trx, 0, 0) == :ok
      assert NIF.turn_holder(other) == nil
      close!(holder)
      assert NIF.turn_holder(holder) == nil
      assert_raise ArgumentError, fn -> NIF.turn_holder(:none) end
    end

    test "submitted calls take turns", %{conn: conn} do
      refs =
        for i <- 1..20, ref = make_ref() do
          :ok =
            NIF.submit(conn, ref, :execute, [conn, nil, "INSERT INTO t(a) VALUES (?)", [i], 0, 0])

          ref
        end

      for ref <- refs, do: assert({:ok, {:insert, nil, nil, 1, _, true}} = answer(ref))
      assert rows!(conn, "SELECT count(*) FROM t") == [[20]]
    end

    test "cancel stops what runs and what waits, and no message comes", %{conn: conn} do
      running = start_endless(conn)
      waiting = make_ref()

      :ok =
        NIF.submit(conn, waiting, :execute, [conn, nil, "INSERT INTO t(b) VALUES (1)", [], 0, 0])

      assert NIF.cancel(conn, waiting) == :not_begun
      assert NIF.cancel(conn, waiting) == :sent
      assert NIF.cancel(conn, running) == :cancelled
      assert NIF.cancel(conn, running) == :sent
      assert NIF.cancel(conn, make_ref()) == :sent
      eventually(fn -> match?({:ok, _}, NIF.execute(conn, nil, "SELECT 1", [], 0, 0)) end)
      Process.sleep(30)
      assert mailbox() == []
      assert rows!(conn, "SELECT count(*) FROM t") == [[0]]
    end

    test "cancel is :sent once the answer has come", %{conn: conn} do
      ref = make_ref()
      :ok = NIF.submit(conn, ref, :execute, [conn, nil, "SELECT 1", [], 0, 0])
      assert {:ok, _} = answer(ref)
      assert NIF.cancel(conn, ref) == :sent
      assert mailbox() == []
    end

    test "exactly one of answer and :cancelled", %{conn: conn} do
      for i <- 1..300 do
        ref = make_ref()
        :ok = NIF.submit(conn, ref, :execute, [conn, nil, "SELECT 1", [], 0, 0])
        for _ <- 1..rem(i * 7, 200)//1, do: :erlang.phash2(i)

        case NIF.cancel(conn, ref) do
          :sent -> assert {:ok, _} = answer(ref)
          cancelled when cancelled in [:cancelled, :not_begun] -> :ok
        end
      end

      ref = make_ref()
      :ok = NIF.submit(conn, ref, :stmt_reset, [conn, nil])
      assert code(answer(ref)) == :bad_argument
      Process.sleep(30)
      assert mailbox() == []
    end

    test "interrupts are counted, of connections and of statements", %{conn: conn} do
      stmt = prepare!(conn, "SELECT 1")
      assert {NIF.interrupts(conn), NIF.interrupts(stmt)} == {0, 0}
      NIF.interrupt(conn)
      assert {NIF.interrupts(conn), NIF.interrupts(stmt)} == {1, 0}
      NIF.stmt_interrupt(stmt)
      assert {NIF.interrupts(conn), NIF.interrupts(stmt)} == {1, 1}
    end

    # Between its answer and the next try nothing of a call is there to be found.
    test "an interrupt between an answer and what is submitted next is not lost", %{conn: conn} do
      path = tmp_path()
      [holder, other] = for _ <- 1..2, do: connect(path)
      execute!(holder, "CREATE TABLE t(a)")
      stmt = prepare!(other, "INSERT INTO t VALUES (1)")
      {:ok, trx} = NIF.begin(holder, :immediate, 0, 0)

      for {op, args, handle, call} <- [
            {:begin, [other, :immediate, 0, 0], other, &Direct.begin/4},
            {:stmt_execute, [other, nil, stmt, [], 0, 0], other, &Direct.stmt_execute/6},
            {:stmt_execute, [other, nil, stmt, [], 0, 0], stmt, &Direct.stmt_execute/6}
          ] do
        assert {:later, seen, {:error, {:busy, 0, _, _, _, true, :none, nil}}} = apply(call, args)
        interrupt(handle)
        assert code(Direct.submit_in_turn(other, make_ref(), op, args, seen)) == :interrupted
        # The next call is another one.
        ref = make_ref()
        assert {:later, seen, {:error, _busy}} = apply(call, args)
        assert :ok = Direct.submit_in_turn(other, ref, op, args, seen)
        assert NIF.cancel(other, ref) == :not_begun
      end

      endless = [conn, nil, endless(), [], 0, 0]
      assert {:later, seen, :async} = apply(&Direct.execute/6, endless)
      interrupt(conn)
      assert code(Direct.submit(conn, make_ref(), :execute, endless, seen, nil)) == :interrupted

      args = [other, :immediate, 0, 0]
      assert {:later, seen, {:error, _busy}} = apply(&Direct.begin/4, args)
      close!(other)
      assert code(Direct.submit_in_turn(other, make_ref(), :begin, args, seen)) == :closed
      assert NIF.rollback(holder, trx) == :ok
      assert {:ok, _} = NIF.begin(holder, :immediate, 0, 0)
      assert mailbox() == []
    end

    defp interrupt(handle) do
      :ok = NIF.interrupt(handle)
    rescue
      ArgumentError -> :ok = NIF.stmt_interrupt(handle)
    end

    test "what is submitted is cancelled by who submitted it", %{conn: conn} do
      ref = start_endless(conn)
      assert Task.await(Task.async(fn -> NIF.cancel(conn, ref) end)) == :sent
      assert NIF.info(conn, false) == :in_use
      assert NIF.cancel(conn, ref) == :cancelled
    end

    test "interrupt tells at once, and the connection goes on", %{conn: conn} do
      assert NIF.interrupt(conn) == :ok
      assert {:ok, _} = NIF.execute(conn, nil, "SELECT 1", [], 0, 0)
      ref = start_endless(conn)
      assert NIF.interrupt(conn) == :ok
      assert NIF.interrupt(conn) == :ok
      assert_receive {^ref, :interrupting}, 30_000
      assert_receive {^ref, {:error, error}}, 30_000
      assert elem(error, 0) == :interrupted
      assert mailbox() == []
      assert {:ok, _} = NIF.execute(conn, nil, "SELECT 1", [], 0, 0)
    end
  end

  # Each function that enters the connection, with arguments that are right.
  defp entering_calls(nif, conn, stmt) do
    [
      execute: nif.execute(conn, nil, "SELECT 1", [], 0, 0),
      execute_fast: nif.execute(conn, nil, "SELECT 1", [], 0, 1),
      execute_many: nif.execute_many(conn, nil, "SELECT 1", [[]], 0, 0),
      batch: nif.batch(conn, nil, [{"SELECT 1", []}], 0, 0),
      batch_sql: nif.batch_sql(conn, nil, "SELECT 1", 0, 0),
      begin: nif.begin(conn, :deferred, 0, 0),
      commit: nif.commit(conn, nil, 0, 0),
      rollback: nif.rollback(conn, nil),
      savepoint: nif.savepoint(conn, nil, "s"),
      release: nif.release(conn, nil, "s"),
      rollback_to: nif.rollback_to(conn, nil, "s"),
      enforce_foreign_keys: nif.enforce_foreign_keys(conn, nil, true),
      prepare: nif.prepare(conn, "SELECT 1"),
      stmt_execute: nif.stmt_execute(conn, nil, stmt, [], 0, 0),
      stmt_reset: nif.stmt_reset(conn, stmt),
      stmt_info: nif.stmt_info(conn, stmt),
      cursor_start: nif.cursor_start(conn, nil, stmt, []),
      cursor_fetch: nif.cursor_fetch(conn, stmt, 1, 0, 0),
      reset: nif.reset(conn),
      set_busy_timeout: nif.set_busy_timeout(conn, 1),
      info: nif.info(conn, true),
      notices: nif.notices(conn),
      cacheflush: nif.cacheflush(conn),
      checkpoint: nif.checkpoint(conn, nil, :passive),
      enable_extensions: nif.enable_extensions(conn, true),
      load_extension: nif.load_extension(conn, "none", nil)
    ]
  end

  describe "closing" do
    test "twice is fine, and everything after it is :closed", %{conn: conn} do
      stmt = prepare!(conn, "SELECT 1")
      execute!(conn, "INSERT INTO t(b) VALUES (1)")
      ref = make_ref()
      assert NIF.close(conn, self(), ref) == :ok
      assert_receive {^ref, :closed}, 30_000
      assert NIF.close(conn, self(), ref) == :ok
      assert_receive {^ref, :closed}, 30_000
      assert NIF.close(conn, nil, ref) == :ok

      for {name, answer} <- entering_calls(NIF, conn, stmt),
          do: assert({name, code(answer)} == {name, :closed})

      assert code(NIF.status(conn)) == :closed
      assert NIF.busy_timeout(conn) == 5000
      assert NIF.interrupt(conn) == :ok
      assert NIF.cancel(conn, make_ref()) == :sent
      assert NIF.stmt_interrupt(stmt) == :ok
      assert NIF.stmt_finalize(stmt) == :ok

      assert {:ok, _} = NIF.notify_idle(conn, ref)
      assert_receive {^ref, :idle}
      assert NIF.submit(conn, ref, :reset, [conn]) == :ok
      assert code(answer(ref)) == :closed
      assert mailbox() == []
    end

    test "stops what runs, tells who waits, and rolls back", %{conn: conn} do
      [[_, _, path]] = rows!(conn, "PRAGMA database_list")
      {:ok, trx} = NIF.begin(conn, :immediate, 0, 0)
      {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t(b) VALUES (1)", [], 0, 0)
      job = start_endless(conn)
      queued = make_ref()
      :ok = NIF.submit(conn, queued, :execute, [conn, nil, "SELECT 1", [], 0, 0])
      idle = make_ref()
      {:ok, _} = NIF.notify_idle(conn, idle)
      ref = make_ref()
      assert NIF.close(conn, self(), ref) == :ok
      assert_receive {^idle, :idle}, 30_000
      assert_receive {^job, :interrupting}, 30_000
      assert code(answer(job)) in [:interrupted, :closed]
      assert code(answer(queued)) == :closed
      assert_receive {^ref, :closed}, 30_000
      assert code(NIF.status(conn)) == :closed
      assert rows!(connect(path), "SELECT count(*) FROM t") == [[0]]
      assert mailbox() == []
    end
  end
end
