defmodule Ecto.Adapters.LibSql.Shared do
  @moduledoc false
  # Connections that all processes of a Repo share, beside its pool: for single statements that were given
  # the pool, and not a connection. One that only reads for each scheduler, and one that writes.
  #
  # Nothing is checked out. A short read is done before its scheduler turns to another process, so the reader
  # of that scheduler is free whenever it is looked at, and its caches are warm; the pool's connections take
  # turns, and each finds its pages changed. Where somebody is in the reader, the native call says so at once,
  # and the statement goes by the pool; a writer's stands in line, with the writer, for it would have to with any.
  # By the pool goes whatever else is not plain: what the reader refuses (the engine does, told to be query-only:
  # the text does not count), what cannot be compiled (a temporary table of a connection of the pool), a connection
  # that is not open yet.
  #
  # A keeper opens them when they are first wanted, closes those that nobody used for a while, and ends with
  # the pool. Without it everything goes by the pool.

  use GenServer

  alias Ecto.Adapters.LibSql.DatabaseFile
  alias EctoLibSql.{Call, Connection, Encoder, Error, NIF, Observed, Result, Telemetry}

  @idle_ms 60_000
  # After a failure to open one.
  @pause_ms 10_000
  # Between taking one out of the table and closing it.
  @retire_ms 50

  # Not of the statement but of the connection, or of its file: it is not used again before it is looked at.
  @sick [:io, :corrupt, :not_a_database, :cannot_open, :protocol, :closed]

  # Of the counters.
  @uses 1
  @refusals 2
  @errors 3

  ## The pool

  @doc "The child of a Repo: its pool, with shared connections beside it where they are of use."
  def child_spec(opts) do
    opts = Keyword.put(opts, :connections, connections(opts))
    spec = DBConnection.child_spec(EctoLibSql, opts)

    cond do
      useful?(opts) -> %{spec | start: {__MODULE__, :start_pool, [spec, opts]}}
      server?(opts) -> %{spec | start: {__MODULE__, :start_server_pool, [spec]}}
      true -> spec
    end
  end

  # One of several connections, which go back to the pool after each statement.
  defp server?(opts) do
    Keyword.get(opts, :pool, DBConnection.ConnectionPool) == DBConnection.ConnectionPool and
      Keyword.get(opts, :pool_size, 10) > 1 and DatabaseFile.locate(opts) == :server
  end

  @doc "How many connections a Repo has, its pool's and those beside it."
  def connections(opts) do
    pool = Keyword.get(opts, :pool_size, 10)
    if useful?(opts), do: pool + readers(opts) + 1, else: pool
  end

  defp readers(opts), do: min(System.schedulers(), Keyword.get(opts, :pool_size, 10))

  # Not in the sandbox, where a test's rows are on its own connection; nor where the Repo has one connection,
  # perhaps on purpose, or where each is prepared by a function of the pool's.
  defp useful?(opts) do
    Keyword.get(opts, :shared_connections, true) and
      Keyword.get(opts, :pool, DBConnection.ConnectionPool) == DBConnection.ConnectionPool and
      Keyword.get(opts, :pool_size, 10) > 1 and Keyword.get(opts, :pool_count, 1) == 1 and
      opts[:after_connect] == nil and match?({:file, _path}, DatabaseFile.locate(opts))
  end

  @doc false
  def start_link(arg), do: GenServer.start_link(__MODULE__, arg)

  @doc false
  # The pool's pid is what Ecto knows the Repo's connections by.
  def start_pool(%{start: {module, function, args}}, opts) do
    with {:ok, pool} <- apply(module, function, args) do
      # In a function, so that no report of a crash shows a key.
      {:ok, _keeper} = EctoLibSql.Application.keep(__MODULE__, {pool, fn -> opts end})
      {:ok, pool}
    end
  end

  @doc false
  def start_server_pool(%{start: {module, function, args}}) do
    with {:ok, pool} <- apply(module, function, args) do
      :persistent_term.put({__MODULE__, :server, pool}, true)
      {:ok, pool}
    end
  end

  @doc "Whether a statement that is given the pool may run on any of several connections."
  def anybodys?(pool), do: beside?(pool) or :persistent_term.get({__MODULE__, :server, pool}, false)

  @doc "Whether the Repo's pool has shared connections beside it."
  def beside?(pool), do: :persistent_term.get({__MODULE__, pool}, nil) != nil

  @doc """
  Has the shared connections of a pool closed: at once for who looks for one, in fact when nobody is in it any
  more. New ones are opened when they are wanted.
  """
  @spec disconnect_all(pid()) :: :ok
  def disconnect_all(pool) do
    with found when is_tuple(found) <- :persistent_term.get({__MODULE__, pool}, :none),
         do: GenServer.cast(elem(found, 1), :disconnect_all)

    :ok
  end

  ## A statement

  @doc """
  Runs a query by a shared connection: what `DBConnection.execute/4` would answer, or `:pool`, and nothing
  has happened.
  """
  def execute(pool, %{statement: sql} = query, params, opts) when is_pid(pool) do
    case kind(sql) do
      :other -> :pool
      kind -> by_shared(kind, pool, query, params, opts)
    end
  end

  def execute(_conn, _query, _params, _opts), do: :pool

  # As Ecto writes them. PRAGMAs, BEGIN and others are meant for a connection of the pool.
  defp kind("SELECT " <> _), do: :read
  defp kind("WITH " <> _), do: :read
  defp kind("select " <> _), do: :read
  defp kind("INSERT " <> _), do: :write
  defp kind("UPDATE " <> _), do: :write
  defp kind("DELETE " <> _), do: :write
  defp kind(_sql), do: :other

  defp by_shared(kind, pool, query, params, opts) do
    with {table, keeper, readers, counters} <- :persistent_term.get({__MODULE__, pool}, :pool) do
      slot = slot(kind, readers)

      case lookup(table, slot) do
        # What is written to a server needs no connection of its own: nobody takes turns there.
        %{mode: :remote_replica} when kind == :write -> :pool
        %{} = state -> {kind, slot, keeper} |> call(state, query, params, opts) |> counted(counters)
        :none -> GenServer.cast(keeper, {:open, slot}) && :pool
        :pause -> :pool
      end
    end
  end

  defp counted(:pool, counters) do
    :counters.add(counters, @refusals, 1)
    :pool
  end

  defp counted(answer, counters) do
    :counters.add(counters, @uses, 1)
    answer
  end

  @doc "What `EctoLibSql.Stats` says of them; nil: the pool has none."
  def stats(pool) do
    with {table, _keeper, _readers, counters} <- :persistent_term.get({__MODULE__, pool}, nil) do
      %{
        open: open_now(table),
        uses: :counters.get(counters, @uses),
        refusals: :counters.get(counters, @refusals),
        errors: :counters.get(counters, @errors)
      }
    end
  end

  @doc "A connection that is open now, to ask what is known without being in it; or nil."
  def any(pool) do
    with {table, _keeper, _readers, _counters} <- :persistent_term.get({__MODULE__, pool}, nil),
         do: Enum.find_value(all(table), &open_conn/1)
  end

  defp open_conn({_slot, %{conn_id: conn}}), do: conn
  defp open_conn(_pause), do: nil

  # None once the keeper, whose table it is, has ended.
  defp all(table) do
    :ets.tab2list(table)
  rescue
    ArgumentError -> []
  end

  defp slot(:write, _readers), do: :writer
  defp slot(:read, readers), do: rem(:erlang.system_info(:scheduler_id), readers)

  defp lookup(table, slot) do
    case :ets.lookup(table, slot) do
      [{_slot, state}] -> state
      [] -> :none
    end
  rescue
    # The keeper, whose table it is, has ended with the pool.
    ArgumentError -> :pause
  end

  defp call({kind, _slot, _keeper} = by, state, %{statement: sql} = query, params, opts) do
    start = System.monotonic_time()

    with {:ok, ms} <- Connection.time(opts),
         stored when stored != :pool <- stored(Encoder.client(params), state) do
      flags = Connection.flags(opts)
      run = &run(kind, state.conn_id, sql, stored, ms, flags + &1)

      state
      |> observed(by, query, opts, run)
      |> told(start, query, params, Keyword.get(opts, :log))
    end
  end

  defp run(:read, conn, sql, stored, ms, flags),
    do: Call.try_execute(conn, sql, stored, ms, flags)

  defp run(:write, conn, sql, stored, ms, flags),
    do: Call.execute_in_turn(conn, sql, stored, ms, flags)

  defp observed(%{events: nil} = state, by, query, _opts, run),
    do: 0 |> run.() |> answer(by, query, state)

  # The event is that of the pool where the pool runs it.
  defp observed(state, by, query, opts, run) do
    seen = %{statement: query.statement, state: state, shared: true}

    answer =
      Observed.statement(seen, opts, fn flags ->
        case run.(flags) do
          {:ok, native} ->
            {:ok, native, state}

          failed ->
            with {:error, error} <- answer(failed, by, query, state), do: {:error, error, state}
        end
      end)

    case answer do
      {:ok, result, _state} -> {:ok, query, result}
      {:error, error, _state} -> {:error, error}
      :pool -> :pool
    end
  end

  # What a connection's forms cannot hold is an error of the call: the pool answers it.
  defp stored(params, state) do
    Encoder.stored(params, state)
  rescue
    ArgumentError -> :pool
  end

  defp answer({:ok, native}, _by, query, _state), do: {:ok, query, Result.from_native(native)}
  defp answer(:in_use, _by, _query, _state), do: :pool

  defp answer({_failed, native}, {kind, slot, keeper}, query, state) do
    code = elem(native, 0)
    if code in @sick, do: GenServer.cast(keeper, {:sick, slot, state.conn_id, code})

    if final?(kind, code) and not broken_off?(native, state),
      do: {:error, Error.from_native(native, query.statement)},
      else: :pool
  end

  # By the keeper, which closed the connection between two steps of the call; that nobody interrupted.
  defp broken_off?({:interrupted, _, _, _, _, _, :none, _}, state),
    do: match?({:error, _}, NIF.status(state.conn_id))

  defp broken_off?(_native, _state), do: false

  # A read may as well be tried again, and what was not run; that which took its time already is not.
  defp final?(:read, code), do: code in [:timeout, :interrupted]
  defp final?(:write, code), do: code not in [:sql, :closed]

  # As DBConnection logs.
  defp told(:pool, _start, _query, _params, _log), do: :pool
  defp told(answer, _start, _query, _params, nil), do: answer

  defp told(answer, start, query, params, {module, function, args}) do
    apply(module, function, [entry(answer, start, params, query) | args])
    answer
  end

  defp told(answer, start, query, params, log) do
    log.(entry(answer, start, params, query))
    answer
  end

  defp entry(answer, start, params, query) do
    %DBConnection.LogEntry{
      call: :execute,
      query: query,
      params: params,
      result: answer,
      pool_time: 0,
      connection_time: System.monotonic_time() - start,
      decode_time: 0,
      idle_time: 0
    }
  end

  ## The keeper

  @impl true
  def init({pool, opts}) do
    Process.monitor(pool)
    table = :ets.new(__MODULE__, [:set, :protected, read_concurrency: true])
    value = {table, self(), readers(opts.()), counters(pool)}
    :persistent_term.put({__MODULE__, pool}, value)
    Process.send_after(self(), :look, @idle_ms)
    {:ok, %{pool: pool, opts: opts, table: table, uses: %{}, retiring: %{}}}
  end

  # A keeper that comes after one that failed goes on counting.
  defp counters(pool) do
    case :persistent_term.get({__MODULE__, pool}, nil) do
      {_table, _keeper, _readers, counters} -> counters
      nil -> :counters.new(3, [:write_concurrency])
    end
  end

  @impl true
  def handle_cast({:open, slot}, %{table: table} = state) do
    if :ets.lookup(table, slot) == [], do: open(slot, state)
    {:noreply, state}
  end

  def handle_cast(:disconnect_all, %{table: table} = state) do
    for {slot, %{} = shared} <- :ets.tab2list(table) do
      :ets.delete(table, slot)
      Process.send_after(self(), {:retire, shared}, @retire_ms)
    end

    {:noreply, state}
  end

  # To be opened anew is the check of one that failed: its file and schema are read, and its settings applied.
  def handle_cast({:sick, slot, conn, code}, %{table: table} = state) do
    case :ets.lookup(table, slot) do
      [{_slot, %{conn_id: ^conn} = sick}] ->
        {_table, _keeper, _readers, counters} = :persistent_term.get({__MODULE__, state.pool})
        :counters.add(counters, @errors, 1)
        # Others may be in it, and are not to be broken off.
        :ets.delete(table, slot)
        Process.send_after(self(), {:retire, sick}, @retire_ms)
        metadata = %{database: database(state), kind: kind_of(slot), code: code}
        Telemetry.event(:health, %{count: :counters.get(counters, @errors)}, metadata)
        open(slot, state)

      _another ->
        :ok
    end

    {:noreply, state}
  end

  defp open(slot, state) do
    case Connection.connect(options(slot, state.opts.())) do
      {:ok, opened} ->
        if wal?(opened), do: add(slot, opened, state), else: pause(slot, opened, state)

      {:error, _error} ->
        pause(slot, nil, state)
    end
  end

  defp add(slot, opened, state) do
    :ets.insert(state.table, {slot, opened})
    tell(:opened, slot, state)
  end

  defp tell(action, slot, state) do
    metadata = %{database: database(state), kind: kind_of(slot), action: action}
    Telemetry.event(:shared, %{count: open_now(state.table)}, metadata)
  end

  defp open_now(table), do: table |> all() |> Enum.count(&match?({_slot, %{}}, &1))

  defp database(state), do: state.opts.()[:database]

  defp kind_of(:writer), do: :writer
  defp kind_of(_scheduler), do: :reader

  # pool_index: the options are those of a pool. Not read_only: who cannot write cannot clean up either, if he
  # is the last to close the file.
  defp options(:writer, opts), do: Keyword.merge(opts, create: false, pool_index: 0)

  defp options(_reader, opts) do
    pragmas = Keyword.get(opts, :pragmas, []) ++ [query_only: true]
    :writer |> options(opts) |> Keyword.put(:pragmas, pragmas)
  end

  # Elsewhere readers and writers would wait for one another.
  defp wal?(state), do: match?({:ok, %{wal: true}}, NIF.info(state.conn_id, false))

  defp pause(slot, opened, state) do
    close(opened)
    :ets.insert(state.table, {slot, :pause})
    Process.send_after(self(), {:again, slot}, @pause_ms)
    if opened == nil, do: tell(:failed, slot, state)
  end

  defp close(%{conn_id: conn}), do: Call.close_later(conn)
  defp close(_none), do: :ok

  @impl true
  def handle_info({:again, slot}, state) do
    :ets.match_delete(state.table, {slot, :pause})
    {:noreply, state}
  end

  # Whoever found it before it was taken out has come by now, or comes before it is seen to be free. One who came
  # even later would be told that it is closed, and go by the pool.
  def handle_info({:retire, shared}, state) do
    ref = make_ref()

    case NIF.notify_idle(shared.conn_id, ref) do
      {:ok, waiter} -> {:noreply, put_in(state.retiring[ref], {shared, waiter})}
      _closed -> {:noreply, state}
    end
  end

  def handle_info({ref, :idle}, state) do
    {{shared, _waiter}, retiring} = Map.pop!(state.retiring, ref)

    if NIF.info(shared.conn_id, false) == :in_use,
      do: send(self(), {:retire, shared}),
      else: close(shared)

    {:noreply, %{state | retiring: retiring}}
  end

  def handle_info(:look, state) do
    uses = for {slot, %{} = shared} <- :ets.tab2list(state.table), do: {slot, uses(shared)}
    for {slot, count} <- uses, state.uses[slot] == count, do: close_idle(slot, state)
    Process.send_after(self(), :look, @idle_ms)
    {:noreply, %{state | uses: Map.new(uses)}}
  end

  def handle_info({:DOWN, _ref, :process, _pool, _reason}, state) do
    {:stop, :normal, state}
  end

  # While it is in use, it is used.
  defp uses(shared) do
    case NIF.info(shared.conn_id, true) do
      {:ok, info} -> info.cache_hits + info.cache_misses
      _in_use -> make_ref()
    end
  end

  # Who has just looked it up is told that it is closed, and goes by the pool.
  defp close_idle(slot, %{table: table} = state) do
    [{_slot, shared}] = :ets.lookup(table, slot)
    remove(table, slot, shared)
    tell(:closed, slot, state)
  end

  defp remove(table, slot, shared) do
    :ets.delete(table, slot)
    close(shared)
  end

  @impl true
  def terminate(_reason, state) do
    :persistent_term.erase({__MODULE__, state.pool})
    for {_slot, shared} <- :ets.tab2list(state.table), do: close(shared)
    for {_ref, {shared, _waiter}} <- state.retiring, do: close(shared)
    :ok
  end
end
