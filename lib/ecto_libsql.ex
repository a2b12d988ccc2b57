defmodule EctoLibSql do
  @moduledoc """
  libSQL databases from Elixir: a driver with its core in C, and a `DBConnection` where that library is
  there.

      {:ok, db} = EctoLibSql.connect(database: "shop.db")
      {:ok, _query, result, db} =
        EctoLibSql.query(db, "SELECT name FROM item WHERE price < :limit", limit: 10)

  A connection is a value, `EctoLibSql.State`, that goes into a function and comes out of it. Any process
  may use it; processes that use one connection at the same time take turns. The handle inside belongs to
  the VM: a connection that nobody holds any more is closed.

  ## Options of `connect/1`

  #{EctoLibSql.Options.docs()}

  ## Parameters

  A list binds by position, a keyword list or a map by name (`:n`, `@n` and `$n` in SQL; names that the
  statement does not have are passed over). Integers, floats, binaries (text if they are UTF-8, else
  blobs), `nil`, booleans (1 and 0), `:infinity`, `:neg_infinity`; `{:blob, binary}` and `{:text, binary}`
  say what a binary is. Dates and times are stored as ISO 8601 text, `Decimal`s as text, maps as JSON text; or
  as `:datetime_type` and `:json_type` of the connection say (by way of `DBConnection`: see
  `EctoLibSql.Query`).

  ## Decimals in SQL

  Every local connection has exact decimals: a number is a TEXT of digits (`'-1.50'`, `'1E+3'`), an INTEGER,
  or a REAL by its shortest text.

    * `decimal(x)`: as text, without an exponent
    * `decimal_add(a, b)`, `decimal_sub`, `decimal_mul`: exact; the larger scale is kept (`'3.30'`), and
      that of a product is the sum of both
    * `decimal_div(a, b)`: 28 significant digits, a half rounded up, as `Decimal` does; by zero it is NULL
    * `decimal_cmp(a, b)`: -1, 0 or 1
    * `decimal_sum(x)`, `decimal_avg(x)`: aggregates and window functions
    * `COLLATE decimal`: numbers by their value (`'1.0' = '1'`), then all other texts by their bytes

  What is no number (`'NaN'`, `'abc'`, a blob, an infinite REAL) makes a function NULL and an aggregate an
  error (`:mismatch`). More than 999 digits before or behind the point are `:too_big`; the collation and
  `decimal_cmp` take any. Indexes, CHECKs and generated columns may use them. The names are those of SQLite's
  decimal extension, which the sqlite3 shell has: such databases can be read there, and by values written
  otherwise (`decimal_mul` there drops zeros) that are equal under the collation.

  ## Time-outs and interrupts

  `timeout: ms` (from 1) among the options of a call bounds the whole call, waiting included (default: none, and 30 s
  of a server's, unless it is given as `:infinity`; by way of `DBConnection` its own `:timeout`). The answer comes on time even where the engine cannot be stopped
  at once (a sort, a CREATE INDEX, one long SQL function): the connection is then in use until the engine
  returns. `busy_timeout` bounds only the waiting for other programs' locks.

  ## Writers

  SQLite has one writer at a time. Connections of this VM that write to one file take turns, in the order in
  which they ask, and wait without polling, as long as their calls' time-outs allow (without one, for
  `busy_timeout`). `:busy` is then an error of those who held on for too long: a transaction that writes keeps
  its turn to its end, and `error.holder` names it. Readers wait for nobody. Other programs that use this library
  stand in line as well, at a file called `NAME-lane` that is made when one first waits for another.

  ## Errors

  Always `{:error, %EctoLibSql.Error{}}`, or the shape of the `DBConnection` callback. What can never be a
  parameter (a map that JSON cannot hold, no list at all) raises `ArgumentError` before anything is run.
  """

  alias EctoLibSql.{
    Connection,
    Deadline,
    Encoder,
    Error,
    Forms,
    NIF,
    Observed,
    Query,
    Replica,
    Result,
    State,
    Stats
  }

  @typedoc "SQL, or what `EctoLibSql.Native.prepare/2` gave."
  @type statement :: iodata() | Query.t() | reference()

  @type params :: [term()] | keyword() | map()

  @type query_answer ::
          {:ok, Query.t(), Result.t(), State.t()} | {:error, Error.t(), State.t()}

  ## Connections

  @doc """
  Opens a connection. Unknown options are refused.

  Errors: `:bad_argument` for options, `:cannot_open`, `:not_a_database`, `:busy`, `:setting`,
  `:unsafe_filesystem`, `:unsupported`.
  """
  @spec connect(keyword()) :: {:ok, State.t()} | {:error, Error.t()}
  defdelegate connect(opts), to: Connection

  @doc """
  Options for `connect/1` or a Repo, of one text as an environment has it:

      config :shop, Shop.Repo, EctoLibSql.config!(System.fetch_env!("DATABASE_URL"))

    * `libsql://…`, `https://…`, `http://…`, `wss://…` or `ws://…`: `:uri`, and `:auth_token` if there is
      `?authToken=TOKEN`
    * `file:…`, an SQLite URI, a path, or `:memory:`: `:database`

  Raises `ArgumentError` for anything else. A Repo's own `url:` is for other databases: Ecto finds a host
  and a name in it, and nothing else.
  """
  @spec config!(String.t()) :: keyword()
  defdelegate config!(url), to: EctoLibSql.URL, as: :options!

  @doc """
  Closes the connection: running calls are interrupted, an open transaction is rolled back. Waits until
  the file is closed, at most five seconds. Twice is fine.
  """
  @spec disconnect(term(), State.t()) :: :ok | {:error, Error.t()}
  defdelegate disconnect(reason, state), to: Connection

  @doc """
  Closes the connection. `wait: false` returns at once; `wait: ms` waits until the file is closed for that
  long (default 5000).
  """
  @spec close(State.t(), keyword()) :: :ok | {:error, Error.t()}
  def close(state, opts \\ []) do
    case Keyword.get(opts, :wait, 5000) do
      false -> EctoLibSql.Call.close_later(state.conn_id)
      ms -> Connection.close(state, ms)
    end
  end

  @doc """
  Makes the connection as new: an open transaction is rolled back, temporary tables, views and triggers
  are gone, attached databases detached, settings applied again, statements reset.
  """
  @spec reset_connection(State.t()) :: {:ok, State.t()} | {:error, Error.t()}
  def reset_connection(state) do
    with :ok <- Connection.plain(:reset, [state.conn_id]), do: {:ok, %{state | trx_id: nil}}
  end

  @doc """
  Stops what runs on the connection, or waits for its turn to write or for another program, from any process. The
  stopped call answers `:interrupted`; the connection stays usable. What waits until another process's call has left
  the connection has not begun, and goes on. An interrupted write inside a transaction rolls the whole transaction back.
  """
  @spec interrupt_connection(State.t()) :: :ok
  def interrupt_connection(state), do: NIF.interrupt(state.conn_id)

  @doc "Sets how long calls wait for other connections' locks, in ms; 0: not at all."
  @spec set_busy_timeout(State.t(), non_neg_integer()) :: :ok | {:error, Error.t()}
  def set_busy_timeout(state, ms) do
    if EctoLibSql.Options.valid?(:busy_timeout, ms) do
      Connection.plain(:set_busy_timeout, [state.conn_id, ms])
    else
      message = "a busy time-out is an integer of milliseconds from 0, not #{inspect(ms)}"
      {:error, Error.new(:bad_argument, message)}
    end
  end

  @doc "How long calls wait for other connections' locks, in ms."
  @spec busy_timeout(State.t()) :: non_neg_integer()
  def busy_timeout(state), do: NIF.busy_timeout(state.conn_id)

  @doc "Settings that the database cannot have: what was asked, what it has instead."
  @spec notices(State.t()) :: [%{name: String.t(), asked: String.t(), got: String.t()}]
  def notices(state) do
    case Connection.plain(:notices, [state.conn_id]) do
      {:error, _closed} -> []
      list -> for {name, asked, got} <- list, do: %{name: name, asked: asked, got: got}
    end
  end

  @doc """
  What a Repo, a pool or a connection is doing and has done.

      EctoLibSql.stats(Shop.Repo).wal
      #=> %{bytes: 4_152_992, pages: 812, pinned: false}

  Of a Repo (its module, name or pid; where `put_dynamic_repo/1` was called, the dynamic one) and of a
  `DBConnection` pool of `EctoLibSql` (its pid or name), the map that `EctoLibSql.Stats` describes. Nobody waits
  for it: neither a process that writes nor a connection of the pool. While all connections of a plain pool are
  taken, `database: path` and `pool_size: n` among the options say what they alone know; `pool:` is its module,
  if that is another than `DBConnection.ConnectionPool`. What is none of these is the error `:bad_argument`.

  Of a connection (`EctoLibSql.State`): `autocommit`, `readonly`, `wal`, `wrote` (the open
  transaction has), `last_rowid`, `changes`,
  `total_changes`, `cache_hits`, `cache_misses`, `cache_size` (of the statement cache), `fast_runs`,
  `fast_refusals` (of the fast path), `page_cache_bytes`, `schema_bytes`, `statement_bytes`.
  """
  @spec stats(State.t() | module() | pid() | GenServer.name(), keyword()) ::
          Stats.t() | map() | {:error, Error.t()}
  def stats(target, opts \\ [])
  def stats(%State{} = state, _opts), do: Stats.of_connection(state)
  def stats(repo_or_pool, opts), do: Stats.of(repo_or_pool, opts)

  @doc """
  How often, since the VM began, a statement, a cursor or a transaction was refused because it was used with
  another connection than its own, or a pool's transaction by another process than the one that began it. Each
  is an event, `[:ecto_libsql, :violation]`.
  """
  @spec violations() :: non_neg_integer()
  def violations, do: EctoLibSql.Ownership.count()

  @doc "Facts about the engine that is built in."
  @spec core_info() :: map()
  def core_info, do: NIF.core_info()

  @doc "Native memory of the driver and its engine: `bytes`, `blocks`, `failed` allocations."
  @spec memory() :: map()
  def memory, do: NIF.memory()

  ## SQL

  @doc """
  Runs one statement.

  Options: `:timeout` in ms, or `:infinity` (the default of a file's); `declared_types: true` fills the result's `types`.
  """
  @spec query(State.t(), statement(), params(), keyword()) :: query_answer()
  def query(state, statement, params \\ [], opts \\ []) do
    flags = Connection.flags(opts)

    run =
      &Connection.execute(state, text(statement), params, Deadline.direct(opts, state), flags + &1)

    case observed(state, statement, opts, run) do
      {:ok, result, state} -> {:ok, to_query(statement), result, state}
      {_failed, error, state} -> {:error, error, state}
    end
  end

  defp observed(%{events: nil}, _statement, _opts, run) do
    with {:ok, native, state} <- run.(0), do: {:ok, Result.from_native(native), state}
  end

  defp observed(state, statement, opts, run) do
    text = if is_reference(statement), do: nil, else: text(statement)
    Observed.statement(%{statement: text, state: state, shared: false}, opts, run)
  end

  @doc """
  The one row that a statement returns. None is `:no_row`, more than one `:many_rows`; it stops at the
  second, and a statement that writes has then changed nothing.
  """
  @spec query_one(State.t(), statement(), params(), keyword()) ::
          {:ok, [Result.value()]} | {:error, Error.t()}
  def query_one(state, statement, params \\ [], opts \\ []) do
    case Connection.execute(
           state,
           text(statement),
           params,
           Deadline.direct(opts, state),
           Connection.one()
         ) do
      {:ok, {_command, _columns, [row], _count, _rowid, _autocommit}, _state} -> {:ok, row}
      {:ok, _empty_sql, _state} -> {:error, Error.new(:no_row, "there is no statement in the text")}
      {_failed, error, _state} -> {:error, error}
    end
  end

  @doc "Runs any statement, with rows or without; the rows are dropped."
  @spec run(State.t(), statement(), params(), keyword()) :: {:ok, State.t()} | {:error, Error.t()}
  def run(state, statement, params \\ [], opts \\ []) do
    case Connection.execute(state, text(statement), params, Deadline.direct(opts, state), 0) do
      {:ok, _native, state} -> {:ok, state}
      {_failed, error, _state} -> {:error, error}
    end
  end

  @doc """
  Runs one statement for each list of parameters, in one native call. Outside a transaction all of them
  are stored or none; `error.statement_number` is the number of the row that failed.
  """
  @spec execute_many(State.t(), iodata(), [params()], keyword()) ::
          {:ok, Result.t()} | {:error, Error.t()}
  def execute_many(state, sql, rows, opts \\ []) do
    forms = Forms.of(state)
    rows = Enum.map(rows, &Encoder.params(&1, forms))
    sql = IO.iodata_to_binary(sql)
    args = [state.conn_id, state.trx_id, sql, rows]

    case Connection.timed(:execute_many, args, Deadline.direct(opts, state)) do
      {:ok, native} -> {:ok, Result.from_native(native)}
      {:error, error} -> {:error, %{error | statement: sql}}
    end
  end

  ## Statements

  @doc """
  The columns of a prepared statement, by the schema as it is now: maps of `name`, `database`, `table`,
  `origin` (the column in the table) and `type` (as declared), each `nil` where there is none.
  """
  @spec get_statement_columns(State.t(), reference()) :: {:ok, [map()]} | {:error, Error.t()}
  def get_statement_columns(state, stmt) do
    with {:ok, {columns, _params, _readonly?}} <- statement_info(state, stmt) do
      {:ok,
       for {name, database, table, origin, type} <- columns do
         %{name: name, database: database, table: table, origin: origin, type: type}
       end}
    end
  end

  @doc "The parameters of a prepared statement: their names with the prefix, `nil` for a bare `?`."
  @spec get_statement_parameters(State.t(), reference()) ::
          {:ok, [String.t() | nil]} | {:error, Error.t()}
  def get_statement_parameters(state, stmt) do
    with {:ok, {_columns, params, _readonly?}} <- statement_info(state, stmt), do: {:ok, params}
  end

  @doc "Whether a prepared statement changes nothing, triggers included."
  @spec statement_readonly?(State.t(), reference()) :: {:ok, boolean()} | {:error, Error.t()}
  def statement_readonly?(state, stmt) do
    with {:ok, {_columns, _params, readonly?}} <- statement_info(state, stmt), do: {:ok, readonly?}
  end

  defp statement_info(state, stmt), do: Connection.plain(:stmt_info, [state.conn_id, stmt])

  @doc "Ends a run or cursor of the statement and clears its parameters."
  @spec reset_stmt(State.t(), reference()) :: :ok | {:error, Error.t()}
  def reset_stmt(state, stmt), do: Connection.plain(:stmt_reset, [state.conn_id, stmt])

  @doc "Frees a statement, from any process and at any time; using it afterwards is `:closed`."
  @spec finalize_stmt(reference()) :: :ok
  def finalize_stmt(stmt), do: NIF.stmt_finalize(stmt)

  @doc "Stops this statement if it is the one running on its connection."
  @spec interrupt_stmt(reference()) :: :ok
  def interrupt_stmt(stmt), do: NIF.stmt_interrupt(stmt)

  ## Replicas

  @doc """
  Brings a replica's file up to what its server has when it is asked: `index`, up to where it has the server's log
  then, `frames` (pages) that went in, and `bytes` that came over the network. Reads go on meanwhile.

  Options: `until: index`, at least so far, and at once where the file is; `:timeout` in ms, or `:infinity` (default).
  Errors: `:unsupported` for what is no replica; those of servers, of the disk.
  """
  @spec sync(State.t(), keyword()) ::
          {:ok, %{index: non_neg_integer(), frames: non_neg_integer(), bytes: non_neg_integer()}}
          | {:error, Error.t()}
  def sync(state, opts \\ []),
    do: Replica.sync(state.conn_id, opts[:until], Deadline.direct(opts, state))

  @doc """
  What is known of a replica's file, of all connections of the VM to it: `index` of the file, `written` (the highest that
  a write of this VM made), `primary` (the highest that the server has named), `lag` between the two, `synced_ago` (ms
  since the file was known to have all; nil: not yet), `waiting` callers, `syncs`, `failures`, `rebuilds`, `frames` and
  `bytes` in all, the `protocol` (`:v1`, `:v2`; `:auto` where it is not known yet), whether a sync is `running`, and the `last_error`, if no sync has succeeded since. With `offline: true` also `offline`, `unpushed`: pages that were
  written here and that the server has not, `pushed` in all, and `pushed_ago` (ms; nil: not yet).
  """
  @spec replica_info(State.t()) :: {:ok, map()} | {:error, Error.t()}
  def replica_info(state), do: Replica.info(state.conn_id)

  @doc """
  Of a replica with `offline: true`: gives up what was written here and not pushed, keeps the file as it is as a copy, and
  has it follow its server again. It is the way out of the error `:conflict`, where others pushed first. Answers the path
  of the copy, an ordinary database, of which what is still wanted can be read; nil where there was nothing to give up.

  It asks the server, and waits for transactions that are open, and for a sync of everything. Options: `:timeout` in ms,
  or `:infinity` (default). Errors: `:unsupported` for other connections, and those of `sync/2`, after which nothing
  is given up, or that is and the next sync goes on: `replica_info/1` says so by `unpushed`.
  """
  @spec set_aside(State.t(), keyword()) :: {:ok, Path.t() | nil} | {:error, Error.t()}
  def set_aside(state, opts \\ []),
    do: Replica.set_aside(state.conn_id, Deadline.direct(opts, state))

  @doc """
  Makes a replica an ordinary database, with what it has: it is not synced any more, and writes go to the file.

  The connection must be the only one of the VM to the file (`:already_open`), with no transaction open
  (`:in_transaction`); its prepared statements and cursors are closed.
  """
  @spec freeze(State.t()) :: {:ok, State.t()} | {:error, Error.t()}
  def freeze(state) do
    with :ok <- Replica.freeze(state.conn_id), do: {:ok, %{state | mode: :local}}
  end

  ## Pages

  @doc "Writes the dirty pages of the open transaction to the file, as far as nobody is using them."
  @spec cacheflush(State.t()) :: :ok | {:error, Error.t()}
  def cacheflush(state), do: Connection.plain(:cacheflush, [state.conn_id])

  @doc """
  Moves the WAL into the database file. `mode`: `:passive`, `:full`, `:restart` or `:truncate`. Answers
  how many frames the WAL has and how many of them are in the file; -1 where there is no WAL.
  """
  @spec checkpoint(State.t(), :passive | :full | :restart | :truncate) ::
          {:ok, %{log: integer(), checkpointed: integer()}} | {:error, Error.t()}
  def checkpoint(state, mode \\ :passive) do
    with {:ok, {log, done}} <- Connection.plain(:checkpoint, [state.conn_id, nil, mode]),
         do: {:ok, %{log: log, checkpointed: done}}
  end

  ## DBConnection

  @doc false
  defdelegate ping(state), to: Connection
  @doc false
  defdelegate checkout(state), to: Connection
  @doc false
  defdelegate handle_prepare(query, opts, state), to: Connection
  @doc false
  defdelegate handle_execute(query, params, opts, state), to: Observed
  @doc false
  defdelegate handle_close(query, opts, state), to: Connection
  @doc false
  defdelegate handle_begin(opts, state), to: Observed
  @doc false
  defdelegate handle_commit(opts, state), to: Observed
  @doc false
  defdelegate handle_rollback(opts, state), to: Observed
  @doc false
  defdelegate handle_status(opts, state), to: Connection
  @doc false
  defdelegate handle_declare(query, params, opts, state), to: Connection
  @doc false
  defdelegate handle_fetch(query, cursor, opts, state), to: Observed
  @doc false
  defdelegate handle_deallocate(query, cursor, opts, state), to: Connection

  defp text(%Query{statement: statement}), do: IO.iodata_to_binary(statement)
  defp text(statement) when is_reference(statement), do: statement
  defp text(statement), do: IO.iodata_to_binary(statement)

  defp to_query(%Query{} = query), do: query
  defp to_query(statement) when is_reference(statement), do: %Query{prepared: statement}
  defp to_query(statement), do: %Query{statement: IO.iodata_to_binary(statement)}
end
