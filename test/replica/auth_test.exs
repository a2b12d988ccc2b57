defmodule EctoLibSql.Replica.AuthTest do
  # What a server asks for before it gives frames: a token, a namespace, a certificate's authority.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.State
  alias EctoLibSql.Test.{Jwt, Proxy, Sqld, TlsFront}

  @moduletag :sqld

  defp follow(uri, opts \\ []) do
    [database: tmp_path("replica.db"), uri: uri, sync: true, sync_interval: 0]
    |> Keyword.merge(opts)
    |> open()
  end

  defp fill(uri, opts \\ []) do
    server = open([database: nil, uri: uri] ++ opts)
    q(server, "CREATE TABLE t(a)")
    q(server, "INSERT INTO t VALUES (1)")
    server
  end

  test "a token: a wrong one, none, and one that is renewed for syncs, writes and reads that wait" do
    key = Jwt.new_key()
    %{url: url} = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
    fill(url, auth_token: Jwt.token(key))
    base = [database: tmp_path("refused.db"), uri: url, sync: true]
    assert {:unauthorized, _} = connect_refused(base)
    assert {:unauthorized, message} = connect_refused([auth_token: "secret-nonsense"] ++ base)
    refute message =~ "secret-nonsense"

    {:ok, asked} = Agent.start_link(fn -> 0 end)

    # The server takes one for 60 s longer than it says: the first lives 2 s.
    token = fn ->
      if Agent.get_and_update(asked, &{&1, &1 + 1}) == 0,
        do: Jwt.expiring(key, -58),
        else: Jwt.token(key)
    end

    db = follow(url, auth_token: token)
    other = follow(url, database: State.kept(db).database, auth_token: Jwt.token(key))
    assert one(db, "SELECT count(*) FROM t") == 1
    Process.sleep(3_500)
    assert {:ok, _} = EctoLibSql.sync(db)
    q(db, "INSERT INTO t VALUES (2)")
    assert one(db, "SELECT count(*) FROM t") == 2
    assert one(other, "SELECT count(*) FROM t") == 2
    assert Agent.get(asked, & &1) == 2
  end

  test "a token that only reads follows, and its writes are refused" do
    key = Jwt.new_key()
    %{url: url} = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
    fill(url, auth_token: Jwt.token(key))
    db = follow(url, auth_token: Jwt.token(key, a: "ro"))
    assert one(db, "SELECT count(*) FROM t") == 1
    assert err(db, "INSERT INTO t VALUES (2)").code == :unauthorized
    assert one(db, "SELECT count(*) FROM t") == 1
  end

  test "TLS with an authority of one's own" do
    sqld = Sqld.start!()
    fill(sqld.url)
    front = TlsFront.start!(to: sqld.port)
    uri = "https://localhost:#{front.port}"
    refused = [database: tmp_path("refused.db"), uri: uri, sync: true]
    assert {:tls, _} = connect_refused(refused)
    db = follow(uri, tls: [ca_file: front.ca_file])
    assert one(db, "SELECT count(*) FROM t") == 1
    q(db, "INSERT INTO t VALUES (2)")
    assert one(db, "SELECT count(*) FROM t") == 2
  end

  test "over a slow link one's own writes are seen, each for two exchanges" do
    sqld = Sqld.start!()
    fill(sqld.url)
    proxy = Proxy.start!(to: sqld.port)
    db = follow(proxy.url)
    Proxy.always(proxy, [{:delay, 20}])
    before = Proxy.counts(proxy).exchanges

    for n <- 2..26 do
      q(db, "INSERT INTO t VALUES (?)", [n])
      assert one(db, "SELECT count(*) FROM t") == n
    end

    assert (Proxy.counts(proxy).exchanges - before) in 50..60
  end
end
