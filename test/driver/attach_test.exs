defmodule EctoLibSql.Driver.AttachTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native}

  setup do
    {:ok, path: tmp_path(), far: tmp_path("far.db")}
  end

  test "databases beside the main one, of every connection", %{path: path, far: far} do
    db = open(path, attach: [far: far, mem: ":memory:"])
    q(db, "CREATE TABLE far.t (a)")
    q(db, "CREATE TABLE mem.t (a)")

    {:ok, trx} = Native.begin(db, behavior: :immediate)
    for name <- ~w(far mem), do: q(trx, "INSERT INTO #{name}.t VALUES (1)")
    {:ok, _} = Native.rollback(trx)
    assert one(db, "SELECT (SELECT count(*) FROM far.t) + (SELECT count(*) FROM mem.t)") == 0

    {:ok, trx} = Native.begin(db, behavior: :immediate)
    for name <- ~w(far mem), do: q(trx, "INSERT INTO #{name}.t VALUES (1)")
    {:ok, _} = Native.commit(trx)
    assert all(open(far), "SELECT a FROM t") == [[1]]
    assert all(open(path, attach: [{"other name", far}]), ~s(SELECT a FROM "other name".t)) == [[1]]
  end

  test "have the settings, and a reset finds them again", %{path: path, far: far} do
    db = open(path, attach: [far: far], synchronous: :full, cache_size: -500, page_size: 8192)
    q(db, "CREATE TABLE far.t (a)")

    for _ <- 1..2 do
      assert one(db, "PRAGMA far.journal_mode") == "wal"
      assert one(db, "PRAGMA far.synchronous") == 2
      assert one(db, "PRAGMA far.cache_size") == -500
      assert one(db, "PRAGMA far.page_size") == 8192
      q(db, "PRAGMA far.synchronous = off")
      q(db, "DETACH far")
      assert %Error{code: :sql} = err(db, "SELECT * FROM far.t")
      {:ok, _} = EctoLibSql.reset_connection(db)
    end

    assert EctoLibSql.notices(db) == []
    notices = EctoLibSql.notices(open(path, attach: [m: ":memory:"]))
    assert %{name: "m.journal_mode", asked: "wal", got: "memory"} in notices
  end

  test "have the main database's key", %{path: path, far: far} do
    if EctoLibSql.core_info().encryption do
      key = "0123456789abcdef"
      db = open(path, attach: [far: far], encryption_key: key)
      q(db, "CREATE TABLE far.t (a)")
      assert {:error, %Error{code: :not_a_database}} = EctoLibSql.connect(database: far)
      assert all(open(far, encryption_key: key), "SELECT * FROM t") == []
    end
  end

  test "what is wrong is said", %{path: path, far: far} do
    for attach <- [
          :far,
          far,
          %{far: far},
          [far],
          [far: nil],
          [far: 1],
          [main: far],
          [TEMP: far],
          [{"", far}],
          [{1, far}],
          [{<<255>>, far}],
          [{"a\0b", far}],
          [{String.duplicate("a", 41), far}],
          [far: "a\0b"],
          [a: far, A: far]
        ] do
      assert {:error, %Error{code: :bad_argument, message: message}} =
               EctoLibSql.connect(database: path, attach: attach)

      assert message =~ ":attach"
    end

    refute File.exists?(path)

    assert {:error, %Error{code: :cannot_open, message: message}} =
             EctoLibSql.connect(database: path, attach: [far: "/nowhere/at/all.db"])

    assert message =~ "/nowhere/at/all.db"
    assert message =~ "far"

    assert {:error, %Error{code: :bad_argument, message: message}} =
             EctoLibSql.connect(database: path, attach: [far: path])

    assert message =~ "main"
  end

  test "one that is locked is waited for", %{path: path, far: far} do
    holder = open(far, pragmas: [locking_mode: :exclusive])
    q(holder, "CREATE TABLE t (a)")
    opts = [database: path, attach: [far: far], busy_timeout: 30]
    assert {:error, %Error{code: :busy}} = EctoLibSql.connect(opts)
    task = Task.async(fn -> EctoLibSql.connect(Keyword.put(opts, :busy_timeout, 10_000)) end)
    :ok = EctoLibSql.close(holder)
    assert {:ok, db} = Task.await(task, 60_000)
    assert all(db, "SELECT * FROM far.t") == []
    EctoLibSql.close(db)
  end

  test "the native configuration takes pairs of texts", %{path: path, far: far} do
    native = config(database: path)

    for attached <- [
          nil,
          :far,
          [far],
          [{"far"}],
          [{"far", nil}],
          [{:far, far}],
          [{"far", far} | :x]
        ] do
      assert {:error, {:bad_argument, _, message, _, _, _, _, _}} =
               EctoLibSql.Settled.open(%{native | attached: attached})

      assert message =~ "attached"
    end

    assert {:ok, _conn} = EctoLibSql.Settled.open(%{native | attached: [{"far", far}]})
  end
end
