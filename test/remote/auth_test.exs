defmodule EctoLibSql.Remote.AuthTest do
  # Tokens and certificates of the tests, as the server and curl take them.
  use ExUnit.Case, async: true

  alias EctoLibSql.Test.{Jwt, Sqld, TlsFront}

  @moduletag :sqld

  @select ~s({"requests":[{"type":"execute","stmt":{"sql":"SELECT 1"}},{"type":"close"}]})

  defp ask(sqld, authorization, body \\ @select) do
    headers = if authorization, do: [{"Authorization", authorization}], else: []
    Sqld.http(sqld.port, "POST", "/v3/pipeline", body, headers)
  end

  test "a server with a key takes tokens of that key, as long as they last" do
    key = Jwt.new_key()

    for form <- [Jwt.public_key(key), Jwt.public_pem(key)] do
      sqld = Sqld.start!(auth_jwt_key: form)
      assert {200, _} = ask(sqld, "Bearer " <> Jwt.token(key))
      assert {200, _} = ask(sqld, "Bearer " <> Jwt.expiring(key, 60, a: "rw"))
      assert {401, _} = ask(sqld, nil)
      assert {401, _} = ask(sqld, "Bearer nonsense")
      assert {401, _} = ask(sqld, "Bearer " <> Jwt.expiring(key, -120))
      assert {401, _} = ask(sqld, "Bearer " <> Jwt.token(Jwt.new_key()))
    end
  end

  test "a token that only reads" do
    key = Jwt.new_key()
    sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
    bearer = "Bearer " <> Jwt.token(key, a: "ro")
    assert {200, _} = ask(sqld, bearer)
    create = String.replace(@select, "SELECT 1", "CREATE TABLE t(a)")
    assert {403, text} = ask(sqld, bearer, create)
    assert text =~ "Write permission"
  end

  test "basic authentication" do
    {flag, header} = Jwt.basic("user", "secret")
    sqld = Sqld.start!(http_auth: flag)
    assert {200, _} = ask(sqld, header)
    assert {401, _} = ask(sqld, elem(Jwt.basic("user", "wrong"), 1))
    assert {401, _} = ask(sqld, nil)
  end

  defp connect(front, options) do
    options =
      [server_name_indication: 'localhost', log_level: :none, verify: :verify_peer] ++ options

    :ssl.connect({127, 0, 0, 1}, front.port, [:binary, active: false] ++ options, 5_000)
  end

  test "a front with TLS is trusted by its authority alone, and carries what is said" do
    sqld = Sqld.start!()
    front = TlsFront.start!(to: sqld.port)
    assert {:error, {:tls_alert, _}} = connect(front, cacertfile: TlsFront.start!(to: 1).ca_file)
    assert {:ok, socket} = connect(front, cacertfile: front.ca_file)
    :ssl.send(socket, "GET /health HTTP/1.0\r\n\r\n")
    assert {:ok, "HTTP/1.0 200" <> _} = :ssl.recv(socket, 0, 5_000)
  end

  test "another's name, an old certificate, a client without one" do
    sqld = Sqld.start!()

    for opts <- [[names: ["other.example"]], [expired: true]] do
      front = TlsFront.start!([to: sqld.port] ++ opts)
      assert {:error, {:tls_alert, _}} = connect(front, cacertfile: front.ca_file)
    end

    front = TlsFront.start!(to: sqld.port, client_cert: true)
    own = [certfile: front.client_cert, keyfile: front.client_key]
    assert {:ok, socket} = connect(front, [cacertfile: front.ca_file] ++ own)
    :ssl.send(socket, "GET /health HTTP/1.0\r\n\r\n")
    assert {:ok, "HTTP/1.0 200" <> _} = :ssl.recv(socket, 0, 5_000)

    # TLS 1.3 tells a client of it only when it reads.
    with {:ok, socket} <- connect(front, cacertfile: front.ca_file) do
      assert {:error, _} = :ssl.recv(socket, 0, 5_000)
    end

    assert %{connections: 2, handshakes: 1} = TlsFront.counts(front)
  end
end
