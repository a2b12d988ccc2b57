# Memory of many connections: a pool of ten that have read a database of 10 MB, with the engine's usual page caches, with
# large ones, and with a budget for all of them; the time of a point read there; and a thousand files, each open in a
# connection of its own.
#
#     MIX_ENV=prod tools/mix run bench/memory.exs
#     FILES=5000 MIX_ENV=prod tools/mix run bench/memory.exs        needs `ulimit -n` of three times as many

Code.ensure_loaded?(DBConnection) ||
  raise "DBConnection is not here: see CONTRIBUTING.md for DB_CONNECTION_PATH and others"

defmodule Bench.Memory do
  alias EctoLibSql.Query

  @rows 10_000

  def main do
    folder = Path.join(System.tmp_dir!(), "ecto_libsql_memory_#{System.pid()}")
    File.mkdir_p!(folder)

    try do
      path = Path.join(folder, "ten.db")
      fill(path)

      IO.puts(
        "A pool of 10 that has read #{div(File.stat!(path).size, 1_048_576)} MB; point reads, median of 9 rounds\n"
      )

      pool(path, "usual", [])
      pool(path, "64 MB each", cache_size: -64_000)
      pool(path, "cache_budget: 16 MB", cache_budget: 16 * 1_048_576)
      pool(path, "cache_budget: 4 MB", cache_budget: 4 * 1_048_576)
      files(folder, String.to_integer(System.get_env("FILES", "1000")))
    after
      File.rm_rf!(folder)
    end
  end

  defp fill(path) do
    {:ok, db} = EctoLibSql.connect(database: path)
    {:ok, _, _, db} = EctoLibSql.query(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")

    {:ok, _, _, db} =
      EctoLibSql.query(
        db,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT #{@rows}) " <>
          "INSERT INTO t SELECT i, printf('%1000d', i) FROM n"
      )

    :ok = EctoLibSql.close(db)
  end

  defp pool(path, title, opts) do
    {:ok, pool} = DBConnection.start_link(EctoLibSql, [database: path, pool_size: 10] ++ opts)
    read_all(pool)
    figures = EctoLibSql.stats(pool)
    us = point_reads(pool)
    Supervisor.stop(pool)

    IO.puts(
      "  #{String.pad_trailing(title, 22)}page caches #{mb(figures.memory.page_cache)}, " <>
        "a read #{:erlang.float_to_binary(us, decimals: 1)} µs"
    )
  end

  defp read_all(pool) do
    parent = self()

    tasks =
      for _ <- 1..10 do
        Task.async(fn ->
          DBConnection.run(pool, fn conn ->
            {:ok, _, _} =
              DBConnection.execute(conn, %Query{statement: "SELECT count(*), max(a) FROM t"}, [])

            send(parent, :read)
            receive do: (:end -> :ok)
          end)
        end)
      end

    for _ <- tasks, do: receive(do: (:read -> :ok))
    for task <- tasks, do: send(task.pid, :end)
    Task.await_many(tasks, :infinity)
  end

  defp point_reads(pool) do
    rounds =
      for round <- 1..9 do
        start = System.monotonic_time(:nanosecond)

        for n <- 1..2000 do
          id = rem(n * 7919 + round, @rows) + 1

          {:ok, _, %{rows: [[^id]]}} =
            DBConnection.execute(pool, %Query{statement: "SELECT id FROM t WHERE id = ?1"}, [id])
        end

        (System.monotonic_time(:nanosecond) - start) / 2000 / 1000
      end

    rounds |> Enum.sort() |> Enum.at(4)
  end

  defp files(folder, count) do
    before = {EctoLibSql.memory().bytes, rss()}

    open =
      for n <- 1..count do
        {:ok, db} = EctoLibSql.connect(database: Path.join(folder, "tenant#{n}.db"))
        {:ok, _, _, db} = EctoLibSql.query(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        {:ok, _, _, db} = EctoLibSql.query(db, "INSERT INTO t (a) VALUES ('a')")
        {:ok, _, _, db} = EctoLibSql.query(db, "SELECT a FROM t WHERE id = 1")
        db
      end

    {bytes, pages} = before
    native = EctoLibSql.memory().bytes - bytes
    resident = rss() - pages

    IO.puts(
      "\n#{count} files, one connection each, a table written and read: native memory #{mb(native)} " <>
        "(#{div(native, count * 1024)} KiB each), the program's resident memory grew by #{mb(resident)}"
    )

    for db <- open, do: EctoLibSql.close(db, wait: false)
  end

  defp rss do
    case File.read("/proc/self/statm") do
      {:ok, text} -> text |> String.split() |> Enum.at(1) |> String.to_integer() |> Kernel.*(4096)
      _elsewhere -> 0
    end
  end

  defp mb(bytes), do: :erlang.float_to_binary(bytes / 1_048_576, decimals: 1) <> " MB"
end

Bench.Memory.main()
