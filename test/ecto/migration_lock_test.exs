defmodule Ecto.Adapters.LibSql.MigrationLockTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias Ecto.Adapters.LibSql.MigrationLock

  @python? EctoLibSql.DriverHelpers.python?()

  defp hold(database) do
    me = self()

    spawn(fn ->
      MigrationLock.with_lock(database, [], fn ->
        send(me, {:held, self()})
        receive(do: (:go -> :ok))
      end)

      send(me, {:released, self()})
    end)
    |> tap(fn pid -> assert_receive {:held, ^pid}, 5000 end)
  end

  defp try_lock(database), do: MigrationLock.with_lock(database, [lock_timeout: 50], fn -> :got end)

  test "answers what the function answers, and hands on what it raises" do
    path = tmp_path()
    assert MigrationLock.with_lock(path, [], fn -> {:error, 1} end) == {:error, 1}
    assert_raise RuntimeError, fn -> MigrationLock.with_lock(path, [], fn -> raise "x" end) end
    assert catch_throw(MigrationLock.with_lock(path, [], fn -> throw(1) end)) == 1
    assert try_lock(path) == :got
  end

  test "one at a time; the database itself is free meanwhile" do
    path = tmp_path()
    holder = hold(path)
    error = catch_error(try_lock(database: path))
    assert %EctoLibSql.Error{code: :busy} = error

    db = open(path)
    q(db, "CREATE TABLE t (a)")
    assert File.exists?(path <> "-migrate.lock")

    send(holder, :go)
    assert_receive {:released, ^holder}, 5000
    assert try_lock(path) == :got
  end

  test "another database has another lock; the same one has one by every name" do
    path = tmp_path()
    holder = hold(path)
    assert try_lock(path <> "2") == :got
    assert %{code: :busy} = catch_error(try_lock(database: "file:" <> path))
    assert %{code: :busy} = catch_error(try_lock(Path.relative_to_cwd(path)))
    send(holder, :go)
    assert_receive {:released, ^holder}, 5000
  end

  test "who waits comes in when the holder is done, each alone" do
    path = tmp_path()
    counter = :counters.new(2, [])

    1..8
    |> Enum.map(fn _ ->
      Task.async(fn ->
        MigrationLock.with_lock(path, [], fn ->
          :counters.add(counter, 1, 1)
          assert :counters.get(counter, 1) == 1
          Process.sleep(2)
          :counters.sub(counter, 1, 1)
          :counters.add(counter, 2, 1)
        end)
      end)
    end)
    |> Task.await_many(20_000)

    assert :counters.get(counter, 2) == 8
  end

  test "a holder that is killed leaves nothing" do
    path = tmp_path()
    holder = hold(path)
    Process.exit(holder, :kill)
    assert MigrationLock.with_lock(path, [lock_timeout: 10_000], fn -> :got end) == :got
  end

  if @python? do
    test "another process of the system that dies leaves nothing" do
      path = tmp_path()

      script = """
      import sqlite3, sys
      c = sqlite3.connect(sys.argv[1], isolation_level=None)
      c.execute("BEGIN EXCLUSIVE")
      print("held", flush=True)
      sys.stdin.read()
      """

      port =
        Port.open({:spawn_executable, System.find_executable("python3")}, [
          :binary,
          {:line, 80},
          args: ["-c", script, path <> "-migrate.lock"]
        ])

      assert_receive {^port, {:data, {:eol, "held"}}}, 10_000
      {:os_pid, pid} = Port.info(port, :os_pid)
      assert %{code: :busy} = catch_error(try_lock(path))
      System.cmd("kill", ["-9", "#{pid}"])
      assert MigrationLock.with_lock(path, [lock_timeout: 10_000], fn -> :got end) == :got
    end
  end

  test "in memory: within the VM" do
    holder = hold(database: ":memory:")
    task = Task.async(fn -> MigrationLock.with_lock([database: ":memory:"], [], fn -> :got end) end)
    assert Task.yield(task, 100) == nil
    send(holder, :go)
    assert_receive {:released, ^holder}, 5000
    assert Task.await(task, 10_000) == :got
  end

  test "what has no file says so" do
    assert_raise ArgumentError, ~r/server/, fn -> try_lock(uri: "libsql://x") end
    assert_raise ArgumentError, ~r/:database is missing/, fn -> try_lock([]) end
  end
end
