defmodule EctoLibSql.Remote.TraceTest do
  # The caller's trace context, as the server is told of it.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers
  import EctoLibSql.Test.RemoteFaults

  alias EctoLibSql.{Error, Native}
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld
  @trace "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  def context, do: Process.get(:context)

  setup do
    proxy = Proxy.start!(to: Sqld.start!().port)
    db = dial(proxy.url, trace_context: {__MODULE__, :context, []})
    q(db, "CREATE TABLE t(m TEXT)")
    {:ok, proxy: proxy, db: db}
  end

  # Of each request that fun makes: its traceparent, or nil.
  defp traces(proxy, fun) do
    before = length(Proxy.requests(proxy))
    fun.()

    for request <- Enum.drop(Proxy.requests(proxy), before) do
      case Regex.run(~r/^traceparent: (.*)\r$/mi, request) do
        [_, trace] -> trace
        nil -> nil
      end
    end
  end

  defp work(db) do
    q(db, "INSERT INTO t VALUES ('x')")
    {:ok, _} = EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?)", [["a"], ["b"]])
    {:ok, _} = Native.batch(db, [{"SELECT 1", []}, {"SELECT 2", []}])
    {:ok, stmt} = Native.prepare(db, "SELECT m FROM t")
    {:ok, _, _, _} = EctoLibSql.query(db, stmt, [])
    {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO t VALUES ('y')")
    {:ok, query, cursor, trx} = EctoLibSql.handle_declare("SELECT m FROM t", [], [], trx)
    {:cont, _, trx} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], trx)
    {:halt, _, trx} = EctoLibSql.handle_fetch(query, cursor, [], trx)
    EctoLibSql.handle_deallocate(query, cursor, [], trx)
    {:ok, _} = Native.commit(trx)
  end

  test "goes with every request, where there is one", %{proxy: proxy, db: db} do
    Process.put(:context, @trace)
    told = traces(proxy, fn -> work(db) end)
    assert length(told) >= 9
    assert Enum.uniq(told) == [@trace]

    Process.put(:context, nil)
    assert Enum.uniq(traces(proxy, fn -> work(db) end)) == [nil]
  end

  test "one that is none is no reason to fail", %{proxy: proxy, db: db} do
    for context <- [String.duplicate("x", 1000), "a\r\nx-evil: 1", :no_text, 1] do
      Process.put(:context, context)
      assert traces(proxy, fn -> assert one(db, "SELECT 1") == 1 end) == [nil]
    end

    refute Enum.any?(Proxy.requests(proxy), &(&1 =~ "x-evil"))
  end

  test "is refused where it cannot be told", %{proxy: proxy} do
    "http" <> rest = proxy.url
    trace = [trace_context: &__MODULE__.context/0]

    for opts <- [[uri: "ws" <> rest], [uri: proxy.url, replicas: ["WSS" <> rest]]] do
      assert {:error, %Error{code: :bad_argument, message: message}} =
               EctoLibSql.connect(opts ++ trace)

      assert message =~ ":trace_context"
    end

    assert {:ok, db} = EctoLibSql.connect(uri: "ws" <> rest)
    assert one(db, "SELECT 1") == 1
    EctoLibSql.close(db)
  end
end
