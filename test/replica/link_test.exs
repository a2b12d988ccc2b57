defmodule EctoLibSql.Replica.LinkTest do
  # Syncs over a link that carries almost nothing: they take no scheduler, and end when they are told to.
  use EctoLibSql.Case, async: false

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.Error
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  # A scheduler that waited for the network would keep the others for as long as the test runs.
  @stall_ms 5_000
  @bytes_a_second 10_000

  setup do
    sqld = Sqld.start!()
    server = open(database: nil, uri: sqld.url)
    q(server, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    q(server, "INSERT INTO t VALUES (1, 'x')")
    {:ok, server: server, proxy: Proxy.start!(to: sqld.port)}
  end

  defp follow(proxy, path) do
    open(database: path, uri: proxy.url, sync: true, sync_interval: 0, sync_timeout: 60_000)
  end

  # More than comes over it within the test.
  defp narrow(context) do
    q(context.server, """
    INSERT INTO t(a) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    SELECT randomblob(3500) FROM n
    """)

    Proxy.always(context.proxy, fn text ->
      if text =~ "BatchLogEntries", do: [{:trickle, :answer, @bytes_a_second}], else: []
    end)
  end

  defp begin_syncs(dbs) do
    tasks = for db <- dbs, do: Task.async(fn -> EctoLibSql.sync(db, timeout: 120_000) end)

    eventually(
      fn -> Enum.all?(dbs, &match?({:ok, %{running: true}}, EctoLibSql.replica_info(&1))) end,
      20_000
    )

    tasks
  end

  test "more of them than there are dirty schedulers keep nobody", context do
    paths = for _ <- 1..(:erlang.system_info(:dirty_io_schedulers) + 5), do: tmp_path("replica.db")
    dbs = for path <- paths, do: follow(context.proxy, path)
    readers = for path <- paths, do: follow(context.proxy, path)
    local = open(tmp_path("local.db"))
    q(local, "CREATE TABLE own(a)")
    narrow(context)
    tasks = begin_syncs(dbs)

    for i <- 1..10 do
      {ms, _} =
        timed(fn ->
          q(local, "INSERT INTO own VALUES (?)", [i])
          assert one(local, "SELECT count(*) + #{i} FROM own") == 2 * i
          for reader <- readers, do: assert(one(reader, "SELECT count(*) FROM t") == 1)
        end)

      assert ms < @stall_ms
    end

    for task <- tasks, do: assert(Task.yield(task, 0) == nil)
    for db <- dbs, do: EctoLibSql.interrupt_connection(db)

    for answer <- Task.await_many(tasks, 20_000) do
      assert {:error, %Error{code: :interrupted}} = answer
    end

    assert_no_messages()
  end

  test "each ends with its time, an interrupt, its process, its connection", context do
    path = tmp_path("replica.db")
    [db, other, third] = for _ <- 1..3, do: follow(context.proxy, path)
    narrow(context)
    {ms, answer} = timed(fn -> EctoLibSql.sync(db, timeout: 300) end)
    assert {:error, %Error{code: :timeout}} = answer
    assert ms < @stall_ms
    [task] = begin_syncs([db])
    {ms, answer} = timed(fn -> EctoLibSql.interrupt_connection(db) && Task.await(task, 20_000) end)
    assert {:error, %Error{code: :interrupted}} = answer
    assert ms < @stall_ms
    pid = spawn(fn -> EctoLibSql.sync(other, timeout: 120_000) end)
    eventually(fn -> match?({:ok, %{running: true}}, EctoLibSql.replica_info(third)) end)
    Process.exit(pid, :kill)
    # Nobody wants it any more.
    eventually(fn -> match?({:ok, %{running: false}}, EctoLibSql.replica_info(third)) end, 20_000)
    [task] = begin_syncs([third])

    {ms, {:error, %Error{code: code}}} =
      timed(fn -> EctoLibSql.close(third) && Task.await(task, 20_000) end)

    assert code in [:interrupted, :closed]
    assert ms < @stall_ms
    assert one(db, "SELECT count(*) FROM t") == 1
    Proxy.heal(context.proxy)
    Proxy.drop(context.proxy)
    eventually(fn -> match?({:ok, _}, EctoLibSql.sync(db)) end, 20_000)
    assert one(db, "SELECT count(*) FROM t") == 1001
  end
end
