defmodule EctoLibSql.EventsTest do
  # The events of EctoLibSql.Telemetry, but those that have tests of their own.
  use EctoLibSql.Case, async: true

  import ExUnit.CaptureLog

  alias EctoLibSql.{Error, Native, Query}

  @names [:connect, :disconnect, :query, :transaction, :savepoint, :busy, :timeout]

  # By database: other tests run meanwhile. :busy and :timeout know none, and come in the caller's process.
  def forward([_, name], measurements, metadata, {test, path}) do
    mine? = if name in [:busy, :timeout], do: self() == test, else: metadata.database == path
    if mine?, do: send(test, {name, measurements, metadata})
  end

  defp attach(path) do
    id = make_ref()
    events = for name <- @names, do: [:ecto_libsql, name]
    :telemetry.attach_many(id, events, &__MODULE__.forward/4, {self(), path})
    on_exit(fn -> :telemetry.detach(id) end)
  end

  setup do
    path = tmp_path()
    attach(path)
    %{path: path}
  end

  defp pool(path, opts \\ []) do
    opts = Keyword.merge([database: path, pool_size: 1, events: :all], opts)
    start_supervised!(DBConnection.child_spec(EctoLibSql, opts), id: make_ref())
  end

  defp run(conn, sql, params \\ [], opts \\ []),
    do: DBConnection.execute(conn, %Query{statement: sql}, params, opts)

  defp seen(name) do
    receive do
      {^name, measurements, metadata} -> [{measurements, metadata} | seen(name)]
    after
      0 -> []
    end
  end

  test "each statement, with its times and how it was run", %{path: path} do
    pool = pool(path)
    {:ok, _, _} = run(pool, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    assert_received {:connect, %{duration: _}, %{result: :ok, mode: :local}}
    assert [{times, create}] = seen(:query)
    assert %{command: :create, prepared: false, fast: false, shared: false, result: :ok} = create
    assert create.statement == "CREATE TABLE t (a INTEGER PRIMARY KEY, b)"
    assert times.rows == 0 and times.turn_time == 0
    assert times.duration >= times.execute_time + times.decode_time and times.execute_time > 0
    refute Map.has_key?(times, :queue_time)

    {:ok, _, _} = run(pool, "INSERT INTO t (b) VALUES (1), (2)")
    {:ok, _, _} = run(pool, "INSERT INTO t (b) VALUES (1), (2)")
    assert [{%{rows: 2}, %{prepared: false}}, {%{rows: 2}, %{prepared: true}}] = seen(:query)

    # The fast path is earned by short runs, for which checked code needs patience.
    eventually(fn ->
      {:ok, _, %{rows: [[1]]}} = run(pool, "SELECT b FROM t WHERE a = ?1", [1])
      [{%{rows: 1}, select}] = seen(:query)
      assert select.command == :select and not select.in_transaction
      select.fast and select.prepared
    end)

    assert {:ok, _, %{types: ["INTEGER"], rows: [[1]]}} =
             run(pool, "SELECT a FROM t WHERE a = 1", [], declared_types: true)

    assert [{%{rows: 1}, _}] = seen(:query)
    assert {:error, %Error{code: :sql}} = run(pool, "SELEC")
    assert [{%{rows: 0}, %{result: :sql, command: nil, prepared: nil, fast: nil}}] = seen(:query)
    assert {:error, %Error{code: :parameters}} = run(pool, "SELECT ?1", [self()])
    assert [{_, %{result: :parameters}}] = seen(:query)
    assert seen(:transaction) == []
  end

  test "of a driver's own connection, too, with a prepared statement", %{path: path} do
    {:ok, db} = EctoLibSql.connect(database: path, events: :all)
    {:ok, _, _, db} = EctoLibSql.query(db, "SELECT 1")
    {:ok, stmt} = Native.prepare(db, "SELECT 2")
    {:ok, _, %{rows: [[2]]}, db} = EctoLibSql.query(db, stmt)
    assert [{_, %{statement: "SELECT 1", prepared: false}}, {_, second}] = seen(:query)
    assert %{statement: nil, prepared: true, command: :select} = second
    EctoLibSql.close(db)
  end

  test "without the option there are none", %{path: path} do
    pool = pool(path, events: :rare)
    {:ok, _} = DBConnection.transaction(pool, &run(&1, "SELECT 1"))
    assert seen(:query) ++ seen(:transaction) == []
    assert Process.get({EctoLibSql.Telemetry, :waited}) == nil
  end

  test "how long a statement waited for its turn", %{path: path} do
    pool = pool(path)
    {:ok, _, _} = run(pool, "CREATE TABLE t (a)")
    {:ok, other} = EctoLibSql.connect(database: path)
    {:ok, other} = Native.begin(other, behavior: :immediate)
    test = self()
    seen(:query)

    spawn_link(fn ->
      Process.sleep(50)
      {:ok, _} = Native.commit(other)
      send(test, :committed)
    end)

    {:ok, _, _} = run(pool, "INSERT INTO t VALUES (1)")
    assert [{times, %{result: :ok}}] = seen(:query)
    assert times.turn_time >= System.convert_time_unit(20, :millisecond, :native)
    assert times.turn_time <= times.execute_time
    assert [{%{duration: waited}, %{result: :ok}}] = seen(:busy)
    assert waited == times.turn_time
    assert Process.get({EctoLibSql.Telemetry, :waited}) == nil
    assert_receive :committed
    {:ok, _, _} = run(pool, "INSERT INTO t VALUES (1)")
    assert [{%{turn_time: 0}, _}] = seen(:query)
  end

  test "transactions, however they end", %{path: path} do
    pool = pool(path)
    {:ok, _, _} = run(pool, "CREATE TABLE t (a)")
    seen(:query)

    {:ok, _} =
      DBConnection.transaction(pool, fn conn ->
        Process.sleep(10)
        run(conn, "INSERT INTO t VALUES (1)")
      end)

    assert [{%{duration: time, turn_time: 0}, %{mode: :immediate, result: :commit}}] =
             seen(:transaction)

    assert time >= System.convert_time_unit(10, :millisecond, :native)
    assert [{_, %{in_transaction: true}}] = seen(:query)

    {:error, :no} = DBConnection.transaction(pool, &DBConnection.rollback(&1, :no), mode: :read)
    assert [{_, %{mode: :read, result: :rollback}}] = seen(:transaction)

    {:ok, _, _} = run(pool, "CREATE TABLE p (id INTEGER PRIMARY KEY)")

    {:ok, _, _} = run(pool, "CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")

    assert_raise Error, fn ->
      DBConnection.transaction(pool, &run(&1, "INSERT INTO c VALUES (1)"))
    end

    assert [{_, %{result: :constraint}}] = seen(:transaction)

    capture_log(fn ->
      {pid, ref} =
        spawn_monitor(fn ->
          DBConnection.transaction(pool, fn _conn -> Process.exit(self(), :kill) end)
        end)

      assert_receive {:DOWN, ^ref, _, ^pid, _}, 5000
      assert_receive {:transaction, _, %{result: :disconnect}}, 5000
      assert_receive {:disconnect, %{duration: _}, %{reason: :error}}, 5000
    end)

    assert {:ok, _, _} = run(pool, "SELECT 1")
  end

  test "savepoints", %{path: path} do
    {:ok, db} = EctoLibSql.connect(database: path, events: :all)
    {:ok, _, db} = EctoLibSql.handle_begin([], db)
    {:ok, _, db} = EctoLibSql.handle_begin([mode: :savepoint], db)
    {:ok, _, db} = EctoLibSql.handle_commit([mode: :savepoint], db)
    {:ok, _, db} = EctoLibSql.handle_begin([mode: :savepoint], db)
    {:ok, _, db} = EctoLibSql.handle_rollback([mode: :savepoint], db)
    {:ok, _, db} = EctoLibSql.handle_commit([], db)

    assert [:begin, :commit, :begin, :rollback] =
             for({%{duration: _}, %{result: :ok, operation: op}} <- seen(:savepoint), do: op)

    assert [{_, %{result: :commit}}] = seen(:transaction)
    # Nothing is open any more: that is an answer, and no event of a transaction.
    assert {:idle, db} = EctoLibSql.handle_commit([], db)
    assert seen(:transaction) == []
    EctoLibSql.close(db)
  end

  test "pieces of a stream", %{path: path} do
    pool = pool(path)
    {:ok, _, _} = run(pool, "CREATE TABLE t (a)")
    {:ok, _, _} = run(pool, "INSERT INTO t VALUES (1), (2), (3)")
    seen(:query)

    DBConnection.transaction(pool, fn conn ->
      stream = DBConnection.stream(conn, %Query{statement: "SELECT a FROM t"}, [], max_rows: 2)
      assert length(Enum.to_list(stream)) == 2
    end)

    assert [{%{rows: 2} = times, %{command: :fetch, result: :ok}}, {%{rows: 1}, _}] = seen(:query)
    refute Map.has_key?(times, :decode_time)
  end

  test "time-outs", %{path: path} do
    pool = pool(path, events: :rare)

    endless =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

    assert {:error, %Error{code: :timeout}} = run(pool, endless, [], timeout: 300)
    assert [{%{count: 1}, %{operation: :execute}}] = seen(:timeout)
  end

  test "a connection that cannot be opened", %{path: path} do
    assert {:error, _} = EctoLibSql.connect(database: path, create: false)
    assert [{%{duration: _}, %{result: :cannot_open}}] = seen(:connect)
  end
end
