defmodule Ecto.Adapters.LibSql.MigrationLeaseTest do
  use EctoLibSql.Case, async: true

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
    def init(_context, config), do: {:ok, [migration_lock: :lease] ++ config}
  end

  setup context do
    size = Map.get(context, :pool_size, 2)
    start_supervised!({Repo, database: tmp_path(), pool_size: size, log: false})
    :ok
  end

  defp with_lock(fun),
    do: Ecto.Adapters.LibSql.lock_for_migrations(Ecto.Adapter.lookup_meta(Repo), [], fun)

  test "one at a time" do
    inside = :counters.new(1, [])

    tasks =
      for _ <- 1..3 do
        Task.async(fn ->
          with_lock(fn ->
            :counters.add(inside, 1, 1)
            alone? = :counters.get(inside, 1) == 1
            Process.sleep(20)
            :counters.sub(inside, 1, 1)
            alone?
          end)
        end)
      end

    assert Task.await_many(tasks, 30_000) == [true, true, true]
  end

  test "who dies gives it back" do
    parent = self()

    pid =
      spawn(fn ->
        with_lock(fn ->
          send(parent, :held)
          Process.sleep(:infinity)
        end)
      end)

    assert_receive :held, 5_000
    Process.exit(pid, :kill)
    assert with_lock(fn -> :mine end) == :mine
    assert_raise RuntimeError, fn -> with_lock(fn -> raise "no" end) end
    assert with_lock(fn -> :mine end) == :mine
  end

  test "who left it in a VM that ended is waited for no longer than it lasts" do
    with_lock(fn -> :ok end)
    row = "INSERT INTO ecto_libsql_migration_lease VALUES (1, 'gone', unixepoch() - 1)"
    Repo.query!(row)
    assert with_lock(fn -> :mine end) == :mine
  end

  @tag pool_size: 1
  test "needs two connections" do
    assert_raise Ecto.MigrationError, ~r/pool size is less than 2/, fn ->
      with_lock(fn -> :ok end)
    end
  end
end
