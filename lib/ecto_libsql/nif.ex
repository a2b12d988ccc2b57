defmodule EctoLibSql.NIF do
  @moduledoc false
  # Stubs of the native functions, one for each; c/nif holds the other side.
  #
  # Handles. `conn` and `stmt` are VM resources: usable from any process, freed by the VM, safe after
  # close. A transaction is known by the integer that begin/4 gave; `trx` is that integer, or nil for
  # "whatever is open", which what another process began by begin/4 is not: :not_owner. A cursor is a `stmt` that cursor_start/4 was called on.
  #
  # What a call answers, beside its own {:ok, _} or :ok:
  #
  #   {:error, {code, engine_code, message, sql_offset, statement, transient?, outcome, constraint}}
  #       code: an atom of status.def; sql_offset, statement: integer or nil; outcome: :none,
  #       :committed or :unknown; constraint: nil or {kind, table, columns, name} with kind in
  #       :unique, :primary_key, :foreign_key, :check, :not_null, :other, texts or nil, and
  #       a list of texts
  #   :in_use   another process is in the connection: nothing has happened; wait with notify_idle/2
  #       and call again
  #   {:later, seen, :async}   the call may take long and cannot be stopped early: nothing has happened; send it
  #       to a thread of ours with submit/6
  #   {:later, seen, {:error, busy}}   it met a lock, as is said next; seen: interrupts/1 of the connection and of
  #       the statement, added, when the call came
  #
  # Native code never waits for a lock of another connection: it answers :busy, with engine_code 0 where
  # another connection of this VM has the turn to write, and the caller gets in line with submit_in_turn/5;
  # else the lock is another's, and the caller tries again (EctoLibSql.Call). `timeout` is ms for this call,
  # 0 for none. `flags` is a sum of
  # 1 (may run on this scheduler, if known to be short), 8 (exactly one row), 16 (a batch is one
  # transaction), 32 (with the columns' declared types: of execute/6, stmt_execute/6, cursor_fetch/5).
  #
  # A result is {command, columns, rows, num_rows, last_rowid, autocommit?}: columns and rows are nil
  # for a statement without rows, num_rows is then the rows it changed. command: :select, :insert,
  # :update, :delete, :create, :begin, :commit, :rollback, :pragma, :other. With flag 32 it has a seventh
  # element: the types, as texts or nil, in a list; nil for a statement without rows. With flag 64 (of execute/6,
  # stmt_execute/6) the seventh is the types or nil, and an eighth says how it was run: the sum of 1 (the statement
  # was prepared already) and 2 (on the caller's scheduler).
  #
  # Parameters: a list by position, or a list of {name, value} with name a binary or an atom, prefix
  # optional. Values: nil, integers of 64 bits, floats, booleans (1 and 0), :infinity,
  # :neg_infinity, binaries (TEXT if they are UTF-8, else BLOB), {:text, binary}, {:blob, binary or
  # list of bytes}. Anything else is a :parameters error that names its position. Rows hold nil,
  # integers, floats, :infinity, :neg_infinity and binaries.

  @on_load :load

  @doc false
  def load do
    path = :ecto_libsql |> :code.priv_dir() |> Path.join("ecto_libsql_nif")
    :erlang.load_nif(String.to_charlist(path), 0)
  end

  ## Connections

  # config: %{path, flags, vfs, busy_timeout, settings: [{name, value}], attached: [{name, path}],
  # statement_cache, fast_path, key, kept}: flags as LSQ_OPEN_*; vfs, key: binary or nil; kept: any term
  # Of a server, whose address is the path: %{path, busy_timeout, kept, remote: %{token, namespace,
  # encryption_key, ca_file, client_cert, client_key, proxy, verify, connect_timeout, first_byte_timeout, timeout,
  # retry_time, max_response, replicas, read_replicas}}, as struct lsq_remote has them
  # Of a replica, the first ones and: primary: the server's address, remote: as above, replica: %{sync_interval,
  # open_timeout, stale_after, sync_protocol, no_sync_on_open, stale_reads, stale_is_error, replace, offline}, as struct
  # lsq_replica has them
  # -> :ok; then {ref, {:ok, conn} | {:error, _}} comes as a message: opening is long.
  def open(_ref, _config), do: stub()

  # Of a server's connection: the token to send from now on, or nil -> :ok | {:error, _}
  def set_token(_conn, _token), do: stub()

  # Never waits; sends {ref, :closed} to pid, if that is not nil, when the engine has closed
  # the file.
  def close(_conn, _pid, _ref), do: stub()

  def interrupt(_conn), do: stub()

  # How often a connection or statement was interrupted, or the connection closed: for those who wait outside of
  # native code. Modulo 2^32.
  def interrupts(_handle), do: stub()
  def reset(_conn), do: stub()
  def set_busy_timeout(_conn, _ms), do: stub()

  # -> integer of ms, also after close
  def busy_timeout(_conn), do: stub()

  # -> the term `kept` of the configuration, also after close
  def kept(_conn), do: stub()

  # -> {:ok, map} with the fields of struct lsq_conn_info; only the cheap ones unless all? is true
  def info(_conn, _all?), do: stub()

  # -> [{name, asked, got}]: settings that the database cannot have
  def notices(_conn), do: stub()

  def cacheflush(_conn), do: stub()

  # schema: binary or nil; mode: :passive | :full | :restart | :truncate
  # -> {:ok, {frames_in_log, frames_checkpointed}}
  def checkpoint(_conn, _schema, _mode), do: stub()

  def enable_extensions(_conn, _on?), do: stub()
  def load_extension(_conn, _path, _entry), do: stub()

  ## SQL

  # -> {:ok, result}
  def execute(_conn, _trx, _sql, _params, _timeout, _flags), do: stub()

  # rows: a list of parameter lists -> {:ok, result}
  def execute_many(_conn, _trx, _sql, _rows, _timeout, _flags), do: stub()

  # items: [{sql, params}] -> {:ok, [result]}
  def batch(_conn, _trx, _items, _timeout, _flags), do: stub()

  # -> {:ok, [result]}
  def batch_sql(_conn, _trx, _sql, _timeout, _flags), do: stub()

  ## Transactions

  # kind: :deferred | :immediate | :exclusive | :read | :patient -> {:ok, trx}
  def begin(_conn, _kind, _timeout, _flags), do: stub()
  def commit(_conn, _trx, _timeout, _flags), do: stub()
  def rollback(_conn, _trx), do: stub()
  def savepoint(_conn, _trx, _name), do: stub()
  def release(_conn, _trx, _name), do: stub()
  def rollback_to(_conn, _trx, _name), do: stub()

  # For the rest of the transaction -> {:ok, before?}
  def enforce_foreign_keys(_conn, _trx, _on?), do: stub()

  # -> :idle | {:transaction, trx} | {:error, _}; never :in_use: what the last finished call left
  def status(_conn), do: stub()

  # Who has the turn to write to the connection's file -> nil (nobody, or conn itself) | {pid, ms, sql}: the
  # process whose call took it, since when, and its statement's first 123 bytes; pid and sql are nil for a
  # checkpoint, and until the turn is used.
  def turn_holder(_conn), do: stub()

  ## Statements and cursors

  # -> {:ok, stmt}
  def prepare(_conn, _sql), do: stub()
  def stmt_execute(_conn, _trx, _stmt, _params, _timeout, _flags), do: stub()
  def stmt_reset(_conn, _stmt), do: stub()

  # -> {:ok, {columns, params, readonly?}}: columns are {name, database, table, origin, declared_type},
  # params are names with their prefix, or nil
  def stmt_info(_conn, _stmt), do: stub()

  # Frees it from any process, at any time.
  def stmt_finalize(_stmt), do: stub()
  def stmt_interrupt(_stmt), do: stub()

  def cursor_start(_conn, _trx, _stmt, _params), do: stub()

  # -> {:ok, {columns, rows, count, end?}}, with flag 32 {columns, rows, count, end?, types}
  def cursor_fetch(_conn, _stmt, _max_rows, _timeout, _flags), do: stub()

  ## Waiting

  # Runs function op of this module with args on a thread of ours; {ref, answer} comes as a
  # message -> :ok | {:error, _}. args are those of the function, conn first. If the caller ends, the
  # call is cancelled. {ref, :interrupting} may come before: it was interrupted, and is to end.
  def submit(_conn, _ref, _op, _args), do: stub()

  # The same for a call that was answered {:later, seen, _}, or nil: interrupted since, it is an error of that.
  # With the caller's trace context (a traceparent, or nil), which a server is told.
  def submit(_conn, _ref, _op, _args, _seen, _trace), do: stub()

  # The same for what is to write, when it is the connection's turn to write to its file. The answer may be
  # :in_use.
  def submit_in_turn(_conn, _ref, _op, _args), do: stub()
  def submit_in_turn(_conn, _ref, _op, _args, _seen), do: stub()

  # Stops what this process submitted: :cancelled (no message will come), :not_begun (nor will
  # it run), or :sent (the message has come or is about to: receive it). Interrupts the engine, does not wait for it.
  def cancel(_conn, _ref), do: stub()

  # The same, but what has begun goes on: :not_begun, or :sent (the message has come or will come).
  def cancel_waiting(_conn, _ref), do: stub()

  # Sends {ref, :idle} to the caller once nobody is in the connection -> {:ok, waiter}
  def notify_idle(_conn, _ref), do: stub()

  # :cancelled or :sent, as cancel/2
  def cancel_idle(_waiter), do: stub()

  ## Replicas

  # Up to an index of the primary's log, or nil: all that it has -> {:ok, {index, frames, bytes}}
  def sync(_conn, _until, _timeout, _flags), do: stub()

  # Of one that is written to offline -> {:ok, the name of the copy that was kept, or nil}
  def set_aside(_conn, _timeout, _flags), do: stub()

  # Makes it a plain file's connection.
  def freeze(_conn), do: stub()

  # -> {:ok, map} with the fields of struct lsq_replica_info; synced_ago, pushed_ago: ms or nil; last_error: {code, message} or nil;
  # protocol: a number
  def replica_info(_conn), do: stub()

  ## The library

  # -> %{engine, engine_version, engine_source, encryption, wal_reset_fixed, ofd_locks}
  def core_info, do: stub()

  # -> %{bytes, blocks, failed}
  def memory, do: stub()

  # of: a connection or a path -> {:ok, map} with the fields of struct lsq_file_info, or :none where no
  # connection has it open, or it is in memory
  def file_info(_of), do: stub()

  # Has {:ecto_libsql, :checkpoint | :wal_pinned, map} sent to the process, of struct lsq_file_event, and
  # {:ecto_libsql, :server_retry | :server_down | :server_up | :server_no_socket, %{server, ms, code}}, of struct lsq_server_event;
  # and {:ecto_libsql, :replica_bootstrapped | :replica_synced | :replica_failed | :replica_set_aside |
  # :replica_replaced | :replica_stale | :replica_pushed, map}, of struct lsq_replica_event;
  # nil: to nobody. The last one counts.
  def watch_files(_pid), do: stub()

  # JSON text of {[{key, value}]} (an object; keys are binaries or atoms), lists, binaries, floats,
  # integers of 64 bits, {:digits, binary} for others, atoms -> {:ok, binary}
  def json_encode(_term), do: stub()

  defp stub, do: :erlang.nif_error(:not_loaded)
end
