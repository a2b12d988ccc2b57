defmodule Ecto.Adapters.LibSql.MigrationCase do
  @moduledoc false
  # Migrations as applications write them, run by Ecto.Migrator. Each test has a database of its own, behind
  # the same Repo.

  use ExUnit.CaseTemplate

  defmodule Repo do
    @moduledoc false
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Posts do
    @moduledoc false
    use Ecto.Migration

    def change do
      create table(:posts) do
        add(:title, :string)
        add(:body, :text)
        add(:author, :string)
      end
    end
  end

  using do
    quote do
      use EctoLibSql.Case, async: true
      import Ecto.Query
      import Ecto.Adapters.LibSql.MigrationCase
      alias Ecto.Adapters.LibSql.MigrationCase.{Posts, Repo}
    end
  end

  setup context do
    if context[:repo] != false, do: repo(context[:options] || [])
    :ok
  end

  @doc "Starts the Repo on another database, for this process."
  def repo(opts) do
    database = EctoLibSql.Case.tmp_path()
    opts = Keyword.merge([name: nil, database: database, log: false, pool_size: 1], opts)
    {:ok, pid} = ExUnit.Callbacks.start_supervised({Repo, opts}, id: make_ref())
    Repo.put_dynamic_repo(pid)
    pid
  end

  def up(module, version \\ 1, opts \\ []),
    do: Ecto.Migrator.up(Repo, version, module, migrator(opts))

  def down(module, version \\ 1, opts \\ []),
    do: Ecto.Migrator.down(Repo, version, module, migrator(opts))

  def migrator(opts), do: [log: false, dynamic_repo: Repo.get_dynamic_repo()] ++ opts

  def rows(sql, params \\ []), do: Repo.query!(sql, params).rows

  @doc "The text of a table, an index or a trigger; `nil` where there is none."
  def text(name) do
    case rows("SELECT sql FROM sqlite_schema WHERE name = ?1", [name]) do
      [[text] | _] -> text
      [] -> nil
    end
  end

  @doc "What the migration has made, by name."
  def objects do
    rows(
      "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    |> Enum.concat()
    |> Kernel.--(["schema_migrations", "libsql_vector_meta_shadow"])
  end

  @doc "The table `posts`, with two rows."
  def posts do
    :ok = up(Posts)

    Repo.insert_all("posts", [
      %{title: "Ecto on SQLite", body: "a query is planned once", author: "ann"},
      %{title: "Vectors", body: "the nearest neighbour", author: "bob"}
    ])
  end
end
