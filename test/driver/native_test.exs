defmodule EctoLibSql.Driver.NativeTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Query, Result, State}

  # The names and arities of EctoLibSql 0.9.
  @wrappers [
    query: 3,
    execute_non_trx: 3,
    execute_with_trx: 3,
    detect_command: 1,
    normalise_arguments: 3,
    normalise_arguments_for_stmt: 3,
    clear_param_cache: 0,
    param_cache_size: 0,
    close_conn: 3,
    busy_timeout: 1,
    busy_timeout: 2,
    reset: 1,
    interrupt: 1,
    begin: 1,
    begin: 2,
    commit: 1,
    rollback: 1,
    create_savepoint: 2,
    release_savepoint_by_name: 2,
    rollback_to_savepoint_by_name: 2,
    enforce_foreign_keys: 2,
    prepare: 2,
    close_stmt: 1,
    reset_stmt: 2,
    query_stmt: 3,
    execute_stmt: 4,
    stmt_column_count: 2,
    stmt_column_name: 3,
    stmt_parameter_count: 2,
    stmt_parameter_name: 3,
    get_stmt_columns: 2,
    batch: 2,
    batch_transactional: 2,
    execute_batch_sql: 2,
    execute_transactional_batch_sql: 2,
    get_last_insert_rowid: 1,
    get_changes: 1,
    get_total_changes: 1,
    get_is_autocommit: 1,
    sync: 1,
    get_frame_number_for_replica: 1,
    flush_and_get_frame: 1,
    get_max_write_frame: 1,
    sync_until_frame: 2,
    freeze_replica: 1,
    enable_extensions: 2,
    load_ext: 2,
    load_ext: 3,
    add_update_hook: 1,
    add_update_hook: 2,
    remove_update_hook: 1,
    add_authorizer: 1,
    add_authorizer: 2,
    vector: 1,
    vector_type: 1,
    vector_type: 2,
    vector_distance_cos: 2
  ]

  @raw [
    connect: 2,
    ping: 1,
    close: 2,
    set_busy_timeout: 2,
    reset_connection: 1,
    interrupt_connection: 1,
    enable_load_extension: 2,
    load_extension: 3,
    query_args: 5,
    pragma_query: 2,
    should_use_query_path: 1,
    begin_transaction: 1,
    begin_transaction_with_behavior: 2,
    execute_with_transaction: 4,
    query_with_trx_args: 4,
    handle_status_transaction: 1,
    commit_or_rollback_transaction: 5,
    savepoint: 3,
    release_savepoint: 3,
    rollback_to_savepoint: 3,
    prepare_statement: 2,
    query_prepared: 5,
    execute_prepared: 6,
    statement_column_count: 2,
    statement_column_name: 3,
    statement_parameter_count: 2,
    statement_parameter_name: 3,
    reset_statement: 2,
    get_statement_columns: 2,
    execute_batch: 4,
    execute_transactional_batch: 4,
    execute_batch_native: 2,
    execute_transactional_batch_native: 2,
    declare_cursor: 3,
    declare_cursor_with_context: 5,
    fetch_cursor: 3,
    last_insert_rowid: 1,
    changes: 1,
    total_changes: 1,
    is_autocommit: 1,
    do_sync: 2,
    get_frame_number: 1,
    sync_until: 2,
    flush_replicator: 1,
    max_write_replication_index: 1,
    freeze_database: 1,
    set_update_hook: 2,
    clear_update_hook: 1,
    set_authorizer: 2
  ]

  @callbacks [
    connect: 1,
    ping: 1,
    disconnect: 2,
    checkout: 1,
    handle_execute: 4,
    handle_prepare: 3,
    handle_close: 3,
    handle_begin: 2,
    handle_commit: 2,
    handle_rollback: 2,
    handle_status: 2,
    handle_declare: 4,
    handle_fetch: 4,
    handle_deallocate: 4
  ]

  @pragma [
    query: 2,
    enable_foreign_keys: 1,
    disable_foreign_keys: 1,
    foreign_keys: 1,
    set_journal_mode: 2,
    journal_mode: 1,
    set_synchronous: 2,
    synchronous: 1,
    table_info: 2,
    table_list: 1,
    user_version: 1,
    set_user_version: 2
  ]

  @json [
    extract: 3,
    type: 2,
    type: 3,
    is_valid: 2,
    array: 2,
    object: 2,
    each: 2,
    each: 3,
    tree: 2,
    tree: 3,
    convert: 2,
    convert: 3,
    json_quote: 2,
    remove: 3,
    set: 4,
    replace: 4,
    insert: 4,
    patch: 3,
    json_length: 2,
    json_length: 3,
    depth: 2,
    keys: 2,
    keys: 3,
    arrow_fragment: 2,
    arrow_fragment: 3
  ]

  for {module, names} <- [
        {Native, @wrappers},
        {Native, @raw},
        {EctoLibSql, @callbacks},
        {EctoLibSql.Pragma, @pragma},
        {EctoLibSql.JSON, @json},
        {Error, [constraint_violation?: 1, constraint_name: 1]},
        {State, [detect_mode: 1, detect_sync: 1]},
        {Result, [new: 1]}
      ] do
    test "#{inspect(module)} has the functions of 0.9: #{length(names)} from #{hd(Keyword.keys(names))}" do
      Code.ensure_loaded!(unquote(module))

      assert [] ==
               for(
                 {name, arity} <- unquote(names),
                 not function_exported?(unquote(module), name, arity),
                 do: {name, arity}
               )
    end
  end

  setup do
    db = open(tmp_path())
    q(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    {:ok, db: db, conn: db.conn_id}
  end

  describe "wrappers" do
    test "query, execute_non_trx, execute_with_trx", %{db: db} do
      query = %Query{statement: "INSERT INTO t VALUES (?, ?)"}

      assert {:ok, ^query, %Result{command: :insert, num_rows: 1, rows: nil, columns: nil}, ^db} =
               Native.query(db, query, [1, "a"])

      assert {:ok, ^query, %Result{num_rows: 1}, ^db} =
               Native.execute_non_trx(query, db, [2, %{x: 1}])

      {:ok, trx} = Native.begin(db)

      assert {:ok, ^query, %Result{num_rows: 1}, ^trx} =
               Native.execute_with_trx(trx, query, [3, nil])

      {:ok, _} = Native.rollback(trx)

      assert {:ok, _,
              %Result{command: :select, columns: ["a", "b"], rows: [[1, "a"], [2, ~s({"x":1})]]},
              _} = Native.query(db, "SELECT a, b FROM t", %{})

      assert {:error, %Error{code: :constraint}, ^db} = Native.query(db, query, [1, "a"])
    end

    test "detect_command" do
      for {sql, command} <- [
            {"SELECT 1", :select},
            {"  \n\tselect 1", :select},
            {"-- c\nSELECT 1", :select},
            {"/* c */ /* d */ SELECT 1", :select},
            {"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", :select},
            {"insert into t values (1)", :insert},
            {"UPDATE t SET a = 1", :update},
            {"DELETE FROM t", :delete},
            {"BEGIN", :begin},
            {"COMMIT", :commit},
            {"ROLLBACK", :rollback},
            {"CREATE TABLE x(a)", :create},
            {"DROP TABLE x", :create},
            {"ALTER TABLE x ADD y", :create},
            {"PRAGMA user_version", :pragma},
            {"EXPLAIN SELECT 1", :unknown},
            {"", :unknown},
            {"-- only a comment", :unknown},
            {"/* not closed", :unknown},
            {<<255, 0>>, :unknown},
            {nil, :unknown},
            {5, :unknown}
          ] do
        assert {sql, Native.detect_command(sql)} == {sql, command}
      end
    end

    test "normalise_arguments", %{conn: conn} do
      n = &Native.normalise_arguments/3
      assert n.(conn, "SELECT ?, ?", [1, 2]) == [1, 2]
      assert n.(conn, "SELECT ?", [{:blob, "x"}]) == [{:blob, "x"}]
      assert n.(conn, "SELECT 1", []) == []
      assert n.(conn, "SELECT :a, @b, $c, :a", %{a: 1, b: 2, c: 3, d: 4}) == [1, 2, 3]
      assert n.(conn, "SELECT :a, @b", %{"a" => 1, "@b" => nil}) == [1, nil]
      assert n.(conn, "SELECT :b, :a", a: 1, b: 2) == [2, 1]

      assert {:error, %Error{code: :parameters, message: message}} =
               n.(conn, "SELECT :a, :b", %{a: 1})

      assert message =~ ":b"
      assert {:error, %Error{code: :parameters}} = n.(conn, "SELECT ?", %{a: 1})
      assert {:error, %Error{code: :sql}} = n.(conn, "SELEC :a", %{a: 1})
      assert {:error, %Error{code: :bad_argument}} = n.(conn, "SELECT :a", 5)

      assert {:error, %Error{code: :bad_argument, message: message}} =
               n.(conn, "SELECT :a", ~D[2024-01-01])

      assert message =~ "list or a map"
    end

    test "normalise_arguments_for_stmt", %{db: db, conn: conn} do
      {:ok, stmt} = Native.prepare(db, "SELECT :a, :b")
      n = &Native.normalise_arguments_for_stmt/3
      assert n.(conn, stmt, [1, 2]) == [1, 2]
      assert n.(conn, stmt, %{a: 1, b: 2}) == [1, 2]
      # A missing name is no NULL by accident.
      assert {:error, %Error{code: :parameters}} = n.(conn, stmt, %{a: 1})
      assert {:error, %Error{code: :bad_argument}} = n.(conn, stmt, :x)
    end

    test "param cache: there is none" do
      assert Native.clear_param_cache() == :ok
      assert Native.param_cache_size() == 0
    end

    test "close_conn", %{db: db, conn: conn} do
      {:ok, stmt} = Native.prepare(db, "SELECT 1")
      assert :ok = Native.close_conn(stmt, :stmt_id, db)
      assert {:error, %Error{code: :closed}} = Native.query_stmt(db, stmt, [])
      {:ok, _, %{ref: cursor}, db} = EctoLibSql.handle_declare("SELECT 1", [], [], db)
      assert :ok = Native.close_conn(cursor, :cursor_id, db)
      {:ok, trx} = Native.begin(db)
      q(trx, "INSERT INTO t VALUES (1, 1)")
      assert :ok = Native.close_conn(trx.trx_id, :trx_id, trx)
      assert all(db, "SELECT * FROM t") == []

      assert {:error, %Error{code: :no_transaction}, ^trx} =
               Native.close_conn(trx.trx_id, :trx_id, trx)

      assert {:error, %Error{code: :bad_argument}, ^db} = Native.close_conn(conn, :no_such_kind, db)
      assert :ok = Native.close_conn(conn, :conn_id, db)
      assert %Error{code: :closed} = err(db, "SELECT 1")
      assert :ok = Native.close_conn(conn, :conn_id, db)
    end

    test "reset and interrupt", %{db: db} do
      assert :ok = Native.interrupt(db)
      assert :ok = Native.reset(db)
      {:ok, trx} = Native.begin(db)
      assert :ok = Native.reset(trx)
      assert Native.get_is_autocommit(db)
      assert_usable(db)
    end

    test "counters", %{db: db} do
      assert Native.get_last_insert_rowid(db) == 0
      assert Native.get_changes(db) == 0
      q(db, "INSERT INTO t VALUES (7, 1), (9, 2)")
      assert Native.get_last_insert_rowid(db) == 9
      assert Native.get_changes(db) == 2
      q(db, "UPDATE t SET b = 3 WHERE a = 7")
      assert Native.get_changes(db) == 1
      assert Native.get_total_changes(db) == 3
      assert Native.get_is_autocommit(db) == true
    end

    test "counters after the fast path are the engine's", %{db: db} do
      q(db, "INSERT INTO t VALUES (7, 1)")
      for _ <- 1..20, do: q(db, "SELECT a FROM t WHERE a = ?", [7])
      assert Native.get_changes(db) == 1
      assert Native.get_last_insert_rowid(db) == 7
    end

    test "replication: a local database has none", %{db: db, conn: conn} do
      # As in 0.9: nothing to do is no failure.
      assert {:ok, "success sync"} = Native.sync(db)
      assert {:ok, "success sync"} = Native.do_sync(conn, :local)

      for answer <- [
            Native.get_frame_number_for_replica(db),
            Native.get_frame_number_for_replica(conn),
            Native.flush_and_get_frame(db),
            Native.get_max_write_frame(db),
            Native.sync_until_frame(db, 1),
            Native.freeze_replica(db),
            Native.get_frame_number(conn),
            Native.sync_until(conn, 1),
            Native.flush_replicator(conn),
            Native.max_write_replication_index(conn),
            Native.freeze_database(conn)
          ] do
        assert {:error, %Error{code: :unsupported}} = answer
      end
    end

    test "hooks are not there yet, and say so", %{db: db, conn: conn} do
      for answer <- [
            Native.add_update_hook(db),
            Native.add_update_hook(db, self()),
            Native.remove_update_hook(db),
            Native.add_authorizer(db),
            Native.add_authorizer(db, self()),
            Native.set_update_hook(conn, self()),
            Native.clear_update_hook(conn),
            Native.set_authorizer(conn, self())
          ] do
        assert {:error, %Error{code: :unsupported}} = answer
      end
    end

    test "vectors", %{db: db} do
      assert Native.vector([1, 2.5, -3]) == "[1.0,2.5,-3.0]"
      assert Native.vector([]) == "[]"
      assert Native.vector_type(3) == "F32_BLOB(3)"
      assert Native.vector_type(3, :f32) == "F32_BLOB(3)"
      assert Native.vector_type(1536, :f64) == "F64_BLOB(1536)"

      for args <- [[3, :f16], [0], [-1], [1.5], ["3"], [nil]] do
        assert_raise ArgumentError, fn -> apply(Native, :vector_type, args) end
      end

      assert Native.vector_distance_cos("v", [1, 2]) == "vector_distance_cos(v, '[1.0,2.0]')"
      assert Native.vector_distance_cos("v", "[1,2]") == "vector_distance_cos(v, '[1,2]')"
      assert Native.vector_distance_cos("v", "it's") == "vector_distance_cos(v, 'it''s')"

      if EctoLibSql.core_info().engine == "libsql" do
        q(db, "CREATE TABLE v(v #{Native.vector_type(2)})")
        q(db, "INSERT INTO v VALUES (vector(?))", [Native.vector([1, 0])])
        assert one(db, "SELECT #{Native.vector_distance_cos("v", [1, 0])} FROM v") == 0.0
      end
    end
  end

  describe "raw functions" do
    test "connect, ping, close" do
      assert conn = Native.connect([database: ":memory:"], :local)
      assert is_reference(conn)
      assert Native.ping(conn) == true
      assert :ok = Native.close(conn, :conn_id)
      assert {:error, %Error{code: :closed}} = Native.ping(conn)
      assert {:error, %Error{code: :bad_argument}} = Native.connect([], :local)
      assert {:error, %Error{code: :bad_argument}} = Native.close(conn, :opt)
    end

    test "settings", %{db: db, conn: conn} do
      assert :ok = Native.set_busy_timeout(conn, 7)
      assert EctoLibSql.busy_timeout(db) == 7
      assert :ok = Native.reset_connection(conn)
      assert :ok = Native.interrupt_connection(conn)
      assert :ok = Native.enable_load_extension(conn, true)
      assert {:error, %Error{}} = Native.load_extension(conn, "/no/such.so", nil)
      assert :ok = Native.enable_load_extension(conn, false)
      assert {:error, %Error{code: :auth}} = Native.load_extension(conn, "/no/such.so", "entry")
    end

    test "query_args, pragma_query, should_use_query_path", %{conn: conn} do
      assert Native.query_args(conn, :local, :disable_sync, "INSERT INTO t VALUES (?, ?)", [1, "a"]) ==
               %{"columns" => [], "rows" => [], "num_rows" => 1}

      assert Native.query_args(conn, :local, :disable_sync, "SELECT a, b FROM t", []) ==
               %{"columns" => ["a", "b"], "rows" => [[1, "a"]], "num_rows" => 1}

      assert {:error, %Error{code: :sql}} =
               Native.query_args(conn, :local, :disable_sync, "SELEC", [])

      assert %{"rows" => [[0]]} = Native.pragma_query(conn, "PRAGMA user_version")
      assert %{"rows" => [], "columns" => []} = Native.pragma_query(conn, "PRAGMA user_version = 1")
      assert {:error, %Error{}} = Native.pragma_query(conn, "PRAGMA 5")

      for {sql, rows?} <- [
            {"SELECT 1", true},
            {" -- c\n/* d */ with x as (select 1) select 1", true},
            {"EXPLAIN SELECT 1", true},
            {"PRAGMA x", true},
            {"INSERT INTO t VALUES (1) RETURNING a", true},
            {"INSERT INTO t VALUES (1)\nreturning a", true},
            {"INSERT INTO t VALUES (1)", false},
            {"UPDATE returning_t SET a = 1", false},
            {"ANALYZE", false}
          ] do
        assert {sql, Native.should_use_query_path(sql)} == {sql, rows?}
      end
    end

    test "transactions", %{conn: conn, db: db} do
      assert trx = Native.begin_transaction(conn)
      assert {^conn, number} = trx
      assert is_integer(number)

      assert Native.execute_with_transaction(trx, conn, "INSERT INTO t VALUES (1, 1), (2, 2)", []) ==
               2

      assert Native.query_with_trx_args(trx, conn, "SELECT a FROM t WHERE a = ?", [2]) ==
               %{"columns" => ["a"], "rows" => [[2]], "num_rows" => 1}

      assert :ok = Native.handle_status_transaction(trx)
      assert {:error, %Error{code: :in_transaction}} = Native.begin_transaction(conn)

      assert {:ok, "commit success"} =
               Native.commit_or_rollback_transaction(trx, conn, :local, :disable_sync, "commit")

      assert {:error, %Error{code: :no_transaction}} =
               Native.commit_or_rollback_transaction(trx, conn, :local, :disable_sync, "commit")

      assert {:error, %Error{code: :no_transaction}} =
               Native.execute_with_transaction(trx, conn, "SELECT 1", [])

      assert {:error, %Error{code: :no_transaction}} =
               Native.query_with_trx_args(trx, conn, "SELECT 1", [])

      for behavior <- [:deferred, :immediate, :exclusive, :read_only] do
        assert trx = Native.begin_transaction_with_behavior(conn, behavior)
        assert {^conn, _number} = trx

        assert {:ok, "rollback success"} =
                 Native.commit_or_rollback_transaction(trx, conn, :local, :disable_sync, "rollback")
      end

      assert {:error, %Error{code: :bad_argument}} =
               Native.begin_transaction_with_behavior(conn, :sometimes)

      assert {:error, %Error{code: :no_transaction}} = Native.handle_status_transaction("none")
      assert one(db, "SELECT count(*) FROM t") == 2
    end

    # A transaction is a number, and this function is given nothing else.
    test "a transaction that is over, by its handle alone", %{conn: conn} do
      trx = Native.begin_transaction(conn)
      assert :ok = Native.close(trx, :trx_id)
      assert {:error, %Error{code: :no_transaction}} = Native.handle_status_transaction(trx)
      assert Native.is_autocommit(conn)
    end

    test "savepoints", %{conn: conn} do
      trx = Native.begin_transaction(conn)
      assert :ok = Native.savepoint(conn, trx, "s")
      assert 1 = Native.execute_with_transaction(trx, conn, "INSERT INTO t VALUES (1, 1)", [])
      assert :ok = Native.rollback_to_savepoint(conn, trx, "s")
      assert :ok = Native.release_savepoint(conn, trx, "s")
      assert {:error, %Error{}} = Native.release_savepoint(conn, trx, "s")
      assert {:error, %Error{code: code}} = Native.savepoint(conn, elem(trx, 1) + 1, "s")
      assert code in [:no_transaction, :wrong_connection]

      assert %{"rows" => [[0]]} =
               Native.query_with_trx_args(trx, conn, "SELECT count(*) FROM t", [])
    end

    test "statements", %{conn: conn} do
      insert = Native.prepare_statement(conn, "INSERT INTO t VALUES (:a, @b)")
      assert is_reference(insert)
      assert Native.execute_prepared(conn, insert, :local, :disable_sync, "", [1, "a"]) == 1
      select = Native.prepare_statement(conn, "SELECT a AS x, b FROM t WHERE a = ?")

      assert Native.query_prepared(conn, select, :local, :disable_sync, [1]) ==
               %{"columns" => ["x", "b"], "rows" => [[1, "a"]], "num_rows" => 1}

      assert Native.statement_column_count(conn, select) == 2
      assert Native.statement_column_count(conn, insert) == 0
      assert Native.statement_column_name(conn, select, 0) == "x"
      assert {:error, %Error{}} = Native.statement_column_name(conn, select, 2)
      assert Native.statement_parameter_count(conn, insert) == 2
      assert Native.statement_parameter_name(conn, insert, 1) == ":a"
      assert Native.statement_parameter_name(conn, insert, 2) == "@b"
      assert Native.statement_parameter_name(conn, select, 1) == nil
      assert {:error, %Error{}} = Native.statement_parameter_name(conn, insert, 3)
      assert Native.get_statement_columns(conn, select) == [{"x", "a", "INTEGER"}, {"b", "b", nil}]
      assert :ok = Native.reset_statement(conn, select)
      assert :ok = Native.close(select, :stmt_id)

      assert {:error, %Error{code: :closed}} =
               Native.query_prepared(conn, select, :local, :disable_sync, [1])

      assert {:error, %Error{code: :sql}} = Native.prepare_statement(conn, "SELEC")
    end

    test "batches", %{conn: conn} do
      items = [{"INSERT INTO t VALUES (?, ?)", [1, 1]}, {"SELECT a FROM t", []}]

      expected = [
        %{"columns" => [], "rows" => [], "num_rows" => 1},
        %{"columns" => ["a"], "rows" => [[1]], "num_rows" => 1}
      ]

      assert Native.execute_batch(conn, :local, :disable_sync, items) == expected

      assert {:error, %Error{statement_number: 1}} =
               Native.execute_batch(conn, :local, :disable_sync, items)

      Native.execute_batch_native(conn, "DELETE FROM t")
      assert Native.execute_transactional_batch(conn, :local, :disable_sync, items) == expected

      assert Native.execute_batch_native(conn, "DELETE FROM t; SELECT 1 AS x") ==
               [nil, %{"columns" => ["x"], "rows" => [[1]], "num_rows" => 1}]

      assert [nil, nil] =
               Native.execute_transactional_batch_native(
                 conn,
                 "DELETE FROM t; INSERT INTO t VALUES (1, 1)"
               )

      assert {:error, %Error{}} =
               Native.execute_transactional_batch_native(conn, "DELETE FROM t; SELEC")

      assert %{"rows" => [[1]]} =
               Native.query_args(conn, :local, :disable_sync, "SELECT a FROM t", [])
    end

    test "cursors", %{conn: conn} do
      Native.execute_batch(
        conn,
        :local,
        :disable_sync,
        for(n <- 1..5, do: {"INSERT INTO t VALUES (?, ?)", [n, n]})
      )

      cursor = Native.declare_cursor(conn, "SELECT a FROM t WHERE a > ?", [1])
      assert Native.fetch_cursor(conn, cursor, 3) == {["a"], [[2], [3], [4]], 3}
      assert Native.fetch_cursor(conn, cursor, 3) == {["a"], [[5]], 1}
      assert {_, [], 0} = Native.fetch_cursor(conn, cursor, 3)
      assert {_, [], 0} = Native.fetch_cursor(conn, cursor, 3)
      assert :ok = Native.close(cursor, :cursor_id)
      assert {:error, %Error{code: :closed}} = Native.fetch_cursor(conn, cursor, 3)

      trx = Native.begin_transaction(conn)

      for {id, type} <- [{trx, :transaction}, {conn, :connection}] do
        cursor = Native.declare_cursor_with_context(conn, id, type, "SELECT a FROM t", [])
        assert {["a"], [[1]], 1} = Native.fetch_cursor(conn, cursor, 1)
        assert :ok = Native.close(cursor, :cursor_id)
      end

      other = open()

      assert {:error, %Error{code: :wrong_connection, message: "Connection ID mismatch" <> _}} =
               Native.declare_cursor_with_context(conn, other.conn_id, :connection, "SELECT 1", [])

      assert {:error, %Error{code: :bad_argument, message: "Invalid id_type" <> _}} =
               Native.declare_cursor_with_context(conn, trx, :other, "SELECT 1", [])

      assert {:error, %Error{code: :sql}} = Native.declare_cursor(conn, "SELEC", [])
      assert {:error, %Error{code: :parameters}} = Native.declare_cursor(conn, "SELECT ?", [])
    end

    test "counters", %{conn: conn} do
      Native.query_args(conn, :local, :disable_sync, "INSERT INTO t VALUES (4, 4), (5, 5)", [])
      assert Native.last_insert_rowid(conn) == 5
      assert Native.changes(conn) == 2
      assert Native.total_changes(conn) == 2
      assert Native.is_autocommit(conn) == true
    end
  end
end
