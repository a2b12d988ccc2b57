defmodule EctoLibSql.StatsTest do
  # EctoLibSql.stats/2 of a plain pool; and what native threads tell of a file.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.{Error, Native, Query}

  defp pool(opts) do
    opts = Keyword.merge([pool_size: 2], opts)
    start_supervised!(DBConnection.child_spec(EctoLibSql, opts), id: make_ref())
  end

  defp run!(conn, sql, params \\ []) do
    {:ok, _query, result} = DBConnection.execute(conn, %Query{statement: sql}, params)
    result
  end

  # Takes a connection of the pool until the task is told to end.
  defp take(pool) do
    test = self()

    task =
      Task.async(fn ->
        DBConnection.run(pool, fn _conn ->
          send(test, :taken)
          receive do: (:end -> :ok)
        end)
      end)

    assert_receive :taken, 10_000
    task
  end

  defp give_back(task) do
    send(task.pid, :end)
    Task.await(task, 10_000)
  end

  test "of a pool, by its pid and by its name" do
    path = tmp_path()
    name = :"stats_test_#{System.unique_integer([:positive])}"
    pool = pool(database: path, name: name)
    run!(pool, "CREATE TABLE t (a)")
    eventually(fn -> EctoLibSql.stats(pool).pool.ready == 2 end)

    assert %{pool: %{size: 2, ready: 2, busy: 0, waiting: 0}, shared: nil, connections: 2} =
             stats = EctoLibSql.stats(name)

    assert stats.writers.turns >= 1 and stats.writers.waiting == 0
    assert stats.statements.misses >= 1
    assert stats.memory.page_cache > 0 and stats.memory.native > stats.memory.page_cache
    assert stats.wal.pages > 0 and stats.wal.bytes > stats.wal.pages * 4096
    assert stats.last_checkpoint == nil
  end

  test "counts who has a connection and who waits for one" do
    path = tmp_path()
    pool = pool(database: path)
    tasks = [take(pool), take(pool)]
    waiting = Task.async(fn -> run!(pool, "SELECT 1") end)
    opts = [database: path, pool_size: 2]

    eventually(fn ->
      EctoLibSql.stats(pool, opts).pool == %{size: 2, ready: 0, busy: 2, waiting: 1}
    end)

    assert EctoLibSql.stats(pool, opts).connections == 2
    # What only they know, when nobody says it.
    assert %{size: nil, busy: nil, ready: 0, waiting: 1} = EctoLibSql.stats(pool).pool
    assert EctoLibSql.stats(pool).connections == nil
    Enum.each(tasks, &give_back/1)
    Task.await(waiting)
    eventually(fn -> EctoLibSql.stats(pool).pool.busy == 0 end)
  end

  test "of the line of writers, while one has the turn" do
    path = tmp_path()
    pool = pool(database: path, pool_size: 3)
    run!(pool, "CREATE TABLE t (a)")
    # One of them is free to be asked then.
    eventually(fn -> EctoLibSql.stats(pool).connections == 3 end)

    {:ok, waiting} =
      DBConnection.transaction(pool, fn conn ->
        run!(conn, "INSERT INTO t VALUES (1)")
        waiting = Task.async(fn -> run!(pool, "INSERT INTO t VALUES (2)") end)
        eventually(fn -> EctoLibSql.stats(pool).writers.waiting == 1 end)
        test = self()
        assert %{pid: ^test, held: _, statement: "BEGIN IMMEDIATE"} = EctoLibSql.stats(pool).holder
        Process.sleep(20)
        waiting
      end)

    Task.await(waiting)
    %{writers: writers} = EctoLibSql.stats(pool)
    assert %{waiting: 0, waited: 1} = writers
    assert writers.wait_time >= System.convert_time_unit(20, :millisecond, :native)

    # Not in a bucket of shorter ones.
    assert [bound] = for({bound, 1} <- writers.histogram, do: bound)
    assert bound >= 100
    assert length(writers.histogram) == 7
  end

  test "of the oldest reader, with its process" do
    path = tmp_path()
    pool = pool(database: path)
    run!(pool, "CREATE TABLE t (a)")
    assert EctoLibSql.stats(pool).oldest_reader == nil

    test = self()

    task =
      Task.async(fn ->
        DBConnection.transaction(
          pool,
          fn conn ->
            run!(conn, "SELECT * FROM t")
            send(test, :taken)
            receive do: (:end -> :ok)
          end,
          mode: :read
        )
      end)

    assert_receive :taken, 10_000

    Process.sleep(20)
    assert %{age: age, pid: pid} = EctoLibSql.stats(pool).oldest_reader
    assert age >= 20
    assert pid == task.pid
    give_back(task)
  end

  test "in memory there is no file" do
    pool = pool(database: ":memory:", pool_size: 1)

    assert %{database: nil, connections: nil, writers: nil, wal: nil, memory: memory} =
             EctoLibSql.stats(pool)

    assert %{page_cache: nil, native: bytes} = memory
    assert bytes > 0
  end

  test "what has none says so" do
    for target <- [self(), :nobody_of_that_name, "text", nil, 5, {:global, :nobody}] do
      assert {:error, %Error{code: :bad_argument, message: message}} = EctoLibSql.stats(target)
      assert message =~ inspect(target)
    end

    {:ok, pid} = Agent.start_link(fn -> 1 end)
    assert {:error, %Error{message: message}} = EctoLibSql.stats(pid)
    assert message =~ "no pool"
    pool = pool(database: tmp_path())
    stop_supervised!(elem(hd(for {id, ^pool, _, _} <- supervised(), do: {id}), 0))
    assert {:error, %Error{}} = EctoLibSql.stats(pool)
  end

  defp supervised do
    {:ok, supervisor} = ExUnit.fetch_test_supervisor()
    Supervisor.which_children(supervisor)
  end

  ## What native threads do

  def forward(event, measurements, metadata, {test, path}) do
    if metadata[:database] == path, do: send(test, {List.last(event), measurements, metadata})
  end

  defp attach(path) do
    id = make_ref()
    events = for name <- [:checkpoint, :wal_pinned], do: [:ecto_libsql, name]
    :telemetry.attach_many(id, events, &__MODULE__.forward/4, {self(), path})
    on_exit(fn -> :telemetry.detach(id) end)
  end

  defp insert(db, count) do
    for _ <- 1..count,
        do: {:ok, _, _, _} = EctoLibSql.query(db, "INSERT INTO t VALUES (printf('%3000d', 1))")
  end

  # users.md, 34: the WAL grows beside a long reader; somebody is told, and it is short again in time.
  test "a reader that pins the WAL is told of, and the WAL is short again after it" do
    path = tmp_path()
    pool = pool(database: path, wal_autocheckpoint: 50)
    run!(pool, "CREATE TABLE t (a)")
    attach(path)
    {:ok, db} = EctoLibSql.connect(database: path, wal_autocheckpoint: 50)
    test = self()

    reader =
      spawn_link(fn ->
        DBConnection.transaction(
          pool,
          fn conn ->
            run!(conn, "SELECT count(*) FROM t")
            send(test, :reads)
            receive do: (:end -> :ok)
          end,
          mode: :read,
          timeout: :infinity
        )

        send(test, :ended)
      end)

    assert_receive :reads, 10_000
    Process.sleep(150)
    eventually(fn -> insert(db, 50) && EctoLibSql.stats(pool).wal.pinned end, 30_000)
    assert_receive {:wal_pinned, %{pages: pages, bytes: bytes, age: age}, %{pid: ^reader}}, 10_000
    assert pages >= 400 and bytes > 400 * 4096
    assert System.convert_time_unit(age, :native, :millisecond) >= 150
    insert(db, 200)
    refute_received {:wal_pinned, _, _}

    send(reader, :end)
    assert_receive :ended, 10_000
    # Under writes; in a tenth of a second, where other programs leave it the disk.
    eventually(fn -> insert(db, 1) && EctoLibSql.stats(pool).wal.bytes < 400 * 4096 end, 20_000)
    eventually(fn -> not EctoLibSql.stats(pool).wal.pinned end)

    assert_receive {:checkpoint, %{duration: time, pages: _, checkpointed: _}, %{mode: :truncate}},
                   10_000

    assert time > 0
    assert %{mode: mode, ago: ago} = EctoLibSql.stats(pool).last_checkpoint
    assert mode in [:passive, :restart, :truncate] and ago < 60_000
    EctoLibSql.close(db)
  end

  test "events come again after their process was killed" do
    path = tmp_path()
    attach(path)
    events = Process.whereis(EctoLibSql.FileEvents)
    Process.exit(events, :kill)
    eventually(fn -> Process.whereis(EctoLibSql.FileEvents) not in [nil, events] end)
    {:ok, db} = EctoLibSql.connect(database: path, wal_autocheckpoint: 20)
    {:ok, _, _, db} = EctoLibSql.query(db, "CREATE TABLE t (a)")
    insert(db, 30)
    assert_receive {:checkpoint, %{duration: _}, %{mode: _}}, 10_000
    # A stray message is none of its business.
    send(EctoLibSql.FileEvents, :stray)
    assert is_pid(Process.whereis(EctoLibSql.FileEvents))
    {:ok, _} = Native.begin(db)
    EctoLibSql.close(db)
  end
end
