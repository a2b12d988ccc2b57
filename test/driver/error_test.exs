defmodule EctoLibSql.Driver.ErrorTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native}

  @python? EctoLibSql.DriverHelpers.python?()

  setup do: {:ok, path: tmp_path(), db: open()}

  test "codes/0 is status.def, without :ok" do
    lines =
      for line <- File.stream!("c/include/lsq/status.def"), line =~ ~r/^LSQ_STATUS\(/ do
        [_, name, atom, text] =
          Regex.run(~r/^LSQ_STATUS\((\w+), *(\w+), *"(.*)"\)$/, String.trim(line))

        assert String.downcase(name) == atom
        {String.to_atom(atom), text}
      end

    assert [{:ok, _} | statuses] = lines
    assert Error.codes() == statuses
    assert length(statuses) > 30

    {:docs_v1, _, _, _, %{"en" => docs}, _, _} = Code.fetch_docs(Error)
    for {code, text} <- statuses, do: assert(docs =~ "  * `:#{code}`: #{text}")
  end

  describe ":sql" do
    @describetag local: "the server's words have no code and no place in the text"
    for {sql, offset, words} <- [
          {"SELEC 1", 0, "syntax error"},
          {"SELECT 1 FROM", nil, "incomplete input"},
          {"SELECT a FROM t WHERE absenty = 1", 22, "no such column: absenty"},
          {"SELECT 'ä', absenty", 13, "no such column: absenty"},
          {"SELECT * FROM absenty", nil, "no such table: absenty"},
          {"SELECT absenty(1)", 7, "no such function: absenty"},
          {"INSERT INTO t VALUES (1, 2)", nil, "table t has 1 column"},
          {"CREATE TABLE t(a)", 13, "table t already exists"},
          {"SELECT count(1, 2)", 7, "wrong number of arguments"},
          {"SELECT \"x\"", 7, "no such column"}
        ] do
      test "of #{sql}", %{db: db} do
        q(db, "CREATE TABLE t(a)")
        sql = unquote(sql)
        error = err(db, sql)
        assert %Error{code: :sql, statement: ^sql, transient?: false, outcome: :none} = error
        assert error.engine_code != 0
        assert error.message =~ unquote(words)
        assert Exception.message(error) == error.message
        assert error.sqlite == %{code: :sql, message: error.message}
        assert error.offset == unquote(offset)
        assert error.constraint == nil
        refute Error.constraint_violation?(error)
        assert Error.constraint_name(error) == nil

        # Prepared, it is the same.
        assert {:error, prepared} = Native.prepare(db, sql)

        assert Map.take(prepared, [:code, :message, :offset, :statement]) ==
                 Map.take(error, [:code, :message, :offset, :statement])
      end
    end

    test "in a text of many statements has its place in the whole text", %{db: db} do
      text = "SELECT 1;\nSELECT 2;\nSELECT absenty;"

      assert {:error, %Error{code: :sql, statement: ^text, statement_number: 3, offset: 27} = error} =
               Native.execute_batch_sql(db, text)

      assert Exception.message(error) == "no such column: absenty (statement 3)"
    end
  end

  describe ":constraint" do
    defp constraint(db, sql, params \\ []) do
      error = err(db, sql, params)
      assert %Error{code: :constraint, transient?: false, outcome: :none, constraint: %{}} = error
      assert rem(error.engine_code, 256) == 19
      assert Error.constraint_violation?(error)
      assert error.sqlite.code == :constraint
      error
    end

    @tag local: "the index of a key is not looked for at the server"
    test ":unique by an index has its name", %{db: db} do
      q(db, "CREATE TABLE users(id INTEGER PRIMARY KEY, email, org, slug)")
      q(db, "CREATE UNIQUE INDEX users_email_index ON users(email)")
      q(db, "CREATE UNIQUE INDEX users_org_slug_index ON users(org, slug)")
      q(db, "INSERT INTO users(email, org, slug) VALUES ('a', 'b', 'c')")

      error = constraint(db, "INSERT INTO users(email) VALUES ('a')")
      assert error.message =~ "UNIQUE constraint failed: users.email"

      assert error.constraint ==
               %{kind: :unique, table: "users", columns: ["email"], name: "users_email_index"}

      assert Error.constraint_name(error) == "email"

      error = constraint(db, "INSERT INTO users(org, slug) VALUES ('b', 'c')")

      assert error.constraint ==
               %{
                 kind: :unique,
                 table: "users",
                 columns: ["org", "slug"],
                 name: "users_org_slug_index"
               }

      assert Error.constraint_name(error) == "org"
    end

    @tag local: "the index of a key is not looked for at the server"
    test ":unique is the same on every path", %{db: db} do
      q(db, "CREATE TABLE t(a)")
      q(db, "CREATE UNIQUE INDEX t_a_index ON t(a)")
      q(db, "INSERT INTO t VALUES (1)")
      expected = %{kind: :unique, table: "t", columns: ["a"], name: "t_a_index"}
      sql = "INSERT INTO t VALUES (1)"
      {:ok, stmt} = Native.prepare(db, sql)

      run = fn db ->
        [
          EctoLibSql.query(db, sql),
          EctoLibSql.query(db, sql <> " RETURNING a"),
          EctoLibSql.query_one(db, sql <> " RETURNING a"),
          EctoLibSql.run(db, sql),
          EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?)", [[2], [1]]),
          EctoLibSql.query(db, stmt),
          Native.query_stmt(db, stmt, []),
          Native.execute_stmt(db, stmt, sql, []),
          Native.batch(db, [{sql, []}]),
          Native.execute_batch_sql(db, sql),
          EctoLibSql.handle_execute(sql, [], [], db)
        ]
      end

      for answer <- run.(db) ++ [Native.batch_transactional(db, [{sql, []}])] do
        assert :error == elem(answer, 0)
        assert %Error{code: :constraint, constraint: ^expected} = elem(answer, 1)
      end

      {:ok, trx} = Native.begin(db)
      for answer <- run.(trx), do: assert(%Error{constraint: ^expected} = elem(answer, 1))
      {:ok, _} = Native.rollback(trx)
      assert all(db, "SELECT * FROM t") == [[1]]
    end

    @tag local: "the index of a key is not looked for at the server"
    test ":unique of an expression, of a part, of a column without a named index", %{db: db} do
      q(db, "CREATE TABLE t(a, b, c UNIQUE)")
      q(db, "CREATE UNIQUE INDEX expr ON t(lower(a))")
      q(db, "CREATE UNIQUE INDEX part ON t(b) WHERE b > 10")
      q(db, "INSERT INTO t VALUES ('x', 11, 1)")

      assert constraint(db, "INSERT INTO t VALUES ('X', 0, 0)").constraint ==
               %{kind: :unique, table: "t", columns: [], name: "expr"}

      assert constraint(db, "INSERT INTO t VALUES ('y', 11, 0)").constraint ==
               %{kind: :unique, table: "t", columns: ["b"], name: "part"}

      error = constraint(db, "INSERT INTO t VALUES ('y', 0, 1)")
      assert error.constraint == %{kind: :unique, table: "t", columns: ["c"], name: nil}
    end

    @tag local: "the index of a key is not looked for at the server"
    test ":unique of names that need quotes", %{db: db} do
      q(db, ~s|CREATE TABLE "my table"("a b", "c.d", "ä")|)
      q(db, ~s|CREATE UNIQUE INDEX "my ""index""" ON "my table"("a b", "ä")|)
      q(db, ~s|INSERT INTO "my table" VALUES (1, 2, 3)|)

      assert constraint(db, ~s|INSERT INTO "my table" VALUES (1, 2, 3)|).constraint ==
               %{kind: :unique, table: "my table", columns: ["a b", "ä"], name: ~s(my "index")}
    end

    @tag local: "a server has no ATTACH and no temporary tables"
    test ":unique in a temporary and in an attached database", %{db: db} do
      q(db, "ATTACH ':memory:' AS other")

      for schema <- ["temp", "other"] do
        q(db, "CREATE TABLE #{schema}.t_#{schema}(a)")
        q(db, "CREATE UNIQUE INDEX #{schema}.i_#{schema} ON t_#{schema}(a)")
        q(db, "INSERT INTO t_#{schema} VALUES (1)")
        constraint = constraint(db, "INSERT INTO t_#{schema} VALUES (1)").constraint
        assert %{kind: :unique, columns: ["a"]} = constraint
        assert constraint.table == "t_#{schema}"
        assert constraint.name == "i_#{schema}"
      end
    end

    @tag local: "a server tells it from :unique by nothing"
    test ":primary_key", %{db: db} do
      q(db, "CREATE TABLE i(id INTEGER PRIMARY KEY)")
      q(db, "CREATE TABLE x(id TEXT PRIMARY KEY)")
      q(db, "CREATE TABLE w(a, b, PRIMARY KEY (a, b)) WITHOUT ROWID")

      for {table, columns, values} <- [
            {"i", ["id"], "1"},
            {"x", ["id"], "'a'"},
            {"w", ["a", "b"], "1, 2"}
          ] do
        q(db, "INSERT INTO #{table} VALUES (#{values})")
        error = constraint(db, "INSERT INTO #{table} VALUES (#{values})")

        assert error.constraint ==
                 %{kind: :primary_key, table: table, columns: columns, name: nil}

        # The engine's own words, as code that matches on them expects.
        assert Exception.message(error) =~ "UNIQUE constraint failed: #{table}.#{hd(columns)}"
        assert Error.constraint_name(error) == hd(columns)
      end
    end

    test ":not_null", %{db: db} do
      q(db, "CREATE TABLE t(a NOT NULL)")
      error = constraint(db, "INSERT INTO t VALUES (?)", [nil])
      assert error.constraint == %{kind: :not_null, table: "t", columns: ["a"], name: nil}
      assert error.message == "NOT NULL constraint failed: t.a"
      assert Error.constraint_name(error) == "a"
    end

    test ":check, named and not", %{db: db} do
      q(db, "CREATE TABLE t(a CONSTRAINT positive_a CHECK (a > 0), b CHECK (b > 0.5))")
      error = constraint(db, "INSERT INTO t VALUES (0, 1)")
      assert %{kind: :check, columns: [], name: "positive_a"} = error.constraint
      assert error.message =~ "CHECK constraint failed: positive_a"
      assert Error.constraint_name(error) == "positive_a"
      error = constraint(db, "INSERT INTO t VALUES (1, 0)")
      assert %{kind: :check, columns: [], name: "b > 0.5"} = error.constraint
    end

    @tag local: "a transaction whose COMMIT fails is over"
    test ":foreign_key, at once and at commit", %{db: db} do
      q(db, "CREATE TABLE p(id INTEGER PRIMARY KEY)")
      q(db, "CREATE TABLE c(p REFERENCES p)")
      q(db, "CREATE TABLE d(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
      error = constraint(db, "INSERT INTO c VALUES (9)")
      assert error.constraint == %{kind: :foreign_key, table: nil, columns: [], name: nil}
      assert error.message =~ "FOREIGN KEY constraint failed"
      assert Error.constraint_name(error) == nil

      {:ok, trx} = Native.begin(db)
      q(trx, "INSERT INTO d VALUES (9)")

      assert {:error, %Error{code: :constraint, constraint: %{kind: :foreign_key}}} =
               Native.commit(trx)

      # The transaction is still open, and can be mended.
      assert {:transaction, _} = EctoLibSql.handle_status([], trx)
      q(trx, "INSERT INTO p VALUES (9)")
      assert {:ok, _} = Native.commit(trx)

      assert %{kind: :foreign_key} = constraint(db, "INSERT INTO d VALUES (10)").constraint
      assert all(db, "SELECT * FROM d") == [[9]]
    end

    test ":other, of a trigger and of a strict table", %{db: db} do
      q(db, "CREATE TABLE t(a INTEGER) STRICT")

      q(
        db,
        "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.a = 7 BEGIN SELECT RAISE(ABORT, 'no sevens'); END"
      )

      error = constraint(db, "INSERT INTO t VALUES (7)")
      assert %{kind: :other} = error.constraint
      assert error.message == "no sevens"
      assert Error.constraint_name(error) == nil
      assert %{kind: :other} = constraint(db, "INSERT INTO t VALUES ('text')").constraint
    end
  end

  describe ":busy" do
    @describetag local: "a server lets a second writer wait"
    setup %{path: path} do
      db = open(path, busy_timeout: 20)
      q(db, "CREATE TABLE t(a)")
      {:ok, conn: db}
    end

    test "beside a second connection", %{path: path, conn: db} do
      other = open(path)
      {:ok, other} = Native.begin(other, behavior: :immediate)
      sql = "INSERT INTO t VALUES (1)"
      {:ok, stmt} = Native.prepare(db, sql)

      for answer <- [
            EctoLibSql.query(db, sql),
            EctoLibSql.query_one(db, sql <> " RETURNING a"),
            EctoLibSql.run(db, sql),
            EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?)", [[1]]),
            EctoLibSql.query(db, stmt),
            Native.begin(db, behavior: :immediate),
            Native.begin(db, behavior: :exclusive),
            Native.batch(db, [{sql, []}]),
            Native.batch_transactional(db, [{sql, []}]),
            Native.execute_batch_sql(db, sql)
          ] do
        assert :error = elem(answer, 0)
        assert %Error{code: :busy, transient?: true, outcome: :none} = error = elem(answer, 1)
        assert error.message =~ "locked"
        refute Error.constraint_violation?(error)
      end

      # Readers are not in the way of a writer, nor it in theirs.
      assert all(db, "SELECT * FROM t") == []
      {:ok, _} = Native.rollback(other)
      q(db, sql)
    end

    test "inside a transaction leaves it open", %{path: path, conn: db} do
      other = open(path)
      {:ok, other} = Native.begin(other, behavior: :immediate)
      {:ok, trx} = Native.begin(db)
      assert %Error{code: :busy} = err(trx, "INSERT INTO t VALUES (1)")
      {:ok, _} = Native.rollback(other)
      q(trx, "INSERT INTO t VALUES (1)")
      assert {:ok, _} = Native.commit(trx)
    end

    @tag skip: not @python?
    @tag local: "of the locks of a file"
    test "beside another process of the system", %{path: path, conn: db} do
      port = hold_python(path, "BEGIN IMMEDIATE")
      assert %Error{code: :busy, transient?: true} = err(db, "INSERT INTO t VALUES (1)")
      assert {:error, %Error{code: :busy}} = Native.begin(db, behavior: :immediate)
      assert all(db, "SELECT * FROM t") == []
      # Reading the file in this VM does not end the other's lock, nor ours.
      File.read!(path)
      assert %Error{code: :busy} = err(db, "INSERT INTO t VALUES (1)")
      release_python(port)
      q(db, "INSERT INTO t VALUES (1)")
    end

    @tag skip: not @python?
    @tag local: "of the locks of a file"
    test "our lock holds against another process, also after File.read/1", %{path: path, conn: db} do
      {:ok, trx} = Native.begin(db, behavior: :immediate)
      q(trx, "INSERT INTO t VALUES (1)")
      File.read!(path)

      script = """
      import sqlite3, sys
      c = sqlite3.connect(sys.argv[1], timeout=0.05, isolation_level=None)
      try:
          c.execute("INSERT INTO t VALUES (2)")
          print("written")
      except sqlite3.OperationalError as e:
          print(e)
      """

      assert {"database is locked\n", 0} = System.cmd("python3", ["-c", script, path])
      assert {:ok, _} = Native.commit(trx)
      assert {"written\n", 0} = System.cmd("python3", ["-c", script, path])
      assert all(db, "SELECT a FROM t ORDER BY a") == [[1], [2]]
    end

    @tag skip: not @python?
    @tag local: "of the locks of a file"
    @tag unreplicated: "a replica's file has a WAL, and no other journal"
    test "while opening", %{path: path, conn: db} do
      EctoLibSql.close(db)
      file = path <> "-rollback"
      q(open(file, journal_mode: :delete), "CREATE TABLE t(a)")
      port = hold_python(file, "BEGIN EXCLUSIVE")

      assert {:error, %Error{code: :busy, transient?: true}} =
               EctoLibSql.connect(database: file, busy_timeout: 20)

      test = self()
      spawn_link(fn -> send(test, {:opened, EctoLibSql.connect(database: file)}) end)
      refute_receive {:opened, _}, 50
      release_python(port)
      assert_receive {:opened, {:ok, _}}, 30_000
    end
  end

  @tag skip: not @python?
  @tag local: "of the locks of a file"
  test ":busy while the schema is read again waits for the lock", %{path: path} do
    db = open(path, journal_mode: :delete)
    q(db, "CREATE TABLE t(a)")
    # Rolling back a change of the schema forgets the schema: the next text reads it while compiled.
    forget = fn ->
      {:ok, trx} = Native.begin(db)
      q(trx, "CREATE TABLE u(a)")
      {:ok, _} = Native.rollback(trx)
    end

    forget.()
    port = hold_python(path, "BEGIN EXCLUSIVE")
    EctoLibSql.set_busy_timeout(db, 20)
    assert %Error{code: :busy, transient?: true} = err(db, "SELECT * FROM t")
    EctoLibSql.set_busy_timeout(db, 5000)
    task = Task.async(fn -> all(db, "SELECT * FROM t") end)
    assert Task.yield(task, 50) == nil
    release_python(port)
    assert Task.await(task, 60_000) == []
  end

  @tag local: "a server says that it is busy"
  test ":busy_snapshot", %{path: path} do
    [db, other] = [open(path, busy_timeout: 60_000), open(path)]
    q(db, "CREATE TABLE t(a)")
    {:ok, trx} = Native.begin(db)
    assert all(trx, "SELECT * FROM t") == []
    q(other, "INSERT INTO t VALUES (1)")
    {ms, error} = timed(fn -> err(trx, "INSERT INTO t VALUES (2)") end)
    assert %Error{code: :busy_snapshot, outcome: :none, transient?: false} = error
    # Waiting would not help: it does not wait for the busy time-out of a minute.
    assert ms < 14_000
    {:ok, _} = Native.rollback(trx)
    q(db, "INSERT INTO t VALUES (2)")
  end

  @tag local: "a server has no such PRAGMA"
  test ":readonly, in a snapshot and by a PRAGMA", %{path: path} do
    db = open(path)
    q(db, "CREATE TABLE t(a)")
    {:ok, trx} = Native.begin(db, behavior: :read)
    assert %Error{code: :readonly} = err(trx, "INSERT INTO t VALUES (1)")
    assert all(trx, "SELECT * FROM t") == []
    {:ok, _} = Native.rollback(trx)
    q(db, "PRAGMA query_only = on")
    assert %Error{code: :readonly, engine_code: 8} = err(db, "INSERT INTO t VALUES (1)")
  end

  @tag local: "a server has no such PRAGMA"
  test ":full, and the connection goes on", %{path: path} do
    db = open(path)
    q(db, "CREATE TABLE t(a)")
    pages = one(db, "PRAGMA page_count")
    q(db, "PRAGMA max_page_count = #{pages + 5}")
    assert %Error{code: :full, outcome: :none} = err(db, "INSERT INTO t VALUES (zeroblob(100000))")
    q(db, "INSERT INTO t VALUES (1)")
    assert all(db, "SELECT * FROM t") == [[1]]

    # Inside a transaction the engine may roll back everything; the state is told.
    {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO t VALUES (2)")
    assert %Error{code: :full} = err(trx, "INSERT INTO t VALUES (zeroblob(100000))")

    case EctoLibSql.handle_status([], trx) do
      {:idle, %{trx_id: nil}} -> :ok
      {:transaction, trx} -> assert {:ok, _} = Native.rollback(trx)
    end

    assert all(db, "SELECT * FROM t") == [[1]]
  end

  @tag local: "of a damaged file"
  test ":corrupt", %{path: path} do
    db = open(path, page_size: 512)
    q(db, "CREATE TABLE t(a, b)")

    EctoLibSql.execute_many(
      db,
      "INSERT INTO t VALUES (?, ?)",
      for(n <- 1..500, do: [n, "some text"])
    )

    q(db, "CREATE INDEX i ON t(a)")
    :ok = EctoLibSql.close(db)

    <<first::binary-size(512), rest::binary>> = File.read!(path)
    File.write!(path, [first, :binary.copy(<<0xA5>>, byte_size(rest))])
    db = open(path)
    assert %Error{code: :corrupt, transient?: false} = err(db, "SELECT count(b) FROM t")
    assert_usable(db)
  end

  @tag local: "of a file that is none"
  test ":not_a_database", %{path: path} do
    File.write!(path, String.duplicate("x", 4096))
    assert {:error, %Error{code: :not_a_database}} = EctoLibSql.connect(database: path)
    db = open()
    assert %Error{code: code} = err(db, "ATTACH ? AS x", [path])
    assert code == :not_a_database
    assert_usable(db)
  end

  @tag local: "the server has limits of its own"
  test ":too_big", %{db: db} do
    assert %Error{code: :too_big} = err(db, "SELECT zeroblob(100000001)")
    db = open(max_length: 1000)
    long = String.duplicate("x", 1001)
    assert %Error{code: :too_big} = err(db, "SELECT ?", [long])
    assert %Error{code: :too_big} = err(db, "SELECT ?", [{:blob, long}])
    q(db, "CREATE TABLE t(a, b)")
    half = String.duplicate("x", 600)
    assert %Error{code: :too_big} = err(db, "INSERT INTO t VALUES (?, ?)", [half, half])
    assert %Error{code: code} = err(db, "SELECT '#{long}'")
    assert code in [:too_big, :sql]
    assert_usable(db)
  end

  test ":interrupted and :timeout", %{db: db} do
    assert %Error{code: :timeout} = err(db, endless(), [], timeout: 30)
    pid = self()

    spawn_link(fn ->
      eventually(fn -> elem(EctoLibSql.query(db, "SELECT 1", [], timeout: 60), 0) == :error end)
      send(pid, :runs)
      EctoLibSql.interrupt_connection(db)
    end)

    assert %Error{code: :interrupted} = err(db, endless())
    assert_received :runs
    assert_usable(db)
  end

  test ":no_transaction and :in_transaction", %{db: db} do
    assert {:error, %Error{code: :no_transaction}} = Native.commit(db)
    assert {:error, %Error{code: :no_transaction}} = Native.rollback(db)

    assert {:error, %Error{code: :no_transaction, message: message}} =
             Native.create_savepoint(db, "s")

    assert message =~ "No active transaction"
    {:ok, trx} = Native.begin(db)
    assert {:error, %Error{code: :in_transaction}} = Native.begin(db)

    assert {:error, %Error{code: :in_transaction}} =
             Native.batch_transactional(trx, [{"SELECT 1", []}])

    assert {:error, %Error{code: :in_transaction}} = EctoLibSql.Pragma.disable_foreign_keys(trx)
    {:ok, _} = Native.commit(trx)
    # The state still names the transaction that is over.
    assert %Error{code: :no_transaction} = err(trx, "SELECT 1")
    assert {:error, %Error{code: :no_transaction}} = Native.commit(trx)
    # Not even while the next one is open.
    {:ok, next} = Native.begin(db)
    assert %Error{code: :no_transaction} = err(trx, "SELECT 1")
    {:ok, _} = Native.rollback(next)
  end

  test ":wrong_connection", %{db: db} do
    other = open()
    {:ok, trx} = Native.begin(other)
    {:ok, stmt} = Native.prepare(other, "SELECT 1")
    strange = %{db | trx_id: trx.trx_id}

    for {:error, error} <- [
          Native.commit(strange),
          Native.rollback(strange),
          Native.create_savepoint(strange, "s"),
          Native.query_stmt(db, stmt, []),
          Native.execute_stmt(db, stmt, "SELECT 1", []),
          Native.stmt_column_count(db, stmt),
          Native.reset_stmt(db, stmt),
          EctoLibSql.get_statement_columns(db, stmt)
        ] do
      assert %Error{code: :wrong_connection} = error
    end

    assert %Error{code: :wrong_connection} = err(strange, "SELECT 1")
    assert %Error{code: :wrong_connection} = err(db, stmt)

    assert {:error, %Error{code: :wrong_connection}, _} =
             EctoLibSql.handle_fetch("SELECT 1", %{ref: stmt}, [], db)

    assert {:ok, _} = Native.commit(trx)
  end

  @tag local: "of the native interface"
  test ":closed, of everything", %{db: db} do
    {:ok, stmt} = Native.prepare(db, "SELECT 1")
    :ok = EctoLibSql.close(db)

    for answer <- [
          EctoLibSql.query(db, "SELECT 1"),
          EctoLibSql.query(db, stmt),
          EctoLibSql.query_one(db, "SELECT 1"),
          EctoLibSql.run(db, "SELECT 1"),
          EctoLibSql.execute_many(db, "SELECT 1", [[]]),
          EctoLibSql.reset_connection(db),
          EctoLibSql.set_busy_timeout(db, 1),
          EctoLibSql.cacheflush(db),
          EctoLibSql.checkpoint(db),
          EctoLibSql.stats(db),
          EctoLibSql.get_statement_columns(db, stmt),
          EctoLibSql.get_statement_parameters(db, stmt),
          EctoLibSql.statement_readonly?(db, stmt),
          EctoLibSql.reset_stmt(db, stmt),
          Native.begin(db),
          Native.commit(db),
          Native.rollback(db),
          Native.prepare(db, "SELECT 1"),
          Native.batch(db, [{"SELECT 1", []}]),
          Native.batch_transactional(db, [{"SELECT 1", []}]),
          Native.execute_batch_sql(db, "SELECT 1"),
          Native.get_changes(db),
          Native.get_is_autocommit(db),
          Native.enable_extensions(db, true),
          Native.load_ext(db, "x"),
          EctoLibSql.Pragma.foreign_keys(db),
          EctoLibSql.Pragma.enable_foreign_keys(db),
          EctoLibSql.JSON.extract(db, "{}", "$"),
          EctoLibSql.handle_execute("SELECT 1", [], [], db),
          EctoLibSql.handle_declare("SELECT 1", [], [], db),
          EctoLibSql.handle_fetch("SELECT 1", %{ref: stmt}, [], db)
        ] do
      assert elem(answer, 0) == :error
      assert %Error{code: :closed, engine_code: 0, sqlite: nil, transient?: false} = elem(answer, 1)
    end

    for answer <- [
          EctoLibSql.ping(db),
          EctoLibSql.handle_begin([], db),
          EctoLibSql.handle_commit([], db),
          EctoLibSql.handle_rollback([], db),
          EctoLibSql.handle_status([], db)
        ] do
      assert {:disconnect, %Error{code: :closed}, ^db} = answer
    end

    assert :ok = EctoLibSql.finalize_stmt(stmt)
    assert :ok = EctoLibSql.interrupt_stmt(stmt)
    assert :ok = EctoLibSql.interrupt_connection(db)
    assert EctoLibSql.notices(db) == []
  end

  test "a time-out that is none", %{db: db} do
    for timeout <- [-1, nil, 1.5, "5000", :soon, 0x80000000],
        {name, call} <- [
          query: &EctoLibSql.query(db, "SELECT 1", [], timeout: &1),
          query_one: &EctoLibSql.query_one(db, "SELECT 1", [], timeout: &1),
          run: &EctoLibSql.run(db, "SELECT 1", [], timeout: &1),
          execute_many: &EctoLibSql.execute_many(db, "SELECT ?", [[1]], timeout: &1),
          begin: &Native.begin(db, timeout: &1)
        ] do
      answer = call.(timeout)
      assert {:error, %Error{code: :bad_argument} = error} = {elem(answer, 0), elem(answer, 1)}
      assert error.message =~ ":timeout", "#{name}: #{error.message}"
      assert error.message =~ inspect(timeout)
    end

    assert {:ok, [1]} = EctoLibSql.query_one(db, "SELECT 1", [], timeout: 0x7FFFFFFF)
  end

  @tag local: "of the native interface"
  test ":bad_argument", %{db: db} do
    assert {:error, %Error{code: :bad_argument}} = Native.begin(db, behavior: :sometimes)
    assert {:error, %Error{code: :bad_argument}} = EctoLibSql.checkpoint(db, :sometimes)
    assert %Error{code: :bad_argument} = err(db, "SELECT 1", [], timeout: -1)
    assert %Error{code: :bad_argument} = err(db, "SELECT 1", [], timeout: :soon)
    assert %Error{code: :bad_argument} = err(db, make_ref())
    assert {:error, %Error{code: :bad_argument}} = Native.enable_extensions(db, :perhaps)
    {:ok, trx} = Native.begin(db)

    for name <- ["", "a\0b", <<255>>, String.duplicate("x", 1001), :atom, nil] do
      assert {:error, %Error{code: :bad_argument}} = Native.create_savepoint(trx, name)
    end

    assert {:ok, _} = Native.commit(trx)
  end

  @tag local: "of extensions and locks"
  test ":mismatch, :locked, :aborted, :misuse, :auth, :error", %{db: db} do
    q(db, "CREATE TABLE t(a INTEGER PRIMARY KEY)")
    assert %Error{code: :mismatch} = err(db, "INSERT INTO t VALUES ('text')")
    assert %Error{code: :error, engine_code: 1} = err(db, "SELECT json_extract('{', '$')")
    assert %Error{code: :error} = err(db, "SELECT abs(-9223372036854775808)")
    assert {:error, %Error{code: :auth}} = Native.load_ext(db, "x")

    q(db, "INSERT INTO t VALUES (1), (2), (3)")
    {:ok, _, cursor, db} = EctoLibSql.handle_declare("SELECT a FROM t", [], [], db)
    assert {:cont, %{rows: [[1]]}, db} = EctoLibSql.handle_fetch("", cursor, [max_rows: 1], db)
    assert %Error{code: :locked} = err(db, "DROP TABLE t")
    EctoLibSql.handle_deallocate("", cursor, [], db)
    assert {:error, %Error{code: :closed}, _} = EctoLibSql.handle_fetch("", cursor, [], db)
    {:ok, stmt} = Native.prepare(db, "SELECT 1")
    assert {:error, %Error{code: :misuse}, _} = EctoLibSql.handle_fetch("", %{ref: stmt}, [], db)
    q(db, "DROP TABLE t")
  end

  test "an error is an exception with sensible defaults" do
    assert %Error{code: :error, message: "", outcome: :none, transient?: false} = %Error{}
    assert_raise Error, "x", fn -> raise Error, message: "x" end
    assert Exception.message(%Error{message: "m", statement_number: 4}) == "m (statement 4)"
    refute Error.constraint_violation?(%Error{})
    assert Error.constraint_name(%Error{}) == nil
  end

  test "the engine's words are not cut within a character", %{db: db} do
    assert %Error{message: message} = err(db, "SELECT #{String.duplicate("ä", 400)}")
    assert String.valid?(message) and byte_size(message) > 400
    name = String.duplicate("ä", 80)
    q(db, ~s|CREATE TABLE "#{name}"("#{name}" NOT NULL)|)
    error = err(db, ~s|INSERT INTO "#{name}" VALUES (NULL)|)
    assert String.valid?(error.message)
    assert String.valid?(error.constraint.table)
    assert Enum.all?(error.constraint.columns, &String.valid?/1)
  end
end
