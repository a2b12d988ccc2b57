defmodule Ecto.Adapters.LibSql.OfflineTest do
  # A Repo whose database is a replica that is written to offline.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.Error
  alias EctoLibSql.Test.Generations

  @moduletag :generations

  defmodule Repo do
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

    def change do
      create table(:notes) do
        add(:text, :string)
        add(:old, :integer)
      end
    end
  end

  # By a new table, which a server would refuse.
  defmodule Change do
    use Ecto.Migration

    def change do
      alter table(:notes) do
        remove(:old, :integer)
        modify(:text, :string, null: false, from: :string)
      end
    end
  end

  setup do
    server = Generations.start!()

    config = [
      database: tmp_path("offline.db"),
      uri: server.url,
      sync: true,
      offline: true,
      sync_interval: 0,
      retry_time: 500,
      pool_size: 3,
      log: false
    ]

    {:ok, server: server, config: config}
  end

  defp tell_of_pushes(database) do
    on_exit(fn -> :telemetry.detach({__MODULE__, database}) end)

    :telemetry.attach(
      {__MODULE__, database},
      [:ecto_libsql, :replica_pushed],
      &__MODULE__.forward/4,
      {database, self()}
    )
  end

  def forward(_name, measurements, %{database: database}, {database, test}),
    do: send(test, {:pushed, measurements})

  def forward(_name, _measurements, _metadata, _test), do: :ok

  test "migrates, writes and reads here, and pushes all of it", %{config: config} do
    start_supervised!({Repo, config})
    assert [1, 2] = Ecto.Migrator.run(Repo, [{1, Create}, {2, Change}], :up, all: true, log: false)
    for n <- 1..50, do: Repo.insert!(%Note{text: "note #{n}"})

    assert {:ok, :done} =
             Repo.transaction(fn ->
               Repo.update_all(Note, set: [text: "changed"])
               :done
             end)

    assert_raise Error, fn -> Repo.insert!(%Note{text: nil}) end
    assert %{replica: %{offline: true, unpushed: unpushed}} = EctoLibSql.stats(Repo)
    assert unpushed > 50
    tell_of_pushes(config[:database])
    assert {:ok, %{index: _}} = Ecto.Adapters.LibSql.sync(Repo)
    assert_receive {:pushed, %{frames: ^unpushed}}, 5_000
    assert %{replica: %{unpushed: 0, pushed: ^unpushed}} = EctoLibSql.stats(Repo)

    {:ok, other} =
      EctoLibSql.connect(
        Keyword.merge(config, database: tmp_path("other.db"), offline: false)
        |> Keyword.drop([:log, :pool_size])
      )

    sql = "SELECT count(*) FROM notes WHERE text = 'changed'"
    assert {:ok, _query, %{rows: [[50]]}, _other} = EctoLibSql.query(other, sql)
    EctoLibSql.close(other)
  end

  test "without its server it works on", %{config: config, server: server} do
    start_supervised!({Repo, config})
    Ecto.Migrator.run(Repo, [{1, Create}], :up, all: true, log: false)
    stop_supervised!(Repo)
    Generations.control(server, do: "faults", faults: %{status: 500})
    start_supervised!({Repo, Keyword.put(config, :sync_on_open, false)})
    Repo.insert!(%Note{text: "here"})
    assert [%Note{text: "here"}] = Repo.all(Note)
    assert {:error, %Error{code: :error}} = Ecto.Adapters.LibSql.sync(Repo)
    Generations.control(server, do: "faults", faults: %{})
    assert {:ok, _} = Ecto.Adapters.LibSql.sync(Repo)
    assert %{replica: %{unpushed: 0}} = EctoLibSql.stats(Repo)
  end
end
