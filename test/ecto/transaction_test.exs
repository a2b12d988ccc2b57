defmodule Ecto.Adapters.LibSql.TransactionTest do
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    path = tmp_path()
    start_supervised!({Repo, database: path, pool_size: 3, log: false})
    Repo.query!("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT UNIQUE)")
    {:ok, other} = EctoLibSql.connect(database: path, busy_timeout: 0)
    on_exit(fn -> EctoLibSql.close(other) end)
    {:ok, other: other}
  end

  # Whether others can write, and read, while a transaction is open.
  defp others(other) do
    can? = fn sql -> match?({:ok, _}, EctoLibSql.run(other, sql)) end
    %{write: can?.("UPDATE t SET a = a"), read: can?.("SELECT * FROM t")}
  end

  defp numbers, do: Repo.all(from(t in "t", select: t.a, order_by: t.id))

  test "many wait for a connection as long as their time-outs say" do
    1..90
    |> Enum.map(fn _ ->
      Task.async(fn -> Repo.transaction(fn -> Process.sleep(60) end, timeout: 60_000) end)
    end)
    |> Task.await_many(60_000)
    |> Enum.each(fn answer -> assert answer == {:ok, :ok} end)
  end

  test "how a transaction begins", %{other: other} do
    for {opts, write?} <- [
          {[], false},
          {[mode: :immediate], false},
          {[mode: :exclusive], false},
          {[mode: :deferred], true},
          {[mode: :read], true},
          {[mode: :transaction], true},
          # Of other adapters.
          {[isolation_level: :snapshot, isolation: "READ COMMITTED"], false}
        ] do
      assert {:ok, {^opts, %{write: ^write?, read: true}}} =
               Repo.transaction(fn -> {opts, others(other)} end, opts)
    end
  end

  test "SQL cannot end it: what is written afterwards would be stored" do
    for sql <- [
          "COMMIT",
          " commit transaction",
          "END",
          "ROLLBACK",
          "rollback transaction",
          ";COMMIT",
          "/* x */ COMMIT",
          "-- x\n END",
          "/**/ROLLBACK"
        ] do
      assert {:error, :undone} =
               Repo.transaction(fn ->
                 Repo.insert_all("t", [%{a: 1}])
                 assert {:error, %{code: :misuse}} = Repo.query(sql)
                 Repo.insert_all("t", [%{a: 2}])
                 Repo.rollback(:undone)
               end)

      assert numbers() == []
    end

    Repo.transaction(fn ->
      Repo.query!("SAVEPOINT s")
      Repo.insert_all("t", [%{a: 1}])
      Repo.query!("ROLLBACK TO s")
      Repo.insert_all("t", [%{a: 2}])
      Repo.query!("ROLLBACK TRANSACTION TO SAVEPOINT s")
      Repo.query!("RELEASE s")
      Repo.insert_all("t", [%{a: 3}])
    end)

    assert numbers() == [3]
  end

  test "as the Repo is configured", %{other: other} do
    stop_supervised!(Repo)
    path = tmp_path()
    {:ok, _} = EctoLibSql.connect(database: path)
    start_supervised!({Repo, database: path, transaction_mode: :deferred, log: false})
    Repo.query!("CREATE TABLE t (a)")
    {:ok, there} = EctoLibSql.connect(database: path, busy_timeout: 0)
    assert {:ok, %{write: true}} = Repo.transaction(fn -> others(there) end)
    assert {:ok, %{write: false}} = Repo.transaction(fn -> others(there) end, mode: :immediate)
    EctoLibSql.close(there)
    assert others(other).write
  end

  test "a mode that is none raises, and costs no connection" do
    message = ~r/:mode is :immediate, :deferred, :exclusive or :read, not :serializable/

    for _ <- 1..5 do
      assert_raise ArgumentError, message, fn ->
        Repo.transaction(fn -> 1 end, mode: :serializable)
      end
    end

    assert {:ok, 1} = Repo.transaction(fn -> 1 end)
  end

  test "a reading transaction has one state of the database", %{other: other} do
    Repo.insert_all("t", [[a: 1]])

    Repo.transaction(
      fn ->
        assert numbers() == [1]
        {:ok, _} = EctoLibSql.run(other, "INSERT INTO t (a) VALUES (2)")
        assert numbers() == [1]
      end,
      mode: :read
    )

    assert numbers() == [1, 2]
  end

  test "a write in a reading transaction is an error, and the transaction goes on" do
    assert {:ok, []} =
             Repo.transaction(
               fn ->
                 assert_raise EctoLibSql.Error, fn -> Repo.insert_all("t", [[a: 1]]) end
                 numbers()
               end,
               mode: :read
             )

    # The connection is as before.
    for _ <- 1..5, do: assert({1, _} = Repo.insert_all("t", [[id: nil]]))
  end

  test "nested: the outermost decides" do
    assert {:error, :rollback} =
             Repo.transaction(fn ->
               Repo.insert_all("t", [[a: 1]])

               assert {:error, :inner} =
                        Repo.transaction(fn ->
                          Repo.insert_all("t", [[a: 2]])
                          Repo.rollback(:inner)
                        end)
             end)

    assert numbers() == []

    assert {:ok, {:ok, 1}} = Repo.transaction(fn -> Repo.transaction(fn -> 1 end, mode: :read) end)
  end

  test "what fails is undone by itself, and the transaction goes on" do
    assert {:ok, _} =
             Repo.transaction(fn ->
               Repo.insert_all("t", [[a: 1]])
               assert_raise EctoLibSql.Error, fn -> Repo.insert_all("t", [[a: 2], [a: 1]]) end
               Repo.insert_all("t", [[a: 3]])
             end)

    assert numbers() == [1, 3]
  end

  test "savepoints by hand" do
    Repo.transaction(fn ->
      Repo.insert_all("t", [[a: 1]])
      Repo.query!("SAVEPOINT here")
      Repo.insert_all("t", [[a: 2]])
      Repo.query!("ROLLBACK TO here")
      Repo.query!("RELEASE here")
      Repo.insert_all("t", [[a: 3]])
    end)

    assert numbers() == [1, 3]
  end

  test "an exception rolls back and comes through" do
    assert_raise RuntimeError, "no", fn ->
      Repo.transaction(fn ->
        Repo.insert_all("t", [[a: 1]])
        raise "no"
      end)
    end

    assert catch_throw(Repo.transaction(fn -> Repo.insert_all("t", [[a: 1]]) && throw(:out) end)) ==
             :out

    assert numbers() == []
    refute Repo.in_transaction?()
  end

  test "a process that dies rolls back", %{other: other} do
    parent = self()

    pid =
      spawn(fn ->
        Repo.transaction(fn ->
          Repo.insert_all("t", [[a: 1]])
          send(parent, :inserted)
          Process.sleep(:infinity)
        end)
      end)

    assert_receive :inserted
    refute others(other).write
    Process.exit(pid, :kill)
    eventually(fn -> others(other).write end)
    assert numbers() == []
  end

  test "a foreign key that waits for the commit" do
    Repo.query!("CREATE TABLE u (t_id INT REFERENCES t DEFERRABLE INITIALLY DEFERRED)")

    assert {:ok, _} =
             Repo.transaction(fn ->
               Repo.insert_all("u", [[t_id: 5]])
               Repo.insert_all("t", [[id: 5]])
             end)

    # More often than there are connections.
    for _ <- 1..4 do
      assert_raise EctoLibSql.Error, ~r/FOREIGN KEY.*INITIALLY DEFERRED/, fn ->
        Repo.transaction(fn -> Repo.insert_all("u", [[t_id: 6]]) end)
      end
    end

    assert Repo.query!("SELECT t_id FROM u").rows == [[5]]

    # Each statement that is a transaction of its own ends with a commit: there, the key is known.
    error = assert_raise EctoLibSql.Error, fn -> Repo.insert_all("u", [[t_id: 6]], log: false) end

    assert %{kind: :foreign_key, name: "u_t_id_fkey"} = error.constraint
  end

  test "transact: ok and error tuples" do
    assert {:ok, 1} = Repo.transact(fn -> {:ok, 1} end)

    assert {:error, :no} =
             Repo.transact(fn ->
               Repo.insert_all("t", [[a: 1]])
               {:error, :no}
             end)

    assert {:ok, [1]} =
             Repo.transact(fn repo ->
               repo.insert_all("t", [[a: 1]])
               {:ok, numbers()}
             end)
  end

  test "checkout keeps one connection, and transactions in it" do
    Repo.checkout(fn ->
      assert Repo.checked_out?()
      Repo.query!("CREATE TEMP TABLE mine (a)")
      assert Repo.query!("SELECT * FROM mine").rows == []
      assert {:ok, 1} = Repo.transaction(fn -> 1 end)
      assert {:ok, _} = Repo.transaction(fn -> Repo.insert_all("t", [[a: 1]]) end)
      assert Repo.query!("SELECT count(*) FROM mine").rows == [[0]]
    end)

    refute Repo.checked_out?()
    assert numbers() == [1]
  end

  test "readers and a writer, many at once" do
    1..40
    |> Task.async_stream(
      fn n ->
        Repo.transaction(fn ->
          before = Repo.aggregate(from(t in "t", select: t.id), :count)
          Repo.insert_all("t", [[a: n]])
          assert Repo.aggregate(from(t in "t", select: t.id), :count) == before + 1
        end)
      end,
      max_concurrency: 8,
      timeout: 30_000
    )
    |> Enum.each(&assert {:ok, {:ok, _}} = &1)

    assert length(numbers()) == 40
  end
end
