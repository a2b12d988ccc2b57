defmodule Ecto.Adapters.LibSql.DeadlockTest do
  # A transaction that waits for a task that waits for the transaction's turn to write.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Twin do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Server do
    use GenServer
    def start_link(fun), do: GenServer.start_link(__MODULE__, fun)
    @impl true
    def init(fun), do: {:ok, fun.()}
  end

  # No call is to wait for it.
  @timeout 60_000

  setup do
    path = tmp_path()
    start_supervised!({Repo, database: path, pool_size: 5, log: false, timeout: @timeout})
    Repo.query!("CREATE TABLE t (a)")
    {:ok, path: path}
  end

  defp insert(a \\ 1), do: Repo.query("INSERT INTO t VALUES (?1)", [a])
  defp rows, do: Repo.query!("SELECT a FROM t ORDER BY a").rows |> List.flatten()

  # In a transaction that has the turn; none takes as long as a time-out.
  defp holding(fun) do
    {us, answer} =
      :timer.tc(fn ->
        Repo.transaction(fn ->
          insert(0)
          fun.()
        end)
      end)

    assert us < 20_000_000
    answer
  end

  defp assert_deadlock({:error, %Error{code: :would_deadlock} = error}, holder) do
    assert %{outcome: :none, transient?: false, holder: %{pid: ^holder}} = error
    error.message
  end

  test "a task that the transaction awaits fails at once, and the transaction goes on" do
    me = self()

    assert {:ok, :on} =
             holding(fn ->
               message = Task.async(&insert/0) |> Task.await(@timeout) |> assert_deadlock(me)
               assert message =~ inspect(me) and message =~ "task"
               insert(2)
               :on
             end)

    assert rows() == [0, 2]
    assert {:ok, _} = insert(3)
  end

  test "however it awaits, and however deep the task is" do
    me = self()

    holding(fn ->
      assert [answer, {:ok, _}] =
               [Task.async(&insert/0), Task.async(fn -> Repo.query("SELECT 1") end)]
               |> Task.await_many(@timeout)

      assert_deadlock(answer, me)

      for {:ok, answer} <- Task.async_stream(1..3, &insert/1, timeout: @timeout),
          do: assert_deadlock(answer, me)

      deep = fn -> Task.async(&insert/0) |> Task.await(@timeout) end
      deep |> Task.async() |> Task.await(@timeout) |> assert_deadlock(me)
    end)

    assert rows() == [0]
  end

  test "a transaction in the task, too" do
    me = self()

    holding(fn ->
      error = fn ->
        catch_error(Repo.transaction(fn -> insert() end))
      end

      assert_deadlock({:error, error |> Task.async() |> Task.await(@timeout)}, me)
    end)

    assert {:ok, 5} = Repo.transaction(fn -> 5 end)
  end

  test "a process that the transaction starts" do
    me = self()

    holding(fn ->
      test = self()
      {:ok, pid} = Server.start_link(fn -> send(test, {:answer, insert()}) end)
      assert_received {:answer, answer}
      assert_deadlock(answer, me)
      GenServer.stop(pid)
    end)
  end

  test "the process itself, by another connection", %{path: path} do
    start_supervised!({Twin, database: path, log: false, timeout: @timeout})
    me = self()

    holding(fn ->
      answer = Twin.query("INSERT INTO t VALUES (1)")
      assert assert_deadlock(answer, me) =~ "itself"
    end)

    assert {:ok, _} = Twin.query("INSERT INTO t VALUES (1)")
    assert rows() == [0, 1]
  end

  test "a task that comes to be awaited only later" do
    me = self()

    holding(fn ->
      task = Task.async(&insert/0)
      Process.sleep(300)
      task |> Task.await(@timeout) |> assert_deadlock(me)
    end)
  end

  test "a task that nobody awaits in the transaction waits for its turn" do
    {:ok, task} =
      holding(fn ->
        task = Task.async(fn -> insert(1) end)
        Task.start(fn -> insert(2) end)
        # Nor is waiting for something else waiting for them.
        Process.sleep(200)
        insert(3)
        task
      end)

    assert {:ok, _} = Task.await(task, @timeout)
    eventually(fn -> rows() == [0, 1, 2, 3] end)
  end

  test "who yields to a task goes on" do
    {:ok, task} =
      holding(fn ->
        task = Task.async(fn -> insert(1) end)
        assert Task.yield(task, 200) == nil
        assert [{_task, nil}] = Task.yield_many([task], 100)
        task
      end)

    assert {:ok, _} = Task.await(task, @timeout)
  end

  test "a task started for nobody waits while the transaction awaits another" do
    holding(fn ->
      test = self()

      {:ok, _} =
        Task.start(fn ->
          send(test, :begins)
          insert(1)
        end)

      assert_receive :begins, 5_000
      Task.async(fn -> Process.sleep(300) end) |> Task.await(@timeout)
    end)

    eventually(fn -> rows() == [0, 1] end)
  end

  test "a task that only reads has no need to wait" do
    holding(fn ->
      assert {:ok, %{rows: []}} =
               Task.async(fn -> Repo.query("SELECT a FROM t") end) |> Task.await(@timeout)
    end)
  end
end
