defmodule Ecto.Adapters.LibSql.StatsTest do
  # EctoLibSql.stats/2 of a Repo, however it is called.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defp start(opts \\ []) do
    path = tmp_path()

    pid =
      start_supervised!({Repo, Keyword.merge([database: path, pool_size: 3, log: false], opts)},
        id: path
      )

    {pid, path}
  end

  test "by its module, its name and its pid" do
    {pid, path} = start()
    Repo.query!("CREATE TABLE t (a)")

    for target <- [Repo, pid] do
      assert %{database: ^path, pool: %{size: 3}, connections: n, shared: shared} =
               EctoLibSql.stats(target)

      assert n >= 1
      assert %{open: _, uses: _, refusals: _, errors: 0} = shared
    end

    assert EctoLibSql.stats(Ecto.Adapter.lookup_meta(Repo).pid).database == nil
  end

  test "counts what the shared connections did" do
    start()
    Repo.query!("CREATE TABLE t (a)")

    eventually(fn ->
      Repo.query!("INSERT INTO t VALUES (1)")
      Repo.query!("SELECT * FROM t")
      EctoLibSql.stats(Repo).shared.open >= 2
    end)

    before = EctoLibSql.stats(Repo)
    for _ <- 1..10, do: Repo.query!("INSERT INTO t VALUES (1)")
    after_it = EctoLibSql.stats(Repo)
    assert after_it.shared.uses == before.shared.uses + 10
    assert after_it.writers.turns == before.writers.turns + 10

    # What cannot be compiled there is left to the pool; by a scheduler whose reader is open, that is.
    eventually(fn ->
      assert {:error, _} = Repo.query("SELECT nothing FROM t")
      EctoLibSql.stats(Repo).shared.refusals == after_it.shared.refusals + 1
    end)
  end

  test "while all connections are taken, and nobody waits for it" do
    {_pid, path} = start(pool_size: 2, shared_connections: false)
    test = self()

    takers =
      for _ <- 1..2 do
        Task.async(fn ->
          Repo.checkout(fn ->
            send(test, :taken)
            receive do: (:end -> :ok)
          end)
        end)
      end

    for _ <- 1..2, do: assert_receive(:taken, 10_000)
    waiting = Task.async(fn -> Repo.query!("SELECT 1") end)
    eventually(fn -> EctoLibSql.stats(Repo).pool == %{size: 2, ready: 0, busy: 2, waiting: 1} end)
    assert %{database: ^path, connections: 2, shared: nil} = EctoLibSql.stats(Repo)
    for task <- takers, do: send(task.pid, :end)
    Task.await_many([waiting | takers])
  end

  test "of a dynamic Repo" do
    {pid, path} = start(name: nil)
    Repo.put_dynamic_repo(pid)
    assert EctoLibSql.stats(Repo).database == path
    assert EctoLibSql.stats(pid).database == path
    name = :"dynamic_#{System.unique_integer([:positive])}"
    {_pid, other} = start(name: name)
    assert EctoLibSql.stats(name).database == other
  end

  test "in memory, and in the sandbox" do
    {pid, _path} = start(name: nil, database: ":memory:", pool_size: 1)
    assert %{database: nil, pool: %{size: 1}, wal: nil} = EctoLibSql.stats(pid)

    {pid, path} = start(name: nil, pool: Ecto.Adapters.SQL.Sandbox)
    Repo.put_dynamic_repo(pid)
    :ok = Ecto.Adapters.SQL.Sandbox.checkout(Repo)
    assert %{database: ^path, pool: %{size: 3, busy: busy}, shared: nil} = EctoLibSql.stats(pid)
    assert busy >= 1
  end

  test "one that does not run" do
    assert {:error, %Error{code: :bad_argument, message: message}} = EctoLibSql.stats(Repo)
    assert message =~ "no such Repo"
  end
end
