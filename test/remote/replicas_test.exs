defmodule EctoLibSql.Remote.ReplicasTest do
  # A primary server and one that follows it: who is asked what, and what happens where one of them is gone.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers
  import EctoLibSql.Test.RemoteFaults

  alias EctoLibSql.{Error, Native}
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld
  @moduletag timeout: 180_000

  setup do
    primary = Sqld.start!(replicated: true)
    replica = Sqld.start!(primary: primary)
    look = dial(primary.url)
    q(look, "CREATE TABLE t(m TEXT)")
    q(look, "INSERT INTO t VALUES ('first')")
    follows(replica, 1)
    to_primary = Proxy.start!(to: primary.port)
    to_replica = Proxy.start!(to: replica.port)

    {:ok,
     primary: primary, replica: replica, look: look, to_primary: to_primary, to_replica: to_replica}
  end

  # The replica has so many rows.
  defp follows(replica, rows) do
    db = dial(replica.url)

    eventually(
      fn ->
        case EctoLibSql.query(db, "SELECT count(*) FROM t") do
          {:ok, _, %{rows: [[count]]}, _} -> count == rows
          {:error, _, _} -> false
        end
      end,
      20_000
    )
  end

  defp joined(context, opts \\ []) do
    dial(context.to_primary.url, [replicas: [context.to_replica.url], retry_time: 1_000] ++ opts)
  end

  # How many requests with the text each got.
  defp asked(context, text) do
    count = fn proxy -> Enum.count(Proxy.requests(proxy), &(&1 =~ text)) end
    {count.(context.to_primary), count.(context.to_replica)}
  end

  test "reads go to replicas where one asks for it, writes and transactions never", context do
    db = joined(context, read_from: :replicas)
    for _ <- 1..5, do: assert(one(db, "SELECT 'read'") == "read")
    assert {0, 5} = asked(context, "'read'")
    assert {:ok, _} = insert(db, "second")
    assert {1, 0} = asked(context, "INSERT")
    follows(context.replica, 2)
    assert one(db, "SELECT count(*) FROM t") == 2

    assert {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO t VALUES ('third')")
    # Its own write is seen.
    assert one(trx, "SELECT count(*) FROM t WHERE m <> 'inside'") == 3
    assert {:ok, _} = Native.commit(trx)
    assert {1, 0} = asked(context, "inside")
    assert_no_messages()
  end

  test "without that all goes to the primary, and a replica answers reads while it is gone",
       context do
    db = joined(context)
    for _ <- 1..5, do: one(db, "SELECT 'read'")
    assert {5, 0} = asked(context, "'read'")

    Sqld.kill(context.primary)
    Proxy.refuse(context.to_primary)
    Proxy.drop(context.to_primary)

    # The first calls find out; none of what only reads fails.
    for _ <- 1..20, do: assert(one(db, "SELECT m FROM t") == "first")
    {answer, ms} = insert(db, "lost", timeout: 2_000)
    assert %Error{code: :unreachable, outcome: :none} = answer
    assert ms <= 2_000 + slack()
    assert {:error, %Error{outcome: :none}} = Native.begin(db)

    Sqld.restart(context.primary)
    Proxy.listen(context.to_primary)
    eventually(fn -> match?({:ok, _}, insert(db, "back")) end)
    assert_soon_usable(context.look)
    assert one(context.look, "SELECT count(*) FROM t WHERE m = 'lost'") == 0
    assert_no_messages()
  end

  test "a replica that is gone is not missed", context do
    db = joined(context, read_from: :replicas)
    assert one(db, "SELECT m FROM t") == "first"
    Sqld.kill(context.replica)
    Proxy.refuse(context.to_replica)
    Proxy.drop(context.to_replica)
    for _ <- 1..20, do: assert(one(db, "SELECT m FROM t") == "first")
    assert {:ok, _} = insert(db, "second")

    Sqld.restart(context.replica)
    Proxy.listen(context.to_replica)
    follows(context.replica, 2)

    # It is asked again once it answers.
    eventually(fn ->
      one(db, "SELECT 'again'")
      elem(asked(context, "'again'"), 1) > 0
    end)
  end

  test "with none left it is an error in time", context do
    db = joined(context)

    for proxy <- [context.to_primary, context.to_replica] do
      Proxy.refuse(proxy)
      Proxy.drop(proxy)
    end

    for _ <- 1..5 do
      {ms, error} = timed(fn -> err(db, "SELECT 1", [], timeout: 2_000) end)
      assert %Error{code: :unreachable, outcome: :none} = error
      assert ms <= 2_000 + slack()
    end

    assert_no_messages()
  end

  test "an answer of a replica that breaks is asked for elsewhere", context do
    db = joined(context, read_from: :replicas)

    for n <- [0, 10, 100, 300] do
      mark = marker()
      Proxy.next(context.to_replica, [{:close, :answer, n}], mark)
      assert one(db, "SELECT ?", [mark]) == mark
    end
  end
end
