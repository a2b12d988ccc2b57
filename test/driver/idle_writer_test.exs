defmodule EctoLibSql.Driver.IdleWriterTest do
  # Where events go is the application's: not async.
  use EctoLibSql.Case
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Native, State}

  setup do
    test = self()

    Application.put_env(:ecto_libsql, :events, fn name, measurements, metadata ->
      if name == [:ecto_libsql, :idle_writer], do: send(test, {:idle, measurements, metadata})
    end)

    on_exit(fn -> Application.delete_env(:ecto_libsql, :events) end)
    path = tmp_path()
    db = open(path, long_transaction: 0)
    q(db, "CREATE TABLE t (a)")
    {:ok, path: path, db: db}
  end

  defp begin(db, opts \\ []) do
    {:ok, _, %State{} = trx} = EctoLibSql.handle_begin(opts, db)
    trx
  end

  defp commit(trx) do
    {:ok, _, db} = EctoLibSql.handle_commit([], trx)
    db
  end

  test "a transaction that kept writers waiting for nothing is told", %{db: db, path: path} do
    db |> begin() |> commit()
    assert_received {:idle, %{duration: duration}, metadata}
    assert duration > 0
    assert metadata == %{database: path, mode: :immediate, ended: :commit}

    trx = begin(db, mode: :exclusive)
    all(trx, "SELECT * FROM t")
    {:ok, _, _} = EctoLibSql.handle_rollback([], trx)
    assert_received {:idle, _, %{mode: :exclusive, ended: :rollback}}

    {:ok, trx} = Native.begin(db, behavior: :immediate)
    {:ok, _} = Native.commit(trx)
    assert_received {:idle, _, %{mode: :immediate, ended: :commit}}
    {:ok, trx} = Native.begin(db, behavior: :immediate)
    {:ok, _} = Native.rollback(trx)
    assert_received {:idle, _, %{mode: :immediate, ended: :rollback}}
  end

  test "one whose owner is gone is told", %{path: path} do
    {:ok, db} = EctoLibSql.connect(database: path, long_transaction: 0)
    :ok = EctoLibSql.disconnect(:normal, begin(db))
    assert_received {:idle, _, %{ended: :disconnect}}
    {:ok, db} = EctoLibSql.connect(database: path, long_transaction: 0)
    trx = begin(db)
    q(trx, "INSERT INTO t VALUES (1)")
    :ok = EctoLibSql.disconnect(:normal, trx)
    {:ok, db} = EctoLibSql.connect(database: path, long_transaction: 0)
    :ok = EctoLibSql.disconnect(:normal, db)
    refute_received {:idle, _, _}
  end

  test "one that wrote is not, however it did", %{db: db} do
    for sql <- [
          "INSERT INTO t VALUES (1)",
          "UPDATE t SET a = 2 WHERE a = 99",
          "CREATE TABLE IF NOT EXISTS u (a)",
          "PRAGMA user_version = 3"
        ] do
      trx = begin(db)
      q(trx, sql)
      commit(trx)
      assert {sql, :none} == {sql, flush()}
    end

    trx = begin(db)
    {:ok, _} = EctoLibSql.execute_many(trx, "INSERT INTO t VALUES (?)", [[1], [2]])
    commit(trx)
    trx = begin(db)
    {:ok, _} = Native.batch(trx, [{"SELECT 1", []}, {"DELETE FROM t", []}])
    commit(trx)
    trx = begin(db)
    {:ok, query, cursor, _} = EctoLibSql.handle_declare("INSERT INTO t VALUES (3)", [], [], trx)
    {:halt, _, _} = EctoLibSql.handle_fetch(query, cursor, [], trx)
    commit(trx)
    # It failed, and was meant to write.
    q(db, "CREATE UNIQUE INDEX i ON t (a)")
    trx = begin(db)
    err(trx, "INSERT INTO t VALUES (3)")
    commit(trx)
    assert flush() == :none
  end

  test "what was written in the one before does not count", %{db: db} do
    trx = begin(db)
    q(trx, "INSERT INTO t VALUES (1)")
    commit(trx)
    q(db, "INSERT INTO t VALUES (2)")
    db |> begin() |> commit()
    assert_received {:idle, _, _}
  end

  test "ones that keep nobody waiting are not", %{db: db} do
    for mode <- [:deferred, :read, :transaction], do: db |> begin(mode: mode) |> commit()
    # The engine has ended it.
    trx = begin(db)
    q(trx, "ROLLBACK")
    {:ok, _, _} = EctoLibSql.handle_rollback([], trx)
    q(db, "BEGIN IMMEDIATE")
    q(db, "COMMIT")
    assert flush() == :none
  end

  test "short ones are not, nor any where that is not wanted", %{path: path} do
    assert State.kept(open(path)).long_transaction == 1000

    for opts <- [[long_transaction: 60_000], [long_transaction: :infinity]] do
      path |> open(opts) |> begin() |> commit()
      assert flush() == :none
    end

    db = open(path, long_transaction: 30)
    trx = begin(db)
    Process.sleep(40)
    commit(trx)
    assert_received {:idle, _, _}
  end

  defp flush do
    receive do
      {:idle, _, metadata} -> metadata
    after
      0 -> :none
    end
  end
end
