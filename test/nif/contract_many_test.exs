defmodule EctoLibSql.NIF.ContractManyTest do
  # What lib/ecto_libsql/nif.ex says of many rows and of batches.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.Call
  alias EctoLibSql.NIF, as: Direct
  alias EctoLibSql.Settled, as: NIF

  setup do
    conn = connect(tmp_path())
    execute!(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    %{conn: conn}
  end

  describe "many" do
    test "execute_many runs all rows or none", %{conn: conn} do
      many = fn rows ->
        NIF.execute_many(conn, nil, "INSERT INTO t(a, b) VALUES (?, ?)", rows, 0, 0)
      end

      assert many.([[1, "a"], [2, "b"]]) == {:ok, {:insert, nil, nil, 2, 2, true}}
      assert {:error, {:constraint, _, _, _, 2, _, _, _}} = many.([[3, 1], [1, 1]])
      assert {:error, {:parameters, _, _, _, 3, _, _, _}} = many.([[3, 1], [4, 1], [5, self()]])
      assert {:error, {:parameters, _, _, _, 1, _, _, _}} = many.([:x])
      assert many.([]) |> elem(1) |> elem(3) == 0
      assert rows!(conn, "SELECT count(*) FROM t") == [[2]]

      assert {:ok, {:insert, ["b"], [[7], [8]], 2, _, true}} =
               NIF.execute_many(
                 conn,
                 nil,
                 "INSERT INTO t(b) VALUES (:v) RETURNING b",
                 [[v: 7], [{"v", 8}]],
                 0,
                 0
               )

      long = for i <- 1..3000, do: [nil, i]
      ref = make_ref()
      sql = "INSERT INTO t(a, b) VALUES (?, ?)"
      assert {:later, 0, :async} = Direct.execute_many(conn, nil, sql, long, 0, 0)
      assert NIF.submit(conn, ref, :execute_many, [conn, nil, sql, long, 0, 0]) == :ok
      assert {:ok, {:insert, nil, nil, 3000, _, true}} = answer(ref)
    end

    test "batch answers each statement, to the first error", %{conn: conn} do
      insert = {"INSERT INTO t(b) VALUES (?)", [5]}

      assert NIF.batch(
               conn,
               nil,
               [insert, {"SELECT b FROM t WHERE a = :a", [a: 1]}, {"", []}],
               0,
               0
             ) ==
               {:ok,
                [
                  {:insert, nil, nil, 1, 1, true},
                  {:select, ["b"], [[5]], 1, 1, true},
                  {:other, nil, nil, 0, 1, true}
                ]}

      assert NIF.batch(conn, nil, [], 0, 0) == {:ok, []}

      assert {:error, {:sql, _, _, _, 2, _, _, _}} =
               NIF.batch(conn, nil, [insert, {"nonsense", []}, insert], 0, 0)

      assert rows!(conn, "SELECT count(*) FROM t") == [[2]]

      assert {:error, {:sql, _, _, _, 2, _, _, _}} =
               NIF.batch(conn, nil, [insert, {"nonsense", []}], 0, 16)

      assert rows!(conn, "SELECT count(*) FROM t") == [[2]]
      assert NIF.status(conn) == :idle

      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      assert code(NIF.batch(conn, trx, [insert], 0, 16)) == :in_transaction
      assert {:ok, [_]} = NIF.batch(conn, trx, [insert], 0, 0)
      assert NIF.rollback(conn, trx) == :ok
    end

    test "batch_sql runs a text", %{conn: conn} do
      assert NIF.batch_sql(conn, nil, "INSERT INTO t(b) VALUES (1);; SELECT b FROM t -- end", 0, 0) ==
               {:ok, [{:insert, nil, nil, 1, 1, true}, {:select, ["b"], [[1]], 1, 1, true}]}

      assert NIF.batch_sql(conn, nil, " ; -- nothing", 0, 0) == {:ok, []}

      assert {:error, {:sql, _, _, _, 2, _, _, _}} =
               NIF.batch_sql(conn, nil, "INSERT INTO t(b) VALUES (2); nonsense", 0, 16)

      assert rows!(conn, "SELECT count(*) FROM t") == [[1]]

      assert {:ok, [{:begin, nil, nil, 0, _, false}]} = NIF.batch_sql(conn, nil, "BEGIN", 0, 0)
      assert {:transaction, trx} = NIF.status(conn)
      assert NIF.rollback(conn, trx) == :ok

      long = "SELECT 1; -- " <> String.duplicate("x", 70_000)
      assert {:later, 0, :async} = Direct.batch_sql(conn, nil, long, 0, 0)

      assert {:ok, [{:select, ["1"], [[1]], 1, _, true}]} =
               Call.timed(:batch_sql, [conn, nil, long], :infinity)
    end
  end
end
