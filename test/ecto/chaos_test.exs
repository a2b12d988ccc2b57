defmodule Ecto.Adapters.LibSql.ChaosTest do
  # Callers, connections, pools and Repos are killed, stopped and started anew, statements interrupted, calls
  # too short for what they do; and after each few seconds of it: what was answered with :ok is stored, once,
  # what was refused or rolled back is not, transactions are whole, the file is sound and the turn to write is
  # free. At the end nothing is left: no native memory, no file, no process.
  #
  #     CHAOS_MINUTES=10 CHAOS_SEED=n tools/mix test test/ecto/chaos_test.exs
  use EctoLibSql.Case, async: false
  import EctoLibSql.NIFHelp, only: [assert_memory_back: 2, settled_memory: 0]

  alias Ecto.Adapters.LibSql.Shared
  alias EctoLibSql.{Error, Native, Query}

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @clients 16
  @phase_ms 3_000
  @long "SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)"

  setup do
    level = Logger.level()
    # Of what is killed and taken away, there are gigabytes to say.
    Logger.configure(level: :none)
    on_exit(fn -> Logger.configure(level: level) end)
  end

  @tag timeout: :infinity
  test "whatever is killed, what was acknowledged is stored, and nothing is left behind" do
    seed = String.to_integer(System.get_env("CHAOS_SEED") || "#{:erlang.phash2(make_ref())}")
    phases = max(round(minutes() * 60_000 / @phase_ms), 1)
    IO.puts("chaos_test: CHAOS_SEED=#{seed}")

    path = tmp_path()
    prepare(path)
    memory = settled_memory()
    processes = length(Process.list())
    tags = :counters.new(1, [:atomics])

    counts =
      for phase <- 1..phases,
          do: path |> phase(seed, phase, tags) |> Map.merge(%{tags: :counters.get(tags, 1)})

    tell(counts, phases)
    assert Enum.sum(Enum.map(counts, &Map.get(&1, :stored, 0))) > 100
    assert_memory_back(memory, 8_192)
    eventually(fn -> open_files(path) == [] end)
    eventually(fn -> length(Process.list()) <= processes end)
  end

  defp minutes do
    case Float.parse(System.get_env("CHAOS_MINUTES", "0.1")) do
      {minutes, ""} when minutes > 0 -> minutes
      _ -> raise ArgumentError, "CHAOS_MINUTES is a number of minutes"
    end
  end

  defp tell(counts, phases) do
    sums = Enum.reduce(counts, %{}, &Map.merge(&1, &2, fn _key, a, b -> a + b end))
    calls = counts |> List.last() |> Map.fetch!(:tags)

    IO.puts(
      "chaos_test: #{phases} times #{div(@phase_ms, 1000)} s, #{calls} calls: " <>
        inspect(Map.delete(sums, :tags))
    )
  end

  # A first start fills what the engine keeps for its process.
  defp prepare(path) do
    {:ok, db} = EctoLibSql.connect(database: path)

    for table <- ["a", "b", "c"],
        do: {:ok, _, _, _} = EctoLibSql.query(db, "CREATE TABLE #{table} (tag INTEGER)")

    EctoLibSql.close(db)
    start_supervised!({Repo, repo(path)})
    for _ <- 1..20, do: insert(0, 5_000)
    Repo.query!("DELETE FROM a")
    stop_supervised!(Repo)
  end

  defp repo(path, listeners \\ []),
    do: [
      database: path,
      pool_size: 5,
      log: false,
      backoff_min: 5,
      backoff_max: 50,
      connection_listeners: listeners
    ]

  ## A few seconds of it

  defp phase(path, seed, number, tags) do
    answers = :ets.new(:answers, [:public, :set, write_concurrency: true])
    table = :ets.new(:shared, [:public, :set])
    until = now() + @phase_ms
    :ets.insert(table, {:db, by_driver(path)})

    agitator =
      Task.async(fn ->
        Process.flag(:trap_exit, true)
        :rand.seed(:exsss, {seed, number, 0})
        child = Supervisor.child_spec({Repo, repo(path, [self()])}, restart: :permanent)

        {:ok, supervisor} =
          Supervisor.start_link([child], strategy: :one_for_one, max_restarts: 1_000)

        killed = agitate(%{until: until, supervisor: supervisor, path: path, table: table}, [], %{})
        # The last writes come to their end.
        receive do: (:enough -> Supervisor.stop(supervisor))
        killed
      end)

    1..@clients
    |> Enum.map(fn n ->
      Task.async(fn -> client({seed, number, n}, until, tags, answers, table) end)
    end)
    |> Task.await_many(60_000)

    counts = check(path, answers)
    send(agitator.pid, :enough)
    killed = Task.await(agitator, 60_000)
    [{:db, db}] = :ets.lookup(table, :db)
    EctoLibSql.close(db)
    # They know a connection, which is in memory as long as it is known.
    for known <- [table, answers], do: :ets.delete(known)
    Map.merge(counts, killed)
  end

  defp by_driver(path) do
    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 10_000)
    db
  end

  defp now, do: System.monotonic_time(:millisecond)

  ## Those who call

  defp client(seed, until, tags, answers, table) do
    :rand.seed(:exsss, seed)
    calls(until, tags, answers, table)
  end

  defp calls(until, tags, answers, table) do
    if now() < until do
      :counters.add(tags, 1, 1)
      tag = :erlang.unique_integer([:positive])
      seed = :rand.uniform(1_000_000_000)
      {pid, ref} = spawn_monitor(fn -> call(seed, tag, answers, table) end)
      life = if :rand.uniform(8) == 1, do: :rand.uniform(25), else: 30_000

      receive do
        {:DOWN, ^ref, :process, ^pid, _reason} -> :ok
      after
        life -> kill(pid, ref, life)
      end

      calls(until, tags, answers, table)
    end
  end

  # Nobody is to wait for half a minute.
  defp kill(pid, ref, life) do
    if life == 30_000, do: flunk("no end: #{inspect(Process.info(pid, :current_stacktrace))}")
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^ref, :process, ^pid, _reason} -> :ok)
  end

  # {tag, how, :stored | :absent, error}; of what nobody knows, nothing is noted.
  defp call(seed, tag, answers, table) do
    :rand.seed(:exsss, seed)
    timeout = Enum.random([2, 10, 40, 5_000, 5_000, 5_000, 5_000])

    how =
      Enum.random([:insert, :insert, :returning, :pair, :pair, :rollback, :retried, :driver, :read])

    {answer, error} = run(how, tag, timeout, table)
    if answer != :unknown, do: :ets.insert(answers, {tag, how, answer, error})
  rescue
    # A Repo that is not there, a pool that has died, a connection that was taken away.
    _error in [Error, DBConnection.ConnectionError, RuntimeError, ArgumentError] -> :ok
  catch
    :exit, _reason -> :ok
  end

  defp run(:insert, tag, timeout, _table), do: tag |> insert(timeout) |> known()

  defp run(:returning, tag, timeout, _table) do
    "INSERT INTO a (tag) VALUES (?1) RETURNING tag"
    |> Repo.query([tag], timeout: timeout)
    |> known()
  end

  # By its connection: of a Repo that is started anew meanwhile, Ecto finds the new pool, where the second half of
  # a transaction is none.
  defp run(:pair, tag, timeout, _table) do
    {:ok, _} =
      DBConnection.transaction(
        Ecto.Adapter.lookup_meta(Repo).pid,
        fn conn -> pair(tag, &DBConnection.execute!(conn, %Query{statement: &1}, &2), "b") end,
        timeout: timeout
      )

    {:stored, nil}
  end

  defp run(:rollback, tag, timeout, _table) do
    {:error, :no} =
      Repo.transaction(fn -> pair(tag, &Repo.query!/2, "c") && Repo.rollback(:no) end,
        timeout: timeout
      )

    {:absent, nil}
  end

  # What it has read changes before it writes.
  defp run(:retried, tag, timeout, _table) do
    {:ok, _} =
      Repo.transaction(
        fn ->
          Repo.query!("SELECT max(rowid) FROM a")
          pair(tag, &Repo.query!/2, "c")
        end,
        timeout: timeout,
        mode: :deferred,
        retry: 5
      )

    {:stored, nil}
  end

  defp run(:driver, tag, timeout, table) do
    [{:db, db}] = :ets.lookup(table, :db)

    case EctoLibSql.query(db, "INSERT INTO a (tag) VALUES (?1)", [tag], timeout: timeout) do
      {:ok, _, _, _} -> {:stored, nil}
      {:error, error, _} -> known({:error, error})
    end
  end

  defp run(:read, _tag, _timeout, _table) do
    case :rand.uniform(3) do
      1 ->
        Repo.query(@long, [], timeout: :rand.uniform(30))

      2 ->
        Repo.query("SELECT count(*) FROM a")

      3 ->
        stream = Ecto.Adapters.SQL.stream(Repo, "SELECT tag FROM a", [], max_rows: 10)
        Repo.transaction(fn -> Enum.take(stream, 3) end, mode: :read)
    end

    {:unknown, nil}
  end

  defp insert(tag, timeout),
    do: Repo.query("INSERT INTO a (tag) VALUES (?1)", [tag], timeout: timeout)

  defp pair(tag, query, other) do
    query.("INSERT INTO a (tag) VALUES (?1)", [tag])
    if :rand.uniform(4) == 1, do: Process.sleep(:rand.uniform(5))
    query.("INSERT INTO #{other} (tag) VALUES (?1)", [tag])
  end

  defp known({:ok, _result}), do: {:stored, nil}
  defp known({:error, %Error{outcome: :none} = error}), do: {:absent, error}
  defp known({:error, error}), do: {:unknown, error}

  ## Those who kill

  # {what, how often it is done among a hundred}
  @deeds [
    interrupt: 50,
    connection: 20,
    reopen: 12,
    disconnect_all: 8,
    keeper: 4,
    pool: 3,
    restart: 3
  ]

  defp agitate(%{until: until} = at, connections, done) do
    connections = listen(connections)

    if now() < until do
      Process.sleep(:rand.uniform(20))
      what = deed(:rand.uniform(100), @deeds)
      did? = act(what, at, connections)
      agitate(at, connections, if(did?, do: Map.update(done, what, 1, &(&1 + 1)), else: done))
    else
      done
    end
  end

  defp deed(number, [{what, share} | _]) when number <= share, do: what
  defp deed(number, [{_what, share} | rest]), do: deed(number - share, rest)

  # What DBConnection tells its listeners.
  defp listen(connections) do
    receive do
      {:connected, pid} -> listen([pid | connections])
      {:disconnected, pid} -> listen(List.delete(connections, pid))
      {:EXIT, _pid, _reason} -> listen(connections)
    after
      0 -> Enum.filter(connections, &Process.alive?/1)
    end
  end

  defp act(:interrupt, at, _connections) do
    [{:db, db}] = :ets.lookup(at.table, :db)
    EctoLibSql.interrupt_connection(db) == :ok
  end

  defp act(:reopen, at, _connections) do
    [{:db, db}] = :ets.lookup(at.table, :db)
    :ets.insert(at.table, {:db, by_driver(at.path)})
    EctoLibSql.close(db) == :ok
  end

  defp act(:connection, _at, []), do: false
  defp act(:connection, _at, connections), do: Process.exit(Enum.random(connections), :kill)
  defp act(:disconnect_all, _at, _connections), do: with_pool(&DBConnection.disconnect_all(&1, 0))
  defp act(:pool, _at, _connections), do: with_pool(&Process.exit(&1, :kill))

  # It keeps the connections beside the pool.
  defp act(:keeper, _at, _connections) do
    keepers =
      Enum.filter(Process.list(), &match?({Shared, _, _}, :proc_lib.translate_initial_call(&1)))

    for keeper <- keepers, do: Process.exit(keeper, :kill)
    keepers != []
  end

  defp act(:restart, at, _connections) do
    :ok = Supervisor.terminate_child(at.supervisor, Repo)
    match?({:ok, _pid}, Supervisor.restart_child(at.supervisor, Repo))
  end

  defp with_pool(fun) do
    fun.(Ecto.Adapter.lookup_meta(Repo).pid)
    true
  rescue
    # It is being started anew.
    _error in [RuntimeError, ArgumentError] -> false
  catch
    :exit, _reason -> false
  end

  ## What is so afterwards

  # By a connection of its own, which waits for nobody.
  defp check(path, answers) do
    # The Repo is there, and at work.
    eventually(fn -> working?() end, 20_000)
    eventually(fn -> full?() end, 20_000)
    {:ok, db} = EctoLibSql.connect(database: path, busy_timeout: 0)
    eventually(fn -> free?(db) end)
    assert rows(db, "PRAGMA integrity_check") == [["ok"]]

    [written, paired, both] = for table <- ["a", "b", "c"], do: tags(db, table)
    stored = MapSet.new(written)
    answers = :ets.tab2list(answers)
    in_b = MapSet.new(paired)
    in_c = MapSet.new(both)

    assert written -- Enum.uniq(written) == []
    assert for({tag, _, :stored, _} = answer <- answers, tag not in stored, do: answer) == []
    assert for({tag, _, :absent, _} = answer <- answers, tag in stored, do: answer) == []
    assert for({tag, :pair, :stored, _} <- answers, tag not in in_b, do: tag) == []
    assert for({tag, :retried, :stored, _} <- answers, tag not in in_c, do: tag) == []
    assert paired -- written == []

    for table <- ["a", "b", "c"], do: rows(db, "DELETE FROM #{table}")
    EctoLibSql.close(db)
    counts = answers |> Enum.map(&elem(&1, 2)) |> Enum.frequencies()
    Map.put(counts, :unknown_but_stored, length(written) - Map.get(counts, :stored, 0))
  end

  defp working? do
    match?({:ok, %{num_rows: 1}}, Repo.query("INSERT INTO a (tag) VALUES (0)"))
  rescue
    _error in [RuntimeError, ArgumentError, DBConnection.ConnectionError] -> false
  catch
    :exit, _reason -> false
  end

  defp full? do
    pool = Ecto.Adapter.lookup_meta(Repo).pid

    match?(
      [%{ready_conn_count: 5, checkout_queue_length: 0}],
      DBConnection.get_connection_metrics(pool)
    )
  rescue
    _error in [RuntimeError, ArgumentError] -> false
  catch
    :exit, _reason -> false
  end

  defp free?(db) do
    with {:ok, db} <- Native.begin(db, behavior: :immediate),
         {:ok, _} <- Native.commit(db),
         do: true,
         else: (_busy -> false)
  end

  defp tags(db, table), do: db |> rows("SELECT tag FROM #{table} WHERE tag > 0") |> List.flatten()

  defp rows(db, sql) do
    {:ok, _, result, _} = EctoLibSql.query(db, sql, [], timeout: 60_000)
    result.rows
  end

  # Of this VM, where the system says.
  defp open_files(path) do
    case File.ls("/proc/self/fd") do
      {:ok, names} ->
        for name <- names,
            {:ok, file} <- [File.read_link("/proc/self/fd/#{name}")],
            String.starts_with?(file, Path.dirname(path)),
            do: file

      {:error, _} ->
        []
    end
  end
end
