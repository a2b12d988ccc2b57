defmodule EctoLibSql.IdleWriter do
  @moduledoc false
  # An immediate or exclusive transaction keeps all other writers of the file waiting. One that was held
  # for long and has written nothing should have been one that reads: that is an event.
  #
  # While it is short this costs two looks at the clock; only then the connection is asked what it did.

  alias EctoLibSql.{NIF, State, Telemetry}

  @doc "The state, in the transaction that was begun; owner: the process that it belongs to, or nil."
  def begun(state, kind, trx, owner \\ nil)

  def begun(state, kind, trx, nil) when kind not in [:immediate, :exclusive],
    do: %{state | trx_id: trx, begun: nil}

  def begun(state, kind, trx, owner),
    do: %{state | trx_id: trx, begun: {trx, kind, System.monotonic_time(), owner}}

  @doc "Before the transaction ends: what is to be told after it, or nil."
  def look(%{begun: {trx, kind, since, _owner}, trx_id: trx} = state)
      when kind in [:immediate, :exclusive] do
    duration = System.monotonic_time() - since
    if long?(duration, State.kept(state)) and not wrote?(state.conn_id), do: {kind, duration}
  end

  def look(_state), do: nil

  defp long?(duration, config) do
    case config[:long_transaction] do
      ms when is_integer(ms) -> duration > System.convert_time_unit(ms, :millisecond, :native)
      _never -> false
    end
  end

  # Not known is no reason to complain.
  defp wrote?(conn) do
    case NIF.info(conn, false) do
      {:ok, info} -> info.autocommit or info.wrote
      _closed_or_in_use -> true
    end
  end

  @doc "The event, if there is one; ended: :commit, :rollback or :disconnect."
  def tell(nil, _ended, _state), do: :ok

  def tell({kind, duration}, ended, state) do
    metadata = %{database: State.kept(state)[:database], mode: kind, ended: ended}
    Telemetry.event(:idle_writer, %{duration: duration}, metadata)
  end
end
