# Many processes that write to one file, by way of Ecto, beside ecto_sqlite3 on the same engine; and what the
# writers' line costs where nobody else is in it. The sides take turns; the figures are medians of all rounds.
#
#     make bench-writers                                            ours alone
#     EXQLITE_PATH=... ECTO_SQLITE3_PATH=... make bench-writers     and ecto_sqlite3
#     ROUNDS=3 WORKS=insert make bench-writers                      less of it
#     OUR_POOL=5 PEER_POOL=10 PEER_BUSY_TIMEOUT=5000 make bench-writers     other than their own defaults
#
# Each side has the pool that it has by itself, Ecto's 10 and ecto_sqlite3's 5, and its own busy time-out, 5000
# and 2000 ms. What is not answered in a minute, or is an error, is counted, and is part of no rate.

Code.ensure_loaded?(Ecto.Schema) ||
  raise "Ecto is not here: see CONTRIBUTING.md for ECTO_PATH and others"

Code.require_file("ecto/shop.exs", __DIR__)
Code.require_file("ecto/protocols.exs", __DIR__)
Bench.Protocols.close([])
Code.require_file("ecto/sides.exs", __DIR__)

defmodule Bench.Writers do
  import Bench.Sides, only: [chosen: 2, line: 1, median: 1, verdict: 2]
  alias Bench.{Item, OurRepo, PeerRepo, Shop, Sides}

  # {name, title, processes, operations of each in a round, writes among a hundred, how many times the peer's
  # rate is asked for, and how many times as short a 99th percentile}
  @works [
    {:insert, "8 processes, inserting", 8, 800, 100, 3.0, 5.0},
    {:steady, "the same, without a rest", 8, 6000, 100, 3.0, 5.0},
    {:mixed, "32 processes, 5 % writes", 32, 600, 5, 2.5, nil}
  ]

  @minute 60_000
  # What a side does when its writers rest, as checkpoints, is not to fall into the other's round.
  @rest 200
  @turns 200_000

  def main do
    rounds = Sides.rounds(9)
    IO.puts(heading(rounds))

    Sides.in_folder(fn folder ->
      repos = Sides.repos()
      for repo <- repos, do: repo |> start(Path.join(folder, inspect(repo))) |> fill(repo)
      print(works(), measure(repos, rounds))
      turn(folder)
    end)
  end

  defp heading(rounds) do
    sides = for repo <- Sides.repos(), do: "#{name(repo)} #{inspect(options(repo))}"
    "#{Sides.heading(rounds)} Else each has its own defaults: #{Enum.join(sides, ", ")}.\n"
  end

  defp name(OurRepo), do: "ours"
  defp name(PeerRepo), do: "peer"

  defp works do
    names = chosen("WORKS", for(work <- @works, do: to_string(elem(work, 0))))
    for work <- @works, to_string(elem(work, 0)) in names, do: work
  end

  ## Repos

  # Of both alike: nobody is turned away for having waited in the pool's queue.
  defp start(repo, path), do: Sides.start(repo, path, [queue_target: @minute] ++ options(repo))

  defp options(OurRepo), do: [pool_size: env("OUR_POOL", 10), busy_timeout: 5000]

  defp options(PeerRepo),
    do: [pool_size: env("PEER_POOL", 5), busy_timeout: env("PEER_BUSY_TIMEOUT", 2000)]

  defp env(name, default) do
    case System.get_env(name) do
      value when value in [nil, ""] -> default
      value -> String.to_integer(value)
    end
  end

  defp fill(_pid, repo), do: Shop.fill(repo)

  ## Rounds

  # %{{work, repo} => %{rate: per second, p50: µs, p99: µs, errors: number}}
  defp measure(repos, rounds) do
    runs =
      for round <- 0..rounds, work <- works(), repo <- repos, run = run(work, repo, round) do
        {round, {elem(work, 0), repo}, run}
      end

    # The first only fills caches.
    for({round, key, run} <- runs, round > 0, do: {key, run})
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Map.new(fn {key, runs} -> {key, medians(runs)} end)
  end

  defp medians(runs) do
    figures = for name <- [:rate, :p50, :p99], do: {name, median(Enum.map(runs, & &1[name]))}
    figures |> Map.new() |> Map.put(:errors, Enum.sum(Enum.map(runs, & &1.errors)))
  end

  defp run({_name, _title, processes, count, share, _rate, _p99}, repo, round) do
    tasks =
      for number <- 1..processes do
        Task.async(fn ->
          :rand.seed(:exsss, {round, number, 7})
          receive do: (:go -> for(n <- 1..count, do: timed(fn -> operation(repo, n, share) end)))
        end)
      end

    Process.sleep(@rest)
    start = now()
    for task <- tasks, do: send(task.pid, :go)
    times = tasks |> Task.await_many(:infinity) |> List.flatten()
    figures(times, now() - start)
  end

  defp figures(times, us) do
    good = Enum.sort(for time <- times, time != :error, do: time)
    at = &Enum.at(good, div(length(good) * &1, 100))
    errors = length(times) - length(good)
    %{rate: length(good) * 1_000_000 / us, p50: at.(50), p99: at.(99), errors: errors}
  end

  defp timed(fun) do
    start = now()
    fun.()
    now() - start
  rescue
    _error -> :error
  end

  defp operation(repo, n, share) do
    if :rand.uniform(100) <= share do
      %{id: id} = repo.insert!(sink(n), timeout: @minute)
      true = is_integer(id)
    else
      %Item{} = repo.get(Item, :rand.uniform(10_000), timeout: @minute)
    end
  end

  defp sink(n), do: Item |> struct(Shop.new(n)) |> Ecto.put_meta(source: "sink")

  defp now, do: System.monotonic_time(:microsecond)

  ## The table

  defp print(works, figures) do
    IO.puts(line(["", "ours", "peer", "times", "wanted", ""]))
    IO.puts(String.duplicate("-", 100))

    for {name, title, _, _, _, rate, p99} <- works do
      ours = figures[{name, OurRepo}]
      peer = figures[{name, PeerRepo}]
      row(title <> ": a second", ours, peer, :rate, peer && ours.rate / peer.rate, rate)
      row("    median, µs", ours, peer, :p50, peer && peer.p50 / ours.p50, nil)
      row("    99th percentile, µs", ours, peer, :p99, peer && peer.p99 / ours.p99, p99)
      row("    errors", ours, peer, :errors, nil, nil)
    end
  end

  defp row(title, ours, peer, key, ratio, wanted) do
    IO.puts(line([title, figure(ours[key]), figure(peer && peer[key]) | judged(ratio, wanted)]))
  end

  defp judged(nil, nil), do: []
  defp judged(ratio, nil), do: ["#{Float.round(ratio, 2)}"]
  defp judged(ratio, wanted), do: verdict(ratio, wanted)

  defp figure(nil), do: "-"
  defp figure(number), do: "#{round(number)}"

  ## The line's cost

  # bench/turn.c, in a process of its own.
  defp turn(folder) do
    program = System.get_env("BENCH_TURN") || raise "BENCH_TURN is the program of bench/turn.c"
    path = Path.join(folder, "turn.db")
    {text, 0} = System.cmd(program, [path, "#{@turns}"])
    [turn, insert] = text |> String.split() |> Enum.map(&String.to_float/1)

    IO.puts("""

    The line of writers, nobody else in it: #{turn} ns to take a turn and to leave it (wanted: at most \
    1000#{if turn > 1000, do: "; missed"}), where an INSERT of its own takes #{insert} ns, this included.\
    """)
  end
end

Bench.Writers.main()
