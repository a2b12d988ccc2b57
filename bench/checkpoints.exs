# How long writers wait: for the disk at each commit, by `durability:`, and for checkpoints, where four processes never
# rest, beside the same without any.
#
#     MIX_ENV=prod tools/mix run bench/checkpoints.exs
#     SECONDS=20 MIX_ENV=prod tools/mix run bench/checkpoints.exs      instead of 5, for each
#     FOLDER=/mnt/disk MIX_ENV=prod tools/mix run bench/checkpoints.exs     there, instead of the system's temporary one

Code.ensure_loaded?(DBConnection) ||
  raise "DBConnection is not here: see CONTRIBUTING.md for DB_CONNECTION_PATH and others"

defmodule Bench.Checkpoints do
  alias EctoLibSql.Query

  @commits 300
  @writers 4
  @row String.duplicate("x", 1000)

  def main do
    folder = System.get_env("FOLDER") || System.tmp_dir!()
    folder = Path.join(folder, "ecto_libsql_checkpoints_#{System.pid()}")
    File.mkdir_p!(folder)
    {:ok, _} = Application.ensure_all_started(:telemetry)

    try do
      IO.puts("One process, #{@commits} commits of a row of 1 KB, µs each:\n")
      for how <- [:durable, :balanced, :none], do: commits(folder, how)
      IO.puts("\n#{@writers} processes that write such rows for #{seconds()} s, ms for each:\n")
      writers(folder, "checkpoints as usual", [])
      writers(folder, "none", wal_autocheckpoint: 0)
    after
      File.rm_rf!(folder)
    end
  end

  defp seconds, do: String.to_integer(System.get_env("SECONDS", "5"))

  defp commits(folder, how) do
    pool = open(folder, "#{how}.db", durability: how, pool_size: 1)
    times = for _ <- 1..@commits, do: timed(pool)
    Supervisor.stop(pool)

    IO.puts(
      "  #{String.pad_trailing(":#{how}", 24)}median #{at(times, 50)}, 99 % within #{at(times, 99)}"
    )
  end

  defp writers(folder, title, opts) do
    pool = open(folder, "#{Enum.count(opts)}.db", [pool_size: @writers] ++ opts)
    taken = :counters.new(2, [])
    :telemetry.attach(:bench, [:ecto_libsql, :checkpoint], &__MODULE__.count/4, taken)
    stop = System.monotonic_time(:millisecond) + seconds() * 1000

    times =
      for(_ <- 1..@writers, do: Task.async(fn -> write_until(pool, stop, []) end))
      |> Task.await_many(:infinity)
      |> List.flatten()

    :telemetry.detach(:bench)
    Supervisor.stop(pool)

    IO.puts(
      "  #{String.pad_trailing(title, 24)}#{length(times)} writes; median #{ms(at(times, 50))}, 99 % within " <>
        "#{ms(at(times, 99))}, slowest #{ms(Enum.max(times))}; " <>
        "#{:counters.get(taken, 1)} checkpoints, of which #{:counters.get(taken, 2)} took a turn"
    )
  end

  def count(_event, _measurements, %{mode: mode}, taken) do
    :counters.add(taken, 1, 1)
    if mode != :passive, do: :counters.add(taken, 2, 1)
  end

  defp write_until(pool, stop, times) do
    if System.monotonic_time(:millisecond) < stop,
      do: write_until(pool, stop, [timed(pool) | times]),
      else: times
  end

  defp open(folder, name, opts) do
    database = Path.join(folder, name)
    {:ok, pool} = DBConnection.start_link(EctoLibSql, [database: database] ++ opts)
    execute(pool, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", [])
    pool
  end

  defp execute(pool, sql, params) do
    {:ok, _query, _result} =
      DBConnection.execute(pool, %Query{statement: sql}, params, timeout: 60_000)
  end

  defp timed(pool) do
    start = System.monotonic_time(:microsecond)
    execute(pool, "INSERT INTO t (a) VALUES (?1)", [@row])
    System.monotonic_time(:microsecond) - start
  end

  defp at(times, percent), do: times |> Enum.sort() |> Enum.at(div(length(times) * percent, 100))

  defp ms(us), do: :erlang.float_to_binary(us / 1000, decimals: 1)
end

Bench.Checkpoints.main()
