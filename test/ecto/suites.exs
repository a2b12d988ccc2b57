# Ecto's and ecto_sql's own integration suites with our adapter, nothing left out: tools/ecto-suites.
#
#     suites.exs full|default|server|replica [part of a suite's name ...]
#
# Fails where a test fails that SQLite could pass. Which configuration is which stands in
# support/suite_config.exs, what failed and how in build/ecto-suites-CONFIG.log, the figures in
# build/ecto-suites-CONFIG.txt.

[name | parts] = System.argv()
config = String.to_existing_atom(name)

Code.require_file("support/suite_config.exs", __DIR__)
Code.require_file("support/suite_case.exs", __DIR__)
Code.require_file("support/suite_formatter.exs", __DIR__)
alias EctoLibSql.{SuiteConfig, SuiteFormatter}

packages = Mix.Project.deps_paths()
folder = Path.join(System.tmp_dir!(), "ecto_libsql-suites-#{System.pid()}")
System.at_exit(fn _status -> File.rm_rf!(folder) end)

# The suites write files beside themselves.
[ecto, ecto_sql] =
  for app <- [:ecto, :ecto_sql] do
    to = Path.join([folder, "#{app}", "integration_test"])
    File.mkdir_p!(Path.dirname(to))
    File.cp_r!(Path.join(packages[app], "integration_test"), to)
    to
  end

output = Path.expand("build/ecto-suites-#{config}")
File.mkdir_p!(Path.dirname(output))
Application.put_env(:ecto_libsql, :suites, config: config, output: output)

# One test at a time: suites that call themselves async write the same file, and SQLite has one writer.
ExUnit.start(
  autorun: false,
  formatters: [SuiteFormatter],
  max_cases: 1,
  timeout: 60_000,
  capture_log: true
)

{test_repo, pool_repo} = SuiteConfig.repos(config, folder)
Application.put_env(:ecto_sql, Ecto.Integration.TestRepo, test_repo)
Application.put_env(:ecto_sql, Ecto.Integration.PoolRepo, pool_repo)
for {app, key, value} <- SuiteConfig.settings(), do: Application.put_env(app, key, value)

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

  @config config
  setup do: EctoLibSql.SuiteCase.isolate(@config, Ecto.Integration.TestRepo)
end

alias Ecto.Integration.{PoolRepo, TestRepo}

for repo <- [TestRepo, PoolRepo] do
  {:ok, _} = Ecto.Adapters.LibSql.ensure_all_started(repo.config(), :temporary)

  # A server's database is there already, and empty; the default configuration's is made once for both.
  created = Ecto.Adapters.LibSql.storage_up(repo.config())
  {:ok, _pid} = repo.start_link()

  if created == :ok or config in [:server, :replica],
    do: :ok = Ecto.Migrator.up(repo, 0, Ecto.Integration.Migration, log: false)
end

EctoLibSql.SuiteCase.begin(config, TestRepo)
Process.flag(:trap_exit, true)

chosen? = fn path -> parts == [] or Enum.any?(parts, &String.contains?(path, &1)) end
files = Path.wildcard(ecto <> "/cases/*.exs") ++ Path.wildcard(ecto_sql <> "/sql/*.exs")

unloaded =
  for path <- files, chosen?.(path), reduce: 0 do
    unloaded ->
      try do
        Code.require_file(path)
        unloaded
      rescue
        error ->
          IO.puts("#{Path.basename(path)} cannot be loaded: #{Exception.message(error)}")
          unloaded + 1
      end
  end

# The formatter wrote who failed.
ExUnit.run()
System.halt(if unloaded == 0 and SuiteFormatter.unexpected() == [], do: 0, else: 1)
