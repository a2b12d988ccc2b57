defmodule EctoLibSql.Driver.BatchTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Result}

  setup do
    db = open()
    q(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    {:ok, db: db}
  end

  @tag local: "a server has no temporary tables"
  test "a batch that meets another's turn is not begun again from its start" do
    path = tmp_path()
    [holder, db] = for _ <- 1..2, do: open(path)
    q(holder, "CREATE TABLE t(a)")
    q(db, "CREATE TEMP TABLE log(a)")

    for run <- [
          &Native.batch(&1, [{"INSERT INTO log VALUES (1)", []}, {"INSERT INTO t VALUES (1)", []}]),
          &Native.execute_batch_sql(&1, "INSERT INTO log VALUES (1); INSERT INTO t VALUES (1)")
        ] do
      {:ok, held} = Native.begin(holder, behavior: :immediate)
      task = Task.async(fn -> run.(db) end)
      assert Task.yield(task, 200) == nil
      {:ok, _} = Native.commit(held)
      assert {:ok, _} = Task.await(task, 60_000)
    end

    assert all(db, "SELECT count(*) FROM log") == [[2]]
    assert all(db, "SELECT count(*) FROM t") == [[2]]

    # And if the waiting is in vain, it says so as an error that is not to be tried again.
    :ok = EctoLibSql.set_busy_timeout(db, 50)
    {:ok, held} = Native.begin(holder, behavior: :immediate)

    assert {:error, %Error{code: :busy, transient?: false, statement_number: 2}} =
             Native.batch(db, [{"INSERT INTO log VALUES (1)", []}, {"INSERT INTO t VALUES (1)", []}])

    {:ok, _} = Native.rollback(held)
    assert all(db, "SELECT count(*) FROM log") == [[3]]
  end

  describe "batch/2" do
    test "answers a result for each statement", %{db: db} do
      assert {:ok, results} =
               Native.batch(db, [
                 {"INSERT INTO t VALUES (?, ?), (2, 'x')", [1, "a"]},
                 {"SELECT a, b FROM t WHERE a = :a", [a: 1]},
                 {"SELECT a FROM t WHERE a = @a", %{"a" => 99}},
                 {["UPDATE t ", "SET b = $b"], %{b: ~D[2024-01-01]}},
                 {"DELETE FROM t RETURNING b", []},
                 {"CREATE TABLE u(a)", []}
               ])

      assert results == [
               %Result{command: :batch, columns: nil, rows: nil, num_rows: 2},
               %Result{command: :batch, columns: ["a", "b"], rows: [[1, "a"]], num_rows: 1},
               %Result{command: :batch, columns: ["a"], rows: [], num_rows: 0},
               %Result{command: :batch, columns: nil, rows: nil, num_rows: 2},
               %Result{
                 command: :batch,
                 columns: ["b"],
                 rows: [["2024-01-01"], ["2024-01-01"]],
                 num_rows: 2
               },
               %Result{command: :batch, columns: nil, rows: nil, num_rows: 0}
             ]
    end

    test "of nothing", %{db: db} do
      assert {:ok, []} = Native.batch(db, [])
      assert {:ok, []} = Native.batch_transactional(db, [])
      assert Native.get_is_autocommit(db)
    end

    test "stops at the first error, and what ran before stays", %{db: db} do
      assert {:error, %Error{code: :constraint, statement_number: 2} = error} =
               Native.batch(db, [
                 {"INSERT INTO t VALUES (1, 'a')", []},
                 {"INSERT INTO t VALUES (?, 'b')", [1]},
                 {"INSERT INTO t VALUES (3, 'c')", []}
               ])

      assert error.statement == "INSERT INTO t VALUES (?, 'b')"
      assert Exception.message(error) =~ "(statement 2)"
      assert all(db, "SELECT * FROM t") == [[1, "a"]]
    end

    @tag local: "a server refuses a batch with a text that it cannot parse as one"
    test "names the statement whose SQL or parameters are wrong", %{db: db} do
      ok = {"SELECT 1", []}

      for {wrong, code} <- [
            {{"SELEC", []}, :sql},
            {{"SELECT ?", []}, :parameters},
            {{"SELECT ?", [self()]}, :parameters},
            {{"SELECT 1; SELECT 2", []}, :sql}
          ] do
        assert {:error, %Error{code: ^code, statement_number: 3, statement: statement}} =
                 Native.batch(db, [ok, ok, wrong, ok])

        assert statement == elem(wrong, 0)
      end
    end

    test "runs in the transaction of the state", %{db: db} do
      {:ok, trx} = Native.begin(db)
      assert {:ok, [_]} = Native.batch(trx, [{"INSERT INTO t VALUES (1, 1)", []}])
      {:ok, _} = Native.rollback(trx)
      assert {:error, %Error{code: :no_transaction}} = Native.batch(trx, [{"SELECT 1", []}])
      assert all(db, "SELECT * FROM t") == []
    end

    test "may hold BEGIN and COMMIT", %{db: db} do
      assert {:ok, [_, _, _]} =
               Native.batch(db, [
                 {"BEGIN", []},
                 {"INSERT INTO t VALUES (1, 1)", []},
                 {"COMMIT", []}
               ])

      assert all(db, "SELECT a FROM t") == [[1]]
      assert Native.get_is_autocommit(db)
    end

    test "of 5,000 statements", %{db: db} do
      items = for n <- 1..5000, do: {"INSERT INTO t VALUES (?, ?)", [n, n]}
      assert {:ok, results} = Native.batch_transactional(db, items)
      assert length(results) == 5000
      assert one(db, "SELECT sum(b) FROM t") == div(5000 * 5001, 2)
    end
  end

  describe "batch_transactional/2" do
    test "stores all", %{db: db} do
      assert {:ok, [%Result{num_rows: 1}, %Result{rows: [[1]]}]} =
               Native.batch_transactional(db, [
                 {"INSERT INTO t VALUES (?, ?)", [1, 1]},
                 {"SELECT a FROM t", []}
               ])

      assert all(db, "SELECT a FROM t") == [[1]]
    end

    @tag local: "a server refuses a batch with a text that it cannot parse as one"
    test "or nothing", %{db: db} do
      for wrong <- [
            {"INSERT INTO t VALUES (1, 1)", []},
            {"SELEC", []},
            {"SELECT ?", []},
            {"SELECT ?", [self()]}
          ] do
        assert {:error, %Error{statement_number: 2, outcome: :none}} =
                 Native.batch_transactional(db, [{"INSERT INTO t VALUES (1, 1)", []}, wrong])

        assert all(db, "SELECT * FROM t") == []
        assert Native.get_is_autocommit(db)
      end
    end

    test "also when only the commit fails", %{db: db} do
      q(db, "CREATE TABLE c(t REFERENCES t DEFERRABLE INITIALLY DEFERRED)")

      assert {:error, %Error{code: :constraint, outcome: :none, constraint: %{kind: :foreign_key}}} =
               Native.batch_transactional(db, [{"INSERT INTO c VALUES (9)", []}])

      assert all(db, "SELECT * FROM c") == []
      assert Native.get_is_autocommit(db)
    end

    @tag local: "what controls transactions is the server's to say"
    test "refuses transaction control", %{db: db} do
      for sql <- ["BEGIN", "COMMIT", "ROLLBACK", "END"] do
        assert {:error, %Error{code: :in_transaction, statement_number: 2}} =
                 Native.batch_transactional(db, [{"INSERT INTO t VALUES (1, 1)", []}, {sql, []}])
      end

      assert all(db, "SELECT * FROM t") == []
    end
  end

  describe "execute_batch_sql/2" do
    @text """
    -- a comment; with a semicolon
    INSERT INTO t VALUES (1, 'a;b'), (2, ';');
    /* another; */ ;;
    SELECT a, b FROM t WHERE a = 1;
    SELECT a FROM t WHERE a = 99;
    CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = 'x' WHERE a = new.a; SELECT 1; END;
    INSERT INTO t VALUES (3, '3') RETURNING a
    """

    @results [
      nil,
      %{"columns" => ["a", "b"], "rows" => [[1, "a;b"]], "num_rows" => 1},
      %{"columns" => ["a"], "rows" => [], "num_rows" => 0},
      nil,
      %{"columns" => ["a"], "rows" => [[3]], "num_rows" => 1}
    ]

    test "answers a map for each statement, nil for one without rows", %{db: db} do
      assert {:ok, @results} == Native.execute_batch_sql(db, @text)
      assert all(db, "SELECT b FROM t WHERE a = 3") == [["x"]]
    end

    test "as one transaction, all the same", %{db: db} do
      assert {:ok, @results} == Native.execute_transactional_batch_sql(db, [@text])
      assert Native.get_is_autocommit(db)
      assert one(db, "SELECT count(*) FROM t") == 3
    end

    test "of nothing", %{db: db} do
      for text <- ["", " ; ;", "-- x"] do
        assert {:ok, []} = Native.execute_batch_sql(db, text)
        assert {:ok, []} = Native.execute_transactional_batch_sql(db, text)
      end
    end

    test "stops at the first error", %{db: db} do
      text = "INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (1, 2); INSERT INTO t VALUES (3, 3)"

      assert {:error, %Error{code: :constraint, statement_number: 2, statement: ^text}} =
               Native.execute_batch_sql(db, text)

      assert all(db, "SELECT a FROM t") == [[1]]
      q(db, "DELETE FROM t")

      assert {:error, %Error{statement_number: 2}} =
               Native.execute_transactional_batch_sql(db, text)

      assert all(db, "SELECT a FROM t") == []
      assert Native.get_is_autocommit(db)
    end

    test "has no parameters", %{db: db} do
      assert {:error, %Error{code: :parameters, statement_number: 1}} =
               Native.execute_batch_sql(db, "SELECT ?")
    end

    @tag local: "what controls transactions is the server's to say"
    test "that only reads changes nothing, and transaction control is its own", %{db: db} do
      assert {:ok, [nil, nil, nil]} =
               Native.execute_batch_sql(db, "BEGIN; INSERT INTO t VALUES (1, 1); ROLLBACK")

      assert all(db, "SELECT * FROM t") == []

      assert {:error, %Error{code: :in_transaction, statement_number: 1}} =
               Native.execute_transactional_batch_sql(db, "BEGIN; SELECT 1")
    end

    test "of a long text", %{db: db} do
      text =
        for n <- 1..4000, do: "INSERT INTO t VALUES (#{n}, 'some text that makes it longer');\n"

      assert {:ok, results} = Native.execute_transactional_batch_sql(db, text)
      assert length(results) == 4000
      assert one(db, "SELECT count(*) FROM t") == 4000
    end

    test "that begins a transaction leaves it open, and the next call is in it", %{db: db} do
      assert {:ok, [nil, nil]} = Native.execute_batch_sql(db, "BEGIN; INSERT INTO t VALUES (1, 1)")
      assert {:transaction, trx} = EctoLibSql.handle_status([], db)
      assert {:ok, _} = Native.rollback(trx)
      assert all(db, "SELECT * FROM t") == []
    end
  end
end
