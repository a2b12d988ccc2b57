defmodule EctoLibSql.SuiteCase do
  # How a test of Ecto's suites is kept from what those before it have written: by the sandbox, and on a replica,
  # which has none, by removing it.

  alias Ecto.Adapters.SQL.Sandbox

  # Tables that came later refer to those before them. What migrations were run is to stay.
  @tables """
  SELECT name FROM sqlite_schema
  WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_migrations' ORDER BY rowid DESC
  """

  @doc "Once, when the tables are made."
  def begin(:replica, _repo), do: :ok
  def begin(_config, repo), do: Sandbox.mode(repo, :manual)

  @doc "Before each test."
  def isolate(:replica, repo) do
    for [table] <- repo.query!(@tables).rows, do: repo.query!(~s(DELETE FROM "#{table}"))
    :ok
  end

  def isolate(_config, repo), do: Sandbox.checkout(repo)
end
