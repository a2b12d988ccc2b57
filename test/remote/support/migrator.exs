# A process of the operating system that migrates a server's database: `elixir migrator.exs URL`.

defmodule RemoteMigrator.Repo do
  use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
end

defmodule RemoteMigrator.Create do
  use Ecto.Migration

  def change do
    create table(:ran) do
      add(:version, :integer)
    end

    execute("INSERT INTO ran (version) VALUES (1)", "")
  end
end

defmodule RemoteMigrator.Slow do
  # Longer than a server lets a transaction live when another wants to write.
  use Ecto.Migration

  def change do
    execute("INSERT INTO ran (version) VALUES (2)", "")
    execute(fn -> Process.sleep(6_500) end, fn -> :ok end)
    execute("CREATE INDEX ran_version ON ran (version)", "")
  end
end

[url] = System.argv()
{:ok, _} = Application.ensure_all_started(:ecto_sql)
{:ok, _} = Ecto.Adapters.LibSql.ensure_all_started([], :temporary)
{:ok, _} = RemoteMigrator.Repo.start_link(uri: url, pool_size: 2, log: false)
migrations = [{1, RemoteMigrator.Create}, {2, RemoteMigrator.Slow}]
versions = Ecto.Migrator.run(RemoteMigrator.Repo, migrations, :up, all: true, log: false)
IO.puts("migrated #{inspect(versions)}")
