defmodule EctoLibSql.NIF.ContractTest do
  # What lib/ecto_libsql/nif.ex says of each function.
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

  describe "execute" do
    test "gives columns and rows of each kind of statement", %{conn: conn} do
      run = fn sql, params -> NIF.execute(conn, nil, sql, params, 0, 0) end

      assert run.("INSERT INTO t(b) VALUES (?), (?)", [1, "x"]) ==
               {:ok, {:insert, nil, nil, 2, 2, true}}

      assert run.("SELECT a, b AS c FROM t", []) ==
               {:ok, {:select, ["a", "c"], [[1, 1], [2, "x"]], 2, 2, true}}

      assert run.("INSERT INTO t(b) VALUES (2.5) RETURNING b, a", []) ==
               {:ok, {:insert, ["b", "a"], [[2.5, 3]], 1, 3, true}}

      assert run.("UPDATE t SET b = NULL WHERE a > 1", []) ==
               {:ok, {:update, nil, nil, 2, 3, true}}

      assert run.("DELETE FROM t WHERE a = 1", []) == {:ok, {:delete, nil, nil, 1, 3, true}}
      assert run.("WITH c AS (SELECT 1) SELECT * FROM c", []) |> elem(1) |> elem(0) == :select

      assert run.("WITH c AS (SELECT 9) DELETE FROM t WHERE a IN c", []) |> elem(1) |> elem(0) ==
               :delete

      assert {:create, nil, nil, 0, 3, true} = execute!(conn, "CREATE INDEX i ON t(b)")
      assert {:create, nil, nil, 0, 3, true} = execute!(conn, "DROP INDEX i")

      assert {:pragma, ["journal_mode"], [["wal"]], 1, 3, true} =
               execute!(conn, "PRAGMA journal_mode")

      assert {:begin, nil, nil, 0, 3, false} = execute!(conn, "BEGIN")
      assert {:rollback, nil, nil, 0, 3, true} = execute!(conn, "ROLLBACK")
      assert {:other, nil, nil, 0, 3, true} = execute!(conn, " -- nothing")
      assert {:other, nil, nil, 0, 3, true} = execute!(conn, "")
    end

    test "has columns for no rows", %{conn: conn} do
      for _ <- 1..5, flags <- [0, 1] do
        assert NIF.execute(conn, nil, "SELECT a, b FROM t WHERE 0", [], 0, flags) ==
                 {:ok, {:select, ["a", "b"], [], 0, 0, true}}
      end

      assert NIF.execute(conn, nil, "UPDATE t SET b = 1 RETURNING a", [], 0, 0) ==
               {:ok, {:update, ["a"], [], 0, 0, true}}

      assert NIF.execute(conn, nil, "DELETE FROM t", [], 0, 0) ==
               {:ok, {:delete, nil, nil, 0, 0, true}}
    end

    test "gives the same on every way to the engine", %{conn: conn} do
      fill(conn, 100)
      sql = "SELECT a, b, a * 1.5, 'ä' || b, x'00ff', NULL FROM t WHERE a <= ? ORDER BY a"
      {:ok, expected} = NIF.execute(conn, nil, sql, [10], 0, 0)
      assert elem(expected, 3) == 10
      for _ <- 1..10, do: assert({:ok, expected} == NIF.execute(conn, nil, sql, [10], 0, 1))

      ref = make_ref()
      assert NIF.submit(conn, ref, :execute, [conn, nil, sql, [10], 0, 0]) == :ok
      assert answer(ref) == {:ok, expected}

      stmt = prepare!(conn, sql)

      # Until a run was on the fast path, which has to be earned by short ones: few rows, for checked code.
      assert eventually(fn ->
               assert {:ok, expected} == NIF.stmt_execute(conn, nil, stmt, [10], 0, 1)
               {:ok, info} = NIF.info(conn, true)
               info.fast_runs > 0
             end)
    end

    test "says how it was run, where that is asked for", %{conn: conn} do
      run = fn sql, flags -> NIF.execute(conn, nil, sql, [], 0, flags) end

      assert {:ok, {:insert, nil, nil, 1, 1, true, nil, 0}} =
               run.("INSERT INTO t(b) VALUES (1)", 64)

      assert {:ok, {:insert, nil, nil, 1, 2, true, nil, 1}} =
               run.("INSERT INTO t(b) VALUES (1)", 64)

      assert {:ok, {:select, ["a"], [[1], [2]], 2, _, true, ["INTEGER"], 0}} =
               run.("SELECT a FROM t", 64 + 32)

      eventually(fn -> match?({:ok, {_, _, _, _, _, _, nil, 3}}, run.("SELECT b FROM t", 65)) end)
      stmt = prepare!(conn, "SELECT 1")

      assert {:ok, {:select, _, _, 1, _, true, nil, 1}} =
               NIF.stmt_execute(conn, nil, stmt, [], 0, 64)

      # A batch says nothing of it.
      assert {:ok, [{:select, _, _, 1, _, true}]} = NIF.batch(conn, nil, [{"SELECT 1", []}], 0, 64)
    end

    test "gives what went in", %{conn: conn} do
      values = [
        nil,
        0,
        -1,
        9_223_372_036_854_775_807,
        -9_223_372_036_854_775_808,
        0.0,
        1.5,
        -1.0e300,
        5.0e-324,
        "",
        "text",
        "ä€😀",
        "a" <> <<0>> <> "b",
        <<255, 0, 1>>,
        :infinity,
        :neg_infinity,
        String.duplicate("x", 100_000)
      ]

      for value <- values, flags <- [0, 1, 1, 1, 1, 1] do
        assert {:ok, {:select, ["v"], [[^value]], 1, _, true}} =
                 NIF.execute(conn, nil, "SELECT ? AS v", [value], 0, flags)
      end

      for {given, type, value} <- [
            {true, "integer", 1},
            {false, "integer", 0},
            {{:blob, "text"}, "blob", "text"},
            {{:blob, [1, [2, "3"], <<255>>]}, "blob", <<1, 2, ?3, 255>>},
            {{:blob, []}, "blob", ""},
            {{:text, "text"}, "text", "text"},
            {"text", "text", "text"},
            {<<128>>, "blob", <<128>>},
            {1.0, "real", 1.0},
            {nil, "null", nil}
          ] do
        assert rows!(conn, "SELECT typeof(?1), ?1", [given]) == [[type, value]]
      end
    end

    test "binds by name", %{conn: conn} do
      sql = "SELECT :a, @b, $c, :a"

      for params <- [
            [{:a, 1}, {:b, 2}, {:c, 3}],
            [{"c", 3}, {"b", 2}, {"a", 1}],
            [{":a", 1}, {"@b", 2}, {"$c", 3}, {"more", 4}],
            [{:a, 1}, {"b", 2}, {:c, 3}, {:"no parameter", 5}]
          ] do
        assert rows!(conn, sql, params) == [[1, 2, 3, 1]]
      end

      assert {:error, {:parameters, _, message, _, _, _, _, _}} =
               NIF.execute(conn, nil, sql, [{:a, 1}, {:b, 2}], 0, 0)

      assert message =~ "$c"
    end

    test "binds by names that are not ASCII", %{conn: conn} do
      assert rows!(conn, "SELECT :é, @жд, $ß€", [{:é, 1}, {:жд, 2}, {:"ß€", 3}]) == [[1, 2, 3]]
      assert rows!(conn, "SELECT :é, @жд", [{"жд", 2}, {"é", 1}]) == [[1, 2]]
      long = String.duplicate("é", 255)
      assert rows!(conn, "SELECT :#{long}", [{String.to_atom(long), 1}]) == [[1]]
    end

    test "does not cut a name at a NUL", %{conn: conn} do
      assert code(NIF.execute(conn, nil, "SELECT :a", [{:"a\0b", 1}], 0, 0)) == :parameters
      assert code(NIF.execute(conn, nil, "SELECT :a", [{"a\0b", 1}], 0, 0)) == :parameters
    end

    test "with exactly one row", %{conn: conn} do
      fill(conn, 3)
      one = fn sql -> NIF.execute(conn, nil, sql, [], 0, 8) end
      assert {:ok, {:select, ["a"], [[2]], 1, 3, true}} = one.("SELECT a FROM t WHERE a = 2")
      assert code(one.("SELECT a FROM t WHERE a = 9")) == :no_row
      assert code(one.("SELECT a FROM t")) == :many_rows
      assert code(one.("DELETE FROM t RETURNING a")) == :many_rows
      assert rows!(conn, "SELECT count(*) FROM t") == [[3]]
    end

    test "says :async for what is long, and has done nothing", %{conn: conn} do
      assert {:later, 0, :async} = Direct.execute(conn, nil, endless(), [], 0, 0)
      assert {:later, 0, :async} = Direct.execute(conn, nil, "CREATE TABLE u(a)", [], 0, 1)
      assert rows!(conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'") == [[0]]
    end

    test "keeps its time-out", %{conn: conn} do
      ref = make_ref()
      assert NIF.submit(conn, ref, :execute, [conn, nil, endless(), [], 50, 0]) == :ok
      assert code(answer(ref)) == :timeout
      assert code(NIF.execute(conn, nil, "SELECT 1", [], -1, 0)) == :bad_argument
    end

    test "says what was wrong", %{conn: conn} do
      assert {:error, {:sql, 1, "near \"SELEC\": syntax error", 0, nil, false, :none, nil}} =
               NIF.execute(conn, nil, "SELEC 1", [], 0, 0)

      assert {:error, {:sql, 1, "no such column: nope", 10, nil, false, :none, nil}} =
               NIF.execute(conn, nil, "SELECT a, nope FROM t", [], 0, 0)
    end

    test "names the constraint that failed", %{conn: conn} do
      for sql <- [
            "CREATE TABLE p(id INTEGER PRIMARY KEY, u, v, UNIQUE(u, v))",
            "CREATE TABLE k(id INTEGER PRIMARY KEY, n NOT NULL, p REFERENCES p(id), " <>
              "CONSTRAINT positive CHECK (n > 0))",
            "CREATE UNIQUE INDEX k_n ON k(n)",
            "INSERT INTO p VALUES (1, 2, 3)",
            "INSERT INTO k VALUES (1, 1, 1)"
          ],
          do: execute!(conn, sql)

      failed = fn sql ->
        {:error, {:constraint, _, _, _, _, false, :none, constraint}} =
          NIF.execute(conn, nil, sql, [], 0, 0)

        constraint
      end

      assert {:unique, "p", ["u", "v"], _} = failed.("INSERT INTO p VALUES (2, 2, 3)")
      assert {:unique, "k", ["n"], _} = failed.("INSERT INTO k VALUES (2, 1, 1)")
      assert {:primary_key, "p", ["id"], nil} = failed.("INSERT INTO p VALUES (1, 1, 1)")
      assert {:not_null, "k", ["n"], nil} = failed.("INSERT INTO k VALUES (2, NULL, 1)")
      assert {:check, _, [], "positive"} = failed.("INSERT INTO k VALUES (2, -1, 1)")
      assert {:foreign_key, _, _, _} = failed.("INSERT INTO k VALUES (2, 2, 7)")
    end

    test "never waits for another connection's lock", %{conn: conn} do
      [[_, _, path]] = rows!(conn, "PRAGMA database_list")
      other = connect(path)
      {:ok, trx} = NIF.begin(other, :immediate, 0, 0)

      assert {:error, {:busy, _, _, nil, nil, true, :none, nil}} =
               NIF.execute(conn, nil, "INSERT INTO t(b) VALUES (1)", [], 0, 0)

      assert {:error, {:busy, _, _, nil, nil, true, :none, nil}} = NIF.begin(conn, :immediate, 0, 0)
      assert NIF.rollback(other, trx) == :ok
      assert {:ok, _} = NIF.execute(conn, nil, "INSERT INTO t(b) VALUES (1)", [], 0, 0)
    end
  end

  describe "transactions" do
    test "have numbers, of which only the open one is good", %{conn: conn} do
      assert NIF.status(conn) == :idle
      insert = fn trx -> NIF.execute(conn, trx, "INSERT INTO t(b) VALUES (1)", [], 0, 0) end

      for kind <- [:deferred, :immediate, :exclusive] do
        assert {:ok, trx} = NIF.begin(conn, kind, 0, 0)
        assert is_integer(trx) and trx > 0
        assert NIF.status(conn) == {:transaction, trx}
        assert {:ok, {:insert, nil, nil, 1, _, false}} = insert.(trx)
        assert {:ok, {:insert, nil, nil, 1, _, false}} = insert.(nil)
        assert code(NIF.begin(conn, kind, 0, 0)) == :in_transaction
        assert code(insert.(trx + 1)) == :no_transaction
        assert code(insert.(0)) in [:no_transaction, :wrong_connection]
        assert NIF.commit(conn, trx, 0, 0) == :ok
        assert NIF.status(conn) == :idle
        assert code(insert.(trx)) == :no_transaction
        assert code(NIF.commit(conn, trx, 0, 0)) == :no_transaction
        assert code(NIF.rollback(conn, trx)) == :no_transaction
        {:ok, next} = NIF.begin(conn, kind, 0, 0)
        assert next != trx
        assert code(insert.(trx)) == :no_transaction
        assert NIF.rollback(conn, nil) == :ok
      end

      assert rows!(conn, "SELECT count(*) FROM t") == [[6]]
      assert code(NIF.commit(conn, nil, 0, 0)) == :no_transaction
      assert code(NIF.rollback(conn, nil)) == :no_transaction
    end

    test "that only read refuse to write", %{conn: conn} do
      {:ok, trx} = NIF.begin(conn, :read, 0, 0)
      assert code(NIF.execute(conn, trx, "INSERT INTO t(b) VALUES (1)", [], 0, 0)) == :readonly
      assert {:ok, _} = NIF.execute(conn, trx, "SELECT * FROM t", [], 0, 0)
      assert NIF.commit(conn, trx, 0, 0) == :ok
      assert {:ok, _} = NIF.execute(conn, nil, "INSERT INTO t(b) VALUES (1)", [], 0, 0)
    end

    test "of another connection are not taken", %{conn: conn} do
      other = connect(tmp_path())
      {:ok, foreign} = NIF.begin(other, :deferred, 0, 0)
      {:ok, stmt} = NIF.prepare(conn, "SELECT 1")

      for answer <- [
            NIF.execute(conn, foreign, "SELECT 1", [], 0, 0),
            NIF.execute(conn, foreign, "SELECT 1", [], 0, 1),
            NIF.execute_many(conn, foreign, "SELECT 1", [[]], 0, 0),
            NIF.batch(conn, foreign, [{"SELECT 1", []}], 0, 0),
            NIF.batch_sql(conn, foreign, "SELECT 1", 0, 0),
            NIF.stmt_execute(conn, foreign, stmt, [], 0, 0),
            NIF.cursor_start(conn, foreign, stmt, []),
            NIF.savepoint(conn, foreign, "s"),
            NIF.release(conn, foreign, "s"),
            NIF.rollback_to(conn, foreign, "s"),
            NIF.enforce_foreign_keys(conn, foreign, false),
            NIF.commit(conn, foreign, 0, 0),
            NIF.rollback(conn, foreign)
          ] do
        assert code(answer) == :wrong_connection
      end

      assert NIF.status(conn) == :idle
      assert NIF.status(other) == {:transaction, foreign}
      assert NIF.rollback(other, foreign) == :ok
    end

    test "that the engine or SQL ended are known to be over", %{conn: conn} do
      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      execute!(conn, "ROLLBACK")
      assert NIF.status(conn) == :idle
      assert code(NIF.execute(conn, trx, "SELECT 1", [], 0, 0)) == :no_transaction

      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      assert {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t VALUES (1, 1)", [], 0, 0)

      assert code(NIF.execute(conn, trx, "INSERT OR ROLLBACK INTO t VALUES (1, 1)", [], 0, 0)) ==
               :constraint

      assert NIF.status(conn) == :idle
      assert code(NIF.commit(conn, trx, 0, 0)) == :no_transaction

      # An interrupted write takes the transaction along.
      {:ok, trx} = NIF.begin(conn, :immediate, 0, 0)
      ref = make_ref()

      sql =
        "INSERT INTO t(b) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"

      :ok = NIF.submit(conn, ref, :execute, [conn, trx, sql, [], 100, 0])
      assert code(answer(ref)) == :timeout
      assert NIF.status(conn) == :idle
      assert rows!(conn, "SELECT count(*) FROM t") == [[0]]
    end

    test "have savepoints", %{conn: conn} do
      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      insert = fn -> {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t(b) VALUES (1)", [], 0, 0) end
      insert.()
      assert NIF.savepoint(conn, trx, ~s(na"me 'ü')) == :ok
      insert.()
      assert NIF.rollback_to(conn, trx, ~s(na"me 'ü')) == :ok
      insert.()
      assert NIF.release(conn, trx, ~s(na"me 'ü')) == :ok
      assert code(NIF.release(conn, trx, ~s(na"me 'ü'))) == :error
      assert code(NIF.rollback_to(conn, trx, "none")) == :error
      assert code(NIF.savepoint(conn, trx, "")) == :bad_argument
      assert code(NIF.savepoint(conn, trx, "a\0")) == :bad_argument
      assert NIF.commit(conn, trx, 0, 0) == :ok
      assert rows!(conn, "SELECT count(*) FROM t") == [[2]]

      # Outside a transaction one is opened.
      assert NIF.savepoint(conn, nil, "s") == :ok
      assert {:transaction, trx} = NIF.status(conn)
      assert NIF.release(conn, trx, "s") == :ok
      assert NIF.status(conn) == :idle
    end

    test "status is not kept waiting, and knows what the last call left", %{conn: conn} do
      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      ref = start_endless(conn)
      assert NIF.status(conn) == {:transaction, trx}
      assert NIF.cancel(conn, ref) == :cancelled
      eventually(fn -> NIF.rollback(conn, trx) == :ok end)
      assert NIF.status(conn) == :idle
    end
  end

  describe "the rest" do
    test "open says what it cannot" do
      path = tmp_path()
      assert code(NIF.open(config(database: path, create: false))) == :cannot_open
      assert code(NIF.open(config(database: Path.join(path, "x")))) == :cannot_open
      File.write!(path, String.duplicate("no database", 1000))
      assert code(NIF.open(config(database: path))) == :not_a_database
      assert code(NIF.open(config(database: tmp_path(), pragmas: [nonsense: 1]))) == :setting
      assert code(NIF.open(%{config(database: tmp_path()) | vfs: "none"})) == :bad_argument
      refute File.exists?(path <> "-wal")
    end

    test "open with a key" do
      path = tmp_path()
      conn = connect(path, encryption_key: "secret")
      execute!(conn, "CREATE TABLE t(a)")
      close!(conn)
      assert code(NIF.open(config(database: path))) == :not_a_database
      assert code(NIF.open(config(database: path, encryption_key: "wrong"))) == :not_a_database
      assert rows!(connect(path, encryption_key: "secret"), "SELECT * FROM t") == []
    end

    test "the busy time-out", %{conn: conn} do
      assert NIF.busy_timeout(conn) == 5000
      assert NIF.set_busy_timeout(conn, 12) == :ok
      assert NIF.busy_timeout(conn) == 12
      assert code(NIF.set_busy_timeout(conn, -1)) == :bad_argument
      assert NIF.busy_timeout(conn) == 12
    end

    test "info", %{conn: conn} do
      assert {:ok, info} = NIF.info(conn, false)

      assert info == %{
               autocommit: true,
               changes: 0,
               last_rowid: 0,
               readonly: false,
               total_changes: 0,
               wal: true,
               wrote: false
             }

      execute!(conn, "INSERT INTO t(a) VALUES (7), (8)")
      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      assert {:ok, all} = NIF.info(conn, true)
      assert %{autocommit: false, changes: 2, last_rowid: 8, total_changes: 2} = all

      for key <- [
            :cache_hits,
            :cache_misses,
            :cache_size,
            :fast_runs,
            :fast_refusals,
            :page_cache_bytes,
            :schema_bytes,
            :statement_bytes
          ] do
        assert is_integer(all[key]) and all[key] >= 0
      end

      assert map_size(all) == map_size(info) + 8
      assert NIF.rollback(conn, trx) == :ok
    end

    test "notices say what could not be had", %{conn: conn} do
      assert NIF.notices(conn) == []
      assert [{"journal_mode", "wal", "memory"}] = NIF.notices(connect(":memory:"))
    end

    test "reset makes it as new", %{conn: conn} do
      execute!(conn, "CREATE TEMP TABLE x(a)")
      execute!(conn, "PRAGMA foreign_keys = off")
      {:ok, trx} = NIF.begin(conn, :deferred, 0, 0)
      {:ok, _} = NIF.execute(conn, trx, "INSERT INTO t(b) VALUES (1)", [], 0, 0)
      assert Call.plain(:reset, [conn]) == :ok
      assert NIF.status(conn) == :idle
      assert rows!(conn, "SELECT count(*) FROM t") == [[0]]
      assert rows!(conn, "PRAGMA foreign_keys") == [[1]]
      assert code(NIF.execute(conn, nil, "SELECT * FROM x", [], 0, 0)) == :sql
    end

    test "checkpoint and cacheflush", %{conn: conn} do
      fill(conn, 100)
      assert {:ok, {log, done}} = NIF.checkpoint(conn, nil, :passive)
      assert log > 0 and done == log
      assert {:ok, {0, 0}} = NIF.checkpoint(conn, "main", :truncate)
      assert {:ok, {_, _}} = NIF.checkpoint(conn, nil, :full)
      assert {:ok, {_, _}} = NIF.checkpoint(conn, nil, :restart)
      assert code(NIF.checkpoint(conn, "none", :full)) == :error
      assert code(NIF.checkpoint(conn, nil, :other)) == :bad_argument
      {:ok, trx} = NIF.begin(conn, :immediate, 0, 0)
      {:ok, _} = NIF.execute(conn, trx, "UPDATE t SET b = 0", [], 0, 0)
      assert code(NIF.checkpoint(conn, nil, :full)) == :locked
      assert NIF.cacheflush(conn) == :ok
      assert NIF.rollback(conn, trx) == :ok
      assert {:ok, {-1, -1}} = NIF.checkpoint(connect(":memory:"), nil, :passive)
    end

    test "extensions must be allowed first", %{conn: conn} do
      assert code(NIF.load_extension(conn, "/nowhere/none", nil)) == :auth
      assert NIF.enable_extensions(conn, true) == :ok
      assert code(NIF.load_extension(conn, "/nowhere/none", nil)) == :error
      assert code(NIF.load_extension(conn, "/nowhere/none", "entry")) == :error
      assert NIF.enable_extensions(conn, false) == :ok
      assert code(NIF.load_extension(conn, "/nowhere/none", nil)) == :auth

      assert code(NIF.execute(conn, nil, "SELECT load_extension('none')", [], 0, 0)) in [
               :sql,
               :auth,
               :error
             ]
    end

    test "core_info and memory" do
      assert %{engine: engine, engine_version: "3." <> _, engine_source: source} =
               info = NIF.core_info()

      assert engine in ["libsql", "sqlite"] and is_binary(source)
      for key <- [:encryption, :wal_reset_fixed, :ofd_locks], do: assert(is_boolean(info[key]))
      assert map_size(info) == 6

      assert %{bytes: bytes, blocks: blocks, failed: failed} = memory = NIF.memory()
      assert bytes > 0 and blocks > 0 and failed >= 0 and map_size(memory) == 3
    end

    test "what is kept with a connection is given back, after close too" do
      term = %{text: String.duplicate("x", 100), list: [1, {:two, 3.0}], ref: make_ref()}
      {:ok, conn} = NIF.open(Map.put(config(database: ":memory:"), :kept, term))
      for _ <- 1..20, do: Task.async(fn -> assert NIF.kept(conn) == term end) |> Task.await()
      close!(conn)
      assert NIF.kept(conn) == term

      {:ok, without} = NIF.open(Map.delete(config(database: ":memory:"), :kept))
      assert NIF.kept(without) == nil
    end

    test "file_info, by connection and by path", %{conn: conn} do
      path = tmp_path()
      assert NIF.file_info(path) == :none
      other = connect(path)
      assert {:ok, %{connections: 1, line: 0} = info} = NIF.file_info(path)
      assert {:ok, %{connections: 1}} = NIF.file_info(other)
      assert {:ok, %{connections: 1}} = NIF.file_info(conn)
      assert length(info.waits) == 7 and Enum.all?(info.waits, &(&1 == 0))
      assert %{checkpoint_ago_ns: nil, oldest_reader_ns: nil, wal_pinned: false} = info
      assert NIF.file_info(connect(":memory:")) == :none
      close!(other)
      # The record stays as long as the handle.
      assert {:ok, %{connections: 0}} = NIF.file_info(other)
      assert NIF.file_info(path) == :none
    end

    test "watch_files sends what was done to a file, to the last one who asked" do
      path = tmp_path()
      events = Process.whereis(EctoLibSql.FileEvents)
      assert NIF.watch_files(self()) == :ok
      conn = connect(path, wal_autocheckpoint: 10)
      execute!(conn, "CREATE TABLE t(a)")
      for _ <- 1..20, do: execute!(conn, "INSERT INTO t VALUES (printf('%3000d', 1))")

      assert_receive {:ecto_libsql, :checkpoint, %{database: ^path} = event}, 30_000
      assert event.mode in [:passive, :restart]
      assert event.pages >= 10 and event.done > 0 and event.took_ns > 0 and event.wal_bytes > 0
      assert NIF.watch_files(nil) == :ok
      assert NIF.watch_files(events) == :ok
    end

    test "every function of the contract is native" do
      exported = NIF.__info__(:functions) |> Keyword.drop([:load])
      assert length(exported) > 40

      for {name, arity} <- exported, arity > 0 do
        # A stub would raise :not_loaded.
        args = List.duplicate(:no_such_thing, arity)

        try do
          apply(NIF, name, args)
        rescue
          error -> assert %ArgumentError{} = error
        end
      end
    end
  end
end
