defmodule EctoLibSql.Native.Raw do
  @moduledoc false
  # The functions that take bare handles, as code written for EctoLibSql 0.9 may call them through
  # EctoLibSql.Native. The arguments `mode` and `sync` say nothing any more: a handle knows its kind.

  alias EctoLibSql.{Call, Connection, Encoder, Error, NIF, Ownership, Replica, Result, State}
  alias EctoLibSql.Native.Sql

  @transaction 16

  def transaction, do: @transaction

  ## Connections

  def connect(opts, _mode) do
    with {:ok, state} <- Connection.connect(opts), do: state.conn_id
  end

  def ping(conn) do
    with {:ok, _} <- run(conn, nil, "SELECT 1", []), do: true
  end

  def close(id, kind, state \\ nil)
  def close(conn, :conn_id, _state), do: close_conn(conn)

  def close(trx, :trx_id, %State{} = state),
    do: Connection.plain(:rollback, [state.conn_id, number(trx)])

  def close({conn, number}, :trx_id, nil), do: Connection.plain(:rollback, [conn, number])
  def close(_trx, :trx_id, nil), do: refuse("a transaction's handle is what begin_transaction gave")
  def close(stmt, kind, _state) when kind in [:stmt_id, :cursor_id], do: NIF.stmt_finalize(stmt)
  def close(_id, _kind, _state), do: refuse("there is no such kind of handle")

  defp close_conn(conn) do
    with {:error, native} <- Call.close(conn, 5000), do: {:error, Error.from_native(native)}
  end

  defp refuse(message), do: {:error, Error.new(:bad_argument, message)}

  def set_busy_timeout(conn, ms), do: Connection.plain(:set_busy_timeout, [conn, ms])
  def reset_connection(conn), do: Connection.plain(:reset, [conn])
  def interrupt_connection(conn), do: NIF.interrupt(conn)
  def enable_load_extension(conn, on?), do: Connection.plain(:enable_extensions, [conn, on?])

  def load_extension(conn, path, entry),
    do: Connection.plain(:load_extension, [conn, path, entry])

  ## Queries

  def query_args(conn, _mode, _sync, sql, args), do: map(run(conn, nil, sql, args))
  def pragma_query(conn, sql), do: map(run(conn, nil, sql, []))

  def should_use_query_path(sql) do
    String.downcase(Sql.first_word(sql)) in ~w(select with explain pragma) or
      Regex.match?(~r/\sreturning\s/i, sql)
  end

  ## Transactions

  def begin_transaction(conn), do: begin_transaction_with_behavior(conn, :deferred)

  def begin_transaction_with_behavior(conn, behavior) do
    with {:ok, trx} <- Connection.timed(:begin, [conn, kind(behavior)], :infinity),
         do: {conn, trx}
  end

  def kind(:read_only), do: :read
  def kind(kind), do: kind

  def execute_with_transaction(trx, conn, sql, args), do: count(run(conn, trx, sql, args))
  def query_with_trx_args(trx, conn, sql, args), do: map(run(conn, trx, sql, args))

  def handle_status_transaction({conn, number}) do
    case NIF.status(conn) do
      {:transaction, ^number} -> :ok
      {:error, native} -> {:error, Error.from_native(native)}
      _another_or_none -> {:error, Error.new(:no_transaction, "Transaction not found")}
    end
  end

  def handle_status_transaction(_trx),
    do: {:error, Error.new(:no_transaction, "Transaction not found")}

  # A handle that is used alone knows its connection; a state's is the number.
  defp number({_conn, number}), do: number
  defp number(trx), do: trx

  def commit_or_rollback_transaction(trx, conn, _mode, _sync, "commit") do
    with :ok <- Connection.timed(:commit, [conn, number(trx)], :infinity),
         do: {:ok, "commit success"}
  end

  def commit_or_rollback_transaction(trx, conn, _mode, _sync, "rollback") do
    with :ok <- Connection.plain(:rollback, [conn, number(trx)]), do: {:ok, "rollback success"}
  end

  def savepoint(conn, trx, name), do: Connection.plain(:savepoint, [conn, number(trx), name])
  def release_savepoint(conn, trx, name), do: Connection.plain(:release, [conn, number(trx), name])

  def rollback_to_savepoint(conn, trx, name),
    do: Connection.plain(:rollback_to, [conn, number(trx), name])

  ## Statements

  def prepare_statement(conn, sql) do
    with {:ok, stmt} <- Connection.plain(:prepare, [conn, sql]), do: stmt
  end

  def query_prepared(conn, stmt, _mode, _sync, args), do: map(run(conn, nil, stmt, args))
  def execute_prepared(conn, stmt, _mode, _sync, _sql, args), do: count(run(conn, nil, stmt, args))
  def reset_statement(conn, stmt), do: Connection.plain(:stmt_reset, [conn, stmt])

  def statement_column_count(conn, stmt), do: info(conn, stmt, fn columns, _ -> length(columns) end)

  def statement_column_name(conn, stmt, index) do
    info(conn, stmt, fn columns, _ -> at(columns, 0, index, "column", &elem(&1, 0)) end)
  end

  def statement_parameter_count(conn, stmt),
    do: info(conn, stmt, fn _, params -> length(params) end)

  def statement_parameter_name(conn, stmt, index) do
    info(conn, stmt, fn _, params -> at(params, 1, index, "parameter", & &1) end)
  end

  def get_statement_columns(conn, stmt) do
    info(conn, stmt, fn columns, _ ->
      for {name, _database, _table, origin, type} <- columns, do: {name, origin || name, type}
    end)
  end

  defp info(conn, stmt, fun) do
    with {:ok, {columns, params, _readonly?}} <- Connection.plain(:stmt_info, [conn, stmt]),
         do: fun.(columns, params)
  end

  defp at(list, first, index, what, fun) do
    if is_integer(index) and index >= first and index < first + length(list),
      do: fun.(Enum.at(list, index - first)),
      else: refuse("there is no #{what} #{inspect(index)}: the index is out of bounds")
  end

  @doc "Parameters in the statement's order, of a list or by name."
  def arguments(conn, stmt, args) when is_list(args) do
    if Encoder.named?(args), do: by_name(conn, stmt, args), else: args
  end

  def arguments(conn, stmt, args) when is_map(args) and not is_struct(args),
    do: by_name(conn, stmt, args)

  def arguments(_conn, _stmt, _args), do: refuse("arguments must be a list or a map")

  defp by_name(conn, stmt, args) do
    given = Map.new(args, fn {name, value} -> {name |> to_string() |> bare(), value} end)

    info(conn, stmt, fn _, params ->
      names = Enum.map(params, &(&1 || "?"))

      case Enum.find(names, &(not is_map_key(given, bare(&1)))) do
        nil -> Enum.map(names, &given[bare(&1)])
        name -> {:error, Error.new(:parameters, "there is no value for parameter #{name}")}
      end
    end)
  end

  defp bare(<<prefix, name::binary>>) when prefix in ~c(:@$), do: name
  defp bare(name), do: name

  ## Batches

  def execute_batch(conn, _mode, _sync, items), do: batch(conn, items, 0)
  def execute_transactional_batch(conn, _mode, _sync, items), do: batch(conn, items, @transaction)

  defp batch(conn, items, flags) do
    items = for {sql, args} <- items, do: {sql, Encoder.params(args)}

    with {:ok, results} <- Connection.timed(:batch, [conn, nil, items], :infinity, flags),
         do: Enum.map(results, &to_map/1)
  end

  def execute_batch_native(conn, sql), do: batch_sql(conn, sql, 0)
  def execute_transactional_batch_native(conn, sql), do: batch_sql(conn, sql, @transaction)

  defp batch_sql(conn, sql, flags) do
    with {:ok, results} <- Connection.timed(:batch_sql, [conn, nil, sql], :infinity, flags),
         do: Enum.map(results, &map_or_nil/1)
  end

  ## Cursors

  def declare_cursor(conn, sql, args) do
    with {:ok, stmt} <- Connection.plain(:prepare, [conn, sql]),
         :ok <- Connection.plain(:cursor_start, [conn, nil, stmt, Encoder.params(args)]),
         do: stmt
  end

  def declare_cursor_with_context(conn, conn, :connection, sql, args),
    do: declare_cursor(conn, sql, args)

  def declare_cursor_with_context(conn, _id, :connection, _sql, _args) do
    Ownership.tell(:cursor, nil, conn)
    {:error, Error.new(:wrong_connection, "Connection ID mismatch")}
  end

  def declare_cursor_with_context(conn, trx, :transaction, sql, args) do
    with {:ok, stmt} <- Connection.plain(:prepare, [conn, sql]),
         :ok <- Connection.plain(:cursor_start, [conn, number(trx), stmt, Encoder.params(args)]),
         do: stmt
  end

  def declare_cursor_with_context(_conn, _id, _type, _sql, _args),
    do: refuse("Invalid id_type: it is :transaction or :connection")

  def fetch_cursor(conn, stmt, max_rows) do
    case Connection.timed(:cursor_fetch, [conn, stmt, max_rows], :infinity) do
      {:ok, {columns, rows, count, _end?}} -> {columns, rows, count}
      {:error, %Error{code: :misuse}} -> {[], [], 0}
      error -> error
    end
  end

  ## Counters

  def last_insert_rowid(conn), do: counter(conn, :last_rowid)
  def changes(conn), do: counter(conn, :changes)
  def total_changes(conn), do: counter(conn, :total_changes)
  def is_autocommit(conn), do: counter(conn, :autocommit)

  defp counter(conn, name) do
    with {:ok, info} <- Connection.plain(:info, [conn, false]), do: Map.fetch!(info, name)
  end

  ## Replication and hooks

  @sync_timeout 30_000

  # As in EctoLibSql 0.9: where there is nothing to synchronize, that is done.
  def do_sync(conn, _mode) do
    case Replica.sync(conn, nil, @sync_timeout) do
      {:ok, _result} -> {:ok, "success sync"}
      {:error, %Error{code: :unsupported}} -> not_a_replica(conn, {:ok, "success sync"})
      error -> error
    end
  end

  # A primary may not support what is asked: only of what is no replica is there nothing to do.
  defp not_a_replica(conn, answer) do
    case Replica.info(conn) do
      {:ok, _info} -> {:error, Error.new(:unsupported, "the server has no frames for replicas")}
      {:error, _none} -> answer
    end
  end

  def get_frame_number(conn), do: with({:ok, info} <- Replica.info(conn), do: info.index)

  def sync_until(conn, frame),
    do: with({:ok, _result} <- Replica.sync(conn, frame, @sync_timeout), do: :ok)

  # What has come is in the file as soon as a transaction of it is whole.
  def flush_replicator(conn), do: get_frame_number(conn)

  def max_write_replication_index(conn),
    do: with({:ok, info} <- Replica.info(conn), do: info.written)

  def freeze_database(conn), do: Replica.freeze(conn)

  def set_update_hook(_conn, _pid), do: no_hooks()
  def clear_update_hook(_conn), do: no_hooks()
  def set_authorizer(_conn, _pid), do: no_hooks()

  defp no_hooks, do: unsupported("hooks are not there yet")

  defp unsupported(message), do: {:error, Error.new(:unsupported, message)}

  ## Shapes

  defp run(conn, trx, sql, args) do
    case Connection.execute(%State{conn_id: conn, trx_id: number(trx)}, sql, args, :infinity, 0) do
      {:ok, native, _state} -> {:ok, native}
      {_failed, error, _state} -> {:error, error}
    end
  end

  defp count({:ok, native}), do: Result.from_native(native).num_rows
  defp count(error), do: error

  defp map({:ok, native}), do: to_map(native)
  defp map(error), do: error

  defp to_map({_command, columns, rows, count, _rowid, _autocommit?}),
    do: %{"columns" => columns || [], "rows" => rows || [], "num_rows" => count}

  @doc "The same, or nil for a statement that returns no rows."
  def map_or_nil({_command, nil, _rows, _count, _rowid, _autocommit?}), do: nil
  def map_or_nil(native), do: to_map(native)
end
