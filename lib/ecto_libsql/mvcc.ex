defmodule EctoLibSql.Mvcc do
  @moduledoc false
  # `mvcc: true`: readers have snapshots, and neither wait for the writer nor keep it waiting. The engine does
  # so for files in WAL mode whose locks are shared; elsewhere a reader and the writer exclude each other, which
  # nobody would notice before there is load. So it is looked at when a connection opens: what the options ask
  # for is not always what the file can have.

  alias EctoLibSql.{Call, Error}

  @timeout 5_000

  @doc "Whether the databases of a connection have what `mvcc: true` promises."
  @spec check(map(), reference()) :: :ok | {:error, Error.t()}
  def check(%{mvcc: false}, _conn), do: :ok

  def check(_options, conn) do
    with {:ok, databases} <- rows(conn, "PRAGMA database_list") do
      databases
      |> Enum.map(&Enum.at(&1, 1))
      |> Enum.reject(&(&1 == "temp"))
      |> Enum.reduce_while(:ok, &check_one(conn, &1, &2))
    end
  end

  defp check_one(conn, name, :ok) do
    with {:ok, [[journal]]} <- rows(conn, "PRAGMA #{quoted(name)}.journal_mode"),
         {:ok, [[locking]]} <- rows(conn, "PRAGMA #{quoted(name)}.locking_mode"),
         nil <- lacks(journal, locking) do
      {:cont, :ok}
    else
      {:error, _error} = failed -> {:halt, failed}
      why -> {:halt, {:error, Error.new(:setting, message(name, why))}}
    end
  end

  defp lacks("wal", "normal"), do: nil
  defp lacks("wal", locking), do: "its locking_mode is #{locking}, which keeps all others out"

  defp lacks("memory", _locking),
    do:
      "it is in memory (or keeps its journal there), where a reader and a writer wait for each other"

  defp lacks(journal, _locking), do: "its journal_mode is #{journal}"

  defp message(name, why) do
    "mvcc: true needs WAL mode and shared locks, so that readers and the writer do not wait for each other, " <>
      "and the database #{name} does not have them: #{why}"
  end

  defp quoted(name), do: ~s("#{String.replace(name, ~s("), ~s(""))}")

  defp rows(conn, sql) do
    case Call.execute(conn, nil, sql, [], @timeout) do
      {:ok, native} -> {:ok, elem(native, 2)}
      {_failed, native} -> {:error, Error.from_native(native, sql)}
    end
  end
end
