# A process of the operating system in a crowd of them on one file, for test/ecto/crowd_test.exs:
#
#     elixir crowd.exs write DATABASE PROCESSES TRANSACTIONS      adds 1 to the counter, from all processes
#     elixir crowd.exs open CONNECTIONS                           for each path that it reads: opens it by a pool
#
# It says what it has done, and nothing else but errors and what is logged.

defmodule Crowd do
  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  def main(["write", database, processes, transactions]) do
    {:ok, _} = Repo.start_link(database: database, log: false)
    # Together with the others.
    IO.puts("ready")
    IO.gets("")

    waits =
      1..String.to_integer(processes)
      |> Enum.map(fn n -> Task.async(fn -> add(n, String.to_integer(transactions)) end) end)
      |> Task.await_many(:infinity)

    IO.puts("longest #{waits |> List.flatten() |> Enum.max()} ms")
  end

  def main(["open", connections]) do
    IO.puts("ready")
    open_each(String.to_integer(connections))
  end

  # By transactions, and by statements of their own; each call's ms.
  defp add(number, times) do
    for n <- 1..times do
      start = System.monotonic_time(:millisecond)
      if rem(number + n, 2) == 0, do: add_in_transaction(), else: add_at_once()
      System.monotonic_time(:millisecond) - start
    end
  end

  defp add_in_transaction do
    {:ok, _} =
      Repo.transaction(fn ->
        %{rows: [[n]]} = Repo.query!("SELECT n FROM counter")
        Repo.query!("UPDATE counter SET n = ?1", [n + 1])
      end)
  end

  defp add_at_once, do: %{num_rows: 1} = Repo.query!("UPDATE counter SET n = n + 1")

  defp open_each(connections) do
    case IO.gets("") do
      :eof ->
        :ok

      line ->
        open(String.trim(line), connections)
        IO.puts("opened")
        open_each(connections)
    end
  end

  defp open(path, connections) do
    {:ok, pool} = DBConnection.start_link(EctoLibSql, database: path, pool_size: connections)
    await_connections(pool, connections)

    {:ok, _, _} =
      DBConnection.execute(
        pool,
        %EctoLibSql.Query{statement: "CREATE TABLE IF NOT EXISTS t (a)"},
        []
      )

    Supervisor.stop(pool)
  end

  defp await_connections(pool, count) do
    [%{ready_conn_count: ready}] = DBConnection.get_connection_metrics(pool)

    if ready < count do
      Process.sleep(2)
      await_connections(pool, count)
    end
  end
end

{:ok, _} = Application.ensure_all_started(:ecto_sql)
Crowd.main(System.argv())
