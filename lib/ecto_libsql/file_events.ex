defmodule EctoLibSql.FileEvents do
  @moduledoc false
  # Native threads have no telemetry: they send what they did to a file, and met with a server, to this process,
  # the one of the VM.

  use GenServer
  require Logger

  alias EctoLibSql.{NIF, Telemetry}

  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(nil) do
    :ok = NIF.watch_files(self())
    {:ok, nil}
  end

  @impl true
  def handle_info({:ecto_libsql, kind, event}, state) do
    try do
      tell(kind, event)
    rescue
      error ->
        Logger.error(
          "the events of ecto_libsql: " <> Exception.format(:error, error, __STACKTRACE__)
        )
    end

    {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp tell(:checkpoint, event) do
    measurements = %{duration: native(event.took_ns), pages: event.pages, checkpointed: event.done}
    Telemetry.event(:checkpoint, measurements, %{database: event.database, mode: event.mode})
  end

  defp tell(:wal_pinned, event) do
    measurements = %{
      pages: event.pages,
      bytes: event.wal_bytes,
      age: native(event.oldest_reader_ns)
    }

    Telemetry.event(:wal_pinned, measurements, %{
      database: event.database,
      pid: event.oldest_reader_pid
    })
  end

  defp tell(:server_retry, event),
    do:
      Telemetry.event(
        :server_retry,
        %{count: 1, pause: event.ms},
        Map.take(event, [:server, :code])
      )

  defp tell(:server_down, event),
    do: Telemetry.event(:server_down, %{count: 1}, Map.take(event, [:server, :code]))

  defp tell(:server_up, event),
    do: Telemetry.event(:server_up, %{count: 1, down: event.ms}, Map.take(event, [:server]))

  defp tell(:server_no_socket, event),
    do: Telemetry.event(:server_no_socket, %{count: 1}, Map.take(event, [:server, :code]))

  defp tell(:replica_synced, event), do: brought(:replica_synced, event, [:database])

  defp tell(:replica_pushed, event), do: brought(:replica_pushed, event, [:database])

  defp tell(:replica_failed, event),
    do: Telemetry.event(:replica_failed, %{count: 1}, Map.take(event, [:database, :code, :message]))

  defp tell(:replica_stale, event) do
    Telemetry.event(
      :replica_stale,
      %{count: 1},
      Map.take(event, [:database, :code, :message, :index])
    )
  end

  defp tell(:replica_bootstrapped, event), do: rebuilt(:made, event)
  defp tell(:replica_replaced, event), do: rebuilt(:replaced, event)
  defp tell(:replica_set_aside, event), do: rebuilt(:set_aside, event)

  defp rebuilt(how, event) do
    brought(:replica_rebuilt, Map.put(event, :how, how), [:database, :how, :code, :message, :aside])
  end

  defp brought(name, event, metadata) do
    measurements = %{
      duration: native(event.took_ns),
      frames: event.frames,
      bytes: event.bytes,
      index: event.index
    }

    Telemetry.event(name, measurements, Map.take(event, metadata))
  end

  defp native(nil), do: nil
  defp native(ns), do: System.convert_time_unit(ns, :nanosecond, :native)
end
