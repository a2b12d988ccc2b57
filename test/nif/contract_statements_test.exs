defmodule EctoLibSql.NIF.ContractStatementsTest do
  # What lib/ecto_libsql/nif.ex says of statements and cursors.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.Settled, as: NIF

  setup do
    conn = connect(tmp_path())
    execute!(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    %{conn: conn}
  end

  describe "statements" do
    test "say what they are", %{conn: conn} do
      stmt = prepare!(conn, "SELECT a, b AS bb, 1 + 1 FROM t WHERE a > :x AND b <> ? AND a < $y")

      assert NIF.stmt_info(conn, stmt) ==
               {:ok,
                {[
                   {"a", "main", "t", "a", "INTEGER"},
                   {"bb", "main", "t", "b", nil},
                   {"1 + 1", nil, nil, nil, nil}
                 ], [":x", nil, "$y"], true}}

      assert {:ok, {[], [], false}} = NIF.stmt_info(conn, prepare!(conn, "DELETE FROM t"))
      execute!(conn, "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END")
      assert {:ok, {[], [], false}} = NIF.stmt_info(conn, prepare!(conn, "COMMIT"))
    end

    test "run again and again, after changes of the schema too", %{conn: conn} do
      insert = prepare!(conn, "INSERT INTO t(b) VALUES (?)")
      select = prepare!(conn, "SELECT * FROM t WHERE b = ?")

      for i <- 1..5 do
        assert NIF.stmt_execute(conn, nil, insert, [i], 0, 1) ==
                 {:ok, {:insert, nil, nil, 1, i, true}}

        assert NIF.stmt_execute(conn, nil, select, [i], 0, 1) ==
                 {:ok, {:select, ["a", "b"], [[i, i]], 1, i, true}}
      end

      execute!(conn, "ALTER TABLE t ADD COLUMN c DEFAULT 'new'")

      assert {:ok, {:select, ["a", "b", "c"], [[1, 1, "new"]], 1, 5, true}} =
               NIF.stmt_execute(conn, nil, select, [1], 0, 1)

      assert {:ok, {[_, _, {"c", "main", "t", "c", _}], [nil], true}} = NIF.stmt_info(conn, select)
      assert NIF.stmt_reset(conn, select) == :ok
      assert code(NIF.stmt_execute(conn, nil, select, [], 0, 0)) == :parameters
      assert code(NIF.stmt_execute(conn, nil, select, [1, 2], 0, 0)) == :parameters
    end

    test "are refused where the text is not one statement", %{conn: conn} do
      for sql <- ["", " -- none", "SELECT 1; SELECT 2", "SELECT 1\0", <<255>>] do
        assert code(NIF.prepare(conn, sql)) == :bad_argument
      end

      assert code(NIF.prepare(conn, "nonsense")) == :sql
      assert code(NIF.prepare(conn, "SELECT * FROM nowhere")) == :sql
      assert {:ok, _} = NIF.prepare(conn, "SELECT 1; -- end")
    end

    test "are :closed once finalized", %{conn: conn} do
      stmt = prepare!(conn, "SELECT 1")
      assert NIF.stmt_finalize(stmt) == :ok
      assert NIF.stmt_finalize(stmt) == :ok
      assert NIF.stmt_interrupt(stmt) == :ok

      for answer <- stmt_calls(conn, stmt), do: assert(code(answer) == :closed)
    end

    test "of another connection are not taken", %{conn: conn} do
      stmt = prepare!(connect(tmp_path()), "SELECT 1")
      for answer <- stmt_calls(conn, stmt), do: assert(code(answer) == :wrong_connection)
    end

    test "are finalized only when their run is over", %{conn: conn} do
      stmt = prepare!(conn, endless())
      ref = make_ref()
      :ok = NIF.submit(conn, ref, :stmt_execute, [conn, nil, stmt, [], 0, 0])
      await_in_use(conn)
      assert NIF.stmt_finalize(stmt) == :ok
      Process.sleep(20)
      assert mailbox() == []
      assert NIF.stmt_interrupt(stmt) == :ok
      assert_receive {^ref, :interrupting}, 30_000
      assert code(answer(ref)) == :interrupted
      assert code(NIF.stmt_reset(conn, stmt)) == :closed
    end

    test "interrupts of one do not stop another", %{conn: conn} do
      stmt = prepare!(conn, endless())
      other = prepare!(conn, "SELECT 1")
      ref = make_ref()
      :ok = NIF.submit(conn, ref, :stmt_execute, [conn, nil, stmt, [], 0, 0])
      await_in_use(conn)
      assert NIF.stmt_interrupt(other) == :ok
      Process.sleep(50)
      assert mailbox() == []
      assert NIF.stmt_interrupt(stmt) == :ok
      assert_receive {^ref, :interrupting}, 30_000
      assert code(answer(ref)) == :interrupted
      assert {:ok, _} = NIF.stmt_execute(conn, nil, other, [], 0, 1)
      assert mailbox() == []
    end
  end

  defp stmt_calls(conn, stmt) do
    [
      NIF.stmt_execute(conn, nil, stmt, [], 0, 0),
      NIF.stmt_execute(conn, nil, stmt, [], 0, 1),
      NIF.stmt_reset(conn, stmt),
      NIF.stmt_info(conn, stmt),
      NIF.cursor_start(conn, nil, stmt, []),
      NIF.cursor_fetch(conn, stmt, 1, 0, 0)
    ]
  end

  describe "cursors" do
    test "give their rows in pieces", %{conn: conn} do
      fill(conn, 5)
      stmt = prepare!(conn, "SELECT a FROM t WHERE a > ? ORDER BY a")
      assert code(NIF.cursor_fetch(conn, stmt, 2, 0, 0)) == :misuse
      assert NIF.cursor_start(conn, nil, stmt, [0]) == :ok
      assert NIF.cursor_fetch(conn, stmt, 2, 0, 0) == {:ok, {["a"], [[1], [2]], 2, false}}
      assert NIF.cursor_fetch(conn, stmt, 2, 0, 0) == {:ok, {["a"], [[3], [4]], 2, false}}
      assert NIF.cursor_fetch(conn, stmt, 2, 0, 0) == {:ok, {["a"], [[5]], 1, true}}
      assert code(NIF.cursor_fetch(conn, stmt, 2, 0, 0)) == :misuse

      assert NIF.cursor_start(conn, nil, stmt, [4]) == :ok
      assert NIF.cursor_fetch(conn, stmt, 1, 0, 0) |> elem(1) |> elem(1) == [[5]]
      assert NIF.cursor_start(conn, nil, stmt, [2]) == :ok
      assert NIF.cursor_fetch(conn, stmt, 100, 0, 0) == {:ok, {["a"], [[3], [4], [5]], 3, true}}
      assert NIF.cursor_start(conn, nil, stmt, [100]) == :ok
      assert NIF.cursor_fetch(conn, stmt, 100, 0, 0) == {:ok, {["a"], [], 0, true}}
      assert code(NIF.cursor_start(conn, nil, stmt, [])) == :parameters
      assert code(NIF.cursor_start(conn, nil, stmt, [self()])) == :parameters
      assert code(NIF.cursor_fetch(conn, stmt, 0, 0, 0)) == :bad_argument
    end

    test "keep copies of their parameters", %{conn: conn} do
      fill(conn, 3)
      stmt = prepare!(conn, "SELECT ? || a FROM t ORDER BY a")
      assert NIF.cursor_start(conn, nil, stmt, [String.duplicate("x", 1000)]) == :ok
      :erlang.garbage_collect()
      expected = for i <- 1..3, do: [String.duplicate("x", 1000) <> Integer.to_string(i)]
      assert {:ok, {_, [first], 1, false}} = NIF.cursor_fetch(conn, stmt, 1, 0, 0)
      :erlang.garbage_collect()
      assert {:ok, {_, rest, 2, true}} = NIF.cursor_fetch(conn, stmt, 10, 0, 0)
      assert [first | rest] == expected
    end

    test "that write have written at the first fetch", %{conn: conn} do
      fill(conn, 4)
      stmt = prepare!(conn, "UPDATE t SET b = -a RETURNING b")
      assert NIF.cursor_start(conn, nil, stmt, []) == :ok
      assert {:ok, {["b"], [[-1]], 1, false}} = NIF.cursor_fetch(conn, stmt, 1, 0, 0)
      assert rows!(conn, "SELECT sum(b) FROM t") == [[-10]]
      assert {:ok, {["b"], [[-2], [-3], [-4]], 3, true}} = NIF.cursor_fetch(conn, stmt, 9, 0, 0)
    end

    test "end by reset, and let others run between", %{conn: conn} do
      fill(conn, 10)
      one = prepare!(conn, "SELECT a FROM t ORDER BY a")
      two = prepare!(conn, "SELECT -a FROM t ORDER BY a")
      assert NIF.cursor_start(conn, nil, one, []) == :ok
      assert NIF.cursor_start(conn, nil, two, []) == :ok

      for i <- 1..4 do
        assert {:ok, {_, [[^i]], 1, false}} = NIF.cursor_fetch(conn, one, 1, 0, 0)
        assert {:ok, {_, [[j]], 1, false}} = NIF.cursor_fetch(conn, two, 1, 0, 0)
        assert j == -i
      end

      assert NIF.stmt_reset(conn, one) == :ok
      assert code(NIF.cursor_fetch(conn, one, 1, 0, 0)) == :misuse
      assert {:ok, {_, [[-5]], 1, false}} = NIF.cursor_fetch(conn, two, 1, 0, 0)
    end

    test "are interrupted", %{conn: conn} do
      stmt = prepare!(conn, endless())
      assert NIF.cursor_start(conn, nil, stmt, []) == :ok
      ref = make_ref()
      :ok = NIF.submit(conn, ref, :cursor_fetch, [conn, stmt, 10, 0, 0])
      await_in_use(conn)
      assert NIF.interrupt(conn) == :ok
      assert_receive {^ref, :interrupting}, 30_000
      assert code(answer(ref)) == :interrupted
      assert code(NIF.cursor_fetch(conn, stmt, 1, 0, 0)) == :misuse
    end
  end
end
