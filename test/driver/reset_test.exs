defmodule EctoLibSql.Driver.ResetTest do
  # Native memory is that of the whole VM: not async.
  use EctoLibSql.Case
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Result, State}

  setup do
    path = tmp_path()
    db = open(path, cache_size: -500, foreign_keys: true, pragmas: [recursive_triggers: true])
    q(db, "CREATE TABLE t(a)")
    q(db, "INSERT INTO t VALUES (1), (2), (3)")
    {:ok, path: path, db: db}
  end

  defp reset(db) do
    assert {:ok, %State{trx_id: nil} = db} = EctoLibSql.reset_connection(db)
    db
  end

  test "an open transaction is rolled back", %{db: db, path: path} do
    {:ok, trx} = Native.begin(db, behavior: :immediate)
    q(trx, "DELETE FROM t")
    :ok = Native.create_savepoint(trx, "s")
    db = reset(trx)
    assert Native.get_is_autocommit(db)
    assert one(db, "SELECT count(*) FROM t") == 3
    assert {:idle, _} = EctoLibSql.handle_status([], db)
    assert %Error{code: :no_transaction} = err(trx, "SELECT 1")
    # Its lock is gone too.
    q(open(path, busy_timeout: 0), "INSERT INTO t VALUES (4)")
  end

  test "a read-only transaction is over, and writes are taken again", %{db: db} do
    {:ok, trx} = Native.begin(db, behavior: :read)
    assert %Error{code: :readonly} = err(trx, "DELETE FROM t")
    db = reset(trx)
    q(db, "DELETE FROM t")
  end

  test "temporary tables, views, triggers and indexes are gone, others stay", %{db: db} do
    q(db, "CREATE TEMP TABLE tmp(a)")
    q(db, "CREATE INDEX temp.tmp_i ON tmp(a)")
    q(db, "CREATE TEMP TABLE \"odd \"\" name\"(a REFERENCES tmp)")
    q(db, "CREATE TEMP VIEW tv AS SELECT * FROM tmp")
    q(db, "CREATE TEMP TRIGGER tt AFTER INSERT ON main.t BEGIN INSERT INTO tmp VALUES (new.a); END")
    q(db, "CREATE TEMP TABLE t(shadow)")
    q(db, "CREATE VIEW v AS SELECT * FROM t")
    q(db, "CREATE TRIGGER tr AFTER DELETE ON main.t BEGIN SELECT 1; END")
    assert %Result{columns: ["shadow"]} = q(db, "SELECT * FROM t")

    db = reset(db)
    assert all(db, "SELECT name FROM sqlite_temp_schema") == []
    assert %Result{columns: ["a"], num_rows: 3} = q(db, "SELECT * FROM t")
    q(db, "INSERT INTO t VALUES (4)")
    assert %Error{code: :sql} = err(db, "SELECT * FROM tmp")

    assert Enum.sort(all(db, "SELECT name FROM sqlite_schema")) == [["t"], ["tr"], ["v"]]
  end

  test "a temporary full-text table is gone, with what it is made of", %{db: db} do
    q(db, "CREATE VIRTUAL TABLE temp.f USING fts5(a)")
    q(db, "INSERT INTO f VALUES ('x')")
    db = reset(db)
    assert all(db, "SELECT name FROM sqlite_temp_schema") == []
  end

  test "attached databases are detached, whatever their names", %{db: db} do
    other = tmp_path("other.db")
    q(db, "ATTACH ? AS \"o \"\" x\"", [other])
    q(db, "ATTACH ':memory:' AS second")
    q(db, "CREATE TABLE second.x(a)")
    {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO x VALUES (1)")
    db = reset(trx)
    assert [["main"]] = all(db, "SELECT name FROM pragma_database_list WHERE name <> 'temp'")
  end

  test "settings are as they were at connect", %{db: db} do
    for {name, value} <- [
          foreign_keys: "off",
          cache_size: 10,
          synchronous: "off",
          recursive_triggers: "off",
          query_only: "on",
          busy_timeout: 3
        ] do
      q(db, "PRAGMA #{name} = #{value}")
    end

    EctoLibSql.set_busy_timeout(db, 7)
    db = reset(db)
    assert one(db, "PRAGMA foreign_keys") == 1
    assert one(db, "PRAGMA cache_size") == -500
    assert one(db, "PRAGMA synchronous") == 1
    assert one(db, "PRAGMA recursive_triggers") == 1
    assert EctoLibSql.busy_timeout(db) == 5000
    assert EctoLibSql.notices(db) == []
    # Nobody configured it, so nobody sets it back.
    assert one(db, "PRAGMA query_only") in [0, 1]
  end

  test "statements can be run again, cursors are over", %{db: db} do
    {:ok, stmt} = Native.prepare(db, "SELECT a FROM t WHERE a >= ? ORDER BY a")
    {:ok, _, cursor, db} = EctoLibSql.handle_declare("SELECT a FROM t", [], [], db)
    {:cont, _, db} = EctoLibSql.handle_fetch("", cursor, [max_rows: 1], db)
    db = reset(db)
    assert {:error, %Error{code: code}, _} = EctoLibSql.handle_fetch("", cursor, [], db)
    assert code in [:misuse, :aborted]
    assert {:ok, %Result{rows: [[2], [3]]}} = Native.query_stmt(db, stmt, [2])
    q(db, "DROP TABLE t")
  end

  test "of a busy connection waits its turn", %{db: db} do
    task = Task.async(fn -> EctoLibSql.query(db, endless(), [], timeout: 200) end)
    Process.sleep(50)
    reset(db)
    assert {:error, %Error{code: :timeout}, _} = Task.await(task, 60_000)
    assert_usable(db)
    assert_no_messages()
  end

  test "twice, of a new one, in memory, of a closed one", %{db: db} do
    db |> reset() |> reset()
    memory = open()
    q(memory, "CREATE TABLE kept(a)")
    reset(memory)
    assert all(memory, "SELECT * FROM kept") == []
    assert [%{name: "journal_mode"}] = EctoLibSql.notices(memory)
    assert :ok = Native.reset(memory)
    EctoLibSql.close(memory)
    assert {:error, %Error{code: :closed}} = EctoLibSql.reset_connection(memory)
    assert {:error, %Error{code: :closed}} = Native.reset(memory)
  end

  test "of a read-only connection, and of an encrypted one", %{path: path} do
    reader = reset(open(path, read_only: true))
    assert one(reader, "SELECT count(*) FROM t") == 3
    assert %Error{code: :readonly} = err(reader, "DELETE FROM t")

    if EctoLibSql.core_info().encryption do
      secret = open(tmp_path("secret.db"), encryption_key: "key")
      q(secret, "CREATE TABLE s(a)")
      assert all(reset(secret), "SELECT * FROM s") == []
    end
  end

  test "leaves nothing behind, a thousand times", %{db: db} do
    cycle = fn ->
      {:ok, trx} = Native.begin(db)
      q(trx, "CREATE TEMP TABLE x(a)")
      q(trx, "INSERT INTO x VALUES (1)")
      reset(trx)
    end

    for _ <- 1..100, do: cycle.()
    before = EctoLibSql.memory().bytes
    for _ <- 1..1000, do: cycle.()
    assert EctoLibSql.memory().bytes - before < 100_000
    assert_usable(db)
  end
end
