# Ecto's and ecto_sql's own integration suites with our adapter, nothing excluded: `tools/ecto-suites`.
# Arguments choose suites, by parts of their names: `tools/ecto-suites cases/repo sql/`.

packages = Mix.Project.deps_paths()
folder = Path.join(System.tmp_dir!(), "ecto_libsql-suites-#{System.pid()}")

# The suites write files beside themselves.
for app <- [:ecto, :ecto_sql] do
  to = Path.join([folder, "#{app}", "integration_test"])
  File.mkdir_p!(Path.dirname(to))
  File.cp_r!(Path.join(packages[app], "integration_test"), to)
end

ecto = Path.join([folder, "ecto", "integration_test"])
ecto_sql = Path.join([folder, "ecto_sql", "integration_test"])
log = Path.expand("build/ecto-suites.log")

Code.require_file("support/suite_formatter.exs", __DIR__)
Application.put_env(:ecto_libsql, :suite_log, log)

# One test at a time: suites that call themselves async write the same file, and SQLite has one writer.
ExUnit.start(autorun: false, formatters: [EctoLibSql.SuiteFormatter], max_cases: 1, timeout: 60_000)

Application.put_env(:ecto, :primary_key_type, :id)
Application.put_env(:ecto, :async_integration_tests, false)
# Our Lock makes it the lock for writing.
Application.put_env(:ecto_sql, :lock_for_update, "FOR UPDATE")

prefixes =
  for name <- ["ecto_prefix_test", "bad_schema_migrations"], do: {name, Path.join(folder, name)}

# Prefixes are attached databases, which belong to a connection; so each connection attaches them.
defmodule EctoLibSql.Suites do
  def attach(conn, name, prefixes) do
    for {prefix, path} <- prefixes do
      {:ok, _query, _result} =
        DBConnection.execute(
          conn,
          %EctoLibSql.Query{statement: "ATTACH ?1 AS #{prefix}"},
          ["#{path}-#{name}.db"],
          []
        )
    end
  end
end

# Two files: the sandbox holds the one in a transaction while the pool writes the other.
config = fn name ->
  [
    database: Path.join(folder, "#{name}.db"),
    after_connect: {EctoLibSql.Suites, :attach, [name, prefixes]},
    pool_size: 10,
    # "raises when connection pool is too small": the lock that needs no second connection never does.
    migration_lock: :lease,
    log: false
  ]
end

Application.put_env(
  :ecto_sql,
  Ecto.Integration.TestRepo,
  [pool: Ecto.Adapters.SQL.Sandbox] ++ config.("test")
)

# "transactions are not shared in repo" begins two transactions at once; two that may write cannot be.
Application.put_env(
  :ecto_sql,
  Ecto.Integration.PoolRepo,
  [transaction_mode: :deferred] ++ config.("pool")
)

Code.require_file("support/repo.exs", ecto_sql)

defmodule Ecto.Integration.TestRepo do
  use Ecto.Integration.Repo, otp_app: :ecto_sql, adapter: Ecto.Adapters.LibSql

  def uuid, do: Ecto.UUID

  # Attached when the connection was opened: a database cannot be detached in the transaction that
  # dropped its tables.
  def create_prefix(_prefix), do: "SELECT 1"
  def drop_prefix(_prefix), do: "SELECT 1"
end

defmodule Ecto.Integration.PoolRepo do
  use Ecto.Integration.Repo, otp_app: :ecto_sql, adapter: Ecto.Adapters.LibSql
end

Code.require_file("support/schemas.exs", ecto)
Code.require_file("support/migration.exs", ecto_sql)

defmodule Ecto.Integration.Case do
  use ExUnit.CaseTemplate

  setup do
    :ok = Ecto.Adapters.SQL.Sandbox.checkout(Ecto.Integration.TestRepo)
  end
end

alias Ecto.Integration.{PoolRepo, TestRepo}

for repo <- [TestRepo, PoolRepo] do
  {:ok, _} = Ecto.Adapters.LibSql.ensure_all_started(repo.config(), :temporary)
  :ok = Ecto.Adapters.LibSql.storage_up(repo.config())
  {:ok, _pid} = repo.start_link()
  :ok = Ecto.Migrator.up(repo, 0, Ecto.Integration.Migration, log: false)
end

Ecto.Adapters.SQL.Sandbox.mode(TestRepo, :manual)
Process.flag(:trap_exit, true)

chosen? = fn path ->
  System.argv() == [] or Enum.any?(System.argv(), &String.contains?(path, &1))
end

for path <- Path.wildcard(ecto <> "/cases/*.exs") ++ Path.wildcard(ecto_sql <> "/sql/*.exs"),
    chosen?.(path) do
  try do
    Code.require_file(path)
  rescue
    error -> IO.puts("#{Path.basename(path)} cannot be loaded: #{Exception.message(error)}")
  end
end

%{failures: failures} = ExUnit.run()
IO.puts("failures: #{log}")
File.rm_rf!(folder)
System.halt(if failures == 0, do: 0, else: 1)
