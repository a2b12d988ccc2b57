defmodule Ecto.Adapters.LibSql.CheckoutTest do
  # Who does not want to wait for a connection of the pool.
  use EctoLibSql.Case, async: true

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @moduletag :capture_log

  setup do
    start_supervised!({Repo, database: tmp_path(), log: false, pool_size: 2})
    eventually(fn -> EctoLibSql.stats(Repo).pool.ready == 2 end)
    :ok
  end

  # Takes a connection each, and gives it back when it is told to.
  defp take(count) do
    test = self()

    pids =
      for _ <- 1..count do
        {:ok, pid} =
          Task.start_link(fn ->
            Repo.checkout(fn ->
              send(test, {:taken, self()})
              receive do: (:give -> :ok)
            end)

            send(test, {:given, self()})
          end)

        pid
      end

    for pid <- pids, do: assert_receive({:taken, ^pid}, 15_000)
    pids
  end

  defp give(pids) do
    for pid <- pids, do: send(pid, :give)
    for pid <- pids, do: assert_receive({:given, ^pid}, 15_000)
  end

  test "queue: false takes what is free, and waits for nothing" do
    assert Repo.checkout(fn -> Repo.query!("SELECT 1").rows end, queue: false) == [[1]]
    taken = take(2)

    {us, _error} =
      :timer.tc(fn ->
        assert_raise DBConnection.ConnectionError, ~r/queuing is disabled/, fn ->
          Repo.checkout(fn -> flunk("there was none") end, queue: false)
        end
      end)

    assert us < 5_000_000

    assert_raise DBConnection.ConnectionError, fn ->
      Repo.transaction(fn -> flunk("there was none") end, queue: false)
    end

    give(taken)
    eventually(fn -> EctoLibSql.stats(Repo).pool.ready == 2 end)
    assert Repo.transaction(fn -> Repo.query!("SELECT 1").rows end, queue: false) == {:ok, [[1]]}
  end
end
