defmodule EctoLibSql.SuiteConfig do
  # The configurations with which Ecto's suites are run: `:default`, a Repo with nothing but its database,
  # `:full`, each line with the reason for it, `:server`, a real one, and `:replica`, a file that follows one.

  @doc "Options of TestRepo and PoolRepo; their databases lie in `folder`."
  def repos(:default, folder) do
    # As with Ecto's own adapters, both repos have one database.
    repo = [database: Path.join(folder, "default.db"), log: false]
    {[pool: Ecto.Adapters.SQL.Sandbox] ++ repo, repo}
  end

  def repos(:full, folder) do
    {[pool: Ecto.Adapters.SQL.Sandbox] ++ full("test", folder),
     [
       # "transactions are not shared in repo" has two transactions at once; two that may write cannot be.
       transaction_mode: :deferred
     ] ++ full("pool", folder)}
  end

  # A server for each repo, as `:full` has a file. What a server cannot have is left out: attached databases
  # (prefixes), tables that are strict for one test.
  def repos(:server, folder) do
    {[pool: Ecto.Adapters.SQL.Sandbox] ++ server("test", folder),
     [transaction_mode: :deferred] ++ server("pool", folder)}
  end

  # As `:server`; the sandbox is refused, and SuiteCase removes what tests write.
  def repos(:replica, folder) do
    {replica("test", folder), [transaction_mode: :deferred] ++ replica("pool", folder)}
  end

  defp replica(name, folder),
    do: [database: Path.join(folder, "#{name}.db"), sync: true] ++ server(name, folder)

  defp server(name, folder) do
    {:ok, pid} = EctoLibSql.Test.Sqld.start_link(dir: Path.join(folder, name))

    [
      uri: EctoLibSql.Test.Sqld.info(pid).url,
      binary_id_type: :blob,
      log: false
    ]
  end

  @prefixes [:ecto_prefix_test, :bad_schema_migrations]

  defp full(db, folder) do
    [
      # A file for each repo: some tests write by both at once, and one of them in a transaction.
      database: Path.join(folder, "#{db}.db"),
      # A prefix is an attached database.
      attach: for(name <- @prefixes, do: {name, Path.join(folder, "#{name}-#{db}.db")}),
      # "raises when connection pool is too small": the lock that needs no second connection never does.
      migration_lock: :lease,
      # "does not commit migration if insert into schema migration fails": for an INTEGER column to refuse
      # a text, its table has to be strict.
      strict_tables: ["bad_schema_migrations"],
      # "values list update_all" compares a column of :binary_id with a value of Ecto.UUID.
      binary_id_type: :blob,
      log: false
    ]
  end

  @doc "Settings of the suites themselves."
  def settings do
    [
      {:ecto, :primary_key_type, :id},
      {:ecto, :async_integration_tests, false},
      # SQLite has no locks of rows: the adapter makes it the one for writing.
      {:ecto_sql, :lock_for_update, "FOR UPDATE"}
    ]
  end

  @doc "Whether a test, `{suite, name}`, is known to fail with a configuration."
  # The SQL sandbox is refused: what its tests write would be on the server, for all to see.
  def beyond?(:replica, {"sql/sandbox", _name}), do: true
  def beyond?(:replica, test), do: test in (beyond() ++ beyond_prefixes())
  def beyond?(:server, test), do: test in (beyond() ++ beyond_prefixes() ++ beyond_servers())
  def beyond?(_local, test), do: test in beyond()

  # docs/remote.md says the same to users. A replica computes in its own engine.
  defp beyond_servers do
    [
      # Compares and sums decimals: their collation and functions are the driver's, in its own engine.
      {"cases/type", :"test decimal type"},
      {"cases/type", :"test decimal typed aggregations"}
    ]
  end

  # A prefix is an attached database, which no server has.
  defp beyond_prefixes do
    [
      {"sql/migration", :"test prefix"},
      # Wants a prefix, and a STRICT table in it.
      {"sql/migrator", :"test does not commit migration if insert into schema migration fails"}
    ]
  end

  # Of no SQLite: they send PostgreSQL's own SQL.
  defp beyond do
    [
      # SELECT ARRAY['…', '…']::text[]
      {"sql/sql", :"test fragment array types"},
      # SELECT array[1,2,3] = $1
      {"sql/sql", :"test Converts empty array correctly"},
      # SET TRANSACTION ISOLATION LEVEL
      {"sql/sandbox", :"test transactions with custom isolation level"}
    ]
  end
end
