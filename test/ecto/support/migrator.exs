# A process of the operating system that migrates: `elixir migrator.exs migrate|killed DATABASE`.

defmodule Migrator.Repo do
  use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
end

defmodule Migrator.Create do
  use Ecto.Migration

  def change do
    create table(:ran, primary_key: false) do
      add(:version, :integer)
    end

    create table(:posts, primary_key: false) do
      add(:title, :string)
    end

    execute("INSERT INTO ran VALUES (1)", "")
  end
end

defmodule Migrator.Rebuild do
  use Ecto.Migration

  def change do
    execute("INSERT INTO posts VALUES ('a'), ('b')", "")

    alter table(:posts) do
      add(:id, :serial, primary_key: true)
    end

    execute("INSERT INTO ran VALUES (2)", "")
  end
end

defmodule Migrator.Comments do
  use Ecto.Migration

  def change do
    create table(:comments) do
      add(:post_id, references(:posts, on_delete: :delete_all))
    end

    create(constraint(:posts, :titled, check: "title <> ''"))
    execute("INSERT INTO ran VALUES (3)", "")
  end
end

defmodule Migrator.Killed do
  # Says "middle" when the old table is gone, and waits for its end there.
  def run(repo) do
    meta = Ecto.Adapter.lookup_meta(repo)
    check = Ecto.Migration.constraint(:posts, :untitled, check: "title = 'none'", validate: false)

    repo.transaction(fn ->
      Ecto.Adapters.LibSql.DDL.run({:create, check}, [], fn sql ->
        rows = Ecto.Adapters.SQL.query!(meta, sql, []).rows
        if match?(["DROP TABLE " | _], sql), do: wait()
        rows
      end)
    end)
  end

  defp wait do
    IO.puts("middle")
    Process.sleep(:infinity)
  end
end

[what, database] = System.argv()
{:ok, _} = Application.ensure_all_started(:ecto_sql)

{:ok, _} = Ecto.Adapters.LibSql.ensure_all_started([], :temporary)

{:ok, _} = Migrator.Repo.start_link(database: database, pool_size: 1, log: false)
migrations = [{1, Migrator.Create}, {2, Migrator.Rebuild}, {3, Migrator.Comments}]

case what do
  "migrate" ->
    versions = Ecto.Migrator.run(Migrator.Repo, migrations, :up, all: true, log: false)
    IO.puts("migrated #{inspect(versions)}")

  "killed" ->
    Migrator.Killed.run(Migrator.Repo)
end
