# What the events of each call cost: the same calls of connections that tell them (`events: :all`), with a handler and
# without, and of connections that do not.
#
#     export ERL_FLAGS='+sbwt none +sbwtdcpu none +sbwtdio none'      no scheduler waits by spinning
#     MIX_ENV=prod tools/mix run bench/events.exs            medians of 9 rounds
#     ROUNDS=3 MIX_ENV=prod tools/mix run bench/events.exs

Code.ensure_loaded?(DBConnection) ||
  raise "DBConnection is not here: see CONTRIBUTING.md for DB_CONNECTION_PATH and others"

defmodule Bench.Events do
  alias EctoLibSql.Query

  # So short that most of them are run through without an interruption; the quickest of them say what the calls cost,
  # whatever else runs on the machine.
  @chunks 200
  @calls 100
  @point "SELECT id, name FROM items WHERE id = ?1"

  def main do
    folder = Path.join(System.tmp_dir!(), "ecto_libsql_events_#{System.pid()}")
    File.mkdir_p!(folder)
    rounds = String.to_integer(System.get_env("ROUNDS", "9"))

    try do
      run(Path.join(folder, "events.db"), rounds)
    after
      File.rm_rf!(folder)
    end
  end

  defp run(path, rounds) do
    {:ok, _} = Application.ensure_all_started(:telemetry)
    rare = open(path, :rare)
    all = open(path, :all)

    kinds = [
      {"none told", rare, false},
      {"told, nobody listens", all, false},
      {"told, a handler", all, true}
    ]

    times =
      for _ <- 1..rounds, {name, pool, handler?} <- kinds do
        if handler?, do: attach()
        us = measure(pool)
        :telemetry.detach(:bench)
        {name, us}
      end

    IO.puts(
      "DBConnection.execute, point read, µs each: medians of #{rounds} rounds, of which each is the 10th quickest " <>
        "of #{@chunks} times #{@calls} calls"
    )

    medians = for {name, _, _} <- kinds, do: {name, median(for {^name, us} <- times, do: us)}
    {_, floor} = hd(medians)

    for {name, us} <- medians do
      IO.puts(
        "  #{String.pad_trailing(name, 24)}#{fixed(us, 2)}  #{fixed(100 * (us - floor) / floor, 1)} %"
      )
    end
  end

  defp fixed(number, decimals), do: :erlang.float_to_binary(number / 1, decimals: decimals)

  def handle(_event, _measurements, _metadata, _config), do: :ok

  defp attach, do: :telemetry.attach(:bench, [:ecto_libsql, :query], &__MODULE__.handle/4, nil)

  defp open(path, events) do
    {:ok, pool} = DBConnection.start_link(EctoLibSql, database: path, events: events)
    execute(pool, "CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, name TEXT)", [])
    for n <- 1..100, do: execute(pool, "INSERT OR REPLACE INTO items VALUES (?1, 'name')", [n])
    pool
  end

  defp execute(pool, sql, params) do
    {:ok, _query, result} = DBConnection.execute(pool, %Query{statement: sql}, params)
    result
  end

  defp measure(pool) do
    for n <- 1..100, do: execute(pool, @point, [rem(n, 100) + 1])
    :erlang.garbage_collect()
    times = for _ <- 1..@chunks, do: chunk(pool)
    (times |> Enum.sort() |> Enum.at(9)) / @calls / 1000
  end

  defp chunk(pool) do
    start = System.monotonic_time(:nanosecond)
    repeat(pool, @calls)
    System.monotonic_time(:nanosecond) - start
  end

  defp repeat(_pool, 0), do: :ok

  defp repeat(pool, n) do
    %{rows: [[_, _]]} = execute(pool, @point, [rem(n, 100) + 1])
    repeat(pool, n - 1)
  end

  defp median(list), do: list |> Enum.sort() |> Enum.at(div(length(list), 2))
end

Bench.Events.main()
