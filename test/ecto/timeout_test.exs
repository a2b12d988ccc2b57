defmodule Ecto.Adapters.LibSql.TimeoutTest do
  # A Repo's time-outs: they end the statement, and the connection stays.
  use EctoLibSql.Case, async: true

  import ExUnit.CaptureLog
  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @moduletag :capture_log

  @endless "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
  # One function of the engine, which looks at nothing while it runs; for some seconds.
  @stubborn "SELECT " <>
              Enum.map_join(1..6, ", ", fn n -> "length(hex(randomblob(#{49_000_000 + n})))" end)

  # One connection, so that it shows whether it was kept: by its temporary table.
  setup do
    path = tmp_path()
    start(path, pool_size: 1, shared_connections: false)
    Repo.query!("CREATE TABLE t (a)")
    Repo.query!("CREATE TEMP TABLE mine (a)")
    {:ok, other} = EctoLibSql.connect(database: path, busy_timeout: 0)
    on_exit(fn -> EctoLibSql.close(other) end)
    {:ok, path: path, other: other}
  end

  defp start(path, opts), do: start_supervised!({Repo, [database: path, log: false] ++ opts})

  defp kept?, do: match?({:ok, _}, Repo.query("SELECT * FROM mine"))

  # Where the machine has no time for it, the engine is not stopped in time, and the connection goes: then again.
  defp stopped(sql, opts, tries \\ 5) do
    {ms, answer} = took(fn -> Repo.query(sql, [], opts) end)
    assert {:error, %Error{code: :timeout} = error} = answer

    if error.message =~ "could not be stopped" and tries > 0 do
      Repo.query!("CREATE TEMP TABLE IF NOT EXISTS mine (a)")
      stopped(sql, opts, tries - 1)
    else
      assert error.outcome == :none
      assert kept?()
      ms
    end
  end

  defp took(fun) do
    {us, value} = :timer.tc(fun)
    {div(us, 1000), value}
  end

  defp writable?(other), do: match?({:ok, _}, EctoLibSql.run(other, "UPDATE t SET a = a"))

  test "a statement is stopped at its time-out, and the connection stays" do
    for sql <- [@endless, "INSERT INTO t " <> @endless], timeout <- [0, 1, 60, 300] do
      ms = stopped(sql, timeout: timeout)
      assert ms >= timeout - 1
      assert ms < timeout + 3_000
    end
  end

  test "ours comes first, also of the Repo's own time-out", %{path: path} do
    stop_supervised!(Repo)
    start(path, pool_size: 1, shared_connections: false, timeout: 250)
    Repo.query!("CREATE TEMP TABLE mine (a)")
    stopped(@endless, [])
    assert {:ok, _} = Repo.query("SELECT 1", [], timeout: :infinity)

    for wrong <- [-1, 1.5, "5000", :soon] do
      assert_raise ArgumentError, ~r/:timeout/, fn ->
        Repo.query("SELECT 1", [], timeout: wrong)
      end

      assert_raise ArgumentError, ~r/:timeout/, fn ->
        Repo.transaction(fn -> 1 end, timeout: wrong)
      end
    end

    stopped(@endless, timeout: :infinity, deadline: System.monotonic_time(:millisecond) + 100)
  end

  test "waiting for a connection of the pool counts, and costs no connection" do
    test = self()

    holder =
      Task.async(fn ->
        Repo.transaction(fn ->
          send(test, :begun)
          Process.sleep(700)
        end)
      end)

    assert_receive :begun, 5_000

    late =
      for timeout <- [100, 300] do
        Task.async(fn -> Repo.query("INSERT INTO t VALUES (?1)", [timeout], timeout: timeout) end)
      end

    in_time = Task.async(fn -> Repo.query("INSERT INTO t VALUES (1)", [], timeout: 20_000) end)
    assert {:ok, :ok} = Task.await(holder)

    for task <- late do
      assert {:error, %Error{code: :timeout, outcome: :none} = error} = Task.await(task)
      assert error.message =~ "waited for a connection"
    end

    assert {:ok, _} = Task.await(in_time)
    assert kept?()
    assert Repo.query!("SELECT a FROM t").rows == [[1]]
  end

  test "what waited has the rest of its time, not all of it" do
    test = self()

    holder =
      Task.async(fn ->
        Repo.transaction(fn ->
          send(test, :begun)
          Process.sleep(1_000)
        end)
      end)

    assert_receive :begun, 5_000
    {ms, answer} = took(fn -> Repo.query(@endless, [], timeout: 1_500) end)
    assert {:error, %Error{code: :timeout}} = answer
    assert ms in 1_400..2_400
    Task.await(holder)
  end

  test "what cannot be stopped is given up on time, and the connection replaced" do
    {ms, answer} = took(fn -> Repo.query(@stubborn, [], timeout: 100) end)
    assert {:error, %Error{code: :timeout, outcome: :unknown}} = answer
    assert ms < 2_000
    # By another one, while the engine is still at it.
    {ms, answer} = took(fn -> Repo.query("SELECT 1") end)
    assert {:ok, _} = answer
    assert ms < 2_000
    refute kept?()
  end

  test "in a transaction, a statement's own time-out ends the statement" do
    assert {:ok, :on} =
             Repo.transaction(fn ->
               Repo.query!("INSERT INTO t VALUES (1)")
               assert {:error, %Error{code: :timeout}} = Repo.query(@endless, [], timeout: 50)
               Repo.query!("INSERT INTO t VALUES (2)")
               :on
             end)

    assert kept?()
    assert Repo.query!("SELECT a FROM t").rows == [[1], [2]]
  end

  test "a transaction that overruns its time-out is rolled back, and the turn passed on", %{
    other: other
  } do
    test = self()

    log =
      capture_log(fn ->
        task =
          Task.async(fn ->
            catch_error(
              Repo.transaction(
                fn ->
                  Repo.query!("INSERT INTO t VALUES (1)")
                  send(test, :written)
                  # By the pool's process, while this one waits.
                  Process.sleep(1_000)
                  Repo.query!("INSERT INTO t VALUES (2)")
                end,
                timeout: 200
              )
            )
          end)

        assert_receive :written, 5_000
        refute writable?(other)
        eventually(fn -> writable?(other) end, 900)
        assert %DBConnection.ConnectionError{} = Task.await(task)
      end)

    assert log =~ "timed out"
    assert Repo.query!("SELECT count(*) FROM t").rows == [[0]]
    refute kept?()
  end

  test "so is one in the midst of a statement", %{other: other} do
    for sql <- [@endless, @stubborn, "INSERT INTO t " <> @endless] do
      {ms, error} =
        took(fn ->
          catch_error(
            Repo.transaction(
              fn ->
                Repo.query!("INSERT INTO t VALUES (1)")
                Repo.query!(sql)
              end,
              timeout: 200
            )
          )
        end)

      assert %struct{} = error
      assert struct in [Error, DBConnection.ConnectionError]
      assert ms < 3_000
      # The pool has a connection at once; the turn is free when the engine returns.
      assert {:ok, _} = Repo.query("SELECT 1")
      eventually(fn -> writable?(other) end, 20_000)
      assert Repo.query!("SELECT count(*) FROM t").rows == [[0]]
    end
  end

  test "BEGIN that waits for its turn ends with the transaction's time-out", %{other: other} do
    {:ok, trx} = EctoLibSql.Native.begin(other, behavior: :immediate)
    {ms, error} = took(fn -> catch_error(Repo.transaction(fn -> :never end, timeout: 300)) end)
    assert %Error{code: :timeout, outcome: :none} = error
    assert ms in 280..2_000
    {:ok, _} = EctoLibSql.Native.rollback(trx)
    assert {:ok, 1} = Repo.transaction(fn -> 1 end)
  end

  test "a transaction that ends in time, though late, commits" do
    assert {:ok, _} =
             Repo.transaction(
               fn ->
                 Repo.query!("INSERT INTO t VALUES (1)")
                 Process.sleep(250)
               end,
               timeout: 300
             )

    assert Repo.query!("SELECT a FROM t").rows == [[1]]
    assert kept?()
  end

  test "a statement whose process is killed is stopped, and leaves nothing", %{other: other} do
    for sql <- ["INSERT INTO t " <> @endless, @endless], how <- [:alone, :transaction] do
      test = self()

      pid =
        spawn(fn ->
          send(test, :begins)
          run = fn -> Repo.query(sql, [], timeout: :infinity) end
          if how == :alone, do: run.(), else: Repo.transaction(run, timeout: :infinity)
        end)

      assert_receive :begins, 5_000
      Process.sleep(100)
      Process.exit(pid, :kill)
      # Within a second the pool has its connection again, and nobody the turn.
      assert {:ok, _} = Repo.query("SELECT 1", [], timeout: 1_000)
      eventually(fn -> writable?(other) end, 1_000)
    end

    assert Repo.query!("SELECT count(*) FROM t").rows == [[0]]
  end
end
