defmodule Ecto.Adapters.LibSql.CacheBudgetTest do
  # A budget for the page caches of all connections to a database. bench/memory.exs has the figures of many.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.{Error, Query}

  @mib 1_048_576
  # The pages, and what the engine needs to find them by.
  @more 1.05

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  # About 6 MB.
  defp fill(path) do
    {:ok, db} = EctoLibSql.connect(database: path)
    {:ok, _, _, db} = EctoLibSql.query(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")

    {:ok, _, _, db} =
      EctoLibSql.query(
        db,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 6000) " <>
          "INSERT INTO t SELECT i, printf('%1000d', i) FROM n"
      )

    :ok = EctoLibSql.close(db)
    path
  end

  defp pool(opts) do
    opts = Keyword.merge([pool_size: 4], opts)
    start_supervised!(DBConnection.child_spec(EctoLibSql, opts), id: make_ref())
  end

  # All connections read all of it.
  defp read_all(pool, count) do
    test = self()

    tasks =
      for _ <- 1..count do
        Task.async(fn ->
          DBConnection.run(pool, fn conn ->
            {:ok, _, %{rows: [[6000, _]]}} =
              DBConnection.execute(conn, %Query{statement: "SELECT count(*), max(a) FROM t"}, [])

            send(test, :read)
            receive do: (:end -> :ok)
          end)
        end)
      end

    for _ <- tasks, do: assert_receive(:read, 20_000)
    for task <- tasks, do: send(task.pid, :end)
    Task.await_many(tasks)
  end

  defp cached(pool), do: EctoLibSql.stats(pool).memory.page_cache

  test "the caches of a pool keep to it, and without it each has its own" do
    path = fill(tmp_path())
    without = pool(database: path)
    read_all(without, 4)
    usual = cached(without)
    assert usual > 6 * @mib

    path = fill(tmp_path())
    with_budget = pool(database: path, cache_budget: 2 * @mib)
    read_all(with_budget, 4)
    assert cached(with_budget) <= 2 * @mib * @more
    # And each has what it is to have.
    assert cached(with_budget) > @mib

    DBConnection.run(with_budget, fn conn ->
      assert {:ok, _, %{rows: [[-512]]}} =
               DBConnection.execute(conn, %Query{statement: "PRAGMA cache_size"}, [])
    end)
  end

  test "a Repo counts the connections beside its pool" do
    path = fill(tmp_path())
    beside = min(System.schedulers(), 3) + 1
    budget = (3 + beside) * 256 * 1024
    start_supervised!({Repo, database: path, pool_size: 3, log: false, cache_budget: budget})

    eventually(fn ->
      for _ <- 1..20, do: Repo.query!("SELECT count(*), max(a) FROM t")
      Repo.query!("UPDATE t SET a = a WHERE id = 1")
      EctoLibSql.stats(Repo).shared.open >= 2
    end)

    read_all(Ecto.Adapter.lookup_meta(Repo).pid, 3)
    assert Repo.checkout(fn -> Repo.query!("PRAGMA cache_size").rows end) == [[-256]]
    assert cached(Repo) <= budget * @more
  end

  test "a lone connection has all of it" do
    {:ok, db} = EctoLibSql.connect(database: tmp_path(), cache_budget: @mib)
    assert {:ok, _, %{rows: [[-1024]]}, _} = EctoLibSql.query(db, "PRAGMA cache_size")
    {:ok, db} = EctoLibSql.reset_connection(db)
    assert {:ok, _, %{rows: [[-1024]]}, _} = EctoLibSql.query(db, "PRAGMA cache_size")
    EctoLibSql.close(db)
  end

  test "what cannot be is said" do
    for {opts, words} <- [
          {[cache_budget: 1000], "65,536"},
          {[cache_budget: -1], "65,536"},
          {[cache_budget: "1 MB"], "integer of bytes"},
          {[cache_budget: @mib, cache_size: -2000], "contradict"},
          {[cache_budget: @mib, pool_size: 100, pool_index: 1], "6553600"}
        ] do
      assert {:error, %Error{code: :bad_argument, message: message}} =
               EctoLibSql.connect([database: tmp_path()] ++ opts)

      assert message =~ words
    end

    assert_raise ArgumentError, ~r/Repo.*cache_budget.*connections/, fn ->
      Ecto.Adapters.LibSql.init(
        repo: Repo,
        telemetry_prefix: [:repo],
        database: tmp_path(),
        pool_size: 20,
        cache_budget: @mib
      )
    end
  end
end
