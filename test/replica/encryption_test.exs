defmodule EctoLibSql.Replica.EncryptionTest do
  # A replica whose file is encrypted, and a server whose database is.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.Native
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  @words "WordsThatNobodyMayRead"

  setup do
    sqld = Sqld.start!()
    server = open(database: nil, uri: sqld.url)
    q(server, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    for n <- 1..20, do: q(server, "INSERT INTO t VALUES (?, ?)", [n, @words])
    proxy = Proxy.start!(to: sqld.port)
    {:ok, sqld: sqld, server: server, proxy: proxy, path: tmp_path("replica.db")}
  end

  defp options(%{proxy: proxy, path: path}, opts),
    do:
      Keyword.merge(
        [database: path, uri: proxy.url, sync: true, sync_interval: 0, retry_time: 0],
        opts
      )

  defp follow(context, opts), do: open(options(context, opts))

  defp readable(path) do
    for name <- Path.wildcard(Path.dirname(path) <> "/*", match_dot: true),
        File.read!(name) =~ @words,
        do: name
  end

  test "the file cannot be read without its key, and is a replica as others", context do
    db = follow(context, encryption_key: "right")
    assert one(db, "SELECT count(*) FROM t") == 20
    q(db, "INSERT INTO t VALUES (21, '#{@words}')")
    assert one(db, "SELECT count(*) FROM t WHERE a = ?", [@words]) == 21
    assert readable(context.path) == []
    EctoLibSql.close(db)
    q(context.server, "DELETE FROM t WHERE id = 1")
    db = follow(context, encryption_key: "right")
    assert one(db, "SELECT count(*) FROM t") == 20
    assert readable(context.path) == []
    # The search finds what is to be found.
    plain = tmp_path("plain.db")
    assert one(follow(context, database: plain), "SELECT count(*) FROM t") == 20
    assert readable(plain) != []
  end

  test "another key, or none, is refused and harms nothing", context do
    EctoLibSql.close(follow(context, encryption_key: "right"))

    for more <- [[encryption_key: "wrong"], [], [encryption_key: "right "]] do
      assert {:not_a_database, message} = connect_refused(options(context, more))
      assert message =~ "key"
      refute message =~ "right" or message =~ "wrong"
    end

    db = follow(context, encryption_key: "right")
    assert one(db, "SELECT count(*) FROM t") == 20
    assert {:not_a_database, _} = connect_refused(options(context, []))
    assert Path.wildcard(context.path <> "-aside*") == []
  end

  test "a key for a file that has none is refused, unless it is to be replaced", context do
    EctoLibSql.close(follow(context, []))
    assert {:not_a_database, _} = connect_refused(options(context, encryption_key: "right"))
    db = follow(context, encryption_key: "right", adopt: :replace)
    assert one(db, "SELECT count(*) FROM t") == 20
    aside = context.path <> "-aside-1"
    assert Enum.all?(readable(context.path), &String.starts_with?(&1, aside))
    assert File.exists?(aside)
  end

  test "a frozen replica keeps its key", context do
    db = follow(context, encryption_key: "right")
    {:ok, db} = EctoLibSql.freeze(db)
    q(db, "INSERT INTO t VALUES (21, '#{@words}')")
    EctoLibSql.close(db)
    assert readable(context.path) == []
    assert {:not_a_database, _} = connect_refused(database: context.path)
    db = open(database: context.path, encryption_key: "right")
    assert one(db, "SELECT count(*) FROM t") == 21
  end

  test "the server's key goes along with syncs, writes and transactions", context do
    db = follow(context, remote_encryption_key: "a2V5", encryption_key: "right")
    q(db, "INSERT INTO t VALUES (21, 'x')")
    assert one(db, "SELECT count(*) FROM t") == 21
    {:ok, trx} = Native.begin(db)
    q(trx, "DELETE FROM t")
    {:ok, _} = Native.rollback(trx)
    requests = for text <- Proxy.requests(context.proxy), text =~ "POST ", do: text
    assert Enum.any?(requests, &(&1 =~ "ReplicationLog/Hello"))
    assert Enum.any?(requests, &(&1 =~ "BatchLogEntries"))
    assert Enum.any?(requests, &(&1 =~ ~r"POST /v\d/"))
    for text <- requests, do: assert(text =~ ~r/x-turso-encryption-key: a2V5\r\n/i)
    # ... and the file's never.
    for text <- requests, do: refute(text =~ "right")
  end
end
