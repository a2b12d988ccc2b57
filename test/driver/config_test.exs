defmodule EctoLibSql.Driver.ConfigTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  defp refused(url) do
    %ArgumentError{message: message} = catch_error(EctoLibSql.config!(url))
    message
  end

  test "servers, with a token and without" do
    assert EctoLibSql.config!("libsql://db-me.turso.io?authToken=ey.J%2B_-") ==
             [uri: "libsql://db-me.turso.io", auth_token: "ey.J+_-"]

    for url <- ~w(libsql://h https://h:8443/ns http://127.0.0.1:8080 wss://h ws://h) do
      assert EctoLibSql.config!(url) == [uri: url]
    end

    # What else stands in the address is the server's.
    assert EctoLibSql.config!("LIBSQL://h?tls=0&authToken=t") ==
             [uri: "libsql://h?tls=0", auth_token: "t"]
  end

  test "files: URIs, paths, memory" do
    for url <- [
          ":memory:",
          "shop.db",
          "/var/lib/shop.db",
          "./a:b.db",
          "../ä b.db",
          "file:shop.db?mode=ro",
          "file:///var/lib/shop.db",
          "file://localhost/var/lib/shop.db",
          "file:m?mode=memory&cache=shared"
        ] do
      assert EctoLibSql.config!(url) == [database: url]
    end
  end

  test "they are options of connect/1" do
    path = tmp_path()
    db = open(EctoLibSql.config!(path))
    q(db, "CREATE TABLE t (a)")
    assert all(open(EctoLibSql.config!("file:" <> path)), "SELECT * FROM t") == []
    assert one(open(EctoLibSql.config!(":memory:")), "SELECT 1") == 1
  end

  test "anything else says what it should be" do
    assert refused(nil) =~ "a text is needed"
    assert refused("") =~ "a text is needed"
    assert refused(~c"shop.db") =~ "a text is needed"
    assert refused("postgres://h/db") =~ ~s(no scheme "postgres")
    assert refused("a:b.db") =~ "./NAME"
    assert refused("libsql:shop") =~ "names no host"
    assert refused("https://?authToken=t") =~ "names no host"
    assert refused("file://server/shop.db") =~ ~s("server")
    assert refused("libsql://h?authToken=") =~ "authToken is empty"
    assert refused("libsql://h#x") =~ "#"
  end

  test "no message shows a secret" do
    for url <-
          ~w(libsql://user:secret@h libsql://h?authToken=secret#a
                  turso://h?authToken=secret libsql://?authToken=secret) do
      refute refused(url) =~ "secret"
    end
  end
end
