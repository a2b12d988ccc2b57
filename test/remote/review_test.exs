defmodule EctoLibSql.Remote.ReviewTest do
  # What a reviewer found: each would have come back unseen.
  use ExUnit.Case, async: true

  alias EctoLibSql.{Error, Native}
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  defp dial(sqld, opts \\ []) do
    {:ok, db} = EctoLibSql.connect([uri: sqld.url] ++ opts)
    db
  end

  defp all(db, sql) do
    {:ok, _, result, _} = EctoLibSql.query(db, sql, [])
    result.rows
  end

  test "an address without a scheme is no file" do
    for uri <- ["foo.db", "shop-me.turso.io", "ftp://x", "http://", "file:x"] do
      assert {:error, %Error{code: :bad_argument, message: message}} = EctoLibSql.connect(uri: uri)
      assert message =~ "libsql://"
      refute File.exists?(uri)
    end

    assert {:error, %Error{code: :bad_argument}} =
             EctoLibSql.connect(uri: "http://127.0.0.1:1", replicas: ["shop.db"])
  end

  test "a batch that is a transaction holds no other one" do
    db = dial(Sqld.start!())
    all(db, "CREATE TABLE m (x)")

    for end_of_it <- ["COMMIT", "ROLLBACK", "END", "BEGIN"] do
      items = [
        {"INSERT INTO m VALUES (1)", []},
        {end_of_it, []},
        {"INSERT INTO nope VALUES (1)", []}
      ]

      assert {:error, %Error{code: :in_transaction}} = Native.batch_transactional(db, items)
    end

    items = [{"INSERT INTO m VALUES (1)", []}, {"SAVEPOINT a", []}, {"DELETE FROM m", []}]
    more = [{"ROLLBACK TO a", []}, {"RELEASE a", []}]
    assert {:ok, _} = Native.batch_transactional(db, items ++ more)
    assert all(db, "SELECT x FROM m") == [[1]]
  end

  test "a lock that the server has no end of waiting for is tried again" do
    sqld = Sqld.start!()
    proxy = Proxy.start!(to: sqld.port)
    {:ok, db} = EctoLibSql.connect(uri: proxy.url, busy_timeout: 5_000)
    all(db, "CREATE TABLE m (x)")

    body =
      ~s({"baton":null,"base_url":null,"results":[{"type":"error","error":{"message":"busy","code":"TRANSACTION_BUSY"}},) <>
        ~s({"type":"ok","response":{"type":"close"}}]})

    busy = {:reply, Proxy.http(200, body, [{"Content-Type", "application/json"}])}
    Proxy.next(proxy, [busy, busy], "INTO m")
    assert {:ok, _, %{num_rows: 1}, _} = EctoLibSql.query(db, "INSERT INTO m VALUES (1)", [])
    assert all(db, "SELECT x FROM m") == [[1]]

    :ok = EctoLibSql.set_busy_timeout(db, 0)
    Proxy.next(proxy, [busy], "INTO m")

    assert {:error, %Error{code: :busy, outcome: :none}, _} =
             EctoLibSql.query(db, "INSERT INTO m VALUES (2)", [])
  end

  test "a batch that is half done is not begun again" do
    sqld = Sqld.start!()
    proxy = Proxy.start!(to: sqld.port)
    {:ok, db} = EctoLibSql.connect(uri: proxy.url, busy_timeout: 5_000)
    all(db, "CREATE TABLE m (x)")
    done = ~s({"cols":[],"rows":[],"affected_row_count":1,"last_insert_rowid":"1"})
    busy = ~s({"message":"SQLite error: database is locked","code":"SQLITE_BUSY"})

    body =
      ~s({"baton":null,"base_url":null,"results":[{"type":"ok","response":{"type":"batch","result":) <>
        ~s({"step_results":[#{done},null],"step_errors":[null,#{busy}]}}},) <>
        ~s({"type":"ok","response":{"type":"close"}}]})

    Proxy.next(proxy, [{:reply, Proxy.http(200, body)}], "INTO m")
    items = [{"INSERT INTO m VALUES (1)", []}, {"INSERT INTO m VALUES (2)", []}]

    assert {:error, %Error{code: :busy, statement_number: 2, outcome: :unknown, transient?: false}} =
             Native.batch(db, items)

    assert all(db, "SELECT x FROM m") == []
    all(db, "CREATE TABLE u (x UNIQUE)")
    insert = {"INSERT INTO u VALUES (1)", []}

    assert {:error, %Error{code: :constraint, statement_number: 2, outcome: :unknown}} =
             Native.batch(db, [insert, insert])

    assert {:error, %Error{code: :constraint, statement_number: 1, outcome: :none}} =
             Native.batch(db, [insert, insert])
  end

  test "a call takes 30 s, or as long as it is said to" do
    sqld = Sqld.start!()
    db = dial(sqld)
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    unbounded = Task.async(fn -> EctoLibSql.query(dial(sqld), sql, [], timeout: :infinity) end)
    {us, answer} = :timer.tc(fn -> EctoLibSql.query(db, sql, []) end)
    assert {:error, %Error{code: :timeout}, _} = answer
    assert div(us, 1_000_000) in 29..60
    assert Task.yield(unbounded, 3_000) == nil
    Sqld.kill(sqld)
    assert {:error, %Error{code: code}, _} = Task.await(unbounded, 60_000)
    assert code in [:connection_lost, :unreachable]
  end

  test "a journal is the server's own" do
    assert {:error, %Error{code: :bad_argument, message: message}} =
             EctoLibSql.connect(uri: "http://127.0.0.1:1", journal_mode: :delete)

    assert message =~ ":journal_mode"
  end

  test "a user and a password" do
    credentials = Base.encode64("user:secret")
    sqld = Sqld.start!(http_auth: "basic:" <> credentials)
    assert {:error, %Error{code: :unauthorized}} = EctoLibSql.connect(uri: sqld.url)

    for uri <- [sqld.url, String.replace_prefix(sqld.url, "http", "ws")] do
      {:ok, db} = EctoLibSql.connect(uri: uri, auth_token: "Basic " <> credentials)
      assert all(db, "SELECT 1") == [[1]]
    end
  end

  test "a proxy that is not there takes the server from nobody else" do
    sqld = Sqld.start!()

    for _ <- 1..8 do
      opts = [uri: sqld.url, proxy: "http://127.0.0.1:1", retry_time: 0]
      assert {:error, %Error{code: :unreachable}} = EctoLibSql.connect(opts)
    end

    assert all(dial(sqld, retry_time: 0), "SELECT 1") == [[1]]
  end

  test "a closed connection runs nothing, not even an empty text" do
    db = dial(Sqld.start!())
    :ok = EctoLibSql.close(db)
    assert {:error, %Error{code: :closed}, _} = EctoLibSql.query(db, "", [])
    assert {:error, %Error{code: :closed}, _} = EctoLibSql.query(db, "SELECT 1", [])
  end

  if Code.ensure_loaded?(Ecto.Repo) do
    defmodule Repo do
      use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
    end

    test "a token is in no state of the Repo's processes" do
      start_supervised!(
        {Repo, uri: Sqld.start!().url, auth_token: "very-secret", pool_size: 2, log: false}
      )

      assert %{rows: [[1]]} = Repo.query!("SELECT 1")

      for {_, pid, _, _} <- Supervisor.which_children(Process.whereis(Repo)), is_pid(pid) do
        refute inspect(:sys.get_state(pid), limit: :infinity, printable_limit: :infinity) =~
                 "very-secret"
      end

      # What a report of its crash would show. (What start_link/1 was given is Ecto's, in its supervisor.)
      {:ok, spec} = :supervisor.get_childspec(Repo, DBConnection.ConnectionPool)
      refute inspect(spec, limit: :infinity, printable_limit: :infinity) =~ "very-secret"
    end

    test "a function without a token is told to who asks, and asked again" do
      key = EctoLibSql.Test.Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: EctoLibSql.Test.Jwt.public_key(key))
      {:ok, source} = Agent.start_link(fn -> fn -> raise "very-secret" end end)
      token = fn -> Agent.get(source, & &1).() end

      for uri <- [sqld.url, String.replace_prefix(sqld.url, "http", "ws")] do
        start_supervised!({Repo, uri: uri, pool_size: 2, log: false, auth_token: token})

        for {broken, words} <- [
              {fn -> raise "very-secret" end, "failed"},
              {fn -> :nothing end, "gave no token"}
            ] do
          Agent.update(source, fn _ -> broken end)
          assert {:error, %Error{code: :unauthorized} = error} = Repo.query("SELECT 1")
          assert error.message =~ words
          refute inspect(error) =~ "very-secret"
          assert {:error, %Error{code: :unauthorized}} = Repo.query("SELECT 1")
        end

        good = EctoLibSql.Test.Jwt.token(key)
        Agent.update(source, fn _ -> fn -> good end end)
        assert {:ok, %{rows: [[1]]}} = Repo.query("SELECT 1")
        stop_supervised!(Repo)
        Agent.update(source, fn _ -> fn -> raise "very-secret" end end)
      end
    end

    test "BEGIN on a Repo's pool would be anybody's" do
      start_supervised!({Repo, uri: Sqld.start!().url, pool_size: 3, log: false})

      for sql <- [
            "BEGIN",
            "SAVEPOINT s",
            "  begin immediate",
            "COMMIT",
            "/* x */ BEGIN",
            ";--\nEND"
          ] do
        assert {:error, %Error{code: :misuse}} = Repo.query(sql)
      end

      Repo.checkout(fn ->
        assert {:ok, _} = Repo.query("BEGIN")
        assert {:ok, _} = Repo.query("ROLLBACK")
      end)
    end
  end
end
