defmodule EctoLibSql.Application do
  @moduledoc false
  # What belongs to the VM and to no connection: who is told what native code did by itself, and the keepers of
  # the Repos' shared connections. The driver works without them, where the application is not started.

  use Application

  @keepers EctoLibSql.Keepers

  @impl true
  def start(_type, _args) do
    # Keepers fail one by one, each with a pool of its own.
    keepers = {DynamicSupervisor, name: @keepers, strategy: :one_for_one, max_restarts: 1000}
    Supervisor.start_link([EctoLibSql.FileEvents, keepers], strategy: :one_for_one)
  end

  @doc "Starts a process that is started again where it fails; on its own where the application is not started."
  def keep(module, arg) do
    child = %{id: module, start: {module, :start_link, [arg]}, restart: :transient}

    if Process.whereis(@keepers),
      do: DynamicSupervisor.start_child(@keepers, child),
      else: GenServer.start(module, arg)
  end
end
