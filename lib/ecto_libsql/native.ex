defmodule EctoLibSql.Native do
  @moduledoc """
  Functions on connections by the names of EctoLibSql 0.9: statements, batches, transactions, savepoints,
  counters. `EctoLibSql` has the rest. Errors are `%EctoLibSql.Error{}` everywhere.
  """

  alias EctoLibSql.{Connection, Deadline, Encoder, Error, IdleWriter, NIF, Query, Result, State}
  alias EctoLibSql.Native.{Raw, Sql}

  @type answer(value) :: {:ok, value} | {:error, Error.t()}

  ## Queries

  @doc "As `EctoLibSql.query/3`, of a `Query`."
  @spec query(State.t(), Query.t() | iodata(), EctoLibSql.params()) :: EctoLibSql.query_answer()
  def query(state, query, args), do: EctoLibSql.query(state, query, args)

  @doc "The same with its arguments in another order."
  def execute_non_trx(query, state, args), do: EctoLibSql.query(state, query, args)

  @doc "The same inside the transaction of the state."
  def execute_with_trx(state, query, args), do: EctoLibSql.query(state, query, args)

  @doc """
  The kind of a statement by its first word: `:select` (WITH too), `:insert`, `:update`, `:delete`,
  `:create` (DROP and ALTER too), `:begin`, `:commit`, `:rollback`, `:pragma`, or `:unknown`. A result's
  `command` is told by the engine and not by this.
  """
  @spec detect_command(term()) :: Result.command()
  defdelegate detect_command(sql), to: Sql

  @doc "The parameters of SQL in their order, of a list or of a map or keyword list by name."
  @spec normalise_arguments(reference(), String.t(), EctoLibSql.params()) ::
          [term()] | {:error, Error.t()}
  def normalise_arguments(conn, sql, args) do
    case Connection.plain(:prepare, [conn, sql]) do
      {:ok, stmt} -> Raw.arguments(conn, stmt, args)
      error -> error
    end
  end

  @doc "The same for a prepared statement."
  @spec normalise_arguments_for_stmt(reference(), reference(), EctoLibSql.params()) ::
          [term()] | {:error, Error.t()}
  def normalise_arguments_for_stmt(conn, stmt, args), do: Raw.arguments(conn, stmt, args)

  @doc "Names of parameters are the engine's: there is no cache to clear."
  @spec clear_param_cache() :: :ok
  def clear_param_cache, do: :ok

  @doc "Always 0: see `clear_param_cache/0`."
  @spec param_cache_size() :: 0
  def param_cache_size, do: 0

  ## Connections

  @doc "Closes a connection, transaction, statement or cursor by its handle."
  @spec close_conn(term(), :conn_id | :trx_id | :stmt_id | :cursor_id, State.t()) ::
          :ok | {:error, Error.t(), State.t()}
  def close_conn(id, kind, state) do
    with {:error, error} <- Raw.close(id, kind, state), do: {:error, error, state}
  end

  @doc "Sets the busy time-out, in ms."
  @spec busy_timeout(State.t(), non_neg_integer()) :: :ok | {:error, Error.t()}
  def busy_timeout(state, ms \\ 5000), do: EctoLibSql.set_busy_timeout(state, ms)

  @doc "As `EctoLibSql.reset_connection/1`."
  @spec reset(State.t()) :: :ok | {:error, Error.t()}
  def reset(state), do: Connection.plain(:reset, [state.conn_id])

  @doc "As `EctoLibSql.interrupt_connection/1`."
  @spec interrupt(State.t()) :: :ok
  def interrupt(state), do: NIF.interrupt(state.conn_id)

  ## Transactions and savepoints

  @doc """
  Begins a transaction. `behavior: :deferred` (default), `:immediate`, `:exclusive` or `:read` (a snapshot,
  taken at once, in which writes are refused; `:read_only` is the same).

  The transaction is for whoever has the state that this answers, in whatever process. A state from before it
  belongs to no transaction: another process that uses it meanwhile, on the same connection, is refused with
  `:not_owner`; the process that began it is taken to mean the transaction. What SQL begins (`BEGIN`) is for all.
  """
  @spec begin(State.t(), keyword()) :: answer(State.t())
  def begin(state, opts \\ []) do
    kind = Raw.kind(Keyword.get(opts, :behavior, :deferred))

    with {:ok, trx} <-
           Connection.timed(:begin, [state.conn_id, kind], Deadline.direct(opts, state)),
         do: {:ok, IdleWriter.begun(state, kind, trx)}
  end

  @doc "Commits the transaction of the state."
  @spec commit(State.t()) :: answer(String.t())
  def commit(state) do
    idle = IdleWriter.look(state)

    with :ok <- Connection.timed(:commit, [state.conn_id, state.trx_id], :infinity) do
      IdleWriter.tell(idle, :commit, state)
      {:ok, "commit success"}
    end
  end

  @doc "Rolls back the transaction of the state."
  @spec rollback(State.t()) :: answer(String.t())
  def rollback(state) do
    idle = IdleWriter.look(state)

    with :ok <- Connection.plain(:rollback, [state.conn_id, state.trx_id]) do
      IdleWriter.tell(idle, :rollback, state)
      {:ok, "rollback success"}
    end
  end

  @doc "Opens a savepoint, of any name, inside the transaction of the state."
  @spec create_savepoint(State.t(), String.t()) :: :ok | {:error, Error.t()}
  def create_savepoint(state, name), do: with_savepoint(:savepoint, state, name)

  @doc "Releases a savepoint: its changes become those of what surrounds it."
  @spec release_savepoint_by_name(State.t(), String.t()) :: :ok | {:error, Error.t()}
  def release_savepoint_by_name(state, name), do: with_savepoint(:release, state, name)

  @doc "Undoes everything since the savepoint, which stays open."
  @spec rollback_to_savepoint_by_name(State.t(), String.t()) :: :ok | {:error, Error.t()}
  def rollback_to_savepoint_by_name(state, name), do: with_savepoint(:rollback_to, state, name)

  @doc """
  Switches the enforcement of foreign keys for the rest of the open transaction, where
  `PRAGMA foreign_keys` does nothing; answers whether they were enforced. A table can so be built anew
  without its ON DELETE actions. What is written meanwhile is not checked, not at the commit either:
  `PRAGMA foreign_key_check` does that.

  After the transaction, however it ends, what held before holds again. Outside of one it is
  `:no_transaction`.
  """
  @spec enforce_foreign_keys(State.t(), boolean()) :: answer(boolean())
  def enforce_foreign_keys(state, on?), do: Connection.enforce_foreign_keys(state, on?)

  defp with_savepoint(_op, %{trx_id: nil}, _name),
    do: {:error, Error.new(:no_transaction, "No active transaction: begin one first")}

  defp with_savepoint(op, state, name),
    do: Connection.plain(op, [state.conn_id, state.trx_id, name])

  ## Prepared statements

  @doc "Prepares one statement. The handle belongs to the VM; `close_stmt/1` frees it earlier."
  @spec prepare(State.t(), iodata()) :: answer(reference())
  def prepare(state, sql) do
    sql = IO.iodata_to_binary(sql)

    with {:error, error} <- Connection.plain(:prepare, [state.conn_id, sql]),
         do: {:error, %{error | statement: sql}}
  end

  @doc "Frees a statement."
  @spec close_stmt(reference()) :: :ok
  def close_stmt(stmt), do: NIF.stmt_finalize(stmt)

  @doc "Ends a statement's run and clears its parameters."
  @spec reset_stmt(State.t(), reference()) :: :ok | {:error, Error.t()}
  def reset_stmt(state, stmt), do: EctoLibSql.reset_stmt(state, stmt)

  @doc "Runs a prepared statement that returns rows."
  @spec query_stmt(State.t(), reference(), EctoLibSql.params()) :: answer(Result.t())
  def query_stmt(state, stmt, args) do
    with {:ok, _query, result, _state} <- EctoLibSql.query(state, stmt, args) do
      {:ok, %{result | columns: result.columns || [], rows: result.rows || []}}
    else
      {:error, error, _state} -> {:error, error}
    end
  end

  @doc "Runs a prepared statement: the number of changed rows, or the result where it returns rows."
  @spec execute_stmt(State.t(), reference(), String.t(), EctoLibSql.params()) ::
          answer(non_neg_integer() | Result.t())
  def execute_stmt(state, stmt, _sql, args) do
    case EctoLibSql.query(state, stmt, args) do
      {:ok, _query, %Result{columns: nil, num_rows: changed}, _state} -> {:ok, changed}
      {:ok, _query, result, _state} -> {:ok, result}
      {:error, error, _state} -> {:error, error}
    end
  end

  @doc "How many columns the statement returns."
  @spec stmt_column_count(State.t(), reference()) :: answer(non_neg_integer())
  def stmt_column_count(state, stmt), do: ok(Raw.statement_column_count(state.conn_id, stmt))

  @doc "The name of a column, from 0."
  @spec stmt_column_name(State.t(), reference(), non_neg_integer()) :: answer(String.t())
  def stmt_column_name(state, stmt, index),
    do: ok(Raw.statement_column_name(state.conn_id, stmt, index))

  @doc "How many parameters the statement has."
  @spec stmt_parameter_count(State.t(), reference()) :: answer(non_neg_integer())
  def stmt_parameter_count(state, stmt), do: ok(Raw.statement_parameter_count(state.conn_id, stmt))

  @doc "The name of a parameter, from 1, with its prefix; `nil` for a bare `?`."
  @spec stmt_parameter_name(State.t(), reference(), pos_integer()) :: answer(String.t() | nil)
  def stmt_parameter_name(state, stmt, index),
    do: ok(Raw.statement_parameter_name(state.conn_id, stmt, index))

  @doc "Name, column in the table, and declared type of each column."
  @spec get_stmt_columns(State.t(), reference()) ::
          answer([{String.t(), String.t(), String.t() | nil}])
  def get_stmt_columns(state, stmt), do: ok(Raw.get_statement_columns(state.conn_id, stmt))

  ## Batches

  @doc """
  Runs statements with their parameters in order, to the first error; what ran before it stays. A result
  for each.
  """
  @spec batch(State.t(), [{iodata(), EctoLibSql.params()}]) :: answer([Result.t()])
  def batch(state, statements), do: run_batch(state, statements, 0)

  @doc "The same as one transaction: all of them or none."
  @spec batch_transactional(State.t(), [{iodata(), EctoLibSql.params()}]) :: answer([Result.t()])
  def batch_transactional(state, statements), do: run_batch(state, statements, Raw.transaction())

  defp run_batch(state, statements, flags) do
    items =
      for {sql, args} <- statements,
          do: {IO.iodata_to_binary(sql), Encoder.stored(args, state)}

    case Connection.timed(:batch, [state.conn_id, state.trx_id, items], :infinity, flags) do
      {:ok, results} ->
        {:ok, for(native <- results, do: %{Result.from_native(native) | command: :batch})}

      {:error, %{statement_number: nil} = error} ->
        {:error, error}

      {:error, error} ->
        {:error, %{error | statement: items |> Enum.at(error.statement_number - 1) |> elem(0)}}
    end
  end

  @doc """
  Runs SQL text with many statements, to the first error. For each statement a map of `"columns"`,
  `"rows"` and `"num_rows"`, or `nil` where it returns no rows.
  """
  @spec execute_batch_sql(State.t(), iodata()) :: answer([map() | nil])
  def execute_batch_sql(state, sql), do: run_text(state, sql, 0)

  @doc "The same as one transaction."
  @spec execute_transactional_batch_sql(State.t(), iodata()) :: answer([map() | nil])
  def execute_transactional_batch_sql(state, sql), do: run_text(state, sql, Raw.transaction())

  defp run_text(state, sql, flags) do
    sql = IO.iodata_to_binary(sql)

    case Connection.timed(:batch_sql, [state.conn_id, state.trx_id, sql], :infinity, flags) do
      {:ok, results} -> {:ok, Enum.map(results, &Raw.map_or_nil/1)}
      {:error, error} -> {:error, %{error | statement: sql}}
    end
  end

  ## Counters

  @doc "The rowid of the last INSERT on this connection."
  @spec get_last_insert_rowid(State.t()) :: integer() | {:error, Error.t()}
  def get_last_insert_rowid(state), do: Raw.last_insert_rowid(state.conn_id)

  @doc "Rows changed by the last INSERT, UPDATE or DELETE."
  @spec get_changes(State.t()) :: non_neg_integer() | {:error, Error.t()}
  def get_changes(state), do: Raw.changes(state.conn_id)

  @doc "Rows changed since the connection was opened."
  @spec get_total_changes(State.t()) :: non_neg_integer() | {:error, Error.t()}
  def get_total_changes(state), do: Raw.total_changes(state.conn_id)

  @doc "Whether no transaction is open, by the engine's own word."
  @spec get_is_autocommit(State.t()) :: boolean() | {:error, Error.t()}
  def get_is_autocommit(state), do: Raw.is_autocommit(state.conn_id)

  ## Replication

  @doc """
  Brings a replica up to what its server has, in at most 30 s; with another database there is nothing to do. See
  `EctoLibSql.sync/2`.
  """
  @spec sync(State.t()) :: answer(String.t())
  def sync(state), do: Raw.do_sync(state.conn_id, state.mode)

  @doc "The frame of its server's log up to which a replica has it."
  @spec get_frame_number_for_replica(State.t() | reference()) :: answer(non_neg_integer())
  def get_frame_number_for_replica(state), do: ok(Raw.get_frame_number(conn(state)))

  @doc "The same: what a replica has received as a whole transaction is in its file already."
  @spec flush_and_get_frame(State.t() | reference()) :: answer(non_neg_integer())
  def flush_and_get_frame(state), do: ok(Raw.flush_replicator(conn(state)))

  @doc "The highest frame that the writes of this VM to the replica have made; 0: none yet."
  @spec get_max_write_frame(State.t() | reference()) :: answer(non_neg_integer())
  def get_max_write_frame(state), do: ok(Raw.max_write_replication_index(conn(state)))

  @doc "Brings a replica up to a frame, in at most 30 s."
  @spec sync_until_frame(State.t() | reference(), non_neg_integer()) :: :ok | {:error, Error.t()}
  def sync_until_frame(state, frame), do: Raw.sync_until(conn(state), frame)

  @doc "Makes a replica a database of its own: see `EctoLibSql.freeze/1`."
  @spec freeze_replica(State.t() | reference()) :: :ok | {:error, Error.t()}
  def freeze_replica(state), do: Raw.freeze_database(conn(state))

  defp conn(%State{conn_id: conn}), do: conn
  defp conn(conn), do: conn

  ## Hooks: not there yet

  @doc "Sends changes of rows to a process. Answers `:unsupported`."
  @spec add_update_hook(State.t(), pid()) :: :ok | {:error, Error.t()}
  def add_update_hook(state, pid \\ self()), do: Raw.set_update_hook(state.conn_id, pid)

  @doc "Ends `add_update_hook/2`."
  @spec remove_update_hook(State.t()) :: :ok | {:error, Error.t()}
  def remove_update_hook(state), do: Raw.clear_update_hook(state.conn_id)

  @doc "Asks a process what may be done. Answers `:unsupported`."
  @spec add_authorizer(State.t(), pid()) :: :ok | {:error, Error.t()}
  def add_authorizer(state, pid \\ self()), do: Raw.set_authorizer(state.conn_id, pid)

  ## Extensions

  @doc "Allows or forbids `load_ext/3` on this connection. SQL can never load one."
  @spec enable_extensions(State.t(), boolean()) :: :ok | {:error, Error.t()}
  def enable_extensions(state, on?), do: Raw.enable_load_extension(state.conn_id, on?)

  @doc "Loads an SQLite extension."
  @spec load_ext(State.t(), String.t(), String.t() | nil) :: :ok | {:error, Error.t()}
  def load_ext(state, path, entry \\ nil), do: Raw.load_extension(state.conn_id, path, entry)

  ## Vectors: texts for SQL

  @doc "A list of numbers as the text that libSQL's vector functions take."
  @spec vector([number()]) :: String.t()
  def vector(numbers), do: "[" <> Enum.map_join(numbers, ",", &to_string(&1 * 1.0)) <> "]"

  @doc "The column type for vectors of that many dimensions, `:f32` or `:f64`."
  @spec vector_type(pos_integer(), :f32 | :f64) :: String.t()
  def vector_type(dimensions, type \\ :f32)

  def vector_type(dimensions, :f32) when is_integer(dimensions) and dimensions > 0,
    do: "F32_BLOB(#{dimensions})"

  def vector_type(dimensions, :f64) when is_integer(dimensions) and dimensions > 0,
    do: "F64_BLOB(#{dimensions})"

  def vector_type(dimensions, type) do
    raise ArgumentError,
          "a vector has a positive number of dimensions, and the type :f32 or :f64, " <>
            "not #{inspect(dimensions)} and #{inspect(type)}"
  end

  @doc "SQL for the cosine distance between a column and a vector."
  @spec vector_distance_cos(String.t(), [number()] | String.t()) :: String.t()
  def vector_distance_cos(column, vector) when is_list(vector),
    do: vector_distance_cos(column, vector(vector))

  def vector_distance_cos(column, vector),
    do: "vector_distance_cos(#{column}, '#{String.replace(vector, "'", "''")}')"

  ## By handle, as EctoLibSql 0.9 had them below its documented functions

  for {name, arity} <- Raw.__info__(:functions),
      name not in [:arguments, :kind, :map_or_nil, :transaction] do
    args = Macro.generate_arguments(arity, __MODULE__)
    @doc false
    defdelegate unquote(name)(unquote_splicing(args)), to: Raw
  end

  defp ok({:error, error}), do: {:error, error}
  defp ok(value), do: {:ok, value}
end
