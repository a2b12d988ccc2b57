defmodule EctoLibSql.Driver.SchemaTest do
  # What a schema is changed to is seen by the very next call, by whomever it was changed: never the
  # columns of before, on no path.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Result}

  @python? EctoLibSql.DriverHelpers.python?()

  # {SQL that changes the schema, the columns of SELECT * FROM s.t afterwards, its one row}
  @changes [
    {"ALTER TABLE s.t ADD COLUMN c DEFAULT 'new'", ["a", "b", "c"], [1, 2, "new"]},
    {"ALTER TABLE s.t RENAME COLUMN b TO z", ["a", "z"], [1, 2]},
    {"ALTER TABLE s.t DROP COLUMN a", ["b"], [2]},
    {"DROP TABLE s.t; CREATE TABLE s.t(b, a); INSERT INTO s.t VALUES (8, 9)", ["b", "a"], [8, 9]},
    {"ALTER TABLE s.t RENAME TO old; CREATE VIEW s.t AS SELECT a + 1 AS x FROM old", ["x"], [2]},
    {"CREATE INDEX s.i ON t(a)", ["a", "b"], [1, 2]}
  ]

  # Every way to read the table. Each answers {columns, rows}.
  defp readers(db, schema) do
    sql = "SELECT * FROM #{schema}.t"
    {:ok, stmt} = Native.prepare(db, sql)
    {:ok, one_stmt} = Native.prepare(db, sql)
    pair = fn %Result{columns: columns, rows: rows} -> {columns, rows} end

    [
      query: fn -> pair.(q(db, sql)) end,
      again: fn -> for(_ <- 1..10, do: pair.(q(db, sql))) |> Enum.uniq() |> single() end,
      prepared: fn ->
        {:ok, result} = Native.query_stmt(db, stmt, [])
        pair.(result)
      end,
      columns: fn ->
        {:ok, columns} = EctoLibSql.get_statement_columns(db, one_stmt)
        {:ok, row} = EctoLibSql.query_one(db, one_stmt)
        {Enum.map(columns, & &1.name), [row]}
      end,
      handle_execute: fn ->
        {:ok, _, result, _} = EctoLibSql.handle_execute(sql, [], [], db)
        pair.(result)
      end,
      execute_many: fn ->
        {:ok, result} = EctoLibSql.execute_many(db, sql, [[]])
        pair.(result)
      end,
      batch: fn ->
        {:ok, [result]} = Native.batch(db, [{sql, []}])
        pair.(result)
      end,
      batch_sql: fn ->
        {:ok, [map]} = Native.execute_batch_sql(db, sql)
        {map["columns"], map["rows"]}
      end,
      cursor: fn ->
        {:ok, _, cursor, _} = EctoLibSql.handle_declare(sql, [], [], db)
        {:halt, result, _} = EctoLibSql.handle_fetch("", cursor, [], db)
        pair.(result)
      end
    ]
  end

  defp single([one]), do: one
  defp single(many), do: many

  # Reads on every path often enough for the cache and the fast path, changes, and reads again.
  defp check(db, schema, change) do
    for {sql, columns, row} <- @changes do
      setup_table(db, schema)
      readers = readers(db, schema)
      for _ <- 1..6, {_name, read} <- readers, do: assert({["a", "b"], [[1, 2]]} = read.())
      change.(sql)

      # Each path is to be the first to see it once.
      for {name, read} <- Enum.shuffle(readers) do
        assert {sql, name, read.()} == {sql, name, {columns, [row]}}
      end
    end
  end

  defp setup_table(db, schema) do
    assert {:ok, _} =
             Native.execute_batch_sql(db, """
             DROP VIEW IF EXISTS #{schema}.tv;
             #{drop(db, schema, "t")};
             #{drop(db, schema, "old")};
             CREATE TABLE #{schema}.t(a, b);
             INSERT INTO #{schema}.t VALUES (1, 2);
             """)
  end

  defp drop(db, schema, name) do
    case all(db, "SELECT type FROM #{schema}.sqlite_schema WHERE name = ?", [name]) do
      [[type]] -> "DROP #{type} #{schema}.#{name}"
      [] -> ""
    end
  end

  defp in_schema(sql, schema), do: String.replace(sql, "s.", schema)

  setup do: {:ok, path: tmp_path()}

  test "changed on the same connection", %{path: path} do
    db = open(path)
    check(db, "main", fn sql -> Native.execute_batch_sql(db, in_schema(sql, "main.")) |> done() end)
  end

  test "changed on the same connection, in memory" do
    db = open()
    check(db, "main", fn sql -> Native.execute_batch_sql(db, in_schema(sql, "main.")) |> done() end)
  end

  test "changed by another connection", %{path: path} do
    other = open(path)
    db = open(path)

    check(db, "main", fn sql ->
      Native.execute_batch_sql(other, in_schema(sql, "main.")) |> done()
    end)
  end

  test "changed by another connection, without statement cache or fast path", %{path: path} do
    other = open(path)

    for opts <- [[statement_cache: 0], [fast_path: false], [statement_cache: 1]] do
      db = open(path, opts)

      check(db, "main", fn sql ->
        Native.execute_batch_sql(other, in_schema(sql, "main.")) |> done()
      end)
    end
  end

  test "changed by another connection, in a rollback journal mode", %{path: path} do
    [other, db] = [open(path, journal_mode: :delete), open(path, journal_mode: :delete)]

    check(db, "main", fn sql ->
      Native.execute_batch_sql(other, in_schema(sql, "main.")) |> done()
    end)
  end

  @tag skip: not @python?
  test "changed by another process of the system", %{path: path} do
    db = open(path)
    check(db, "main", fn sql -> python_sql!(path, in_schema(sql, "main.")) end)
  end

  test "changed inside a transaction, and rolled back", %{path: path} do
    db = open(path)

    check(db, "main", fn sql ->
      {:ok, trx} = Native.begin(db)
      done(Native.execute_batch_sql(trx, in_schema(sql, "main.")))
      {:ok, _} = Native.commit(trx)
    end)

    for {sql, columns, row} <- @changes do
      setup_table(db, "main")
      readers = readers(db, "main")
      for _ <- 1..6, {_, read} <- readers, do: read.()
      {:ok, trx} = Native.begin(db)
      done(Native.execute_batch_sql(trx, in_schema(sql, "main.")))

      for {name, read} <- Enum.shuffle(readers),
          do: assert({sql, name, read.()} == {sql, name, {columns, [row]}})

      {:ok, _} = Native.rollback(trx)

      for {name, read} <- Enum.shuffle(readers),
          do: assert({sql, name, read.()} == {sql, name, {["a", "b"], [[1, 2]]}})
    end
  end

  test "changed to a savepoint and back", %{path: path} do
    db = open(path)
    setup_table(db, "main")
    readers = readers(db, "main")
    {:ok, trx} = Native.begin(db)
    :ok = Native.create_savepoint(trx, "s")
    q(trx, "ALTER TABLE t ADD COLUMN c")

    for {name, read} <- readers,
        do: assert({name, read.()} == {name, {["a", "b", "c"], [[1, 2, nil]]}})

    :ok = Native.rollback_to_savepoint_by_name(trx, "s")
    for {name, read} <- readers, do: assert({name, read.()} == {name, {["a", "b"], [[1, 2]]}})
    {:ok, _} = Native.commit(trx)
  end

  test "changed by another connection, unseen by a snapshot", %{path: path} do
    other = open(path)
    db = open(path)
    setup_table(db, "main")
    readers = readers(db, "main")
    for _ <- 1..6, {_, read} <- readers, do: read.()
    {:ok, trx} = Native.begin(db, behavior: :read)
    q(other, "ALTER TABLE t ADD COLUMN c")
    for {name, read} <- readers, do: assert({name, read.()} == {name, {["a", "b"], [[1, 2]]}})
    {:ok, _} = Native.commit(trx)

    for {name, read} <- readers,
        do: assert({name, read.()} == {name, {["a", "b", "c"], [[1, 2, nil]]}})
  end

  test "changed in an attached database, by this connection and by another", %{path: path} do
    db = open(path)
    file = tmp_path("attached.db")
    q(db, "ATTACH ? AS other", [file])

    check(db, "other", fn sql ->
      Native.execute_batch_sql(db, in_schema(sql, "other.")) |> done()
    end)

    second = open(file)

    check(db, "other", fn sql ->
      Native.execute_batch_sql(second, in_schema(sql, "main.")) |> done()
    end)
  end

  test "a database attached in place of another", %{path: path} do
    db = open(path)

    [one, two] =
      for {n, columns} <- [{1, "a"}, {2, "x, y"}] do
        file = tmp_path("attached#{n}.db")
        other = open(file)
        q(other, "CREATE TABLE t(#{columns})")
        file
      end

    {:ok, columns} =
      Enum.reduce(1..4, {:ok, nil}, fn n, _ ->
        q(db, "ATTACH ? AS other", [if(rem(n, 2) == 1, do: one, else: two)])
        expected = if rem(n, 2) == 1, do: ["a"], else: ["x", "y"]
        for _ <- 1..6, do: assert(%Result{columns: ^expected} = q(db, "SELECT * FROM other.t"))
        q(db, "DETACH other")
        assert %Error{code: :sql} = err(db, "SELECT * FROM other.t")
        {:ok, expected}
      end)

    assert columns == ["x", "y"]
  end

  test "a temporary table in front of another", %{path: path} do
    db = open(path)
    q(db, "CREATE TABLE t(a)")
    for _ <- 1..6, do: assert(%Result{columns: ["a"]} = q(db, "SELECT * FROM t"))
    q(db, "CREATE TEMP TABLE t(temporary)")
    assert %Result{columns: ["temporary"]} = q(db, "SELECT * FROM t")
    q(db, "DROP TABLE temp.t")
    assert %Result{columns: ["a"]} = q(db, "SELECT * FROM t")
  end

  test "a table that is gone is an error each time, and works when it is back", %{path: path} do
    [db, other] = [open(path), open(path)]
    setup_table(db, "main")
    readers = readers(db, "main")
    for _ <- 1..6, {_, read} <- readers, do: read.()
    q(other, "DROP TABLE t")
    {:ok, stmt} = Native.prepare(other, "SELECT 1")

    for _ <- 1..3 do
      assert %Error{code: :sql, message: message} = err(db, "SELECT * FROM main.t")
      assert message =~ "no such table"
    end

    assert {:ok, _} = Native.query_stmt(other, stmt, [])
    q(other, "CREATE TABLE t(x)")
    q(other, "INSERT INTO t VALUES (5)")
    for {name, read} <- readers, do: assert({name, read.()} == {name, {["x"], [[5]]}})
  end

  test "what a write does follows the schema too: triggers, defaults, constraints", %{path: path} do
    [db, other] = [open(path), open(path)]
    q(db, "CREATE TABLE t(a)")
    q(db, "CREATE TABLE log(a)")
    for _ <- 1..6, do: q(db, "INSERT INTO t VALUES (1)")
    {:ok, stmt} = Native.prepare(db, "INSERT INTO t VALUES (1)")
    {:ok, 1} = Native.execute_stmt(db, stmt, "", [])
    assert {:ok, false} = EctoLibSql.statement_readonly?(db, stmt)

    q(other, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END")
    q(db, "INSERT INTO t VALUES (1)")
    assert {:ok, 1} = Native.execute_stmt(db, stmt, "", [])
    assert one(db, "SELECT count(*) FROM log") == 2

    q(other, "DROP TABLE t")
    q(other, "CREATE TABLE t(a CHECK (a > 1))")
    assert %Error{code: :constraint} = err(db, "INSERT INTO t VALUES (1)")
    assert {:error, %Error{code: :constraint}} = Native.execute_stmt(db, stmt, "", [])
  end

  test "a text is judged by the schema as it is, not as it was", %{path: path} do
    [db, other] = [open(path), open(path)]
    attached = tmp_path("attached.db")
    q(db, "ATTACH ? AS x", [attached])
    [main_changes, x_changes] = [other, open(attached)]

    for {schema, changer} <- [{"main", main_changes}, {"x", x_changes}] do
      q(changer, "CREATE TABLE t(a)")
      assert all(db, "SELECT * FROM #{schema}.t") == []
      q(changer, "ALTER TABLE t ADD COLUMN b")
      q(db, "INSERT INTO #{schema}.t VALUES (1, 2)")
      q(changer, "DROP TABLE t")
      q(changer, "CREATE VIEW t AS SELECT 1 AS x")
      assert all(db, "SELECT x FROM #{schema}.t") == [[1]]
      q(changer, "DROP VIEW t")
      q(changer, "CREATE TABLE t(a)")
      q(db, "CREATE INDEX #{schema}.i ON t(a)")
      q(changer, "DROP TABLE t")
      q(changer, "CREATE TABLE t(a, b, c)")
      assert {:ok, stmt} = Native.prepare(db, "INSERT INTO #{schema}.t VALUES (1, 2, 3)")
      assert {:ok, 1} = Native.execute_stmt(db, stmt, "", [])
      # And inside a transaction that has not read yet.
      {:ok, trx} = Native.begin(db)
      q(changer, "ALTER TABLE t ADD COLUMN d")
      q(trx, "INSERT INTO #{schema}.t VALUES (1, 2, 3, 4)")
      {:ok, _} = Native.commit(trx)
    end
  end

  defp done(answer), do: assert({:ok, _} = answer)
end
