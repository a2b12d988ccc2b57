# The Ecto adapter beside ecto_sqlite3, in one run, on the same engine, with the same settings; and beside
# an adapter whose driver does nothing, so that our own share of a call is seen. Works take turns; the
# figures are medians of all rounds.
#
#     make bench-ecto                                                       ours and the floor
#     EXQLITE_PATH=... ECTO_SQLITE3_PATH=... make bench-ecto                and ecto_sqlite3
#     ROUNDS=3 WORKS=get,insert POOLS=5 make bench-ecto                     less of it
#     CLOCK=cpu make bench-ecto        the VM's processor time, where other programs run beside it

Code.ensure_loaded?(Ecto.Schema) ||
  raise "Ecto is not here: see CONTRIBUTING.md for ECTO_PATH and others"

Code.require_file("ecto/shop.exs", __DIR__)
Code.require_file("ecto/protocols.exs", __DIR__)
Code.require_file("ecto/stub.exs", __DIR__)
Bench.Protocols.close([Bench.Stub.Query])
Code.require_file("ecto/sides.exs", __DIR__)

defmodule Bench.StubRepo do
  use Ecto.Repo, otp_app: :bench, adapter: Bench.StubAdapter
end

defmodule Bench.Ecto do
  import Ecto.Query

  import Bench.Sides, only: [chosen: 2, line: 1, median: 1, verdict: 2]
  alias Bench.{Item, OurRepo, PeerRepo, Shop, Sides, Stub, StubRepo}

  @point "SELECT id, name, stock, weight, note FROM items WHERE id = ?1"
  @batch 100

  # {name, title, operations a round, how many times as fast as the peer is asked for}
  @works [
    {:get, "Repo.get", 3_000, 2.5},
    {:insert, "Repo.insert", 1_000, 2.0},
    {:insert_all, "Repo.insert_all of #{@batch} rows", 30, 2.0},
    {:all, "Repo.all of #{Shop.items()} rows", 1, 1.5},
    {:joins, "query with 3 joins, 20 rows", 1_000, 2.0},
    {:execute, "DBConnection.execute, point read", 5_000, 4.0}
  ]

  def main do
    rounds = Sides.rounds(15)
    heading(rounds)
    repos = Sides.repos() ++ [StubRepo]

    Sides.in_folder(fn folder ->
      for pool <- chosen("POOLS", ["5", "1"]), do: run(repos, folder, pool, rounds)
    end)
  end

  defp heading(rounds) do
    IO.puts("""
    #{Sides.heading(rounds)} Floor: Ecto and DBConnection \
    with a driver that does nothing.#{if cpu?(), do: " Processor time of the VM, not the time of day."}\
    """)
  end

  ## A round

  defp run(repos, folder, pool, rounds) do
    pids = for repo <- repos, do: start(repo, Path.join(folder, "#{pool}-#{inspect(repo)}"), pool)
    names = chosen("WORKS", for({name, _, _, _} <- @works, do: to_string(name)))
    works = for work <- @works, to_string(elem(work, 0)) in names, do: work

    runs =
      for _ <- 1..rounds, {name, _, count, _} <- works, repo <- repos do
        {{name, repo},
         fn -> measure(name, repo, count) end |> Task.async() |> Task.await(:infinity)}
      end

    figures =
      for {key, list} <- Enum.group_by(runs, &elem(&1, 0), &elem(&1, 1)),
          into: %{},
          do: {key, median(list)}

    print(pool, works, figures)
    for pid <- pids, do: Supervisor.stop(pid)
  end

  ## Repos

  defp start(repo, path, pool) do
    pid = Sides.start(repo, path, pool_size: String.to_integer(pool), busy_timeout: 5000)
    if repo == StubRepo, do: answers(), else: Shop.fill(repo)
    pid
  end

  # The rows as Ecto wants them: there is nothing to load.
  defp answers do
    rows = for n <- 1..Shop.items(), do: [n | values(Shop.new(n))]
    Stub.answer("all items, 0 joins, 0 wheres", rows)
    Stub.answer("all items, 0 joins, 1 wheres", [hd(rows)])
    names = ["name of item 1", "owner 1", "country 1", "category 1"]
    Stub.answer("all items, 3 joins, 1 wheres", List.duplicate([1 | names], 20))
    Stub.answer("insert sink returning", [[1]])
    Stub.answer(@point, [[1, "name", 1, 0.5, nil]])
  end

  defp values(item) do
    for field <- Item.__schema__(:fields), field != :id, do: Map.fetch!(item, field)
  end

  ## Works

  # Nanoseconds for one operation.
  defp measure(name, repo, count) do
    if name in [:insert, :insert_all] and repo != StubRepo, do: repo.query!("DELETE FROM sink")
    fun = work(name, repo)
    for n <- 1..min(count, 200), do: fun.(n)
    :erlang.garbage_collect()
    start = now()
    repeat(fun, count)
    (now() - start) / count
  end

  defp cpu?, do: System.get_env("CLOCK") == "cpu"

  # Processor time is that of all threads, and counted in ms.
  defp now do
    if cpu?(),
      do: elem(:erlang.statistics(:runtime), 0) * 1_000_000,
      else: System.monotonic_time(:nanosecond)
  end

  defp repeat(_fun, 0), do: :ok

  defp repeat(fun, n) do
    fun.(n)
    repeat(fun, n - 1)
  end

  defp work(:get, repo) do
    fn n -> %Item{} = repo.get(Item, rem(n, 1000) + 1) end
  end

  defp work(:insert, repo) do
    fn n ->
      {:ok, %{id: id}} = repo.insert(sink(n))
      true = is_integer(id)
    end
  end

  defp work(:insert_all, repo) do
    rows = for n <- 1..@batch, do: Shop.new(n)
    fn _n -> {_count, nil} = repo.insert_all({"sink", Item}, rows) end
  end

  defp work(:all, repo) do
    fn _n -> [%Item{active: false, inserted_at: %NaiveDateTime{}} | _] = repo.all(Item) end
  end

  defp work(:joins, repo) do
    fn n ->
      owner = rem(n, Shop.owners()) + 1

      [_ | _] =
        repo.all(
          from(i in Item,
            join: o in assoc(i, :owner),
            join: c in assoc(o, :country),
            join: k in assoc(i, :category),
            where: o.id == ^owner,
            select: %{id: i.id, item: i.name, owner: o.name, country: c.name, category: k.name}
          )
        )
    end
  end

  defp work(:execute, repo) do
    %{pid: pool} = Ecto.Adapter.lookup_meta(repo)
    query = query(repo)

    fn n ->
      {:ok, _query, %{rows: [[_, _, _, _, _]]}} =
        DBConnection.execute(pool, query, [rem(n, 1000) + 1])
    end
  end

  defp sink(n), do: Item |> struct(Shop.new(n)) |> Ecto.put_meta(source: "sink")

  defp query(OurRepo), do: %EctoLibSql.Query{statement: @point}
  defp query(StubRepo), do: %Stub.Query{statement: @point}

  defp query(PeerRepo) do
    {:ok, query} =
      DBConnection.prepare(
        Ecto.Adapter.lookup_meta(PeerRepo).pid,
        struct(Exqlite.Query, statement: @point)
      )

    query
  end

  ## The table

  defp print(pool, works, figures) do
    IO.puts("\nPool of #{pool}\n")
    titles = ["µs each", "ours", "peer", "floor", "ours - floor", "peer/ours", "wanted", ""]
    IO.puts(line(titles))
    IO.puts(String.duplicate("-", 108))

    for {name, title, _, wanted} <- works do
      ours = figures[{name, OurRepo}]
      peer = figures[{name, PeerRepo}]
      floor = figures[{name, StubRepo}]

      IO.puts(
        line([
          title,
          us(ours),
          us(peer),
          us(floor),
          us(ours - floor) | verdict(peer && peer / ours, wanted)
        ])
      )
    end
  end

  defp us(nil), do: "-"
  defp us(ns), do: :erlang.float_to_binary(ns / 1000, decimals: 1)
end

Bench.Ecto.main()
