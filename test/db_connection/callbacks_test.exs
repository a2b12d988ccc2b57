defmodule EctoLibSql.CallbacksTest do
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers, only: [open: 1]

  alias EctoLibSql.{Error, Query, Result}

  test "every callback of DBConnection is there" do
    Code.ensure_loaded!(EctoLibSql)
    optional = DBConnection.behaviour_info(:optional_callbacks)

    for {name, arity} <- DBConnection.behaviour_info(:callbacks) -- optional do
      assert function_exported?(EctoLibSql, name, arity), "#{name}/#{arity} is missing"
    end
  end

  test "begin, commit, rollback and status answer what DBConnection allows" do
    state = open(tmp_path())
    assert {:idle, state} = EctoLibSql.handle_status([], state)
    assert {:ok, %Result{command: :begin}, state} = EctoLibSql.handle_begin([], state)
    assert {:transaction, state} = EctoLibSql.handle_begin([], state)
    assert {:transaction, state} = EctoLibSql.handle_status([], state)
    assert {:ok, %Result{command: :commit}, state} = EctoLibSql.handle_commit([], state)
    assert {:idle, state} = EctoLibSql.handle_commit([], state)
    assert {:ok, %Result{}, state} = EctoLibSql.handle_begin([mode: :read], state)

    assert {:error, %Error{code: :readonly}, state} =
             EctoLibSql.handle_execute(%Query{statement: "CREATE TABLE t (a)"}, [], [], state)

    assert {:ok, %Result{command: :rollback}, state} = EctoLibSql.handle_rollback([], state)
    assert {:idle, state} = EctoLibSql.handle_begin([mode: :savepoint], state)
    assert state.trx_id == nil
  end

  test "savepoints nest in a transaction" do
    state = open(tmp_path())
    execute = fn sql, state -> EctoLibSql.handle_execute(%Query{statement: sql}, [], [], state) end
    {:ok, _, _, state} = execute.("CREATE TABLE t (a)", state)
    {:ok, _, state} = EctoLibSql.handle_begin([], state)
    {:ok, _, _, state} = execute.("INSERT INTO t VALUES (1)", state)
    assert {:ok, %Result{}, state} = EctoLibSql.handle_begin([mode: :savepoint], state)
    {:ok, _, _, state} = execute.("INSERT INTO t VALUES (2)", state)
    assert {:ok, %Result{}, state} = EctoLibSql.handle_rollback([mode: :savepoint], state)
    assert {:ok, %Result{}, state} = EctoLibSql.handle_begin([mode: :savepoint], state)
    {:ok, _, _, state} = execute.("INSERT INTO t VALUES (3)", state)
    assert {:ok, %Result{}, state} = EctoLibSql.handle_commit([mode: :savepoint], state)
    {:ok, _, state} = EctoLibSql.handle_commit([], state)

    assert {:ok, _, %Result{rows: [[1], [3]]}, _} = execute.("SELECT a FROM t ORDER BY a", state)
  end

  test "rolling back what the engine has rolled back by itself is done already" do
    state = open(tmp_path())
    {:ok, _, _, state} = EctoLibSql.query(state, "CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK)")
    {:ok, _, state} = EctoLibSql.handle_begin([], state)
    {:ok, _, _, state} = EctoLibSql.query(state, "INSERT INTO t VALUES (1)")

    assert {:error, %Error{code: :constraint}, state} =
             EctoLibSql.query(state, "INSERT INTO t VALUES (1)")

    # What follows in the same transaction is not stored by itself.
    assert {:error, %Error{code: :no_transaction}, state} =
             EctoLibSql.query(state, "INSERT INTO t VALUES (2)")

    assert {:ok, %Result{command: :rollback}, state} = EctoLibSql.handle_rollback([], state)
    assert {:ok, _, %Result{rows: []}, _} = EctoLibSql.query(state, "SELECT * FROM t")
  end

  test "after close each callback says so" do
    state = open(tmp_path())
    :ok = EctoLibSql.disconnect(nil, state)
    assert {:disconnect, %Error{code: :closed}, _} = EctoLibSql.ping(state)
    assert {:disconnect, %Error{code: :closed}, _} = EctoLibSql.handle_begin([], state)
    assert {:disconnect, %Error{code: :closed}, _} = EctoLibSql.handle_commit([], state)
    assert {:disconnect, %Error{code: :closed}, _} = EctoLibSql.handle_rollback([], state)
    assert {:disconnect, %Error{code: :closed}, _} = EctoLibSql.handle_status([], state)

    assert {:error, %Error{code: :closed}, _} =
             EctoLibSql.handle_execute(%Query{statement: "SELECT 1"}, [], [], state)
  end

  test "a query's protocols" do
    query = %Query{statement: "SELECT 1"}
    assert to_string(query) == "SELECT 1"
    assert DBConnection.Query.parse(query, []) == query
    assert DBConnection.Query.describe(query, []) == query
    assert DBConnection.Query.decode(query, :result, []) == :result

    assert DBConnection.Query.encode(query, [~D[2026-01-02], Decimal.new("1.50"), %{a: 1}], []) ==
             ["2026-01-02", "1.50", ~s({"a":1})]

    assert_raise ArgumentError, fn -> DBConnection.Query.encode(query, [%{a: self()}], []) end

    # What the connection's settings decide is left to it; what can fail is not.
    forms = %{query | param_types: :forms}
    state = open(database: ":memory:", json_type: :jsonb, datetime_type: :integer)
    params = DBConnection.Query.encode(forms, [%{a: 1}, ~U[1970-01-01 00:00:01Z]], [])
    select = %{forms | statement: "SELECT typeof(?1), ?2"}

    assert {:ok, _, %{rows: [["blob", 1_000_000]]}, _} =
             EctoLibSql.handle_execute(select, params, [], state)

    assert_raise ArgumentError, fn -> DBConnection.Query.encode(forms, [%{a: self()}], []) end
  end
end
