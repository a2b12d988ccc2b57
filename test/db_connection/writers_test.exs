defmodule EctoLibSql.WritersTest do
  # Writers of one file take turns, whoever they are. `busy_timeout: 0` shows that nobody polls the lock.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.{Error, Native, Query}

  setup do
    path = tmp_path()
    {:ok, db} = EctoLibSql.connect(database: path)
    {:ok, _, _, db} = EctoLibSql.query(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    {:ok, _, _, db} = EctoLibSql.query(db, "INSERT INTO t VALUES (1, 0)")
    %{path: path, db: db}
  end

  defp pool(path, opts) do
    opts = Keyword.merge([database: path, busy_timeout: 0, queue_target: 60_000], opts)
    start_supervised!(DBConnection.child_spec(EctoLibSql, opts), id: make_ref())
  end

  defp run(conn, sql, params \\ [], opts \\ []),
    do: DBConnection.execute(conn, %Query{statement: sql}, params, opts)

  defp count(conn) do
    {:ok, _, %{rows: [[n]]}} = run(conn, "SELECT n FROM t WHERE id = 1")
    n
  end

  test "fifty processes of two pools, and none is told that the database is locked", %{path: path} do
    pools = [pool(path, pool_size: 5), pool(path, pool_size: 3)]

    1..50
    |> Enum.map(fn number -> Task.async(fn -> add(Enum.at(pools, rem(number, 2)), 20) end) end)
    |> Task.await_many(120_000)

    assert count(hd(pools)) == 50 * 20
  end

  # Read, then write what was read: by transactions, and by statements of their own.
  defp add(pool, times) do
    for i <- 1..times do
      if rem(i, 2) == 0 do
        {:ok, _, _} = run(pool, "UPDATE t SET n = n + 1", [], timeout: 60_000)
      else
        {:ok, :done} =
          DBConnection.transaction(
            pool,
            fn conn ->
              n = count(conn)
              {:ok, _, _} = run(conn, "UPDATE t SET n = ?1", [n + 1])
              :done
            end,
            timeout: 60_000
          )
      end
    end
  end

  test "in the order in which they asked", %{path: path, db: db} do
    {:ok, db} = Native.begin(db, behavior: :immediate)
    test = self()

    waiting =
      for number <- 1..5 do
        task = Task.async(fn -> insert(path, number, test) end)
        assert_receive {:opened, ^number}, 10_000
        eventually(fn -> waits?(task.pid) end)
        task
      end

    {:ok, _} = Native.commit(db)
    Task.await_many(waiting, 30_000)

    {:ok, _, %{rows: rows}, _} =
      EctoLibSql.query(%{db | trx_id: nil}, "SELECT n FROM t WHERE id > 1 ORDER BY id")

    assert rows == [[1], [2], [3], [4], [5]]
  end

  defp insert(path, number, test) do
    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 60_000)
    send(test, {:opened, number})
    {:ok, _, _, _} = EctoLibSql.query(db, "INSERT INTO t (n) VALUES (?1)", [number])
  end

  # In Call's receive, not in native code.
  defp waits?(pid) do
    {:current_stacktrace, stack} = Process.info(pid, :current_stacktrace)
    Enum.any?(stack, &match?({EctoLibSql.Call, :await_turn, _, _}, &1))
  end

  test "who dies in line is passed over, and who dies with the turn gives it up", %{path: path} do
    pool = pool(path, pool_size: 4)
    test = self()

    holder =
      spawn(fn ->
        DBConnection.transaction(pool, fn conn ->
          {:ok, _, _} = run(conn, "UPDATE t SET n = 1000")
          send(test, :written)
          Process.sleep(:infinity)
        end)
      end)

    assert_receive :written, 10_000
    dead = spawn(fn -> run(pool, "UPDATE t SET n = n + 100") end)
    eventually(fn -> waits?(dead) end)
    next = Task.async(fn -> run(pool, "UPDATE t SET n = n + 1", [], timeout: 60_000) end)
    eventually(fn -> waits?(next.pid) end)

    Process.exit(dead, :kill)
    Process.exit(holder, :kill)
    assert {:ok, _, _} = Task.await(next, 60_000)
    assert count(pool) == 1
  end

  test "a call's time-out ends its waiting, and its place is gone", %{path: path, db: db} do
    pool = pool(path, pool_size: 2)
    {:ok, db} = Native.begin(db, behavior: :immediate)

    assert {:error, %Error{code: :timeout, outcome: :none}} =
             run(pool, "UPDATE t SET n = n + 1", [], timeout: 400)

    {:ok, _} = Native.commit(db)
    assert {:ok, _, _} = run(pool, "UPDATE t SET n = n + 1")
    assert count(pool) == 1
  end

  test "without a time-out it is busy_timeout that counts", %{path: path, db: db} do
    {:ok, other} = EctoLibSql.connect(database: path, busy_timeout: 50)
    {:ok, db} = Native.begin(db, behavior: :immediate)

    assert {:error, %Error{code: :busy, transient?: true, engine_code: 0} = error, _} =
             EctoLibSql.query(other, "UPDATE t SET n = 5")

    assert error.message =~ "turn"
    assert error.holder.pid == self()
    {:ok, _} = Native.rollback(db)
    assert {:ok, _, _, _} = EctoLibSql.query(other, "UPDATE t SET n = 5")
  end

  test "the error names who has the turn, since when, and its statement without parameters", %{
    path: path,
    db: db
  } do
    test = self()
    update = "UPDATE t SET n = n + ?1 WHERE id = 1 -- " <> String.duplicate("ä", 100)

    holder =
      spawn_link(fn ->
        {:ok, db} = Native.begin(db, behavior: :deferred)
        {:ok, _, _, db} = EctoLibSql.query(db, update, [7531])
        send(test, :held)
        receive do: (:go -> send(test, {:ended, Native.commit(db)}))
      end)

    assert_receive :held, 10_000
    Process.sleep(30)
    {:ok, other} = EctoLibSql.connect(database: path)

    assert {:error, %Error{code: :timeout, outcome: :none} = error, _} =
             EctoLibSql.query(other, "UPDATE t SET n = 5", [], timeout: 100)

    assert %{pid: ^holder, ms: ms, statement: statement} = error.holder
    assert ms in 100..60_000
    assert String.valid?(statement) and String.starts_with?(update, statement)
    assert byte_size(statement) in 120..123

    assert error.message ==
             "database is locked: the turn to write was held by #{inspect(holder)} for #{ms} ms, " <>
               "since its statement #{statement}"

    send(holder, :go)
    assert_receive {:ended, {:ok, _}}, 10_000

    # Waiting for another process in the same connection is something else.
    assert %Error{holder: nil} = Error.new(:timeout, "late")
  end

  test "an interrupt and a close end it", %{path: path, db: db} do
    {:ok, _db} = Native.begin(db, behavior: :immediate)
    {:ok, other} = EctoLibSql.connect(database: path, busy_timeout: 60_000)

    task = Task.async(fn -> EctoLibSql.query(other, "UPDATE t SET n = 5") end)
    eventually(fn -> waits?(task.pid) end)
    :ok = EctoLibSql.interrupt_connection(other)
    assert {:error, %Error{code: :interrupted}, _} = Task.await(task, 10_000)

    task = Task.async(fn -> EctoLibSql.query(other, "UPDATE t SET n = 5") end)
    eventually(fn -> waits?(task.pid) end)
    :ok = EctoLibSql.close(other)
    assert {:error, %Error{code: :closed}, _} = Task.await(task, 10_000)
  end

  # Whatever becomes of those who have the turn or wait for it: it is never lost, nor is a row that was
  # acknowledged, and none is counted twice.
  @tag :capture_log
  test "no turn is lost where processes are killed, time-outs end calls, and statements are interrupted",
       %{
         path: path,
         db: db
       } do
    seed = :erlang.phash2(make_ref())
    IO.puts("writers_test: SEED=#{System.get_env("WRITERS_SEED") || seed}")
    seed = String.to_integer(System.get_env("WRITERS_SEED") || "#{seed}")
    :rand.seed(:exsss, seed)
    pools = [pool(path, pool_size: 4), pool(path, pool_size: 2)]
    test = self()

    for n <- 1..400 do
      pid = spawn(fn -> write(Enum.random(pools), db, n, test, seed) end)
      if rem(n, 3) == 0, do: Process.send_after(test, {:kill, pid}, :rand.uniform(40))
      kill_due(db)
    end

    Process.sleep(50)
    kill_due(db)
    acknowledged = acknowledged([])
    assert {:ok, _, _} = run(hd(pools), "UPDATE t SET n = 1", [], timeout: 60_000)

    assert {:ok, _, _, _} =
             EctoLibSql.query(db, "UPDATE t SET n = 2 WHERE id = 1", [], timeout: 60_000)

    {:ok, _, %{rows: rows}} = run(hd(pools), "SELECT id FROM t WHERE id > 1")
    written = List.flatten(rows)
    assert acknowledged -- written == []
    assert length(acknowledged) > 100
  end

  defp write(pool, db, n, test, seed) do
    :rand.seed(:exsss, {seed, n, 7})
    id = n + 1
    insert = "INSERT INTO t (id, n) VALUES (?1, 0)"

    answer =
      case rem(n, 4) do
        0 -> run(pool, insert, [id], timeout: Enum.random([5, 30, 60_000]))
        1 -> EctoLibSql.query(db, insert, [id], timeout: Enum.random([5, 30, 60_000]))
        2 -> DBConnection.transaction(pool, &pause_in(&1, insert, id), timeout: 60_000)
        3 -> run(pool, insert <> " RETURNING id", [id], timeout: 60_000)
      end

    if elem(answer, 0) == :ok, do: send(test, {:written, id})
  rescue
    _killed_or_late in [DBConnection.ConnectionError, Error] -> :ok
  end

  defp pause_in(conn, insert, id) do
    {:ok, _, _} = run(conn, insert, [id], timeout: 60_000)
    Process.sleep(:rand.uniform(3))
    {:ok, _, _} = run(conn, "UPDATE t SET n = 1 WHERE id = ?1", [id], timeout: 60_000)
  end

  defp kill_due(db) do
    receive do
      {:kill, pid} ->
        Process.exit(pid, :kill)
        if :rand.uniform(3) == 1, do: EctoLibSql.interrupt_connection(db)
        kill_due(db)
    after
      0 -> :ok
    end
  end

  # Until nobody has said anything for a while.
  defp acknowledged(ids) do
    receive do
      {:written, id} -> acknowledged([id | ids])
      {:kill, pid} -> Process.exit(pid, :kill) && acknowledged(ids)
    after
      1500 -> ids
    end
  end

  test "processes that share a connection take turns on it", %{path: path, db: db} do
    pool = pool(path, pool_size: 2)
    other = Task.async(fn -> add(pool, 200) end)

    1..8
    |> Enum.map(fn _ -> Task.async(fn -> add_by(db, 100) end) end)
    |> Task.await_many(120_000)

    Task.await(other, 120_000)
    assert {:ok, _, %{rows: [[1000]]}, _} = EctoLibSql.query(db, "SELECT n FROM t WHERE id = 1")
  end

  defp add_by(db, times) do
    for _ <- 1..times,
        do: {:ok, _, _, _} = EctoLibSql.query(db, "UPDATE t SET n = n + 1", [], timeout: 60_000)
  end

  test "attached databases have their lines, too", %{path: path, db: db} do
    other = tmp_path()
    {:ok, two} = EctoLibSql.connect(database: other, attach: [x: path])
    {:ok, _, _, two} = EctoLibSql.query(two, "CREATE TABLE own (n INTEGER)")
    pool = pool(other, pool_size: 3, attach: [x: path])
    {:ok, db} = Native.begin(db, behavior: :immediate)

    {:ok, two} = Native.begin(two, behavior: :deferred)
    {:ok, _, _, two} = EctoLibSql.query(two, "INSERT INTO own VALUES (2)")

    assert {:error, %Error{code: :busy, transient?: false, engine_code: 0}, two} =
             EctoLibSql.query(two, "UPDATE x.t SET n = 9", [], timeout: 60_000)

    {:ok, _} = Native.commit(two)

    both = fn conn ->
      {:ok, _, _} = run(conn, "INSERT INTO own VALUES (1)")
      {:ok, _, _} = run(conn, "UPDATE x.t SET n = n + 1")
    end

    waiting =
      for _ <- 1..3,
          do: Task.async(fn -> DBConnection.transaction(pool, both, timeout: 60_000) end)

    eventually(fn -> Enum.all?(waiting, &waits?(&1.pid)) end)
    {:ok, _} = Native.commit(db)
    for task <- waiting, do: assert({:ok, {:ok, _, _}} = Task.await(task, 60_000))
    assert {:ok, _, %{rows: [[3]]}} = run(pool, "SELECT n FROM x.t WHERE id = 1")
    assert {:ok, _, %{rows: [[5]]}} = run(pool, "SELECT sum(n) FROM own")
  end

  test "readers do not wait", %{path: path, db: db} do
    pool = pool(path, pool_size: 2)
    {:ok, _db} = Native.begin(db, behavior: :immediate)
    assert count(pool) == 0
    assert {:ok, 0} = DBConnection.transaction(pool, &count/1, mode: :read)
    assert {:ok, 0} = DBConnection.transaction(pool, &count/1, mode: :deferred)
  end
end
