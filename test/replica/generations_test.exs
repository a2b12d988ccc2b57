defmodule EctoLibSql.Replica.GenerationsTest do
  # A file that follows a server of protocol v2.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.Error
  alias EctoLibSql.Test.{Generations, Sqld}

  @moduletag :generations

  setup do
    server = Generations.start!()
    Generations.control(server, do: "sql", sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    Generations.control(server, do: "sql", sql: "INSERT INTO t VALUES (1, 'x')")
    {:ok, server: server, path: tmp_path("replica.db")}
  end

  defp follow(%{server: server, path: path}, opts \\ []) do
    defaults = [database: path, uri: server.url, sync: true, sync_interval: 0, retry_time: 0]
    open(Keyword.merge(defaults, opts))
  end

  test "is found out, and followed", context do
    db = follow(context)
    assert {:ok, %{protocol: :v2}} = EctoLibSql.replica_info(db)
    assert all(db, "SELECT * FROM t") == [[1, "x"]]
    Generations.control(context.server, do: "sql", sql: "INSERT INTO t VALUES (2, 'y')")
    assert {:ok, %{frames: frames}} = EctoLibSql.sync(db)
    assert frames > 0
    assert all(db, "SELECT * FROM t") == [[1, "x"], [2, "y"]]
    Generations.control(context.server, do: "checkpoint")
    Generations.control(context.server, do: "sql", sql: "CREATE TABLE u(a)")
    assert {:ok, _} = EctoLibSql.sync(db)
    assert all(db, "SELECT * FROM u") == []
    assert {:ok, %{lag: 0, rebuilds: 0}} = EctoLibSql.replica_info(db)
  end

  test "writes go to the server, and are seen at once, by others of the VM too", context do
    db = follow(context, sync_protocol: :v2)
    other = follow(context, sync_protocol: :v2)

    for n <- 2..60 do
      assert %{num_rows: 1} = q(db, "INSERT INTO t VALUES (?, 'y')", [n])
      assert one(db, "SELECT max(id) FROM t") == n
      assert one(other, "SELECT max(id) FROM t") == n
      if rem(n, 20) == 0, do: Generations.control(context.server, do: "checkpoint")
    end

    {:ok, txn} = EctoLibSql.Native.begin(db)
    q(txn, "INSERT INTO t VALUES (100, 'z')")
    assert one(txn, "SELECT count(*) FROM t") == 61
    {:ok, _} = EctoLibSql.Native.commit(txn)
    assert one(db, "SELECT count(*) FROM t") == 61
  end

  test "a read that cannot have what was written asks the server, or says :stale", context do
    db = follow(context, stale_after: 200)
    strict = follow(context, stale_after: 200, on_stale: :error)
    Generations.control(context.server, do: "faults", faults: %{status: 500})
    q(db, "INSERT INTO t VALUES (2, 'y')")
    assert one(db, "SELECT count(*) FROM t") == 2

    assert {:error, %Error{code: :stale}, _} =
             EctoLibSql.query(strict, "SELECT count(*) FROM t", [])

    Generations.control(context.server, do: "faults", faults: %{})
    assert one(strict, "SELECT count(*) FROM t") == 2
  end

  @tag :sqld
  test "a server that has not what was asked for", context do
    sqld = Sqld.start!()

    for {url, protocol, words} <- [
          {sqld.url, :v2, "GET /info"},
          {context.server.url, :v1, "POST /wal_log.ReplicationLog/Hello"}
        ] do
      assert {:protocol_unsupported, message} =
               connect_refused(
                 database: context.path,
                 uri: url,
                 sync: true,
                 sync_protocol: protocol
               )

      assert message =~ words
    end

    refute File.exists?(context.path)
  end
end
