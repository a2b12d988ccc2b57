defmodule EctoLibSql.Demo.Server do
  # sqld on a free port. It ends with this program, however that ends: a shell waits for its input's end.

  @watch ~S"""
  "$0" "$@" >"$SQLD_LOG" 2>&1 &
  server=$!
  read -r _
  kill "$server" 2>/dev/null
  wait "$server"
  """

  def start(program, folder), do: start(program, folder, "http://127.0.0.1:#{free_port()}")

  @doc "Where it was before, once more."
  def start(program, folder, "http://" <> address) do
    args = [program, "-d", folder, "--http-listen-addr", address, "--no-welcome"]

    port =
      Port.open({:spawn_executable, "/bin/sh"}, [
        :binary,
        :exit_status,
        args: ["-c", @watch | args],
        env: [{~c"SQLD_LOG", String.to_charlist(folder <> ".log")}]
      ])

    {port, "http://" <> address}
  end

  def stop(port) do
    Port.command(port, "\n")
    receive do: ({^port, {:exit_status, _}} -> :ok)
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end
end
