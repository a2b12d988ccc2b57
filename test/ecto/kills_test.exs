defmodule Ecto.Adapters.LibSql.KillsTest do
  # Whatever dies, at whatever moment: what it held is given back, what waits goes on, the pool is at full size
  # within a second or so, and nothing that was acknowledged is lost. KILLS_SEED=n runs one again, KILLS=n more.
  use EctoLibSql.Case, async: false

  alias Ecto.Adapters.LibSql.Shared
  alias EctoLibSql.{Error, FileEvents}

  @moduletag :capture_log
  @size 4
  @kinds [:caller, :holder, :connection, :keeper, :file_events]

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    seed = String.to_integer(System.get_env("KILLS_SEED") || "#{:erlang.phash2(make_ref())}")
    IO.puts("kills_test: KILLS_SEED=#{seed}")
    :rand.seed(:exsss, seed)
    path = tmp_path()
    # More than three in five seconds would end the pool.
    opts = [database: path, pool_size: @size, log: false, backoff_min: 10, max_restarts: 1000]
    start_supervised!({Repo, opts}, restart: :temporary)
    Repo.query!("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    %{path: path, seed: seed}
  end

  test "processes are killed at random moments", %{path: path, seed: seed} do
    test = self()
    first = :atomics.new(1, [])
    workers = for n <- 1..8, do: start_worker(n, seed, first, test)
    holder = start_holder(test)
    state = %{workers: workers, holder: holder, first: first, seed: seed, next: 9, slowest: 0}
    state = Enum.reduce(1..String.to_integer(System.get_env("KILLS") || "40"), state, &kill_one/2)

    for pid <- [state.holder | state.workers], do: Process.exit(pid, :kill)
    assert_whole(path, 10_000)
    written = Repo.query!("SELECT id FROM t").rows |> List.flatten() |> MapSet.new()
    acknowledged = acknowledged()
    assert length(acknowledged) > 20
    assert Enum.reject(acknowledged, &MapSet.member?(written, &1)) == []
    assert Repo.query!("PRAGMA integrity_check").rows == [["ok"]]

    stop_supervised!(Repo)
    eventually(fn -> File.ls!(Path.dirname(path)) == [Path.basename(path)] end)
  end

  defp kill_one(_n, state) do
    Process.sleep(:rand.uniform(30))
    kind = Enum.random(@kinds)
    state = kill(kind, state)
    # Somebody who has nothing to do with it gets his answer.
    started = System.monotonic_time(:millisecond)
    assert %{rows: [[_]]} = Repo.query!("SELECT count(*) FROM t", [], timeout: 20_000)
    %{state | slowest: max(state.slowest, System.monotonic_time(:millisecond) - started)}
  end

  defp kill(:caller, state) do
    {victim, rest} = List.pop_at(state.workers, :rand.uniform(length(state.workers)) - 1)
    Process.exit(victim, :kill)
    worker = start_worker(state.next, state.seed, state.first, self())
    %{state | workers: [worker | rest], next: state.next + 1}
  end

  # In the midst of a transaction that has written.
  defp kill(:holder, state) do
    Process.exit(state.holder, :kill)
    %{state | holder: start_holder(self())}
  end

  # The process of a connection of the pool, whoever has that connection.
  defp kill(:connection, state) do
    pids = connections()
    if pids != [], do: Process.exit(Enum.random(pids), :kill)
    state
  end

  defp kill(:keeper, state) do
    {_table, keeper, _readers, _counters} = :persistent_term.get({Shared, pool()})
    Process.exit(keeper, :kill)
    state
  end

  defp kill(:file_events, state) do
    with pid when is_pid(pid) <- Process.whereis(FileEvents), do: Process.exit(pid, :kill)

    # The supervisor allows for three in five seconds: what is killed for fun is not to end the application.
    Process.sleep(1700)
    state
  end

  defp pool, do: Ecto.Adapter.lookup_meta(Repo).pid

  # Of this Repo: those whose supervisor says so.
  defp connections do
    pool = pool()

    for {_, supervisor, _, _} <-
          DynamicSupervisor.which_children(DBConnection.ConnectionPool.Supervisor),
        is_pid(supervisor),
        {{EctoLibSql, ^pool, _}, pid, _, _} <- children(supervisor),
        is_pid(pid),
        do: pid
  end

  defp children(supervisor) do
    Supervisor.which_children(supervisor)
  catch
    :exit, _gone -> []
  end

  ## Who is killed

  defp start_worker(number, seed, first, test) do
    spawn(fn ->
      :rand.seed(:exsss, {seed, number, 3})
      work(first, test)
    end)
  end

  defp work(first, test) do
    id = :atomics.add_get(first, 1, 1)

    try do
      case rem(id, 3) do
        0 -> Repo.query!("INSERT INTO t VALUES (?1, 0)", [id], timeout: 20_000)
        1 -> Repo.transaction(fn -> in_transaction(id) end, timeout: 20_000)
        2 -> Repo.checkout(fn -> in_transaction(id) end, timeout: 20_000)
      end

      send(test, {:written, id})
    rescue
      _killed_under_it in [DBConnection.ConnectionError, Error, RuntimeError] -> :ok
    catch
      :exit, _reason -> :ok
    end

    work(first, test)
  end

  defp in_transaction(id) do
    Repo.query!("INSERT INTO t VALUES (?1, 1)", [id])
    Process.sleep(:rand.uniform(3))
    Repo.query!("SELECT count(*) FROM t WHERE id = ?1", [id])
  end

  defp start_holder(_test) do
    spawn(fn ->
      for _ <- Stream.cycle([1]) do
        try do
          Repo.transaction(fn ->
            Repo.query!("UPDATE t SET n = 2 WHERE id = 1")
            Process.sleep(5)
          end)
        rescue
          _killed_under_it in [DBConnection.ConnectionError, Error, RuntimeError] -> :ok
        catch
          :exit, _reason -> :ok
        end
      end
    end)
  end

  defp acknowledged do
    receive do
      {:written, id} -> [id | acknowledged()]
    after
      0 -> []
    end
  end

  # The pool at full size, nobody in line, no snapshot kept, no turn held.
  defp assert_whole(path, timeout) do
    eventually(
      fn ->
        stats = EctoLibSql.stats(Repo)

        match?(%{size: @size, ready: @size, busy: 0, waiting: 0}, stats.pool) and
          stats.writers.waiting == 0 and stats.oldest_reader == nil and
          length(connections()) == @size
      end,
      timeout
    )

    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 0)

    assert {:ok, _, _, _} =
             EctoLibSql.query(db, "UPDATE t SET n = 3 WHERE id = 1", [], timeout: 5000)

    EctoLibSql.close(db)
  end
end
