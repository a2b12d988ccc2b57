defmodule EctoLibSql.Driver.OtherProgramsTest do
  # The lock of another program is waited for by one process of the VM, on a thread of the library's; the
  # others stand in line behind it. How long the first test's lock is held:
  #
  #     LOCK_SECONDS=30 tools/mix test test/driver/other_programs_test.exs
  use EctoLibSql.Case, async: false

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, NIF}

  @moduletag skip: if(not python?(), do: "there is no python3 to be the other program")

  setup do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    %{path: path, db: db, port: hold_python(path, "BEGIN IMMEDIATE")}
  end

  defp insert(path, n, opts) do
    {timeout, opts} = Keyword.pop(opts, :timeout, :infinity)
    {:ok, db} = EctoLibSql.connect([database: path] ++ opts)
    answer = EctoLibSql.query(db, "INSERT INTO t (n) VALUES (?1)", [n], timeout: timeout)
    EctoLibSql.close(db)
    Tuple.delete_at(answer, tuple_size(answer) - 1)
  end

  # The largest gap between two ticks of 5 ms, in ms.
  defp tick(last \\ now(), largest \\ 0) do
    receive do
      {:stop, from} -> send(from, {:largest, largest})
    after
      5 -> tick(now(), max(largest, now() - last))
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp ended({:ok, pid}) do
    send(pid, {:stop, self()})
    assert_receive {:largest, gap}, 30_000
    gap
  end

  defp lock_ms do
    case Float.parse(System.get_env("LOCK_SECONDS", "1.5")) do
      {seconds, ""} when seconds >= 1 and seconds <= 50 -> round(seconds * 1000)
      _ -> raise ArgumentError, "LOCK_SECONDS is a number of seconds from 1 to 50"
    end
  end

  @tag timeout: 180_000
  test "twice as many waiters as dirty schedulers leave the VM alone", context do
    %{path: path, db: db, port: port} = context
    count = 2 * :erlang.system_info(:dirty_io_schedulers)
    ticker = Task.start_link(fn -> tick() end)

    tasks = for n <- 1..count, do: Task.async(fn -> insert(path, n, busy_timeout: 60_000) end)
    eventually(fn -> NIF.turn_holder(db.conn_id) != nil end)
    Process.sleep(lock_ms())
    # One has the turn, all the time, and waits for the other program.
    assert {pid, ms, "INSERT INTO t (n) VALUES (?1)"} = NIF.turn_holder(db.conn_id)
    assert pid in Enum.map(tasks, & &1.pid)
    assert ms >= lock_ms() - 500
    # Dirty schedulers have time for what reads.
    assert all(db, "SELECT count(*) FROM t") == [[0]]
    assert is_binary(File.read!(path))

    release_python(port)
    for answer <- Task.await_many(tasks, 60_000), do: assert({:ok, _, _} = answer)
    gap = ended(ticker)

    IO.puts(
      "other_programs_test: #{count} waiters for #{lock_ms()} ms, " <>
        "largest gap of a 5 ms ticker: #{gap} ms"
    )

    assert gap < 2000
    assert all(db, "SELECT count(*) FROM t") == [[count]]
  end

  test "the first in line has waited its busy time-out, then the next one does", context do
    %{path: path, port: port} = context

    tasks =
      for n <- 1..3, do: Task.async(fn -> insert(path, n, busy_timeout: 200, timeout: 60_000) end)

    for {:error, error} <- Task.await_many(tasks, 60_000) do
      assert %Error{code: :busy, engine_code: 5, transient?: true, outcome: :none} = error
    end

    release_python(port)
  end

  test "a call's deadline ends it, and says what it waited for", %{path: path, port: port, db: db} do
    start = now()

    assert {:error, %Error{code: :timeout, outcome: :none, holder: nil} = error} =
             insert(path, 1, busy_timeout: 60_000, timeout: 300)

    assert error.message =~ "another program"
    assert (now() - start) in 250..20_000
    release_python(port)
    assert all(db, "SELECT count(*) FROM t") == [[0]]
  end

  test "who waits in line behind it learns who waits before", %{path: path, port: port} do
    first = Task.async(fn -> insert(path, 1, busy_timeout: 2_000, timeout: 60_000) end)
    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 60_000)
    eventually(fn -> NIF.turn_holder(db.conn_id) != nil end)

    assert {:error, %Error{code: :timeout, holder: %{pid: pid}}, _} =
             EctoLibSql.query(db, "UPDATE t SET n = 1", [], timeout: 300)

    assert pid == first.pid
    Task.await(first, 60_000)
    release_python(port)
  end

  test "killed, interrupted or closed, it gives its place to the next", %{path: path, port: port} do
    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 60_000)
    look = fn -> NIF.turn_holder(open(path).conn_id) end
    first = spawn(fn -> insert(path, 1, busy_timeout: 60_000) end)
    eventually(fn -> match?({^first, _, _}, look.()) end)

    second = Task.async(fn -> EctoLibSql.query(db, "INSERT INTO t (n) VALUES (2)") end)
    Process.exit(first, :kill)
    eventually(fn -> match?({pid, _, _} when pid == second.pid, look.()) end)
    :ok = EctoLibSql.interrupt_connection(db)
    assert {:error, %Error{code: :interrupted, outcome: :none}, _} = Task.await(second, 60_000)
    eventually(fn -> look.() == nil end)

    third = Task.async(fn -> EctoLibSql.query(db, "INSERT INTO t (n) VALUES (3)") end)
    eventually(fn -> match?({pid, _, _} when pid == third.pid, look.()) end)
    :ok = EctoLibSql.close(db)
    assert {:error, %Error{code: closed}, _} = Task.await(third, 60_000)
    assert closed in [:closed, :interrupted]
    eventually(fn -> look.() == nil end)

    last = Task.async(fn -> insert(path, 4, busy_timeout: 60_000) end)
    eventually(fn -> match?({pid, _, _} when pid == last.pid, look.()) end)
    release_python(port)
    assert {:ok, _, _} = Task.await(last, 60_000)
    assert all(open(path), "SELECT n FROM t") == [[4]]
  end

  # The turn is a call's for a moment before it stands in line for the other program, and again while it is
  # handed to a thread: whoever sees that may interrupt it.
  test "interrupted at the very moment at which it is seen to have the turn, it ends", context do
    %{path: path, db: watcher, port: port} = context
    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 60_000)

    for _ <- 1..100 do
      task = Task.async(fn -> EctoLibSql.query(db, "INSERT INTO t (n) VALUES (2)") end)
      await_holder(watcher, task.pid)
      :ok = EctoLibSql.interrupt_connection(db)
      assert {:ok, {:error, error, _}} = Task.yield(task, 20_000)
      assert %Error{code: :interrupted, outcome: :none} = error
    end

    EctoLibSql.close(db)
    release_python(port)
    assert all(watcher, "SELECT count(*) FROM t") == [[0]]
  end

  # Without a pause between two looks.
  defp await_holder(db, pid) do
    unless match?({^pid, _, _}, NIF.turn_holder(db.conn_id)), do: await_holder(db, pid)
  end

  test "its file is made when it first waits, and goes with the database", context do
    %{path: path, port: port} = context
    refute File.exists?(path <> "-lane")
    assert {:error, %Error{code: :busy}} = insert(path, 1, busy_timeout: 50)
    assert File.exists?(path <> "-lane")
    release_python(port)
    assert {:ok, _, _} = insert(path, 1, busy_timeout: 60_000)
  end
end
