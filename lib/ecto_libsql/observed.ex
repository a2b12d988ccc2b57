defmodule EctoLibSql.Observed do
  @moduledoc false
  # DBConnection's callbacks for connections that tell everything (`events: :all`): the same calls, with an event
  # after each. For the others there is nothing but one more function clause.

  alias EctoLibSql.{Connection, Error, Query, Result, State, Telemetry}

  # Of NIF.execute/6: how it was run.
  @how 64
  @prepared 1
  @fast 2

  ## Statements

  def handle_execute(query, params, opts, %{events: nil} = state),
    do: Connection.handle_execute(query, params, opts, state)

  # No SQL.
  def handle_execute(%Query{statement: word} = query, params, opts, state)
      when is_atom(word) or is_tuple(word),
      do: Connection.handle_execute(query, params, opts, state)

  def handle_execute(query, params, opts, state) do
    query = Connection.query(query)
    metadata = %{statement: query.statement, state: state, shared: false}

    with {:ok, result, state} <-
           statement(metadata, opts, &Connection.native(query, params, opts, state, &1)),
         do: {:ok, query, result, state}
  end

  @doc """
  Runs a statement and tells of it. `fun` gets the flags that it needs; its answer is that of
  `Connection.execute/5`, or `:pool`, and nothing has happened. Answers the same with a `Result`.
  """
  def statement(metadata, opts, fun) do
    start = Telemetry.start()
    answer = fun.(@how)
    executed = System.monotonic_time()

    case answer do
      {:ok, native, state} ->
        {how, result} = result(native)
        times = %{execute_time: executed - start, decode_time: System.monotonic_time() - executed}
        tell_statement(start, times, opts, metadata, :ok, {result, result.command, how})
        {:ok, result, state}

      {_failed, %Error{code: code}, _state} ->
        tell_statement(start, %{execute_time: executed - start}, opts, metadata, code, nil)
        answer

      :pool ->
        _waited = Telemetry.waited()
        :pool
    end
  end

  defp result({command, columns, rows, num_rows, _rowid, _autocommit?, types, how}) do
    {how, %Result{command: command, columns: columns, rows: rows, num_rows: num_rows, types: types}}
  end

  defp tell_statement(start, times, opts, seen, code, ran) do
    {command, rows, prepared?, fast?} = ran(ran)
    %{state: %{events: {database, _begun}} = state} = seen

    measurements =
      times
      |> Map.put(:duration, System.monotonic_time() - start)
      |> Map.put(:turn_time, Telemetry.waited())
      |> Map.put(:rows, rows)
      |> queued(start, opts[:called])

    Telemetry.event(:query, measurements, %{
      database: database,
      statement: seen.statement,
      command: command,
      prepared: prepared?,
      fast: fast?,
      shared: seen.shared,
      in_transaction: state.trx_id != nil,
      result: code
    })
  end

  defp ran(nil), do: {nil, 0, nil, nil}

  defp ran({result, command, how}),
    do: {command, result.num_rows, Bitwise.band(how, @prepared) != 0, Bitwise.band(how, @fast) != 0}

  # What the adapter knows: when the caller asked for a connection.
  defp queued(times, start, called) when is_integer(called),
    do: Map.put(times, :queue_time, max(start - called, 0))

  defp queued(times, _start, _not_known), do: times

  def handle_fetch(query, cursor, opts, %{events: nil} = state),
    do: Connection.handle_fetch(query, cursor, opts, state)

  # A piece of a stream: no more of it is known than of a statement that failed.
  def handle_fetch(query, cursor, opts, state) do
    start = Telemetry.start()
    answer = Connection.handle_fetch(query, cursor, opts, state)
    taken = System.monotonic_time() - start
    metadata = %{statement: Connection.query(query).statement, state: state, shared: false}

    case answer do
      {more, result, _state} when more in [:cont, :halt] ->
        ran = {result, :fetch, @prepared}
        tell_statement(start, %{execute_time: taken}, opts, metadata, :ok, ran)

      {_failed, error, _state} ->
        tell_statement(start, %{execute_time: taken}, opts, metadata, code(error), nil)
    end

    answer
  end

  ## Transactions

  def handle_begin(opts, %{events: nil} = state), do: Connection.handle_begin(opts, state)

  def handle_begin(opts, state) do
    start = Telemetry.start()
    answer = Connection.handle_begin(opts, state)

    case {opts[:mode], answer} do
      {:savepoint, _any} -> savepoint(:begin, start, answer)
      {mode, {:ok, result, state}} -> {:ok, result, begun(state, {start, mode(mode, state)})}
      {mode, {:disconnect, error, _state}} -> failed_begin(mode, start, error, state, answer)
      {_mode, answer} -> answer
    end
  end

  defp begun(%{events: {database, _before}} = state, begun),
    do: %{state | events: {database, begun}}

  defp mode(nil, state), do: State.kept(state)[:transaction_mode] || :immediate
  defp mode(mode, _state), do: mode

  defp failed_begin(mode, start, error, state, answer) do
    tell_transaction(start, mode(mode, state), code(error), state)
    answer
  end

  def handle_commit(opts, %{events: nil} = state), do: Connection.handle_commit(opts, state)
  def handle_commit(opts, state), do: ending(:commit, opts, state)

  def handle_rollback(opts, %{events: nil} = state), do: Connection.handle_rollback(opts, state)
  def handle_rollback(opts, state), do: ending(:rollback, opts, state)

  defp ending(how, opts, state) do
    start = Telemetry.start()
    answer = apply(Connection, :"handle_#{how}", [opts, state])

    if opts[:mode] == :savepoint,
      do: savepoint(how, start, answer),
      else: ended(how, answer, elem(state.events, 1))
  end

  defp savepoint(how, start, answer) do
    measurements = %{duration: System.monotonic_time() - start, turn_time: Telemetry.waited()}
    %{events: {database, _begun}} = elem(answer, tuple_size(answer) - 1)
    metadata = %{database: database, operation: how, result: outcome(answer)}
    Telemetry.event(:savepoint, measurements, metadata)
    answer
  end

  defp outcome({:ok, _result, _state}), do: :ok
  defp outcome({status, _state}), do: status
  defp outcome({_failed, error, _state}), do: code(error)

  defp ended(how, answer, {since, mode}) do
    case answer do
      {:ok, result, state} ->
        tell_transaction(since, mode, how, state)
        {:ok, result, begun(state, nil)}

      {failed, error, state} ->
        tell_transaction(since, mode, code(error), state)
        {failed, error, begun(state, nil)}

      {status, state} ->
        {status, begun(state, nil)}
    end
  end

  # Begun by SQL: not known since when.
  defp ended(_how, answer, nil) do
    _waited = Telemetry.waited()
    answer
  end

  @doc "A transaction whose connection is closed."
  def lost(%{events: {_database, {since, mode}}, trx_id: trx} = state) when trx != nil,
    do: tell_transaction(since, mode, :disconnect, state)

  def lost(_state), do: :ok

  defp tell_transaction(since, mode, result, state) do
    measurements = %{duration: System.monotonic_time() - since, turn_time: Telemetry.waited()}
    metadata = %{database: elem(state.events, 0), mode: mode, result: result}
    Telemetry.event(:transaction, measurements, metadata)
  end

  defp code(%Error{code: code}), do: code
  defp code(_other), do: :error
end
