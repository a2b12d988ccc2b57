defmodule EctoLibSql.Driver.MvccTest do
  # `mvcc: true`: what it does to transactions, and the files that can have it.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native}

  defp refused(opts), do: connect_refused([mvcc: true] ++ opts)

  defp begin(db, opts \\ []) do
    {:ok, _, trx} = EctoLibSql.handle_begin(opts, db)
    trx
  end

  setup do
    path = tmp_path()
    db = open(path, mvcc: true, busy_timeout: 0)
    q(db, "CREATE TABLE t (a INT)")
    q(db, "INSERT INTO t VALUES (1)")
    {:ok, path: path, db: db, other: open(path, mvcc: true, busy_timeout: 0)}
  end

  test "a transaction has the state of its first read, and nobody waits", %{db: db, other: other} do
    trx = begin(db)
    assert one(trx, "SELECT sum(a) FROM t") == 1

    for n <- 2..4 do
      q(other, "INSERT INTO t VALUES (?1)", [n])
      assert one(trx, "SELECT sum(a) FROM t") == 1
      assert one(other, "SELECT count(*) FROM t") == n
    end

    assert {:ok, _, db} = EctoLibSql.handle_commit([], trx)
    assert one(db, "SELECT sum(a) FROM t") == 10
  end

  test "readers see the last commit while a writer is at work", %{db: db, other: other} do
    writer = begin(db)
    q(writer, "UPDATE t SET a = 5")
    reader = begin(other)
    assert one(reader, "SELECT a FROM t") == 1
    {:ok, _, _} = EctoLibSql.handle_commit([], writer)
    assert one(reader, "SELECT a FROM t") == 1
    {:ok, _, other} = EctoLibSql.handle_commit([], reader)
    assert one(other, "SELECT a FROM t") == 5
  end

  test "who writes after he has read, and others have written, is told", %{db: db, other: other} do
    trx = begin(db)
    assert one(trx, "SELECT a FROM t") == 1
    q(other, "UPDATE t SET a = 2")
    error = err(trx, "UPDATE t SET a = 3")
    assert %Error{code: :busy_snapshot, outcome: :none} = error
    # The transaction goes on reading what it has.
    assert one(trx, "SELECT a FROM t") == 1
    assert {:ok, _, db} = EctoLibSql.handle_rollback([], trx)
    trx = begin(db)
    assert one(trx, "SELECT a FROM t") == 2
    q(trx, "UPDATE t SET a = 3")
    assert {:ok, _, _} = EctoLibSql.handle_commit([], trx)
    assert one(other, "SELECT a FROM t") == 3
  end

  test "who has read, and another is writing, is told at once", %{db: db, other: other} do
    writer = begin(other)
    q(writer, "UPDATE t SET a = 2")
    trx = begin(db)
    assert one(trx, "SELECT a FROM t") == 1

    {ms, error} = timed(fn -> err(trx, "UPDATE t SET a = 3", [], timeout: 20_000) end)
    assert error.code == :busy_snapshot
    assert ms < 15_000
    {:ok, _, _} = EctoLibSql.handle_rollback([], writer)
    # Nobody has written: the snapshot is still the last state.
    q(trx, "UPDATE t SET a = 3")
    assert {:ok, _, _} = EctoLibSql.handle_commit([], trx)
  end

  test "who writes first waits for its turn", %{db: db, path: path} do
    trx = begin(db)
    q(trx, "UPDATE t SET a = a + 1")

    task =
      Task.async(fn ->
        {:ok, other} = EctoLibSql.connect(database: path, mvcc: true)
        {:ok, _, second} = EctoLibSql.handle_begin([], other)
        {:ok, _, _, second} = EctoLibSql.query(second, "UPDATE t SET a = a + 1")
        {:ok, _, other} = EctoLibSql.handle_commit([], second)
        EctoLibSql.close(other)
      end)

    refute Task.yield(task, 100)
    {:ok, _, db} = EctoLibSql.handle_commit([], trx)
    assert :ok = Task.await(task, 60_000)
    assert one(db, "SELECT a FROM t") == 3
  end

  test "a single transaction may be begun otherwise", %{db: db, other: other} do
    trx = begin(db, mode: :immediate)
    assert err(other, "UPDATE t SET a = 2").code == :busy
    {:ok, _, db} = EctoLibSql.handle_rollback([], trx)
    reader = begin(db, mode: :read)
    assert err(reader, "UPDATE t SET a = 2").code == :readonly
  end

  test "with transaction_mode" do
    for mode <- [:immediate, :exclusive] do
      assert {:bad_argument, message} = refused(database: tmp_path(), transaction_mode: mode)

      assert message =~ ":mvcc" and message =~ inspect(mode)
    end

    db = open(tmp_path(), mvcc: true, transaction_mode: :read)
    trx = begin(db)
    assert err(trx, "CREATE TABLE u (a)").code == :readonly
    open(tmp_path(), mvcc: true, transaction_mode: :deferred)

    # As ever.
    path = tmp_path()
    trx = begin(open(path, mvcc: false))
    assert err(open(path, busy_timeout: 0), "CREATE TABLE u (a)").code == :busy
    {:ok, _, _} = EctoLibSql.handle_rollback([], trx)
  end

  test "files and settings that cannot have it" do
    for mode <- [:delete, :truncate, :persist, :memory, :off] do
      assert {:bad_argument, message} = refused(database: tmp_path(), journal_mode: mode)
      assert message =~ "journal_mode: :wal, not #{inspect(mode)}"
    end

    for memory <- [":memory:", "file:mvcc?mode=memory&cache=shared", "file::memory:"] do
      assert {:setting, message} = refused(database: memory)
      assert message =~ "in memory"
    end

    assert {:setting, message} = refused(database: tmp_path(), pragmas: [locking_mode: :exclusive])

    assert message =~ "locking_mode is exclusive"

    assert {:setting, message} = refused(database: tmp_path(), pragmas: [journal_mode: :truncate])

    assert message =~ "main does not have them: its journal_mode is truncate"

    hook = fn state -> EctoLibSql.run(state, "PRAGMA journal_mode = persist") end
    assert {:setting, message} = refused(database: tmp_path(), on_connect: hook)
    assert message =~ "persist"
  end

  test "a file in another mode that cannot be changed" do
    path = tmp_path()
    db = open(path, journal_mode: :delete)
    q(db, "CREATE TABLE t (a)")
    :ok = EctoLibSql.close(db)
    assert {:setting, message} = refused(database: path, read_only: true)
    assert message =~ "journal_mode is delete"
    # One that may is changed.
    assert one(open(path, mvcc: true), "PRAGMA journal_mode") == "wal"
  end

  test "attached databases have to be so too" do
    open(tmp_path(), mvcc: true, attach: [{~s(a "b"), tmp_path()}])
    assert {:setting, message} = refused(database: tmp_path(), attach: [far: ":memory:"])
    assert message =~ "database far"
  end

  test "what is refused is closed", %{path: path, db: db, other: other} do
    for _ <- 1..3, do: refused(database: path, pragmas: [locking_mode: :exclusive])
    for state <- [db, other], do: assert_usable(state)
    for state <- [db, other], do: :ok = EctoLibSql.close(state)
    eventually(fn -> not File.exists?(path <> "-wal") end)
    assert {:ok, again} = Native.begin(open(path))
    assert {:ok, _} = Native.rollback(again)
  end
end
