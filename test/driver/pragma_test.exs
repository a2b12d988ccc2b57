defmodule EctoLibSql.Driver.PragmaTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Pragma, Result}

  setup do
    db = open(tmp_path())
    q(db, "CREATE TABLE p(id INTEGER PRIMARY KEY)")

    q(
      db,
      "CREATE TABLE t(id INTEGER PRIMARY KEY, p REFERENCES p, b TEXT NOT NULL DEFAULT 'x', g AS (id + 1))"
    )

    q(db, "CREATE UNIQUE INDEX t_b_index ON t(b)")
    {:ok, db: db}
  end

  defp rows({:ok, %Result{command: :pragma, rows: rows}}), do: rows

  test "query runs any", %{db: db} do
    assert {:ok, %Result{command: :pragma, columns: ["user_version"], rows: [[0]], num_rows: 1}} =
             Pragma.query(db, "PRAGMA user_version")

    assert {:ok, %Result{columns: [], rows: []}} = Pragma.query(db, "PRAGMA user_version = 5")
    assert rows(Pragma.query(db, "PRAGMA main.user_version")) == [[5]]
    assert {:error, %Error{code: :sql}} = Pragma.query(db, "PRAGMA")
  end

  test "foreign keys", %{db: db} do
    assert rows(Pragma.foreign_keys(db)) == [[1]]
    assert :ok = Pragma.disable_foreign_keys(db)
    assert rows(Pragma.foreign_keys(db)) == [[0]]
    q(db, "INSERT INTO t(p) VALUES (99)")
    assert [["t", 1, "p", 0]] = rows(Pragma.foreign_key_check(db))
    assert :ok = Pragma.enable_foreign_keys(db)
    assert rows(Pragma.foreign_keys(db)) == [[1]]

    {:ok, trx} = EctoLibSql.Native.begin(db)

    # The engine would pass it over in silence.
    for fun <- [&Pragma.enable_foreign_keys/1, &Pragma.disable_foreign_keys/1] do
      assert {:error, %Error{code: :in_transaction}} = fun.(trx)
    end

    {:ok, _} = EctoLibSql.Native.rollback(trx)
  end

  test "journal mode", %{db: db} do
    assert rows(Pragma.journal_mode(db)) == [["wal"]]

    for mode <- [:delete, :truncate, :persist, :memory, :off, :wal] do
      assert rows(Pragma.set_journal_mode(db, mode)) == [[to_string(mode)]]
      assert rows(Pragma.journal_mode(db)) == [[to_string(mode)]]
      q(db, "INSERT INTO p VALUES (NULL)")
      assert EctoLibSql.stats(db).wal == (mode == :wal)
    end

    for wrong <- [:wall, "wal", nil] do
      assert_raise FunctionClauseError, fn -> Pragma.set_journal_mode(db, wrong) end
    end
  end

  test "synchronous", %{db: db} do
    for {level, n} <- [{:off, 0}, {:normal, 1}, {:full, 2}, {:extra, 3}, {0, 0}, {3, 3}] do
      assert {:ok, %Result{}} = Pragma.set_synchronous(db, level)
      assert rows(Pragma.synchronous(db)) == [[n]]
    end

    for wrong <- [4, -1, :most, "full"] do
      assert_raise FunctionClauseError, fn -> Pragma.set_synchronous(db, wrong) end
    end
  end

  test "cache size", %{db: db} do
    assert rows(Pragma.set_cache_size(db, megabytes: 64)) == [[-65_536]]
    assert rows(Pragma.set_cache_size(db, kilobytes: 100)) == [[-100]]
    assert rows(Pragma.set_cache_size(db, pages: 50)) == [[50]]
    assert rows(Pragma.cache_size(db)) == [[50]]

    for wrong <- [[pages: 0], [pages: -1], [megabytes: 1.5], [], [pages: 1, kilobytes: 2]] do
      assert_raise FunctionClauseError, fn -> Pragma.set_cache_size(db, wrong) end
    end
  end

  test "what a table is made of", %{db: db} do
    expected = [
      [0, "id", "INTEGER", 0, nil, 1],
      [1, "p", "", 0, nil, 0],
      [2, "b", "TEXT", 1, "'x'", 0]
    ]

    for name <- [:t, "t", "main.t"], do: assert(rows(Pragma.table_info(db, name)) == expected)
    assert [_, _, _, [3, "g", "", 0, nil, 0, 2]] = rows(Pragma.table_xinfo(db, :t))
    assert rows(Pragma.table_info(db, "no_such_table")) == []

    assert {:ok, %Result{columns: ["cid", "name", "type", "notnull", "dflt_value", "pk"]}} =
             Pragma.table_info(db, "t")

    assert [[0, "t_b_index", 1, "c", 0]] = rows(Pragma.index_list(db, :t))
    assert [[0, 2, "b"]] = rows(Pragma.index_info(db, :t_b_index))
    assert [[0, 0, "p", "p", nil | _]] = rows(Pragma.foreign_key_list(db, :t))
    assert ["p", "t"] -- Enum.map(rows(Pragma.table_list(db)), &Enum.at(&1, 1)) == []
    assert [[0, "main", file]] = rows(Pragma.database_list(db))
    assert File.exists?(file)
  end

  test "of another database", %{db: db} do
    q(db, "ATTACH ':memory:' AS other")
    q(db, "CREATE TABLE other.u(x, y)")
    assert [[0, "x" | _], [1, "y" | _]] = rows(Pragma.table_info(db, "other.u"))
    assert rows(Pragma.table_info(db, "main.u")) == []
    assert [[0, "main", _], [2, "other", ""]] = rows(Pragma.database_list(db))
  end

  test "names that are none are refused before any SQL", %{db: db} do
    for name <- ["", "a b", "t; DROP TABLE t", "1a", "t)", "\"t\"", "ä", "t\n", :"a-b"],
        fun <- [
          &Pragma.table_info/2,
          &Pragma.index_list/2,
          &Pragma.index_info/2,
          &Pragma.foreign_key_list/2
        ] do
      assert {:error, {:invalid_identifier, ^name}} = fun.(db, name)
    end

    assert rows(Pragma.table_info(db, "t")) != []
  end

  test "user version", %{db: db} do
    for n <- [0, 1, -1, 2_147_483_647, -2_147_483_648] do
      assert {:ok, %Result{}} = Pragma.set_user_version(db, n)
      assert rows(Pragma.user_version(db)) == [[n]]
    end

    assert_raise FunctionClauseError, fn -> Pragma.set_user_version(db, "1") end
  end

  test "care", %{db: db} do
    assert rows(Pragma.integrity_check(db)) == [["ok"]]
    assert rows(Pragma.quick_check(db)) == [["ok"]]
    assert {:ok, %Result{}} = Pragma.optimize(db)
  end

  test "checkpoint and cacheflush", %{db: db} do
    q(db, "INSERT INTO p VALUES (1)")
    assert {:ok, %{log: log, checkpointed: log}} = EctoLibSql.checkpoint(db)
    assert log > 0

    for mode <- [:passive, :full, :restart],
        do: assert({:ok, %{}} = Pragma.wal_checkpoint(db, mode))

    assert {:ok, %{log: 0, checkpointed: 0}} = Pragma.wal_checkpoint(db, :truncate)
    [[_, _, file]] = rows(Pragma.database_list(db))
    assert File.stat!(file <> "-wal").size == 0

    {:ok, trx} = EctoLibSql.Native.begin(db)
    q(trx, "INSERT INTO p VALUES (2)")
    assert File.stat!(file <> "-wal").size == 0
    assert :ok = EctoLibSql.cacheflush(trx)
    assert File.stat!(file <> "-wal").size > 0
    assert {:error, %Error{code: :locked}} = EctoLibSql.checkpoint(trx, :full)
    {:ok, _} = EctoLibSql.Native.rollback(trx)
    assert all(db, "SELECT * FROM p") == [[1]]
    assert :ok = EctoLibSql.cacheflush(db)

    memory = open()
    assert {:ok, %{log: -1, checkpointed: -1}} = EctoLibSql.checkpoint(memory)
  end

  test "a checkpoint that must wait for a reader is busy", %{db: db} do
    [[_, _, file]] = rows(Pragma.database_list(db))
    q(db, "INSERT INTO p VALUES (1)")
    {:ok, reader} = EctoLibSql.Native.begin(open(file), behavior: :read)
    q(db, "INSERT INTO p VALUES (2)")
    EctoLibSql.set_busy_timeout(db, 20)
    assert {:error, %Error{code: :busy}} = EctoLibSql.checkpoint(db, :truncate)
    {:ok, _} = EctoLibSql.Native.commit(reader)
    assert {:ok, %{log: 0}} = EctoLibSql.checkpoint(db, :truncate)
  end
end
