defmodule EctoLibSql.Connection do
  @moduledoc false
  # What DBConnection calls, by way of EctoLibSql, and what the driver's own functions share. A state
  # goes in, a state comes out; the connection itself is a handle (EctoLibSql.NIF).

  require Logger

  alias EctoLibSql.{CacheBudget, Call, Encoder, Error, Hook, IdleWriter, NIF, Options, Query}

  alias EctoLibSql.{
    Deadline,
    Mvcc,
    Observed,
    Owner,
    Ownership,
    Remote,
    Replica,
    Result,
    State,
    Stats,
    Telemetry
  }

  @close_timeout 5_000
  @reach_timeout 30_000
  # The pool has a connection less while it waits; what is not closed by then is closed later.
  @disconnect_timeout 300
  @too_late "the call's time-out passed while it waited for a connection of the pool: nothing was done"
  @savepoint "ecto_libsql"
  @one 8
  @types 32

  ## Called by the connection process

  def connect(opts) do
    start = System.monotonic_time()
    # DBConnection's pools number their connections; a direct caller's keys are all meant for us.
    strict? = Keyword.keyword?(opts) and not Keyword.has_key?(opts, :pool_index)

    answer =
      with {:ok, checked} <- check(opts, strict?),
           checked = Map.put(checked, :pooled, not strict?),
           {:ok, conn} <- open(checked, opts) do
        unless strict?, do: Owner.closes(conn)
        events = if checked.events == :all, do: {NIF.kept(conn)[:database], nil}
        state = %State{conn_id: conn, mode: checked.mode, sync: State.detect_sync(opts)}
        prepare(%{state | events: events}, checked)
      end

    tell_connected(answer, opts, System.monotonic_time() - start)
    answer
  end

  defp check(opts, strict?) do
    with {:ok, checked} <- Options.validate(opts, strict: strict?),
         {:ok, checked} <- CacheBudget.share(checked, opts),
         mode = State.detect_mode(opts),
         :ok <- check_mode(mode, checked),
         :ok <- check_own(mode, opts) do
      tell_ignored(mode, checked)
      {:ok, Map.put(checked, :mode, mode)}
    else
      {:error, message} when is_binary(message) -> {:error, Error.new(:bad_argument, message)}
      {:unsupported, message} -> {:error, Error.new(:unsupported, message)}
      error -> error
    end
  end

  defp check_mode(:local, %{database: path}) when path != nil, do: :ok
  defp check_mode(:remote, checked), do: Remote.check(checked)
  defp check_mode(:remote_replica, checked), do: Replica.check(checked)

  defp check_mode(_unknown, _checked),
    do: {:error, "option :database is missing: the path of a file, or \":memory:\""}

  # They were meant for something.
  defp check_own(:remote_replica, _opts), do: :ok

  defp check_own(mode, opts) do
    case Replica.misplaced(opts) do
      nil ->
        :ok

      name ->
        {:error,
         "option #{inspect(name)} is for replicas, and this connection is a #{mode} one: a replica has :database, " <>
           ":uri and sync: true"}
    end
  end

  # As in EctoLibSql 0.9, which said nothing.
  defp tell_ignored(:remote, %{database: path}) when path != nil do
    Logger.warning(
      "EctoLibSql: option :database is passed over beside :uri; a local replica of the server has sync: true"
    )
  end

  defp tell_ignored(:local, %{uri: uri, mode: nil}) when uri != nil do
    Logger.warning(
      "EctoLibSql: option :uri is passed over beside :database without :auth_token; a local replica of the server " <>
        "has sync: true"
    )
  end

  defp tell_ignored(_mode, _checked), do: :ok

  defp open(checked, opts) do
    with {:ok, config} <- native_config(checked) do
      # For statistics: who has a connection of a pool in his hands cannot see the pool's options.
      config = put_in(config, [:kept, :pool_size], opts[:pool_size] || 1)

      case Call.open(config, checked.busy_timeout) do
        {:ok, conn} -> {:ok, conn}
        {:error, native} -> {:error, Error.from_native(native)}
      end
    end
  end

  defp native_config(%{mode: :remote} = checked), do: Options.native_remote(checked)
  defp native_config(%{mode: :remote_replica} = checked), do: Options.native_replica(checked)
  defp native_config(checked), do: {:ok, Options.native(checked)}

  # What is open and does not come so far is closed again.
  defp prepare(state, checked) do
    with :ok <- reach(state, checked),
         :ok <- load_extensions(state.conn_id, checked.extensions),
         :ok <- Hook.call(checked.on_connect, state),
         :ok <- Mvcc.check(checked, state.conn_id) do
      {:ok, state}
    else
      error ->
        Call.close_later(state.conn_id)
        error
    end
  end

  # A pool's connections are there before their server is: who opens one himself wants to know.
  defp reach(%{mode: :remote, conn_id: conn}, %{pooled: false}) do
    case Call.execute(conn, nil, "SELECT 1", [], @reach_timeout) do
      {:ok, _result} -> :ok
      {_failed, native} -> {:error, Error.from_native(native)}
    end
  end

  defp reach(_state, _checked), do: :ok

  defp load_extensions(_conn, []), do: :ok

  defp load_extensions(conn, extensions) do
    with :ok <- plain(:enable_extensions, [conn, true]),
         :ok <- load_each(conn, extensions),
         do: plain(:enable_extensions, [conn, false])
  end

  defp load_each(conn, extensions) do
    Enum.reduce_while(extensions, :ok, fn extension, :ok ->
      {path, entry} = if is_tuple(extension), do: extension, else: {extension, nil}

      case plain(:load_extension, [conn, path, entry]) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp tell_connected(answer, opts, duration) do
    result = if match?({:ok, _}, answer), do: :ok, else: elem(answer, 1).code
    {mode, database} = target(opts)

    Telemetry.event(:connect, %{duration: duration}, %{
      mode: mode,
      database: database,
      result: result
    })

    with {:ok, state} <- answer, notices when is_list(notices) <- NIF.notices(state.conn_id) do
      for {name, asked, got} <- notices do
        metadata = %{database: database, name: name, asked: asked, got: got}
        Telemetry.event(:setting_refused, %{count: 1}, metadata)
      end
    end
  end

  defp target(opts) do
    case Keyword.keyword?(opts) and State.detect_mode(opts) do
      false -> {:unknown, nil}
      :remote -> {:remote, opts[:uri] |> to_string() |> String.split("?") |> hd()}
      mode -> {mode, opts[:database]}
    end
  end

  def disconnect(reason, state) do
    start = System.monotonic_time()
    idle = IdleWriter.look(state)
    answer = close(state, @disconnect_timeout)
    IdleWriter.tell(idle, :disconnect, state)
    Observed.lost(state)
    metadata = %{database: State.kept(state)[:database], reason: reason(reason)}
    Telemetry.event(:disconnect, %{duration: System.monotonic_time() - start}, metadata)
    answer
  end

  defp reason(%Error{code: code}), do: code
  defp reason(reason) when is_atom(reason), do: reason
  defp reason(_other), do: :error

  def close(state, timeout) do
    case Call.close(state.conn_id, timeout) do
      {:error, native} -> {:error, Error.from_native(native)}
      _closed_or_closing -> :ok
    end
  end

  # A server is not asked every second by connections that nobody uses: they hold nothing there.
  def ping(%{mode: mode} = state) when mode in [:remote, :remote_replica], do: {:ok, state}

  def ping(state) do
    case Call.execute(state.conn_id, nil, "SELECT 1", [], @close_timeout) do
      {:ok, _result} -> {:ok, state}
      {_kind, native} -> {:disconnect, Error.from_native(native), state}
    end
  end

  def checkout(state), do: {:ok, state}

  ## Called by the client process while it holds the connection

  def handle_prepare(query, _opts, state), do: {:ok, query, state}
  def handle_close(_query, _opts, state), do: {:ok, %Result{}, state}

  # No SQL: the same in a transaction is ignored there.
  def handle_execute(%Query{statement: {:enforce_foreign_keys, on?}} = query, _, _opts, state) do
    case enforce_foreign_keys(state, on?) do
      {:ok, before?} ->
        rows = [[if(before?, do: 1, else: 0)]]
        result = %Result{command: :other, columns: ["foreign_keys"], rows: rows, num_rows: 1}
        {:ok, query, result, state}

      {:error, error} ->
        {:error, error, state}
    end
  end

  # Nor is this, by which a Repo's file is synced.
  def handle_execute(%Query{statement: {:sync, until}} = query, _params, opts, state) do
    with {:ok, ms} <- time(opts, state),
         {:ok, synced} <- Replica.sync(state.conn_id, until, ms) do
      row = [synced.index, synced.frames, synced.bytes]
      columns = ["index", "frames", "bytes"]
      {:ok, query, %Result{command: :other, columns: columns, rows: [row], num_rows: 1}, state}
    else
      {:error, %Error{} = error} -> {:error, error, state}
      failed -> failed
    end
  end

  # Nor is this: what the pool was started with.
  def handle_execute(%Query{statement: :origin} = query, _params, _opts, state),
    do: {:ok, query, %Result{command: :other, rows: [Stats.origin(state)], num_rows: 1}, state}

  def handle_execute(query, params, opts, state) do
    query = query(query)

    with {:ok, native, state} <- native(query, params, opts, state, 0),
         do: {:ok, query, Result.from_native(native), state}
  end

  @doc "The same, with more flags of NIF.execute/6, and the native result."
  def native(query, params, opts, state, flags) do
    with :ok <- Ownership.check(state),
         {:ok, ms} <- time(opts, state),
         {:ok, params} <- stored(params, state) do
      execute_stored(state, query.statement, params, ms, flags(opts) + flags)
    end
  end

  # Only the SQL sandbox asks so.
  def handle_begin(opts, %{mode: :remote_replica} = state) do
    if opts[:mode] == :transaction do
      message =
        "the SQL sandbox cannot have a replica, which writes to its server, or keeps syncs waiting. Test on a local file, or on " <>
          "the server itself (:uri without :sync)"

      {:disconnect, Error.new(:unsupported, message), state}
    else
      begin(opts, state)
    end
  end

  def handle_begin(opts, state), do: begin(opts, state)

  defp begin(opts, state) do
    case {Keyword.get(opts, :mode), NIF.status(state.conn_id)} do
      {:savepoint, {:transaction, trx}} -> savepoint(:savepoint, %{state | trx_id: trx})
      {:savepoint, :idle} -> {:idle, %{state | trx_id: nil}}
      {_mode, {:transaction, trx}} -> {:transaction, %{state | trx_id: trx}}
      {mode, :idle} -> begin_transaction(kind(mode, state), opts, state)
      {_mode, {:error, native}} -> {:disconnect, Error.from_native(native), state}
    end
  end

  defp kind(nil, state), do: State.kept(state)[:transaction_mode]

  # What the SQL sandbox asks for: tests that only read are not to wait for each other, and those that write
  # wait even after they have read, since the others will roll back.
  defp kind(:transaction, _state), do: :patient
  defp kind(:read_only, _state), do: :read
  defp kind(kind, _state), do: kind

  defp begin_transaction(kind, opts, state) do
    with {:ok, ms} <- time(opts),
         {:ok, trx} <- timed(:begin, [state.conn_id, kind], ms) do
      {:ok, %Result{command: :begin}, IdleWriter.begun(state, kind, trx, owner(kind, state))}
    else
      {:error, error} -> {:disconnect, error, state}
    end
  end

  # The sandbox begins in a process of its own, for those that are allowed the connection; and a state that was
  # not given by a pool is its holder's.
  defp owner(:patient, _state), do: nil
  defp owner(_kind, state), do: if(State.kept(state)[:pooled], do: self())

  def handle_commit(opts, state) do
    case {Keyword.get(opts, :mode, :transaction), NIF.status(state.conn_id)} do
      {_mode, :idle} -> {:idle, %{state | trx_id: nil}}
      {:savepoint, {:transaction, trx}} -> savepoint(:release, %{state | trx_id: trx})
      {_mode, {:transaction, trx}} -> commit(opts, %{state | trx_id: trx})
      {_mode, {:error, native}} -> {:disconnect, Error.from_native(native), state}
    end
  end

  defp commit(opts, state) do
    idle = IdleWriter.look(state)

    case Call.timed(:commit, [state.conn_id, state.trx_id], Deadline.at_end(opts)) do
      :ok -> ended(:commit, idle, state)
      {:error, native} -> native |> Error.at_commit() |> not_committed(state)
      {:abandoned, native} -> {:disconnect, Error.from_native(native), state}
    end
  end

  # The transaction is still open, but a server's. DBConnection asks for no rollback; elsewhere, closing is one.
  defp not_committed(%Error{code: code} = error, state) when code in [:constraint, :busy] do
    case NIF.status(state.conn_id) do
      :idle ->
        {:error, error, %{state | trx_id: nil, begun: nil}}

      _open ->
        {how, _, state} = rollback(state)
        {if(how == :ok, do: :error, else: :disconnect), error, state}
    end
  end

  defp not_committed(error, state), do: {:disconnect, error, state}

  def handle_rollback(opts, state) do
    case {Keyword.get(opts, :mode, :transaction), NIF.status(state.conn_id)} do
      # The engine has rolled back by itself: what was asked for is done.
      {:transaction, :idle} -> {:ok, %Result{command: :rollback}, %{state | trx_id: nil}}
      {_mode, :idle} -> {:idle, %{state | trx_id: nil}}
      {:savepoint, {:transaction, trx}} -> undo_savepoint(%{state | trx_id: trx})
      {_mode, {:transaction, trx}} -> rollback(%{state | trx_id: trx})
      {_mode, {:error, native}} -> {:disconnect, Error.from_native(native), state}
    end
  end

  defp rollback(state) do
    idle = IdleWriter.look(state)

    case Call.plain(:rollback, [state.conn_id, state.trx_id]) do
      :ok -> ended(:rollback, idle, state)
      {_failed, native} -> {:disconnect, Error.from_native(native), state}
    end
  end

  defp ended(how, idle, state) do
    IdleWriter.tell(idle, how, state)
    {:ok, %Result{command: how}, %{state | trx_id: nil, begun: nil}}
  end

  defp undo_savepoint(state) do
    with {:ok, _result, state} <- savepoint(:rollback_to, state), do: savepoint(:release, state)
  end

  defp savepoint(op, state) do
    case Call.plain(op, [state.conn_id, state.trx_id, @savepoint]) do
      :ok -> {:ok, %Result{command: command(op)}, state}
      {_failed, native} -> {:disconnect, Error.from_native(native), state}
    end
  end

  defp command(:savepoint), do: :begin
  defp command(:release), do: :commit
  defp command(:rollback_to), do: :rollback

  def handle_status(_opts, state) do
    case NIF.status(state.conn_id) do
      {:transaction, trx} -> {:transaction, %{state | trx_id: trx}}
      :idle -> {:idle, %{state | trx_id: nil}}
      {:error, native} -> {:disconnect, Error.from_native(native), state}
    end
  end

  def handle_declare(query, params, opts, state) do
    query = query(query)
    conn = state.conn_id

    with :ok <- Ownership.check(state),
         {:ok, timeout} <- time(opts, state),
         {:ok, params} <- stored(params, state),
         {:ok, stmt} <- Call.plain(:prepare, [conn, query.statement], timeout),
         :ok <- Call.plain(:cursor_start, [conn, state.trx_id, stmt, params], timeout) do
      {:ok, query, %{ref: stmt}, state}
    else
      {:error, %Error{}, _state} = refused -> refused
      failed -> failed(failed, query.statement, state)
    end
  end

  def handle_fetch(query, %{ref: stmt}, opts, state) do
    max_rows = Keyword.get(opts, :max_rows, 500)

    with :ok <- Ownership.check(state),
         {:ok, timeout} <- time(opts, state) do
      fetch(query, [state.conn_id, stmt, max_rows], timeout, flags(opts), state)
    end
  end

  defp fetch(query, args, timeout, flags, state) do
    case Call.timed(:cursor_fetch, args, timeout, flags) do
      {:ok, {columns, rows, count, end?}} ->
        result = %Result{command: :select, columns: columns, rows: rows, num_rows: count}
        {if(end?, do: :halt, else: :cont), result, state}

      {:ok, {columns, rows, count, end?, types}} ->
        result = %Result{columns: columns, rows: rows, num_rows: count, types: types}
        {if(end?, do: :halt, else: :cont), %{result | command: :select}, state}

      failed ->
        failed(failed, query(query).statement, state)
    end
  end

  def handle_deallocate(_query, %{ref: stmt}, _opts, state) do
    NIF.stmt_finalize(stmt)
    {:ok, %Result{}, state}
  end

  ## Shared

  defp time(opts, state) do
    with {:error, error} <- time(opts), do: {:error, error, state}
  end

  # Raising here would cost DBConnection the connection.
  defp stored(params, state) do
    {:ok, Encoder.stored(params, state)}
  rescue
    error in ArgumentError ->
      {:error, Error.new(:parameters, Exception.message(error)), state}
  end

  @doc "Runs SQL or a prepared statement; answers the native result."
  def execute(state, sql, params, timeout, flags),
    do: execute_stored(state, sql, Encoder.stored(params, state), timeout, flags)

  defp execute_stored(state, sql, params, timeout, flags) when is_binary(sql) do
    state.conn_id
    |> Call.execute(state.trx_id, sql, params, timeout, flags)
    |> executed(sql, state)
  end

  defp execute_stored(state, stmt, params, timeout, flags) when is_reference(stmt) do
    :stmt_execute
    |> Call.timed([state.conn_id, state.trx_id, stmt, params], timeout, flags + 1)
    |> executed(nil, state)
  end

  defp execute_stored(state, sql, params, timeout, flags),
    do: execute_stored(state, IO.iodata_to_binary(sql), params, timeout, flags)

  defp executed({:ok, native}, _sql, state), do: {:ok, native, note(state, native)}
  defp executed(failed, sql, state), do: failed(failed, sql, state)

  def enforce_foreign_keys(state, on?),
    do: plain(:enforce_foreign_keys, [state.conn_id, state.trx_id, on?])

  @doc "The flags of NIF.execute/6 that a call's options ask for."
  def flags(opts), do: if(Keyword.get(opts, :declared_types, false), do: @types, else: 0)

  @doc "The flag of NIF.execute/6 for exactly one row."
  def one, do: @one

  # SQL may have begun or ended a transaction.
  defp note(%{trx_id: nil} = state, native) do
    if elem(native, 5) or elem(native, 0) not in [:begin, :other], do: state, else: look(state)
  end

  defp note(state, native), do: if(elem(native, 5), do: %{state | trx_id: nil}, else: state)

  defp look(state) do
    case NIF.status(state.conn_id) do
      {:transaction, trx} -> %{state | trx_id: trx}
      _idle -> state
    end
  end

  @doc "{:error | :disconnect, error, state} of what Call answered instead of :ok."
  def failed({:error, native}, sql, state), do: {:error, Error.from_native(native, sql), state}

  def failed({:abandoned, native}, sql, state),
    do: {:disconnect, Error.from_native(native, sql), state}

  @doc "A function of NIF without a time-out: its answer, the error as a struct."
  def plain(op, args, timeout \\ :infinity), do: op |> Call.plain(args, timeout) |> answer()

  @doc "The same for one with a time-out."
  def timed(op, args, timeout, flags \\ 0),
    do: op |> Call.timed(args, timeout, flags) |> answer()

  defp answer({failed, native}) when failed in [:error, :abandoned],
    do: {:error, Error.from_native(native)}

  defp answer(answer), do: answer

  # What came too late has not been tried. To wait for a connection of the pool counts.
  @doc "{:ok, ms} that a call may take, or the error of one whose time is over already."
  def time(opts) do
    case Deadline.left(opts) do
      :over -> {:error, Error.new(:timeout, @too_late)}
      ms -> {:ok, ms}
    end
  end

  @doc false
  def query(%Query{} = query), do: query
  def query(sql), do: %Query{statement: IO.iodata_to_binary(sql)}
end
