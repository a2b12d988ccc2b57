defmodule EctoLibSql.Replica.OfflineTest do
  # A replica that is written to offline: its file is the one that has everything, until a sync.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, State}
  alias EctoLibSql.Test.Generations

  @moduletag :generations

  setup do
    server = Generations.start!()
    Generations.control(server, do: "sql", sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    Generations.control(server, do: "sql", sql: "INSERT INTO t VALUES (1, 'x')")
    {:ok, server: server, path: tmp_path("replica.db")}
  end

  defp options(%{server: server, path: path}, opts) do
    defaults = [
      database: path,
      uri: server.url,
      sync: true,
      offline: true,
      sync_interval: 0,
      retry_time: 500
    ]

    Keyword.merge(defaults, opts)
  end

  defp follow(context, opts \\ []), do: open(options(context, opts))

  # Another replica, which does not write here.
  defp other(context) do
    db = open(options(%{context | path: tmp_path("other.db")}, offline: false))
    assert {:ok, _} = EctoLibSql.sync(db)
    db
  end

  test "writes are seen at once, and by others once they are pushed", context do
    db = follow(context)
    assert %State{mode: :remote_replica} = db
    q(db, "INSERT INTO t VALUES (?, ?)", [2, "y"])
    {:ok, txn} = EctoLibSql.Native.begin(db)
    q(txn, "INSERT INTO t VALUES (3, 'z')")
    assert {:ok, _} = EctoLibSql.Native.commit(txn)
    assert all(db, "SELECT a FROM t") == [["x"], ["y"], ["z"]]
    assert all(other(context), "SELECT a FROM t") == [["x"]]

    assert {:ok, %{offline: true, unpushed: unpushed, pushed: 0, pushed_ago: nil}} =
             EctoLibSql.replica_info(db)

    assert unpushed > 0
    assert {:ok, %{index: _}} = EctoLibSql.sync(db)
    assert {:ok, %{unpushed: 0, pushed: ^unpushed}} = EctoLibSql.replica_info(db)
    assert %{replica: %{pushed_ago: ago}} = EctoLibSql.stats(db)
    assert is_integer(ago)
    assert all(other(context), "SELECT a FROM t") == [["x"], ["y"], ["z"]]
    Generations.control(context.server, do: "sql", sql: "INSERT INTO t VALUES (4, 'theirs')")
    assert {:ok, %{frames: frames}} = EctoLibSql.sync(db)
    assert frames > 0
    assert one(db, "SELECT count(*) FROM t") == 4
  end

  test "the interval pushes, too", context do
    db = follow(context, sync_interval: 50)
    q(db, "INSERT INTO t VALUES (2, 'y')")
    assert eventually(fn -> match?({:ok, %{unpushed: 0}}, EctoLibSql.replica_info(db)) end)
    assert all(other(context), "SELECT a FROM t") == [["x"], ["y"]]
  end

  test "a conflict keeps both, until one is chosen", context do
    db = follow(context)
    q(db, "INSERT INTO t VALUES (2, 'mine')")
    Generations.control(context.server, do: "sql", sql: "INSERT INTO t VALUES (2, 'theirs')")
    assert {:error, %Error{code: :conflict, message: message}} = EctoLibSql.sync(db)
    assert message =~ "set aside"
    q(db, "INSERT INTO t VALUES (3, 'mine, too')")
    assert {:error, %Error{code: :conflict}} = EctoLibSql.sync(db)

    assert {:ok, %{unpushed: unpushed, last_error: %Error{code: :conflict}}} =
             EctoLibSql.replica_info(db)

    assert unpushed > 0
    assert all(db, "SELECT a FROM t") == [["x"], ["mine"], ["mine, too"]]
    assert {:ok, kept} = EctoLibSql.set_aside(db)
    assert kept == Path.expand(context.path) <> "-aside-own-1"
    assert all(db, "SELECT a FROM t") == [["x"], ["theirs"]]
    assert all(open(database: kept), "SELECT a FROM t") == [["x"], ["mine"], ["mine, too"]]
    assert {:ok, nil} = EctoLibSql.set_aside(db)
    q(db, "INSERT INTO t VALUES (3, 'again')")
    assert {:ok, _} = EctoLibSql.sync(db)
    assert all(other(context), "SELECT a FROM t") == [["x"], ["theirs"], ["again"]]
  end

  test "it is opened without its server, and frozen with what it has", context do
    db = follow(context)
    q(db, "INSERT INTO t VALUES (2, 'mine')")
    EctoLibSql.close(db)
    db = follow(context, uri: "http://127.0.0.1:9", retry_time: 0)
    assert all(db, "SELECT a FROM t") == [["x"], ["mine"]]
    assert {:error, %Error{code: :unreachable}} = EctoLibSql.sync(db)
    q(db, "INSERT INTO t VALUES (3, 'still')")
    EctoLibSql.close(db)
    # Not by who would not push it.
    opts = options(context, offline: false)
    assert {:conflict, message} = connect_refused(opts)
    assert message =~ "has not"
    db = follow(context)
    assert {:ok, %State{mode: :local} = db} = EctoLibSql.freeze(db)
    q(db, "INSERT INTO t VALUES (4, 'own')")
    assert one(db, "SELECT count(*) FROM t") == 4
  end

  test "what others are for is refused", context do
    db = follow(context)
    assert {:error, %Error{code: :unsupported}, _db} = EctoLibSql.query(db, "VACUUM")

    plain = open(database: tmp_path("plain.db"))
    assert {:error, %Error{code: :unsupported}} = EctoLibSql.set_aside(plain)
    assert {:error, %Error{code: :unsupported}} = EctoLibSql.set_aside(other(context))
    assert {:already_open, _} = connect_refused(options(context, offline: false))
  end
end
