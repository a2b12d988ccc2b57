defmodule EctoLibSql.Driver.StatementTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Result}

  setup do
    db = open()
    q(db, "CREATE TABLE user(id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, score REAL)")
    q(db, "CREATE VIEW names AS SELECT name AS n FROM user")
    {:ok, db: db}
  end

  defp prepare(db, sql) do
    assert {:ok, stmt} = Native.prepare(db, sql)
    assert is_reference(stmt)
    stmt
  end

  test "prepared once, run many times", %{db: db} do
    insert = prepare(db, "INSERT INTO user(name, score) VALUES (:name, :score)")
    select = prepare(db, "SELECT id, score FROM user WHERE name = ?")

    for n <- 1..50 do
      assert {:ok, 1} = Native.execute_stmt(db, insert, "", name: "n#{n}", score: n * 1.0)

      assert {:ok, %Result{command: :select, columns: ["id", "score"], rows: [[^n, score]]}} =
               Native.query_stmt(db, select, ["n#{n}"])

      assert score == n * 1.0
    end

    assert {:ok, %Result{rows: [], num_rows: 0, columns: ["id", "score"]}} =
             Native.query_stmt(db, select, ["nobody"])
  end

  test "keeps nothing of an earlier run, nor of one that failed", %{db: db} do
    stmt = prepare(db, "SELECT ?1, ?2")
    assert {:ok, %Result{rows: [[1, 2]]}} = Native.query_stmt(db, stmt, [1, 2])
    assert {:error, %Error{code: :parameters}} = Native.query_stmt(db, stmt, [3])
    assert {:error, %Error{code: :parameters}} = Native.query_stmt(db, stmt, [])
    assert {:ok, %Result{rows: [[nil, 4]]}} = Native.query_stmt(db, stmt, [nil, 4])

    insert = prepare(db, "INSERT INTO user(id, name) VALUES (?, ?)")
    assert {:ok, 1} = Native.execute_stmt(db, insert, "", [1, "a"])
    assert {:error, %Error{code: :constraint}} = Native.execute_stmt(db, insert, "", [1, "b"])
    assert {:ok, 1} = Native.execute_stmt(db, insert, "", [2, "b"])
  end

  test "reset_stmt ends a cursor and clears parameters", %{db: db} do
    EctoLibSql.execute_many(db, "INSERT INTO user(name) VALUES (?)", [["a"], ["b"]])

    {:ok, _, %{ref: stmt} = cursor, db} =
      EctoLibSql.handle_declare("SELECT name FROM user", [], [], db)

    assert {:cont, %Result{rows: [["a"]]}, db} =
             EctoLibSql.handle_fetch("", cursor, [max_rows: 1], db)

    assert :ok = EctoLibSql.reset_stmt(db, stmt)
    assert {:error, %Error{code: :misuse}, _} = EctoLibSql.handle_fetch("", cursor, [], db)
    assert {:ok, %Result{num_rows: 2}} = Native.query_stmt(db, stmt, [])
    assert :ok = Native.reset_stmt(db, stmt)
    assert :ok = Native.reset_stmt(db, stmt)
  end

  @tag local: "a server does not tell where a column is from"
  test "get_statement_columns tells where a column is from", %{db: db} do
    stmt = prepare(db, "SELECT id, u.name AS label, score + 1, n FROM user u, names WHERE id = :id")

    assert EctoLibSql.get_statement_columns(db, stmt) ==
             {:ok,
              [
                %{name: "id", database: "main", table: "user", origin: "id", type: "INTEGER"},
                %{
                  name: "label",
                  database: "main",
                  table: "user",
                  origin: "name",
                  type: "VARCHAR(20)"
                },
                %{name: "score + 1", database: nil, table: nil, origin: nil, type: nil},
                %{name: "n", database: "main", table: "user", origin: "name", type: "VARCHAR(20)"}
              ]}

    assert Native.get_stmt_columns(db, stmt) ==
             {:ok,
              [
                {"id", "id", "INTEGER"},
                {"label", "name", "VARCHAR(20)"},
                {"score + 1", "score + 1", nil},
                {"n", "name", "VARCHAR(20)"}
              ]}

    assert {:ok, []} = EctoLibSql.get_statement_columns(db, prepare(db, "DELETE FROM user"))
    stmt = prepare(db, "DELETE FROM user RETURNING id AS gone")
    assert {:ok, [%{name: "gone"}]} = EctoLibSql.get_statement_columns(db, stmt)
  end

  @tag local: "a server has no ATTACH"
  test "get_statement_columns of another database", %{db: db} do
    q(db, "ATTACH ':memory:' AS other")
    q(db, "CREATE TABLE other.thing(x BLOB)")
    q(db, "CREATE TEMP TABLE tmp(y)")

    assert {:ok,
            [
              %{name: "x", database: "other", table: "thing", origin: "x", type: "BLOB"},
              %{name: "y", database: "temp", table: "tmp", origin: "y", type: nil}
            ]} = EctoLibSql.get_statement_columns(db, prepare(db, "SELECT x, y FROM thing, tmp"))
  end

  test "columns by number", %{db: db} do
    stmt = prepare(db, "SELECT id, name AS n FROM user")
    assert {:ok, 2} = Native.stmt_column_count(db, stmt)
    assert {:ok, "id"} = Native.stmt_column_name(db, stmt, 0)
    assert {:ok, "n"} = Native.stmt_column_name(db, stmt, 1)

    for wrong <- [2, -1, 1000, :a, "0", nil, 1.0] do
      assert {:error, %Error{code: :bad_argument, message: message}} =
               Native.stmt_column_name(db, stmt, wrong)

      assert message =~ "out of bounds"
    end

    write = prepare(db, "DELETE FROM user")
    assert {:ok, 0} = Native.stmt_column_count(db, write)
    assert {:error, %Error{}} = Native.stmt_column_name(db, write, 0)
  end

  test "parameters in all styles", %{db: db} do
    stmt = prepare(db, "SELECT :id, @id, $id, ?, ?9, :id")
    assert {:ok, 9} = Native.stmt_parameter_count(db, stmt)
    assert {:ok, names} = EctoLibSql.get_statement_parameters(db, stmt)
    assert names == [":id", "@id", "$id", nil, nil, nil, nil, nil, "?9"]

    for {name, n} <- Enum.with_index(names, 1),
        do: assert({:ok, ^name} = Native.stmt_parameter_name(db, stmt, n))

    for wrong <- [0, 10, -1, :a],
        do:
          assert(
            {:error, %Error{code: :bad_argument}} = Native.stmt_parameter_name(db, stmt, wrong)
          )

    none = prepare(db, "SELECT 1")
    assert {:ok, 0} = Native.stmt_parameter_count(db, none)
    assert {:ok, []} = EctoLibSql.get_statement_parameters(db, none)
  end

  test "statement_readonly? goes by what is compiled", %{db: db} do
    q(db, "CREATE TABLE log(a)")
    q(db, "CREATE VIEW v AS SELECT 1 AS a")
    q(db, "CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO log VALUES (new.a); END")

    for {sql, readonly?} <- [
          {"SELECT * FROM user", true},
          {"WITH x AS (SELECT 1) SELECT * FROM x", true},
          {"EXPLAIN SELECT * FROM user", true},
          {"INSERT INTO user(name) VALUES ('a')", false},
          {"INSERT INTO v VALUES (1)", false},
          {"UPDATE user SET name = 'b' WHERE 0", false},
          {"CREATE TABLE x(a)", false},
          {"BEGIN", false},
          {"COMMIT", false},
          {"ATTACH 'x' AS y", false},
          {"PRAGMA user_version", false}
        ] do
      assert {sql, EctoLibSql.statement_readonly?(db, prepare(db, sql))} == {sql, {:ok, readonly?}}
    end
  end

  test "execute_stmt counts writes and answers rows", %{db: db} do
    insert = prepare(db, "INSERT INTO user(name) VALUES (?), (?)")
    assert {:ok, 2} = Native.execute_stmt(db, insert, "INSERT", ["a", "b"])
    returning = prepare(db, "UPDATE user SET score = 1 RETURNING id")

    assert {:ok, %Result{command: :update, rows: [[1], [2]]}} =
             Native.execute_stmt(db, returning, "UPDATE", [])

    select = prepare(db, "SELECT count(*) FROM user")
    assert {:ok, %Result{rows: [[2]]}} = Native.execute_stmt(db, select, "SELECT", [])
    assert {:ok, %Result{rows: [], columns: []}} = Native.query_stmt(db, insert, ["c", "d"])
    ddl = prepare(db, "CREATE TABLE IF NOT EXISTS x(a)")
    assert {:ok, 0} = Native.execute_stmt(db, ddl, "CREATE", [])
  end

  test "named parameters of prepared statements", %{db: db} do
    stmt = prepare(db, "SELECT :a, @b, $c")

    for args <- [[a: 1, b: 2, c: 3], %{a: 1, b: 2, c: 3, d: 4}, %{"a" => 1, "b" => 2, "c" => 3}] do
      assert {:ok, %Result{rows: [[1, 2, 3]]}} = Native.query_stmt(db, stmt, args)
      assert [1, 2, 3] = Native.normalise_arguments_for_stmt(db.conn_id, stmt, args)
    end

    assert {:error, %Error{code: :parameters, message: message}} =
             Native.query_stmt(db, stmt, a: 1, c: 3)

    assert message =~ "@b"
  end

  test "several of the same text do not disturb one another", %{db: db} do
    sql = "SELECT ?"
    [a, b] = [prepare(db, sql), prepare(db, sql)]
    assert a != b
    assert {:ok, %Result{rows: [[1]]}} = Native.query_stmt(db, a, [1])
    :ok = Native.close_stmt(a)
    assert {:ok, %Result{rows: [[2]]}} = Native.query_stmt(db, b, [2])
    assert one(db, sql, [3]) == 3
  end

  test "run inside a transaction of the state", %{db: db} do
    insert = prepare(db, "INSERT INTO user(name) VALUES (?)")
    {:ok, trx} = Native.begin(db)
    assert {:ok, 1} = Native.execute_stmt(trx, insert, "", ["a"])
    {:ok, _} = Native.rollback(trx)
    assert one(db, "SELECT count(*) FROM user") == 0
    assert {:error, %Error{code: :no_transaction}} = Native.execute_stmt(trx, insert, "", ["a"])
  end

  test "BEGIN and COMMIT, prepared", %{db: db} do
    [b, c] = [prepare(db, "BEGIN"), prepare(db, "COMMIT")]
    assert {:ok, _, %Result{command: :begin}, trx} = EctoLibSql.query(db, b)
    assert is_integer(trx.trx_id)
    assert {:ok, _, %Result{command: :commit}, %{trx_id: nil}} = EctoLibSql.query(trx, c)
  end

  test "freed by finalize_stmt, twice and from another process", %{db: db} do
    stmt = prepare(db, "SELECT 1")
    assert :ok = Task.await(Task.async(fn -> EctoLibSql.finalize_stmt(stmt) end), 60_000)
    assert :ok = EctoLibSql.finalize_stmt(stmt)
    assert :ok = Native.close_stmt(stmt)
    assert {:error, %Error{code: :closed}} = Native.query_stmt(db, stmt, [])
    assert {:error, %Error{code: :closed}} = EctoLibSql.get_statement_columns(db, stmt)
    assert {:error, %Error{code: :closed}} = EctoLibSql.reset_stmt(db, stmt)
    assert_usable(db)
  end

  @tag local: "each costs a round trip"
  test "freed by the VM: nothing of 2,000 forgotten statements is left", %{db: db} do
    before = EctoLibSql.stats(db).statement_bytes

    Task.await(
      Task.async(fn ->
        held = for n <- 1..2000, do: prepare(db, "SELECT #{n}")
        assert length(Enum.uniq(held)) == 2000
        assert EctoLibSql.stats(db).statement_bytes > before + 100_000
        assert length(held) == 2000
      end),
      120_000
    )

    eventually(fn ->
      :erlang.garbage_collect()
      EctoLibSql.stats(db).statement_bytes < before + 50_000
    end)
  end

  test "a statement outlives its state, not its connection" do
    {:ok, other} = EctoLibSql.connect(database: ":memory:")
    stmt = prepare(other, "SELECT 1")
    :ok = EctoLibSql.close(other)
    assert {:error, %Error{code: :closed}} = Native.query_stmt(other, stmt, [])
    assert :ok = EctoLibSql.finalize_stmt(stmt)
  end

  test "what is no statement is refused", %{db: db} do
    for wrong <- [make_ref(), db.conn_id] do
      assert {:error, %Error{code: :bad_argument}} = Native.query_stmt(db, wrong, [])
      assert {:error, %Error{code: :bad_argument}} = Native.stmt_column_count(db, wrong)
      assert {:error, %Error{code: :bad_argument}} = EctoLibSql.reset_stmt(db, wrong)
    end

    for sql <- ["", "-- nothing", "SELECT 1; SELECT 2"] do
      assert {:error, %Error{code: code}} = Native.prepare(db, sql)
      assert code in [:bad_argument, :sql]
    end
  end
end
