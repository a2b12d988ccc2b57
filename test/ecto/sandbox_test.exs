defmodule Ecto.Adapters.LibSql.SandboxTest do
  # Ecto's SQL sandbox on one file: what tests write is theirs, and those that only read run side by side.
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias Ecto.Adapters.SQL.Sandbox

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:name, :string)
      belongs_to(:item, __MODULE__)
    end
  end

  setup do
    opts = [database: tmp_path(), pool: Sandbox, pool_size: 5, log: false]
    start_supervised!({Repo, opts})

    Sandbox.unboxed_run(Repo, fn ->
      Repo.query!(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE, item_id INT REFERENCES items)"
      )

      Repo.insert!(%Item{name: "there"})
    end)

    Sandbox.mode(Repo, :manual)
    :ok
  end

  defp names, do: Repo.all(from(i in Item, select: i.name, order_by: i.id))

  # A test of its own: checks out, runs, checks in.
  defp in_test(fun) do
    Task.async(fn ->
      :ok = Sandbox.checkout(Repo)
      answer = fun.()
      :ok = Sandbox.checkin(Repo)
      answer
    end)
  end

  test "what a test writes is its own, and goes with it" do
    for _ <- 1..3 do
      fun = fn ->
        Repo.insert!(%Item{name: "mine"})
        names()
      end

      assert fun |> in_test() |> Task.await() == ["there", "mine"]
    end

    assert in_test(&names/0) |> Task.await() == ["there"]
    assert Sandbox.unboxed_run(Repo, &names/0) == ["there"]
  end

  test "tests that read run at once, also while one writes" do
    parent = self()

    wait = fn name ->
      receive(do: (^name -> :ok), after: (5_000 -> flunk("#{name} did not come")))
    end

    writer =
      in_test(fn ->
        Repo.insert!(%Item{name: "written"})
        send(parent, :written)
        wait.(:end)
        names()
      end)

    wait.(:written)

    readers =
      for n <- 1..3 do
        in_test(fn ->
          assert names() == ["there"]
          send(parent, {:read, n})
          wait.(:end)
          {:ok, names} = Repo.transaction(fn -> names() end)
          names
        end)
      end

    # All four are in their transactions.
    for n <- 1..3, do: assert_receive({:read, ^n}, 5_000)
    for task <- [writer | readers], do: send(task.pid, :end)

    assert Task.await_many([writer | readers]) == [
             ["there", "written"] | for(_ <- 1..3, do: ["there"])
           ]
  end

  # The others are rolled back: what a test has read holds, however long it waits.
  test "tests that read and then write take turns" do
    tests =
      for n <- 1..6 do
        in_test(fn ->
          assert names() == ["there"]
          Repo.insert!(%Item{name: "mine #{n}"})
          Process.sleep(30)
          names()
        end)
      end

    assert Task.await_many(tests, 60_000) == for(n <- 1..6, do: ["there", "mine #{n}"])
    assert Sandbox.unboxed_run(Repo, &names/0) == ["there"]
  end

  test "what a test has read is old once another has committed: then waiting ends in an error" do
    test = self()

    writer =
      Task.async(fn ->
        Sandbox.unboxed_run(Repo, fn ->
          Repo.transaction(fn ->
            Repo.insert!(%Item{name: "for all"})
            send(test, :written)
            receive do: (:commit -> :ok)
          end)
        end)
      end)

    assert_receive :written, 5_000

    waiting =
      in_test(fn ->
        assert names() == ["there"]
        send(test, :read)
        error = assert_raise EctoLibSql.Error, fn -> Repo.insert!(%Item{name: "late"}) end
        assert names() == ["there"]
        error.code
      end)

    assert_receive :read, 5_000
    refute Task.yield(waiting, 50)
    send(writer.pid, :commit)
    assert Task.await(waiting) == :busy_snapshot
    Task.await(writer)
    # Nobody has kept the turn.
    assert in_test(fn -> Repo.insert!(%Item{name: "next"}) && names() end) |> Task.await() ==
             ["there", "for all", "next"]
  end

  test "waiting for another test ends with the call" do
    test = self()

    holder =
      in_test(fn ->
        Repo.insert!(%Item{name: "a"})
        send(test, :written)
        receive do: (:end -> :ok)
      end)

    assert_receive :written, 5_000

    assert in_test(fn ->
             names()

             error =
               assert_raise EctoLibSql.Error, fn ->
                 Repo.insert!(%Item{name: "b"}, timeout: 300)
               end

             # The connection and its transaction are as before.
             assert names() == ["there"]
             error.code
           end)
           |> Task.await() == :timeout

    send(holder.pid, :end)
    Task.await(holder)
  end

  test "transactions are savepoints" do
    :ok = Sandbox.checkout(Repo)

    assert {:error, :back} =
             Repo.transaction(fn ->
               Repo.insert!(%Item{name: "a"})
               Repo.rollback(:back)
             end)

    assert names() == ["there"]
    assert {:ok, _} = Repo.transaction(fn -> Repo.insert!(%Item{name: "b"}) end)
    assert {:ok, ["there", "b"]} = Repo.transaction(fn -> names() end, mode: :read)
    assert names() == ["there", "b"]
  end

  test "constraints leave the test's transaction as it was" do
    :ok = Sandbox.checkout(Repo)
    Repo.insert!(%Item{name: "a"})
    taken = %Item{name: "a"} |> Ecto.Changeset.change() |> Ecto.Changeset.unique_constraint(:name)

    orphan =
      %Item{item_id: 0}
      |> Ecto.Changeset.change()
      |> Ecto.Changeset.foreign_key_constraint(:item_id)

    assert {:error, %{errors: [name: _]}} = Repo.insert(taken)
    assert {:error, %{errors: [item_id: _]}} = Repo.insert(orphan)
    assert Repo.query!("PRAGMA defer_foreign_keys").rows == [[0]]
    assert names() == ["there", "a"]
    assert Sandbox.checkin(Repo) == :ok
    assert Sandbox.unboxed_run(Repo, &names/0) == ["there"]
  end

  test "without a checkout there is no connection" do
    error = assert_raise DBConnection.OwnershipError, fn -> names() end
    assert Exception.message(error) =~ "cannot find ownership process"
  end

  test "allowances" do
    :ok = Sandbox.checkout(Repo)
    Repo.insert!(%Item{name: "a"})
    parent = self()

    task =
      Task.async(fn ->
        receive do: (:go -> :ok)
        send(parent, {:names, names()})
      end)

    :ok = Sandbox.allow(Repo, self(), task.pid)
    send(task.pid, :go)
    assert_receive {:names, ["there", "a"]}, 5_000
    Task.await(task)

    # By $callers, too.
    assert Task.await(Task.async(&names/0)) == ["there", "a"]
  end

  test "shared mode" do
    owner = Sandbox.start_owner!(Repo, shared: true)
    Repo.insert!(%Item{name: "a"})
    parent = self()
    # No caller, no allowance.
    spawn(fn -> send(parent, {:names, names()}) end)
    assert_receive {:names, ["there", "a"]}, 5_000
    Sandbox.stop_owner(owner)
    Sandbox.mode(Repo, :manual)
    assert Sandbox.unboxed_run(Repo, &names/0) == ["there"]
  end

  test "an owner that dies gives its connection back, rolled back" do
    {pid, ref} =
      spawn_monitor(fn ->
        :ok = Sandbox.checkout(Repo)
        Repo.insert!(%Item{name: "a"})
        exit(:shutdown)
      end)

    assert_receive {:DOWN, ^ref, _, ^pid, :shutdown}, 5_000

    for _ <- 1..10 do
      assert in_test(fn -> Repo.insert!(%Item{name: "b"}) && names() end) |> Task.await() == [
               "there",
               "b"
             ]
    end
  end

  test "streams, many results and locks" do
    :ok = Sandbox.checkout(Repo)
    Repo.insert_all(Item, for(n <- 1..50, do: [name: "#{n}"]))

    {:ok, streamed} =
      Repo.transaction(fn -> Item |> Repo.stream(max_rows: 7) |> Enum.map(& &1.name) end)

    assert length(streamed) == 51
    assert [%{rows: [[1]]}, %{rows: [[2]]}] = Repo.query_many!("SELECT 1; SELECT 2")
    assert length(Repo.all(from(i in Item, lock: "FOR UPDATE"))) == 51
  end
end
