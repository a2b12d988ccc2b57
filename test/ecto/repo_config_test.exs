defmodule Ecto.Adapters.LibSql.RepoConfigTest do
  use EctoLibSql.Case, async: true

  import ExUnit.CaptureLog
  alias Ecto.Adapters.LibSql.{DatabaseFile, RepoConfig}

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  # Of which nobody has said yet that it is in memory.
  defmodule Memory do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defp refused(opts) do
    Process.flag(:trap_exit, true)
    assert {:error, {%ArgumentError{message: message}, _stack}} = Repo.start_link(opts)
    message
  end

  test "what is wrong is said at the start" do
    assert refused([]) =~ ~r/RepoConfigTest.Repo: option :database is missing/
    assert refused(database: "x.db", journal_mode: :wall) =~ ":journal_mode must be"
    assert refused(database: 7) =~ ":database is missing"

    folder = Path.dirname(tmp_path()) <> "/none"
    message = refused(database: folder <> "/x.db")
    assert message =~ "the folder #{folder} of its database does not exist"
    assert message =~ "mix ecto.create"
    refute File.exists?(folder)
  end

  test "Ecto's url: is answered with the line to write" do
    for url <- ["libsql://db.turso.io/shop", "ecto://u:p@localhost/shop"] do
      message = refused(url: url)
      assert message =~ ":scheme and :hostname"

      assert message =~
               "config :ecto_libsql, Ecto.Adapters.LibSql.RepoConfigTest.Repo, " <>
                 "EctoLibSql.config!(System.fetch_env!(\"DATABASE_URL\"))"
    end

    # As mix ecto.create has it.
    assert {:error, message} =
             Ecto.Adapters.LibSql.storage_up(
               hostname: "localhost",
               database: "shop",
               otp_app: :shop
             )

    assert message =~ "config :shop, MyApp.Repo, EctoLibSql.config!("
  end

  test "options of other adapters are passed over" do
    start_supervised!(
      {Repo,
       database: tmp_path(),
       pool_size: 1,
       log: false,
       username: "u",
       password: "p",
       port: 5432,
       ssl: true,
       migration_lock: :pg_advisory_lock,
       show_sensitive_data_on_connection_error: true,
       parameters: [application_name: "x"]}
    )

    assert Repo.query!("SELECT 1").rows == [[1]]
  end

  test "a pool without a connection is refused" do
    for size <- [0, -1, "5", nil, :many] do
      opts = [repo: Repo, database: tmp_path(), pool_size: size]
      error = assert_raise ArgumentError, fn -> RepoConfig.check!(opts) end
      assert error.message =~ "pool_size is #{inspect(size)}, and must be a positive integer"
    end
  end

  test "several pools on one file are refused, with the reason" do
    for count <- [2, 0, "1", nil] do
      opts = [repo: Repo, database: tmp_path(), pool_count: count]
      error = assert_raise ArgumentError, fn -> RepoConfig.check!(opts) end
      assert error.message =~ "pool_count is #{inspect(count)}"
      assert error.message =~ ":pool_size"
    end

    assert RepoConfig.check!(repo: Repo, database: tmp_path(), pool_count: 1)
  end

  test "who waits for a connection is turned away when the time-out is over" do
    for {opts, ms} <- [{[timeout: 4000], 2000}, {[timeout: :infinity], 7_500}, {[], 7_500}] do
      opts = [repo: Silent, database: ":memory:", pool_size: 1] ++ opts
      # DBConnection waits for twice as long.
      assert RepoConfig.check!(opts)[:queue_target] == ms
      assert RepoConfig.check!([queue_target: 50] ++ opts)[:queue_target] == 50
    end
  end

  describe "in memory" do
    test "one database, served by one connection" do
      log =
        capture_log(fn ->
          for _ <- 1..2 do
            pid =
              start_supervised!(
                {Memory, database: ":memory:", pool_size: 5, pool_count: 2, log: false}
              )

            Memory.query!("CREATE TABLE t (a)")

            1..20
            |> Enum.map(fn n ->
              Task.async(fn -> Memory.query!("INSERT INTO t VALUES (?1)", [n]) end)
            end)
            |> Task.await_many()

            assert Memory.query!("SELECT count(*) FROM t").rows == [[20]]
            assert Process.alive?(pid)
            stop_supervised!(Memory)
          end
        end)

      assert [_before, _after] = String.split(log, ":pool_size counts as 1")
    end

    test "pool_size: 1 is nothing to speak of" do
      opts = [repo: Silent, database: ":memory:", pool_size: 1]

      assert capture_log(fn ->
               assert opts == Keyword.drop(RepoConfig.check!(opts), [:pool_count, :queue_target])
             end) == ""
    end

    test "it stays while it is idle" do
      start_supervised!(
        {Repo, database: "file::memory:", log: false, idle_interval: 5, max_lifetime: 1..2}
      )

      Repo.query!("CREATE TABLE t (a)")
      # Some pings.
      Process.sleep(60)
      assert Repo.query!("SELECT count(*) FROM t").rows == [[0]]
    end

    test "which databases are a connection's own" do
      for {database, own?} <- [
            {":memory:", true},
            {"file::memory:", true},
            {"file:?mode=memory", true},
            {"file:x?mode=memory", true},
            {"file:x?mode=memory&cache=private", true},
            {"file:x?vfs=memdb", true},
            {"file:x?mode=memory&cache=shared", false},
            {"file:/x?vfs=memdb", false},
            {"x.db", false},
            {"file:x.db", false}
          ] do
        assert {database, DatabaseFile.private?(database: database)} == {database, own?}
      end
    end

    test "shared by a name, any number of connections" do
      start_supervised!(
        {Repo, database: "file:repo_config_test?mode=memory&cache=shared", pool_size: 3, log: false}
      )

      Repo.query!("CREATE TABLE t (a)")

      {:ok, :seen} =
        Repo.transaction(
          fn ->
            Task.await(Task.async(fn -> assert Repo.query!("SELECT a FROM t").rows == [] end))
            :seen
          end,
          mode: :deferred
        )
    end
  end
end
