defmodule EctoLibSql.Owner do
  @moduledoc false
  # Closes a pool's connection when its process ends. A pool that is stopped kills these processes without a
  # word; and what they held, others may hold as well: a client's heap keeps the handle until it is next
  # collected, and the file would stay open as long.

  alias EctoLibSql.Call

  @doc "Closes a connection when the calling process ends. It has one at a time: the last one counts."
  def closes(conn) do
    with nil <- Process.get(__MODULE__) do
      owner = self()
      Process.put(__MODULE__, spawn(fn -> watch(Process.monitor(owner), nil) end))
    end

    send(Process.get(__MODULE__), {:closes, conn})
    :ok
  end

  defp watch(ref, conn) do
    receive do
      {:closes, conn} -> watch(ref, conn)
      {:DOWN, ^ref, _, _, _} -> conn && Call.close_later(conn)
    end
  end
end
