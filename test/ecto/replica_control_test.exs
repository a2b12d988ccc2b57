defmodule Ecto.Adapters.LibSql.ReplicaControlTest do
  # A Repo on a replica: what is asked of the whole, several of them, and the configuration that EctoLibSql 0.9 had.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  alias Ecto.Adapters.LibSql
  alias EctoLibSql.Error
  alias EctoLibSql.Test.{Jwt, Proxy, Sqld}

  @moduletag :sqld

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  # As a user of 0.9 has it: what its guide says of `config/config.exs`, and no option of ours.
  defmodule Repo09 do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Note do
    use Ecto.Schema

    schema "notes" do
      field(:text, :string)
    end
  end

  defmodule Create do
    use Ecto.Migration
    def change, do: create(table(:notes), do: add(:text, :string))
  end

  setup do
    sqld = Sqld.start!()
    proxy = Proxy.start!(to: sqld.port)
    config = [database: tmp_path("replica.db"), uri: proxy.url, sync: true, log: false]
    {:ok, sqld: sqld, proxy: proxy, config: config ++ [pool_size: 3, sync_interval: 0]}
  end

  defp migrate(repo \\ Repo), do: Ecto.Migrator.up(repo, 1, Create, log: false)

  defp at_server(sqld, sql) do
    {:ok, server} = EctoLibSql.connect(uri: sqld.url)
    {:ok, _, result, _} = EctoLibSql.query(server, sql)
    EctoLibSql.close(server)
    result.rows
  end

  defp count, do: Repo.aggregate(Note, :count)

  ## What is asked of the whole

  test "sync/2 brings what others wrote, and says what came", %{sqld: sqld, config: config} do
    start_supervised!({Repo, config})
    migrate()
    assert count() == 0
    at_server(sqld, "INSERT INTO notes (text) VALUES ('from afar')")
    assert count() == 0
    assert {:ok, %{index: index, frames: frames, bytes: bytes}} = LibSql.sync(Repo)
    assert index > 0 and frames > 0 and bytes > 0
    assert count() == 1
    assert %{index: ^index, lag: 0, syncs: syncs} = EctoLibSql.stats(Repo).replica
    # Nobody is asked.
    Sqld.kill(sqld)
    assert {:ok, %{index: ^index, frames: 0, bytes: 0}} = LibSql.sync(Repo, until: index)
    assert EctoLibSql.stats(Repo).replica.syncs == syncs
    # The proxy is still there.
    assert {:error, %Error{code: code}} = LibSql.sync(Repo)
    assert code in [:unreachable, :connection_lost]
    assert {:error, %Error{}} = LibSql.sync(Repo, until: index + 1)
    assert %{failures: failures, last_error: %Error{}} = EctoLibSql.stats(Repo).replica
    assert failures > 0
    assert {:error, %Error{code: :bad_argument}} = LibSql.sync(Repo, until: :soon)
    assert count() == 1
  end

  test "sync/2 ends with its time, and is an event of Ecto's", %{sqld: sqld, config: config} do
    start_supervised!({Repo, config})
    migrate()
    test = self()

    :telemetry.attach(
      {__MODULE__, test},
      Repo.config()[:telemetry_prefix] ++ [:query],
      &__MODULE__.tell/4,
      test
    )

    assert {:ok, _} = LibSql.sync(Repo)
    assert_received {:asked, "sync: nil"}
    :telemetry.detach({__MODULE__, test})
    Sqld.freeze(sqld)
    assert {:error, %Error{code: :timeout}} = LibSql.sync(Repo, timeout: 300)
    Sqld.thaw(sqld)
    assert {:ok, _} = LibSql.sync(Repo)
  end

  def tell(_event, _measured, metadata, test), do: send(test, {:asked, metadata.query})

  test "sync/2 in a transaction uses its connection", %{sqld: sqld, config: config} do
    start_supervised!({Repo, Keyword.put(config, :pool_size, 1)})
    at_server(sqld, "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    assert {:ok, _} = LibSql.sync(Repo)

    assert {:ok, 1} =
             Repo.transaction(fn ->
               Repo.insert!(%Note{text: "mine"})
               assert {:ok, _} = LibSql.sync(Repo)
               count()
             end)

    # A snapshot stays what it was.
    assert {:ok, [1, 1]} =
             Repo.transaction(
               fn ->
                 before = count()
                 at_server(sqld, "INSERT INTO notes (text) VALUES ('theirs')")
                 assert {:ok, _} = LibSql.sync(Repo)
                 [before, count()]
               end,
               mode: :read
             )

    assert count() == 2
  end

  test "a Repo that is no replica has no syncs" do
    start_supervised!({Repo, database: tmp_path(), pool_size: 2, log: false})
    assert {:error, %Error{code: :unsupported}} = LibSql.sync(Repo)
    assert EctoLibSql.stats(Repo).replica == nil
  end

  test "stats/1 knows the replica while all connections are taken", %{config: config} do
    start_supervised!({Repo, Keyword.put(config, :pool_size, 2)})
    migrate()
    # The reader beside the pool, once it is open.
    eventually(fn -> count() == 0 and EctoLibSql.stats(Repo).shared.open > 0 end)
    test = self()

    tasks =
      for _ <- 1..2 do
        Task.async(fn ->
          Repo.checkout(fn ->
            send(test, :taken)
            assert_receive :go, 10_000
          end)
        end)
      end

    for _ <- tasks, do: assert_receive(:taken, 5_000)
    assert %{replica: %{lag: 0}} = EctoLibSql.stats(Repo)
    for task <- tasks, do: send(task.pid, :go)
    Task.await_many(tasks)
  end

  test "freeze/1 makes an ordinary database of it", %{sqld: sqld, config: config} do
    start_supervised!({Repo, config})
    migrate()
    Repo.insert!(%Note{text: "kept"})
    assert count() == 1
    assert {:error, %Error{code: :already_open}} = LibSql.freeze(config)
    assert count() == 1
    :ok = stop_supervised(Repo)
    Sqld.kill(sqld)
    path = config[:database]
    eventually(fn -> match?({:ok, ^path}, LibSql.freeze(config)) end)
    plain = Keyword.drop(config, [:uri, :sync, :sync_interval])
    start_supervised!({Repo, plain})
    assert [%{text: "kept"}] = Repo.all(Note)
    Repo.insert!(%Note{text: "on my own"})
    assert count() == 2
    assert {:ok, _} = Repo.transaction(fn -> Repo.delete_all(Note) end)
    :ok = stop_supervised(Repo)
    # It is nobody's replica any more. (Connections beside the pool are closed a moment after it.)
    opts = Keyword.drop(config, [:log, :pool_size])

    eventually(fn ->
      {:error, %Error{code: code}} = EctoLibSql.connect(opts)
      code == :not_a_replica
    end)
  end

  test "a structure is read from the file, and loaded into the server", %{config: config} do
    start_supervised!({Repo, config})
    migrate()
    assert count() == 0
    dump = tmp_path("structure.sql")
    opts = Keyword.merge(config, dump_path: dump)
    assert {:ok, ^dump} = LibSql.structure_dump(Path.dirname(dump), opts)
    assert File.read!(dump) =~ ~s(CREATE TABLE "notes")
    empty = Sqld.start!()
    other = Keyword.merge(opts, uri: empty.url, database: tmp_path("other.db"))
    assert {:ok, ^dump} = LibSql.structure_load(Path.dirname(dump), other)
    assert at_server(empty, "SELECT count(*) FROM notes") == [[0]]
    assert at_server(empty, "SELECT version FROM schema_migrations") == [[1]]
    assert {:error, message} = LibSql.storage_down(opts)
    assert message =~ "dropped there"
  end

  ## Readers beside the pool

  test "what begins like a read, and writes, is run once", %{config: config} do
    start_supervised!({Repo, config})
    migrate()
    eventually(fn -> count() == 0 and EctoLibSql.stats(Repo).shared.open > 0 end)
    sql = "WITH n(v) AS (SELECT 'x') INSERT INTO notes (text) SELECT v FROM n RETURNING id"

    for i <- 1..20 do
      assert %{rows: [[^i]]} = Repo.query!(sql)
      assert count() == i
    end
  end

  test "a query of many runs is stopped by its time, and the Repo goes on", %{config: config} do
    start_supervised!({Repo, config})
    migrate()

    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    assert {:error, %Error{code: :timeout}} = Repo.query(slow, [], timeout: 200)
    assert count() == 0
  end

  ## Several

  test "two replicas of one Repo, by put_dynamic_repo", %{config: config} do
    other = Keyword.merge(config, database: tmp_path("other.db"), name: nil)
    a = start_supervised!({Repo, Keyword.put(config, :name, nil)}, id: :a)
    b = start_supervised!({Repo, other}, id: :b)
    Repo.put_dynamic_repo(a)
    migrate()
    Repo.insert!(%Note{text: "by a"})
    assert count() == 1
    Repo.put_dynamic_repo(b)
    assert {:ok, _} = LibSql.sync(Repo)
    assert count() == 1
    Repo.insert!(%Note{text: "by b"})
    assert count() == 2
    Repo.put_dynamic_repo(a)
    assert count() == 1
    # The one of this process, and no other.
    assert {:ok, _} = LibSql.sync(Repo)
    assert count() == 2
    assert EctoLibSql.stats(a).database != EctoLibSql.stats(b).database
    assert {:ok, _} = LibSql.sync(b)
    assert %{lag: 0} = EctoLibSql.stats(b).replica
  end

  test "two Repos of one file are one replica", %{config: config} do
    a = start_supervised!({Repo, Keyword.put(config, :name, nil)}, id: :a)
    b = start_supervised!({Repo, Keyword.put(config, :name, nil)}, id: :b)
    Repo.put_dynamic_repo(a)
    migrate()
    Repo.insert!(%Note{text: "by a"})
    Repo.put_dynamic_repo(b)
    assert count() == 1
  end

  ## insert_all, streams, upserts

  test "many rows at once, and a stream of them", %{config: config, proxy: proxy} do
    start_supervised!({Repo, config})
    migrate()
    rows = for n <- 1..2_000, do: %{text: "n#{n}"}
    assert {2_000, nil} = Repo.insert_all(Note, rows)
    assert count() == 2_000
    query = from(n in Note, select: n.text, order_by: n.id)
    asked = length(Proxy.requests(proxy))

    assert {:ok, texts} =
             Repo.transaction(fn -> query |> Repo.stream(max_rows: 100) |> Enum.to_list() end,
               mode: :read
             )

    assert texts == Enum.map(rows, & &1.text)
    assert length(Proxy.requests(proxy)) == asked
    assert {:error, %Error{code: :readonly}} = in_snapshot(fn -> Repo.delete_all(Note) end)
    assert {:ok, 2_000} = Repo.transaction(fn -> query |> Repo.stream() |> Enum.count() end)

    assert {1, [%{text: "new"}]} =
             Repo.insert_all(Note, [%{id: 1, text: "new"}],
               on_conflict: {:replace, [:text]},
               conflict_target: :id,
               returning: [:text]
             )

    assert Repo.get!(Note, 1).text == "new"
  end

  defp in_snapshot(fun) do
    Repo.transaction(fun, mode: :read)
  rescue
    error in Error -> {:error, error}
  end

  ## The configuration of 0.9

  test "a Repo's configuration as 0.9 had it", %{sqld: _open} do
    key = Jwt.new_key()
    sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))

    Application.put_env(:ecto_libsql, Repo09,
      adapter: Ecto.Adapters.LibSql,
      database: tmp_path("my_app_replica.db"),
      uri: sqld.url,
      auth_token: Jwt.token(key),
      sync: true,
      log: false
    )

    start_supervised!(Repo09)
    assert :ok = migrate(Repo09)
    note = Repo09.insert!(%Note{text: "hello"})
    assert Repo09.get!(Note, note.id).text == "hello"
    assert {:ok, 1} = Repo09.transaction(fn -> Repo09.aggregate(Note, :count) end)
    assert [%{text: "hello"}] = Repo09.all(Note)
    # 0.9's functions take a connection's state.
    opts = Repo09.config() |> Keyword.take([:database, :uri, :auth_token, :sync])
    {:ok, state} = EctoLibSql.connect(opts)
    assert {:ok, "success sync"} = EctoLibSql.Native.sync(state)
    assert {:ok, frame} = EctoLibSql.Native.get_frame_number_for_replica(state)
    assert {:ok, written} = EctoLibSql.Native.get_max_write_frame(state)
    assert frame >= written and written > 0
    assert :ok = EctoLibSql.Native.sync_until_frame(state, frame)
    assert {:ok, ^frame} = EctoLibSql.Native.flush_and_get_frame(state)
    assert {:error, %Error{code: :already_open}} = EctoLibSql.Native.freeze_replica(state)
    EctoLibSql.close(state)
  end
end
