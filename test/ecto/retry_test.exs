defmodule Ecto.Adapters.LibSql.RetryTest do
  # Repo.transaction(fun, retry: n).
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias Ecto.Multi
  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Boxed do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    path = tmp_path()
    start_supervised!({Repo, database: path, pool_size: 3, log: false})
    Repo.query!("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT)")
    Repo.query!("INSERT INTO t VALUES (1, 0)")
    {:ok, other} = EctoLibSql.connect(database: path)
    on_exit(fn -> EctoLibSql.close(other) end)
    test = self()
    id = make_ref()

    :telemetry.attach(id, [:ecto_libsql, :retry], &__MODULE__.told/4, test)
    on_exit(fn -> :telemetry.detach(id) end)
    {:ok, other: other, path: path}
  end

  # Other tests' Repos are told of here, too.
  def told(_event, measurements, %{repo: repo} = data, test) do
    if repo in [Repo, Boxed], do: send(test, {:retry, measurements, data})
  end

  # Reads, and writes what it read plus one; another commits in between, in the first `conflicts` runs.
  defp add(other, conflicts, write \\ &Repo.query!/2) do
    run = Process.get(:runs, 0) + 1
    Process.put(:runs, run)
    %{rows: [[a]]} = Repo.query!("SELECT a FROM t WHERE id = 1")
    if run <= conflicts, do: {:ok, _} = EctoLibSql.run(other, "UPDATE t SET a = a + 10")
    write.("UPDATE t SET a = ?1 WHERE id = 1", [a + 1])
  end

  defp runs, do: Process.get(:runs)
  defp a, do: Repo.one(from(t in "t", select: t.a, where: t.id == 1))

  test "a transaction whose snapshot is old is run again, from its beginning", %{other: other} do
    assert {:ok, _} = Repo.transaction(fn -> add(other, 1) end, mode: :deferred, retry: 3)
    assert runs() == 2
    assert a() == 11

    assert_received {:retry, %{count: 1, pause: pause},
                     %{repo: Repo, code: :busy_snapshot, attempt: 1, left: 2}}

    assert pause > 0
    refute_received {:retry, _, _}
  end

  test "without :retry, or with 0, it is not", %{other: other} do
    for opts <- [[], [retry: 0]] do
      Process.delete(:runs)

      error =
        assert_raise Error, fn ->
          Repo.transaction(fn -> add(other, 9) end, [mode: :deferred] ++ opts)
        end

      assert error.code == :busy_snapshot
      assert runs() == 1
    end

    refute_received {:retry, _, _}
  end

  # Who begins immediate cannot have an old snapshot: so the second run's error is made here.
  test "when it has been run as often as it may, the caller has the last error" do
    for {times, n} <- [{1, 2}, {2, 3}] do
      Process.delete(:runs)

      error =
        assert_raise Error, fn ->
          Repo.transaction(
            fn ->
              Process.put(:runs, Process.get(:runs, 0) + 1)
              raise %Error{code: :busy, message: "run #{runs()}", outcome: :none}
            end,
            retry: times
          )
        end

      assert error.message == "run #{n}"
      for left <- (times - 1)..0//-1, do: assert_received({:retry, _, %{code: :busy, left: ^left}})
    end
  end

  test "a run after the first has its turn from its beginning", %{other: other} do
    modes =
      for opts <- [[mode: :deferred], [mode: :deferred, timeout: 5000]] do
        Process.delete(:runs)

        Repo.transaction(
          fn ->
            if Process.get(:runs), do: Process.put(:held, held?(other))
            add(other, 1)
          end,
          [retry: 1] ++ opts
        )

        Process.get(:held)
      end

    assert modes == [true, true]
  end

  defp held?(other) do
    EctoLibSql.set_busy_timeout(other, 0)
    answer = Task.async(fn -> EctoLibSql.run(other, "UPDATE t SET a = a") end) |> Task.await()
    EctoLibSql.set_busy_timeout(other, 5000)
    match?({:error, %Error{code: code}} when code in [:busy, :would_deadlock], answer)
  end

  test "transact: what it was rolled back with", %{other: other} do
    write = fn sql, params -> Repo.query(sql, params) end

    assert {:ok, _} = Repo.transact(fn -> add(other, 1, write) end, mode: :deferred, retry: 1)

    assert runs() == 2
    Process.delete(:runs)

    assert {:error, %Error{code: :busy_snapshot}} =
             Repo.transact(fn -> add(other, 1, write) end, mode: :deferred)

    assert runs() == 1
    assert {:error, :no} = Repo.transact(fn -> {:error, :no} end, retry: 5)
  end

  test "an Ecto.Multi", %{other: other} do
    multi =
      Multi.new()
      |> Multi.run(:one, fn _repo, _ -> {:ok, 1} end)
      |> Multi.run(:add, fn _repo, %{one: 1} ->
        add(other, 1, fn sql, params -> Repo.query(sql, params) end)
      end)

    assert {:ok, %{one: 1}} = Repo.transaction(multi, mode: :deferred, retry: 1)
    assert runs() == 2
    assert a() == 11

    raises = Multi.run(Multi.new(), :add, fn _repo, _ -> {:ok, add(other, 3)} end)
    assert {:ok, _} = Repo.transaction(raises, mode: :deferred, retry: 1)
    assert runs() == 4

    no = Multi.error(Multi.run(Multi.new(), :add, fn _, _ -> {:ok, 1} end), :no, :reason)
    assert {:error, :no, :reason, %{}} = Repo.transaction(no, retry: 3)
  end

  test "nothing else is run again" do
    for raised <- [
          %Error{code: :timeout, outcome: :none},
          %Error{code: :constraint, outcome: :none},
          %Error{code: :busy, outcome: :unknown},
          %Error{code: :busy_snapshot, outcome: :committed},
          %RuntimeError{message: "busy"}
        ] do
      Process.put(:runs, 0)

      fun = fn ->
        Process.put(:runs, runs() + 1)
        raise raised
      end

      assert_raise raised.__struct__, fn -> Repo.transaction(fun, retry: 3) end
      assert runs() == 1
    end

    Process.put(:runs, 0)

    assert {:error, %Error{outcome: :unknown}} =
             Repo.transaction(
               fn ->
                 Process.put(:runs, runs() + 1)
                 Repo.rollback(%Error{code: :busy, outcome: :unknown})
               end,
               retry: 2
             )

    assert catch_throw(Repo.transaction(fn -> throw(:busy) end, retry: 2)) == :busy
    assert catch_exit(Repo.transaction(fn -> exit(:busy) end, retry: 2)) == :busy
    assert runs() == 1
  end

  test "an error that the function takes care of is none" do
    assert {:ok, :busy} =
             Repo.transaction(
               fn ->
                 Process.put(:runs, Process.get(:runs, 0) + 1)

                 try do
                   raise %Error{code: :busy, outcome: :none}
                 rescue
                   error in Error -> error.code
                 end
               end,
               retry: 3
             )

    assert runs() == 1
  end

  test "only the outermost transaction", %{other: other} do
    assert {:ok, _} =
             Repo.transaction(
               fn ->
                 assert {:ok, _} = Repo.transaction(fn -> add(other, 1) end, retry: 1)
               end,
               mode: :deferred,
               retry: 2
             )

    assert runs() == 2
    Process.delete(:runs)

    assert_raise Error, fn ->
      Repo.transaction(fn -> Repo.transaction(fn -> add(other, 1) end, retry: 5) end,
        mode: :deferred
      )
    end

    assert runs() == 1
  end

  test "in a checkout", %{other: other} do
    Repo.checkout(fn ->
      assert {:ok, _} = Repo.transaction(fn -> add(other, 1) end, mode: :deferred, retry: 1)
      assert runs() == 2
      assert Repo.query!("SELECT a FROM t").rows == [[11]]
    end)
  end

  test "not in the sandbox", %{other: other, path: path} do
    start_supervised!({Boxed, database: path, pool: Ecto.Adapters.SQL.Sandbox, log: false})
    :ok = Ecto.Adapters.SQL.Sandbox.checkout(Boxed)

    error =
      assert_raise Error, fn ->
        Boxed.transaction(
          fn ->
            Process.put(:runs, Process.get(:runs, 0) + 1)
            Boxed.query!("SELECT a FROM t")
            {:ok, _} = EctoLibSql.run(other, "UPDATE t SET a = 5")
            Boxed.query!("UPDATE t SET a = 6")
          end,
          retry: 3
        )
      end

    assert error.code == :busy_snapshot
    assert runs() == 1
    refute_received {:retry, _, _}
  end

  test "how often is an integer from 0" do
    for wrong <- [-1, 1.5, "3", nil, true, :infinity] do
      error = assert_raise ArgumentError, fn -> Repo.transaction(fn -> :ok end, retry: wrong) end

      assert error.message =~ "integer from 0, not #{inspect(wrong)}"

      assert_raise ArgumentError, fn ->
        Repo.transaction(fn -> Repo.transaction(fn -> :ok end, retry: wrong) end)
      end
    end

    assert {:ok, :ok} = Repo.transaction(fn -> :ok end, retry: 0)
  end

  test "twenty processes that read and then write", %{path: path} do
    1..20
    |> Enum.map(fn _ ->
      Task.async(fn ->
        Repo.transaction(
          fn ->
            %{rows: [[a]]} = Repo.query!("SELECT a FROM t WHERE id = 1")
            Process.sleep(1)
            Repo.query!("UPDATE t SET a = ?1 WHERE id = 1", [a + 1])
          end,
          mode: :deferred,
          retry: 1,
          timeout: 60_000
        )
      end)
    end)
    |> Task.await_many(60_000)
    |> Enum.each(&assert {:ok, _} = &1)

    assert a() == 20
    assert File.exists?(path)
  end
end
