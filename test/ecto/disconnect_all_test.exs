defmodule Ecto.Adapters.LibSql.DisconnectAllTest do
  # Repo.disconnect_all/2: all connections, those beside the pool too.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.NIF

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @long "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) " <>
          "SELECT count(*) FROM n"

  setup do
    test = self()
    on_connect = fn %{conn_id: conn} -> send(test, {:opened, conn}) && :ok end
    opts = [database: tmp_path(), pool_size: 2, log: false, on_connect: on_connect]
    start_supervised!({Repo, opts})
    Repo.query!("CREATE TABLE t (a)")
    warm()
    {:ok, opened: opened([])}
  end

  # Reads and writes until the shared connections have opened: until nothing opens any more.
  defp warm do
    for _ <- 1..20 do
      Repo.query!("SELECT a FROM t")
      Repo.query!("INSERT INTO t VALUES (1)")
      Process.sleep(5)
    end
  end

  defp opened(conns) do
    receive do
      {:opened, conn} -> opened([conn | conns])
    after
      100 -> conns
    end
  end

  defp closed?(conn), do: match?({:error, _}, NIF.status(conn))

  test "closes every connection, and the Repo goes on", %{opened: opened} do
    # The pool's two, one that writes, one that reads at least.
    assert length(opened) >= 4
    assert Repo.disconnect_all(0) == :ok

    eventually(fn ->
      Repo.checkout(fn -> Repo.query!("SELECT 1") end)
      Enum.all?(opened, &closed?/1)
    end)

    warm()
    assert length(opened([])) >= 4
    assert %{rows: [[n]]} = Repo.query!("SELECT count(*) FROM t")
    assert n >= 20
  end

  test "by the adapter's function: module and pid", %{opened: opened} do
    assert Ecto.Adapters.LibSql.disconnect_all(Process.whereis(Repo), 0) == :ok

    eventually(fn ->
      Repo.checkout(fn -> Repo.query!("SELECT 1") end)
      Enum.all?(opened, &closed?/1)
    end)

    assert Ecto.Adapters.LibSql.disconnect_all(Repo, 10) == :ok
  end

  test "breaks nothing off" do
    tasks = for _ <- 1..4, do: Task.async(fn -> Repo.query(@long, [], timeout: 120_000) end)

    insert = &Repo.query("INSERT INTO t VALUES (?1)", [&1], timeout: 60_000)
    writers = for n <- 1..200, do: Task.async(fn -> insert.(n) end)

    Process.sleep(20)
    for _ <- 1..5, do: Repo.disconnect_all(0) && Process.sleep(20)
    for answer <- Task.await_many(writers, 60_000), do: assert({:ok, _} = answer)
    for answer <- Task.await_many(tasks, 120_000), do: assert({:ok, %{rows: [[_]]}} = answer)
  end

  test "a Repo without shared connections" do
    stop_supervised!(Repo)
    start_supervised!({Repo, database: ":memory:", log: false})
    Repo.query!("SELECT 1")
    assert Repo.disconnect_all(0) == :ok
    assert Repo.disconnect_all(0, timeout: 1_000) == :ok
  end
end
