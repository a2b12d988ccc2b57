defmodule Ecto.Adapters.LibSql do
  @moduledoc """
  The Ecto adapter for libSQL.

      config :shop, Shop.Repo, database: "shop.db"

      defmodule Shop.Repo do
        use Ecto.Repo, otp_app: :shop, adapter: Ecto.Adapters.LibSql
      end

  ## Options

  In the Repo's configuration stand the options of `EctoLibSql.connect/1`, those of `DBConnection`
  (`:pool_size`, `:timeout`, `:queue_target`, …) and those of `Ecto.Adapters.SQL` (`:log`, `:stacktrace`, …).
  `:database` is the path of a file, or `":memory:"`: one database then, served by one connection, which is
  gone when the connection is. What is wrong with the configuration is said when the Repo starts. Ecto's own
  `url:` cannot say where a database is; `EctoLibSql.config!/1` makes options of an address or a path.

  Beside the pool, where it has more than one connection to a file in WAL mode, a Repo keeps a few that its
  processes share, and that run its single statements: `Repo.get`, `Repo.insert`, all that is in no transaction
  and no `Repo.checkout`. They have the same options, but no part in `:pool_size`: at most one that reads for
  each scheduler, and one that writes; who is not used for a minute is closed. What belongs to one connection,
  a temporary table or `last_insert_rowid()`, wants a transaction or a checkout, as with any pool.
  `Repo.disconnect_all/2` reaches them, too (`Ecto.Adapters.SQL.disconnect_all/3` does not).
  `shared_connections: false` has everything done by the pool; so it is in the SQL sandbox, and with
  `:after_connect`.

  Who waits for a connection of the pool waits as long as the `:timeout` of the Repo's configuration (15 seconds),
  and is turned away by DBConnection then: `:queue_target` is half of that, unless the configuration says
  otherwise, since writers wait for one another anyway. The `:timeout` of a single call does not end this wait.

  A call's `:timeout` counts from its beginning: waiting for a connection, for the turn to write, and the run. Then
  the statement is stopped, the error is `:timeout`, and the connection stays; where the engine cannot be stopped
  (a sort, one long function) it is replaced, and whether anything was stored is not known. Who is still waiting
  for a connection is told when he gets one, or by the pool. A transaction that overruns its own `:timeout` is
  rolled back, and its connection closed; a statement in it may have a shorter one.

  Transactions begin IMMEDIATE; `Repo.transaction(fun, mode: :deferred)` and the modes `:exclusive` and
  `:read` begin otherwise. SQLite has one lock for all that is written: a query with `lock: "FOR UPDATE"`
  takes it, if its transaction does not have it. `Repo.stream/2` belongs into one of mode `:read`.

  A task that a transaction awaits cannot write: it has another connection, and would wait for the transaction, which
  waits for it. It is told so at once (`:would_deadlock`).

  With `mvcc: true` they begin DEFERRED: those that only read never wait for writers, nor these for them, and one
  that writes after it has read fails with `:busy_snapshot` if another has written since, or is writing.

  `Repo.transaction(fun, retry: 3)` runs a transaction again, up to three times, if other writers made it fail:
  if it ended with the error `:busy_snapshot`, `:busy` or, on a server, `:transaction_timeout`, raised or given to
  `Repo.rollback/1`. So do
  `Repo.transact/2` and an `Ecto.Multi`. The whole function runs once more, with all that it does beside the
  database; after the last time the caller gets the last error. A run after the first begins IMMEDIATE, so that
  it does not meet the same conflict. Each has the whole `:timeout`. `:retry` is passed over in a nested
  transaction, where the outermost says, and in the SQL sandbox, where nothing is committed. Nothing is ever run
  again when it is not known what is in the database.

  In Ecto's SQL sandbox a test is a transaction that is rolled back. Tests that only read run side by side; one
  that writes has the turn to write until its end, and others that write wait for it there, for as long as their
  calls' `:timeout` says. So tests with `async: true` may write, but those that do run one after the other.

  `:migration_lock` says how migrators keep out of each other's way. The default is a lock of the operating
  system on a file beside the database; `:lease` is a row in the database, for machines that share one,
  and needs a `:pool_size` of 2; it is what servers have. `false` is no lock.

  With `strict_tables: true` migrations create STRICT tables, which refuse values of other storage classes;
  with a list, those of the databases named there, `"main"` or attached ones.

  `:dump_path` is the file of `mix ecto.dump`. `:dump_prefixes` (`--prefix`) are the databases that are
  dumped, `"main"` or attached ones; without it, that of `:database`.

  ## Types

    * booleans are 1 and 0; integers (of 64 bits) and floats are themselves
    * dates and times are ISO 8601 text, `2024-05-06T07:08:09`: with six digits of a second for the
      types `*_usec`, with none for the others, and with `Z` for the `utc_*` types; years 0 to 9999
    * decimals are their exact digits as text, up to 999 on a side of the point
    * `:binary` is a BLOB, `Ecto.UUID` the BLOB of its 16 bytes, `:binary_id` text
    * maps, embedded schemas and arrays are JSON text; an element of an array is what a column of its type
      would hold, bytes that are no UTF-8 `{"x": "hexadecimal"}`
    * durations are ISO 8601 text; they are cut to the fields and the precision of their column when they
      are read. Bitstrings are BLOBs. Neither sorts in SQL as in Elixir.

  Four of these are the Repo's to choose, best before its first migration: `uuid_type: :text`,
  `binary_id_type: :blob`, `json_type: :jsonb`, and `datetime_type: :integer` for date-times as microseconds
  since 1970 (those within JSON stay text). Fields of `Ecto.UUID` and of `:binary_id` that refer to one
  another need the same form: set both alike. Such a value cannot stand in the text of a query, since that
  is the same for all Repos: interpolate it with `^`.

  All forms are read, whichever the Repo writes, and what other programs wrote: a space for the `T`, a
  missing `Z`, decimals as numbers. Read, not compared: where a column holds several forms, bring them into
  one. A value that is not of its field's type is an error that names the field.
  `EctoLibSql.Upgrade` mends what EctoLibSql 0.9 stored in a way that queries cannot bridge.

  Queries of tables without a schema read decimals, dates and times, JSON and arrays by the type that the
  table declares for the column, as our migrations write it (`TEXT_DECIMAL`, `TEXT_JSON`, …), also through
  subqueries, CTEs, views and RETURNING. UUIDs are then what is stored, columns of STRICT tables give their
  storage class, and `Repo.query` always does.

  ## Queries

  All of `Ecto.Query` that SQLite can express, with whatever SQL it takes; the rest raises when the query is
  planned. docs/capabilities.md lists both, each with an example that the tests run.

    * what means the same is equal, and sorts by what it means, though fields store it differently: decimals,
      UUIDs and binary ids, date-times with and without microseconds, in UTC and naive, dates, arrays, maps.
      One side of a comparison takes the form of the other, and the index of that one serves. Within one
      column, values must have one form: UUIDs all BLOB or all text, moments all with `T` or all with a space
    * decimals compare by the collation `decimal` and are calculated by the functions `decimal_*`, which the
      driver adds to SQLite. Migrations declare columns with this collation, so that indexes serve, and SQL
      of your own compares numbers too. A server lacks them: there such a statement is an error
      (`:unsupported`), with what to do instead; docs/remote.md lists all that differs on servers
    * `in ^list` is one parameter, a list of any length, and one text of SQL
    * fields of tables without a schema have no type, and compare as they are stored: say what they are,
      `type(p.price, :decimal) > 9`, `type(p.at, :utc_datetime) > ago(1, "day")`
    * update_all and delete_all take joins of every kind, in tables WITHOUT ROWID too

  ## insert_all

  Any number of rows: those beyond the engine's 32,766 parameters, and those that leave out other columns
  than the rows before them, go into further INSERTs of the same transaction. Where nobody says a value's
  type, as without a schema, a list is an array and a map is JSON; bytes are `{:blob, bytes}`.

  ## Migrations

  All of `Ecto.Migration`. `Ecto.Adapters.LibSql.Migration` adds full-text, spatial and vector indexes, views
  and triggers.

  ALTER TABLE can add, rename and drop columns, and libSQL's changes what a column declares. For the rest
  **the table is built anew**, in the migration's transaction: for another primary key, foreign keys of several
  columns, generated columns, `create constraint` and `drop constraint`, columns that a key or another's CHECK
  names, and new columns whose default is computed, where there are rows. Rows keep their rowids; indexes,
  triggers, views and the foreign keys of other tables stay, no trigger fires and no ON DELETE acts. A foreign
  key that finds no parent afterwards fails the migration, if it found one before. It costs the time and the
  space of a copy: all changes of one `alter` are made by one.

    * `modify` is to be preferred to libSQL's `ALTER TABLE … ALTER COLUMN` by hand, which takes a definition to
      end at its first comma and changes no rows
    * `options:` of a table are `strict: true`, `without_rowid: true`, `random_rowid: true` (libSQL's), or
      text that goes behind it as it is
    * decimals are declared with the collation `decimal` (to a unique index 1.0 and 1.00 are one), where the
      Repo has no `uri:`, and `:citext` with NOCASE, which knows the letters of ASCII; `collate: :binary`
      leaves that out. A `modify` to another type takes such a collation with it
    * a default that is the time (`CURRENT_TIMESTAMP`, `now()`, `datetime(…)`, in a fragment) gets the form of
      its column; other expressions, and SQL of your own, have to see to it themselves
    * columns also take `collate:`, `check:` (an expression, or `%{name: name, expr: expression}`),
      `generated:` and `autoincrement: true`
    * `remove` takes with it the indexes and constraints that speak of the column. One that a view, a
      trigger, a generated column or another table's key reads is an error
    * a table with a primary key gets another only where the same `alter` says what becomes of the old one:
      `modify :id, :integer, primary_key: false`, or `true` for a key of several columns. Their columns are
      NOT NULL, but for those of a serial type, for which nothing makes a value (STRICT tables and those
      WITHOUT ROWID make no exception)
    * `drop` of a table is an error where other tables' rows would go with it, or lose their reference
    * `on_delete: {:nilify, columns}` and `{:default, columns}` are triggers, and go with their table
    * foreign keys stay within a database, and match as `:simple`; `validate: false` lets old rows be
    * comments stand in the text of CREATE TABLE and CREATE INDEX, and cannot be changed later
    * `concurrently: true` is passed over: SQLite has one writer at a time in any case. `:using`, `:include`,
      `:only`, `nulls_distinct: false`, `mode: :cascade`, exclusion constraints and NULLs against their order
      raise, with what to write instead
    * in a migration with a prefix, that of an index goes before its own name, and foreign keys carry none

  ## Constraints

  `unique_constraint/3` takes the name of the index, `check_constraint/3` that of the CHECK; a primary key
  is `table_pkey`, whatever it is called, and a UNIQUE of the table's text is `table_column_index` if nothing
  names it. Of several indexes that refuse a row, the first that SQLite looks at is named.

  `foreign_key_constraint/3`, `assoc_constraint/3` and `no_assoc_constraint/3` take Ecto's default name,
  `table_column_fkey`, or the one after CONSTRAINT. SQLite does not say which key failed: the statement is
  run once more, watched and undone, and the rows that it touched are looked up, whatever cascades and
  triggers they were touched by. Rows that only ON CONFLICT REPLACE removed are not seen: the error has no
  name then, and is raised. A key that waits for the COMMIT (`DEFERRABLE INITIALLY DEFERRED`) and fails there
  rolls the transaction back, and `Repo.transaction` raises; it has no name, for to find it would take a look
  at every row of the tables (`PRAGMA foreign_key_check`).

  `insert_all`, `update_all` and `delete_all` raise an `EctoLibSql.Error` with the name in its `constraint`.
  While rows of a `Repo.stream` are being read in the same transaction, the statement cannot be run once more (on a
  server it can): a foreign key has no name then, and the error is raised. NOT NULL has no changeset function, and raises.

  ## explain, query_many

  `Repo.explain` gives the plan as a tree; `format: :map` its rows, `opcodes: true` the engine's
  instructions. Options that SQLite has no answer for (`:analyze`, …) raise.

  In the text of `Repo.query_many`, `?2` and `$2` are the second parameter in any statement, and each `?` the
  next one; a statement with as many `?` as there are parameters takes them all.
  """

  use Ecto.Adapters.SQL, driver: :ecto_libsql
  # Not open by itself.
  defoverridable init: 1, transaction: 3

  # disconnect_all/2 of a Repo is to reach what stands beside its pool, too.
  @impl true
  defmacro __before_compile__(env) do
    of_sql = Ecto.Adapters.SQL.__before_compile__(:ecto_libsql, env)

    quote do
      unquote(of_sql)
      defoverridable disconnect_all: 1, disconnect_all: 2

      @doc "As `Ecto.Adapters.LibSql.disconnect_all/3`, of this Repo."
      def disconnect_all(interval, opts \\ []),
        do: Ecto.Adapters.LibSql.disconnect_all(get_dynamic_repo(), interval, opts)
    end
  end

  @behaviour Ecto.Adapter.Storage
  @behaviour Ecto.Adapter.Structure

  alias Ecto.Adapters.LibSql.{
    Connection,
    DatabaseFile,
    DDL,
    Declared,
    InsertAll,
    Lock,
    MigrationLock,
    RepoConfig,
    Retry
  }

  alias Ecto.Adapters.LibSql.{MigrationLease, Params, Shared, Storage, Structure, Types, Violations}

  alias EctoLibSql.Deadline

  ## Start, transactions

  # What migrations go by, as this Repo was started: a dynamic one has options of its own.
  @settings [:uuid_type, :binary_id_type, :json_type, :datetime_type, :strict_tables] ++
              [:migration_lock, :uri, :database, :pool, :pool_size, :pool_count]

  @impl true
  def init(config) do
    config = RepoConfig.check!(config)
    {:ok, child, meta} = super(config)

    ours = %{
      ids_are_bytes: config[:binary_id_type] == :blob,
      sandbox?: config[:pool] == Ecto.Adapters.SQL.Sandbox,
      settings: [mode: EctoLibSql.State.detect_mode(config)] ++ Keyword.take(config, @settings)
    }

    {:ok, child, Map.merge(meta, ours)}
  end

  # :transaction and :savepoint are DBConnection's own words.
  @modes [nil, :deferred, :immediate, :exclusive, :read, :read_only, :transaction, :savepoint]

  # The driver would have to close the connection.
  @impl true
  def transaction(meta, opts, fun) do
    mode = Keyword.get(opts, :mode)

    if mode not in @modes do
      raise ArgumentError,
            "a transaction's :mode is :immediate, :deferred, :exclusive or :read, not #{inspect(mode)}"
    end

    Retry.run(meta, opts, fn -> alone?(meta) end, &begin(meta, &1, fun))
  end

  defp begin(meta, opts, fun) do
    opts = Deadline.transaction(opts, meta.opts[:timeout])
    Ecto.Adapters.SQL.transaction(meta, opts, fun)
  end

  defp alone?(meta), do: not meta.sandbox? and not in_transaction?(meta)

  @doc """
  Has all connections of a Repo closed within `interval` ms, and opened anew when they are wanted: those of its
  pool, as `Ecto.Adapters.SQL.disconnect_all/3` does, and those beside it, which that does not reach.

  Nothing is broken off. `repo` is a Repo's module, its name or its pid; `Repo.disconnect_all(interval)` is the
  same. So the file can be exchanged, for one. A database in memory goes with its connection.
  """
  @spec disconnect_all(Ecto.Repo.t() | pid(), non_neg_integer(), keyword()) :: :ok
  def disconnect_all(repo, interval, opts \\ []) do
    meta = Ecto.Adapter.lookup_meta(repo)
    Shared.disconnect_all(meta.pid)
    Ecto.Adapters.SQL.disconnect_all(meta, interval, opts)
  end

  ## Replicas

  @doc """
  Brings the file of a Repo with `sync: true` up to what its server has when it is asked: what `EctoLibSql.sync/2`
  answers, `{:ok, %{index: …, frames: …, bytes: …}}`. Reads go on meanwhile; a connection of the pool is taken for it.

  Options: `until: index`, at least so far, and at once where the file is; `:timeout`, the Repo's by default. `repo` is
  a Repo's module, its name or its pid. Errors: `:unsupported` for a Repo that is no replica; those of servers, of the
  disk. How far the file is says `EctoLibSql.stats(repo).replica`.
  """
  @spec sync(Ecto.Repo.t() | pid(), keyword()) ::
          {:ok, %{index: non_neg_integer(), frames: non_neg_integer(), bytes: non_neg_integer()}}
          | {:error, EctoLibSql.Error.t()}
  def sync(repo, opts \\ []) do
    {until, opts} = Keyword.pop(opts, :until)

    with {:ok, result} <- Ecto.Adapters.SQL.query(dynamic(repo), {:sync, until}, [], opts) do
      [[index, frames, bytes]] = result.rows
      {:ok, %{index: index, frames: frames, bytes: bytes}}
    end
  end

  # What `put_dynamic_repo` says of the calling process.
  defp dynamic(repo) when is_pid(repo), do: repo

  defp dynamic(repo) do
    if Code.ensure_loaded?(repo) and function_exported?(repo, :get_dynamic_repo, 0),
      do: repo.get_dynamic_repo(),
      else: repo
  end

  @doc """
  Makes an ordinary database of the file of a Repo with `sync: true`, with all that it has: then the Repo is started
  without `:uri` and `:sync`. Nobody may have the file open, so the Repo is not to run (`:already_open`); no server is
  asked. `config` is the Repo's: `MyApp.Repo.config()`.
  """
  @spec freeze(keyword()) :: {:ok, Path.t()} | {:error, EctoLibSql.Error.t()}
  def freeze(config) do
    opts = config |> DatabaseFile.driver_options() |> Keyword.put(:sync_on_open, false)

    with {:ok, db} <- EctoLibSql.connect(opts) do
      answer = EctoLibSql.freeze(db)
      EctoLibSql.close(db)
      with {:ok, _plain} <- answer, do: {:ok, config[:database]}
    end
  end

  ## Types

  @impl true
  defdelegate loaders(base, type), to: Types
  @impl true
  defdelegate dumpers(base, type), to: Types

  @impl true
  def autogenerate(:id), do: nil
  def autogenerate(_uuid), do: Ecto.UUID.generate()

  ## Queries

  # What SQL cannot say of a query stands in comments before it.
  @impl true
  def prepare(:all, %{lock: lock} = query) when lock != nil,
    do:
      prepared(query, [
        Lock.comment(query) | Connection.all(Declared.select_json(%{query | lock: nil}))
      ])

  def prepare(operation, query) when operation in [:all, :update_all, :delete_all],
    do: prepared(query, apply(Connection, operation, [Declared.select_json(query)]))

  defp prepared(query, sql),
    do: {:cache, {id(), IO.iodata_to_binary([Declared.comment(query) | sql])}}

  defp id, do: System.unique_integer([:positive])

  @impl true
  def execute(meta, query_meta, query, params, opts) do
    {query, opts} = Declared.take(query, opts)
    {bare, marked_opts} = Params.unmark(params, opts)
    Types.loading(meta)
    began = Violations.now()

    try do
      Ecto.Adapters.SQL.execute(:named, meta, query_meta, query, bare, marked_opts)
    rescue
      error in EctoLibSql.Error ->
        statement = {target(query_meta), [:update, :delete], text(query), params}
        reraise Violations.explain(error, began, meta, statement, opts), __STACKTRACE__
    end
  end

  # Not meant to be, but what execute/5 does has to be done here too.
  defoverridable stream: 5

  @impl true
  def stream(meta, query_meta, query, params, opts) do
    {query, opts} = Declared.take_stream(query, opts)
    {params, opts} = Params.unmark(params, opts)
    stream = super(meta, query_meta, query, params, opts)

    Stream.map(stream, fn rows ->
      Types.loading(meta)
      rows
    end)
  end

  # What update_all and delete_all write.
  defp target(%{sources: sources}) do
    case elem(sources, 0) do
      {table, _schema, prefix} when is_binary(table) -> {prefix, table}
      _other -> nil
    end
  end

  defp text({:nocache, {_id, sql}}), do: sql
  defp text({:cache, _update, {_id, sql}}), do: sql
  defp text({:cached, _update, _reset, {_id, query}}), do: query.statement

  ## Writes

  @impl true
  def insert_all(meta, schema, header, rows, on_conflict, returning, placeholders, opts) do
    rows = Types.mark_ids(rows, schema)

    placeholders =
      if schema.schema, do: placeholders, else: Enum.map(placeholders, &Types.untyped/1)

    Types.loading(meta)
    InsertAll.run(meta, schema, header, rows, on_conflict, returning, placeholders, opts)
  end

  @impl true
  def insert(meta, schema, params, on_conflict, returning, opts) do
    %{prefix: prefix, source: source} = schema
    {kind, conflict_params, _targets} = on_conflict
    {fields, values} = params |> Types.mark_id(schema) |> Enum.unzip()
    sql = Connection.insert(prefix, source, fields, [fields], on_conflict, returning, [])
    write(meta, :insert, schema, [], sql, values ++ conflict_params, kind, returning, opts)
  end

  @impl true
  def update(meta, schema, fields, filters, returning, opts) do
    {fields, values} = Enum.unzip(fields)
    params = values ++ Keyword.values(filters)
    sql = Connection.update(schema.prefix, schema.source, fields, filters, returning)
    write(meta, :update, schema, filters, sql, params, :raise, returning, opts)
  end

  @impl true
  def delete(meta, schema, filters, returning, opts) do
    params = Keyword.values(filters)
    sql = Connection.delete(schema.prefix, schema.source, filters, returning)
    write(meta, :delete, schema, filters, sql, params, :raise, returning, opts)
  end

  defp write(meta, operation, schema, filters, sql, params, on_conflict, returning, opts) do
    {bare, marked_opts} = Params.unmark(params, opts)
    Types.loading(meta)

    answer =
      Ecto.Adapters.SQL.struct(
        meta,
        Violations,
        sql,
        operation,
        schema.source,
        filters,
        bare,
        on_conflict,
        returning,
        marked_opts
      )

    with {:invalid, [{kind, %EctoLibSql.Error{} = error}]} <- answer do
      target = {schema.prefix, schema.source}
      statement = {target, events(operation, on_conflict), sql, params}

      case Violations.name(error, meta, statement, opts) do
        nil -> raise error
        name -> {:invalid, [{kind, name}]}
      end
    end
  end

  # An upsert may do either.
  defp events(:insert, kind) when kind not in [:raise, :nothing], do: [:insert, :update]
  defp events(operation, _kind), do: [operation]

  ## Migrations

  @impl true
  def supports_ddl_transaction?, do: true

  # Some commands are several statements, and some of them depend on what the database answers: these are
  # done together or not at all. A single one begins nothing: VACUUM runs in no transaction, and many
  # migrators at once ask for a table that is there already.
  @impl true
  def execute_ddl(meta, command, opts) do
    steps = DDL.steps(command, meta.settings)
    run = fn -> DDL.run_steps(steps, &Ecto.Adapters.SQL.query!(meta, &1, [], opts).rows) end

    if DDL.single?(steps) or in_transaction?(meta),
      do: run.(),
      else: {:ok, _rows} = transaction(meta, opts, run)

    {:ok, []}
  end

  @impl true
  def lock_for_migrations(meta, opts, fun) do
    if meta.settings[:migration_lock] == :lease or DatabaseFile.server?(meta),
      do: MigrationLease.with_lease(meta, opts, fun),
      else: MigrationLock.with_lock(meta, opts, fun)
  end

  ## Storage

  @impl true
  defdelegate storage_up(config), to: Storage
  @impl true
  defdelegate storage_down(config), to: Storage
  @impl true
  defdelegate storage_status(config), to: Storage

  @impl true
  defdelegate structure_dump(default, config), to: Structure
  @impl true
  defdelegate structure_load(default, config), to: Structure
  @impl true
  defdelegate dump_cmd(args, opts, config), to: Structure
end
