defmodule EctoLibSql.Ownership do
  @moduledoc false
  # What belongs to whom. A statement, a cursor and a transaction belong to their connection: native code refuses
  # them elsewhere (:wrong_connection). A transaction also belongs to a process (:not_owner):
  #
  #   of DBConnection and Ecto: to the one that began it. The connection that DBConnection.transaction/3 gives its
  #     function is of no use in another process, whose statements would come in between. In the SQL sandbox the
  #     transaction around a test is for all processes that are allowed the connection.
  #   of the driver's own functions: to whoever has its state. States may be given to other processes; but one from
  #     before the transaction is no way into it, except for the process that began it (native code sees to that).
  #   of SQL, by BEGIN: to everybody who uses the connection.
  #
  # Each refusal is counted, and an event.

  alias EctoLibSql.{Error, NIF, State, Telemetry}

  @on_load :start_counting
  @key {__MODULE__, :count}

  # process-wide: of all connections of this VM. Once, when the module is loaded; not when it is loaded anew.
  @doc false
  def start_counting do
    if :persistent_term.get(@key, nil) == nil,
      do: :persistent_term.put(@key, :counters.new(1, [:write_concurrency]))

    :ok
  end

  @doc "How often something was used by whom it does not belong to, since the VM began."
  @spec count() :: non_neg_integer()
  def count, do: :counters.get(:persistent_term.get(@key), 1)

  @doc "Whether the calling process may use the transaction of a state; before a callback of DBConnection."
  @spec check(State.t()) :: :ok | {:error, Error.t(), State.t()}
  def check(%{begun: {trx, _kind, _since, owner}, trx_id: trx} = state)
      when is_pid(owner) and owner != self() do
    tell(:owner, owner, state.conn_id)

    message =
      "the transaction was begun by #{inspect(owner)} and is used by #{inspect(self())}: it belongs to the process " <>
        "that began it. Run the statement there, or give it the pool instead of that transaction's connection"

    {:error, Error.new(:not_owner, message), state}
  end

  def check(_state), do: :ok

  @doc "Looks at what a function of NIF answered, called with op and args."
  def look({:error, native} = answer, op, args) when elem(native, 0) == :wrong_connection do
    tell(kind(op, args), nil, hd(args))
    answer
  end

  def look({:error, native} = answer, _op, args) when elem(native, 0) == :not_owner do
    tell(:owner, nil, hd(args))
    answer
  end

  def look(answer, _op, _args), do: answer

  defp kind(:cursor_fetch, _args), do: :cursor

  # A transaction is looked at first.
  defp kind(op, [conn, trx | _]) when op in [:stmt_execute, :cursor_start] do
    if trx == nil or NIF.status(conn) == {:transaction, trx}, do: :statement, else: :transaction
  end

  defp kind(op, _args) when op in [:stmt_reset, :stmt_info], do: :statement
  defp kind(_op, _args), do: :transaction

  @doc "Counts a refusal, and tells it."
  def tell(kind, owner, conn) do
    :counters.add(:persistent_term.get(@key), 1, 1)
    metadata = %{kind: kind, pid: self(), owner: owner, database: NIF.kept(conn)[:database]}
    Telemetry.event(:violation, %{count: 1}, metadata)
  end
end
