defmodule EctoLibSql.Remote.RoundTripsTest do
  # How many requests each kind of call is: what a server far away costs.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers
  import EctoLibSql.Test.RemoteFaults

  alias EctoLibSql.Native
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  setup do
    proxy = Proxy.start!(to: Sqld.start!().port)
    db = dial(proxy.url)
    q(db, "CREATE TABLE t(m TEXT)")
    {:ok, proxy: proxy, db: db}
  end

  defp requests(proxy, fun) do
    before = Proxy.counts(proxy).exchanges
    fun.()
    Proxy.counts(proxy).exchanges - before
  end

  test "a query is one request, each time", %{proxy: proxy, db: db} do
    for sql <- ["SELECT 1", "INSERT INTO t VALUES ('x')", "SELECT m FROM t"], _ <- 1..2 do
      assert {sql, requests(proxy, fn -> q(db, sql) end)} == {sql, 1}
    end
  end

  test "a batch of ten statements is one, in a transaction, too", %{proxy: proxy, db: db} do
    statements = for n <- 1..10, do: {"INSERT INTO t VALUES (?)", ["m#{n}"]}
    assert requests(proxy, fn -> {:ok, _} = Native.batch(db, statements) end) == 1
    assert requests(proxy, fn -> {:ok, _} = Native.batch_transactional(db, statements) end) == 1
    assert one(db, "SELECT count(*) FROM t") == 20
  end

  test "a statement with a hundred rows of parameters is one", %{proxy: proxy, db: db} do
    rows = for n <- 1..100, do: ["m#{n}"]

    assert requests(proxy, fn ->
             {:ok, _} = EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?)", rows)
           end) == 1
  end

  test "a transaction is one for each step", %{proxy: proxy, db: db} do
    sent =
      requests(proxy, fn ->
        {:ok, trx} = Native.begin(db)
        for _ <- 1..10, do: q(trx, "INSERT INTO t VALUES ('x')")
        {:ok, _} = Native.commit(trx)
      end)

    assert sent == 12
  end

  test "all of it on one connection", %{proxy: proxy, db: db} do
    for _ <- 1..20, do: q(db, "SELECT 1")
    {:ok, trx} = Native.begin(db)
    q(trx, "SELECT 1")
    {:ok, _} = Native.rollback(trx)
    assert Proxy.counts(proxy).connections <= 2
  end
end
