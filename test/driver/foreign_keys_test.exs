defmodule EctoLibSql.Driver.ForeignKeysTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Query, Result}

  setup do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    q(db, "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE)")
    q(db, "INSERT INTO p VALUES (1)")
    q(db, "INSERT INTO c VALUES (1)")
    {:ok, path: path, db: db}
  end

  defp switch(state, on?) do
    query = %Query{statement: {:enforce_foreign_keys, on?}}
    assert {:ok, ^query, result, _state} = EctoLibSql.handle_execute(query, [], [], state)
    result
  end

  defp enforced?(db), do: one(db, "PRAGMA foreign_keys") == 1

  test "are switched off for the length of a transaction", %{db: db} do
    {:ok, _, trx} = EctoLibSql.handle_begin([], db)
    assert Native.enforce_foreign_keys(trx, false) == {:ok, true}
    assert Native.enforce_foreign_keys(trx, false) == {:ok, false}
    q(trx, "DROP TABLE p")
    assert all(trx, "SELECT p FROM c") == [[1]]
    q(trx, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    {:ok, _, db} = EctoLibSql.handle_commit([], trx)
    assert enforced?(db)
    assert all(db, "SELECT p FROM c") == [[1]]
  end

  test "by a query, as DBConnection runs it", %{db: db} do
    {:ok, _, trx} = EctoLibSql.handle_begin([], db)
    assert %Result{columns: ["foreign_keys"], rows: [[1]], num_rows: 1} = switch(trx, false)
    assert %Result{rows: [[0]]} = switch(trx, true)
    assert %Result{rows: [[1]]} = switch(trx, false)
    refute enforced?(trx)
    {:ok, _, db} = EctoLibSql.handle_rollback([], trx)
    assert enforced?(db)
    assert to_string(%Query{statement: {:enforce_foreign_keys, false}}) =~ "enforce_foreign_keys"
  end

  test "hold again whatever ended the transaction", %{db: db} do
    ends = [
      fn trx -> EctoLibSql.handle_rollback([], trx) end,
      fn trx -> EctoLibSql.handle_commit([], trx) end,
      fn trx -> EctoLibSql.reset_connection(trx) end,
      fn trx -> EctoLibSql.query(trx, "ROLLBACK") end,
      fn trx -> EctoLibSql.query(trx, "INSERT OR ROLLBACK INTO p VALUES (1)") end,
      fn trx -> Native.execute_batch_sql(trx, "COMMIT; SELECT 1") end
    ]

    for finish <- ends do
      {:ok, trx} = Native.begin(db)
      assert Native.enforce_foreign_keys(trx, false) == {:ok, true}
      finish.(trx)
      assert Native.get_is_autocommit(db)
      assert enforced?(db)
      assert %Error{constraint: %{kind: :foreign_key}} = err(db, "INSERT INTO c VALUES (99)")
    end
  end

  test "stay off where they are configured so", %{path: path} do
    db = open(path, foreign_keys: false)
    {:ok, trx} = Native.begin(db)
    assert Native.enforce_foreign_keys(trx, true) == {:ok, false}
    assert %Error{code: :constraint} = err(trx, "INSERT INTO c VALUES (99)")
    {:ok, _} = Native.rollback(trx)
    refute enforced?(db)
  end

  test "are not switched outside of a transaction, nor by what is no boolean", %{db: db} do
    assert {:error, %Error{code: :no_transaction}} = Native.enforce_foreign_keys(db, false)
    assert enforced?(db)
    {:ok, trx} = Native.begin(db)
    assert {:error, %Error{code: :bad_argument}} = Native.enforce_foreign_keys(trx, :off)
    {:ok, _} = Native.rollback(trx)
    assert {:error, %Error{code: :no_transaction}} = Native.enforce_foreign_keys(trx, false)
  end
end
