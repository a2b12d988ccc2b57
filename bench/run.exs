# The figures of the README: the driver beside the plain C loop and, where it is given, exqlite, all
# on the same engine, in turns, as the median of several rounds.
#
#     make bench                                    the driver and the floor
#     EXQLITE_PATH=/path/to/exqlite make bench      and exqlite (its C file is compiled with our engine)
#     ROUNDS=3 make bench                           fewer rounds than 7

defmodule Bench do
  @rows 100_000
  @point_reads 50_000
  @join_tables 10
  @batch 100

  alias EctoLibSql.NIF

  @fast 1
  @point "SELECT id, name, score, note, flag FROM item WHERE id = ?1"
  @scan "SELECT id, name, score, note, flag FROM item"
  @insert "INSERT INTO sink VALUES (?1, ?2, ?3, ?4, ?5)"

  def main do
    dir = Path.join(System.tmp_dir!(), "ecto_libsql_bench_#{System.pid()}")
    File.mkdir_p!(dir)

    try do
      path = Path.join(dir, "bench.db")
      prepare_database(path)
      rounds = String.to_integer(System.get_env("ROUNDS", "7"))
      IO.puts(heading(rounds))
      rows = for {name, unit, works} <- works(path), do: {name, unit, measure(works, rounds)}
      print(rows)
      cursor(path)
    after
      File.rm_rf!(dir)
    end
  end

  defp heading(rounds) do
    info = EctoLibSql.NIF.core_info()

    peer =
      if exqlite?(),
        do: "exqlite on the same engine",
        else: "exqlite is not on this machine (set EXQLITE_PATH): compared with the floor only"

    "Engine #{info.engine} #{info.engine_version}, Elixir #{System.version()}, " <>
      "OTP #{System.otp_release()}, #{System.schedulers_online()} schedulers, " <>
      "median of #{rounds} rounds\nFloor: a plain C loop. Peer: #{peer}.\n"
  end

  ## Data

  defp prepare_database(path) do
    {:ok, conn} = open(path)

    sql!(
      conn,
      "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, score REAL, note TEXT, flag INTEGER)"
    )

    sql!(
      conn,
      "CREATE TABLE sink (id INTEGER PRIMARY KEY, name TEXT, score REAL, note TEXT, flag INTEGER)"
    )

    run(conn, :execute_many, [nil, String.replace(@insert, "sink", "item"), rows(), 0, 0])

    for i <- 1..@join_tables do
      sql!(conn, "CREATE TABLE j#{i} (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")
      sql!(conn, "CREATE INDEX j#{i}_a ON j#{i} (a)")
      sql!(conn, "INSERT INTO j#{i} VALUES (1, 1, 'x'), (2, 2, 'y')")
    end

    close(conn)
  end

  defp rows do
    for i <- 1..@rows, do: [i, "name of item #{i}", i * 0.5, nil, rem(i, 2)]
  end

  ## Works: {name, unit, [{who, function that answers ns for one operation}]}

  defp works(path) do
    rows = rows()

    [
      {"point read, 5 columns", :op,
       [
         floor: fn -> floor("point", path, @point_reads) end,
         driver: fn -> with_driver(path, true, &driver_point/1) end,
         "driver, EctoLibSql.query": fn -> with_state(path, &query_point/1) end,
         "driver, no fast path": fn -> with_driver(path, false, &driver_point/1) end,
         exqlite: fn -> with_exqlite(path, &exqlite_point/1) end
       ]},
      {"reading #{@rows} rows of 5 columns", :row,
       [
         floor: fn -> floor("scan", path, @rows) end,
         driver: fn -> with_driver(path, true, &driver_scan/1) end,
         exqlite: fn -> with_exqlite(path, &exqlite_scan/1) end
       ]},
      {"inserting #{@rows} rows, one transaction", :row,
       [
         floor: fn -> floor("insert", path, @rows) end,
         driver: fn -> with_driver(path, true, &driver_insert(&1, rows)) end,
         exqlite: fn -> with_exqlite(path, &exqlite_insert(&1, rows)) end
       ]},
      {"#{@batch} inserts in a transaction", :op,
       [
         "one batch": fn -> with_state(path, &in_batches/1) end,
         "one query each": fn -> with_state(path, &one_by_one/1) end
       ]},
      {"join of #{@join_tables} tables", :op,
       [
         cached: fn -> with_driver(path, true, &driver_join(&1)) end,
         "prepared each time": fn -> with_driver(path, true, &driver_join(&1), 0) end
       ]}
    ]
  end

  ## The driver

  defp open(path, fast? \\ true, cache \\ 256) do
    config = %{
      path: path,
      flags: 0,
      vfs: nil,
      busy_timeout: 5000,
      settings: [{"journal_mode", "wal"}, {"synchronous", "normal"}, {"foreign_keys", "on"}],
      statement_cache: cache,
      fast_path: fast?,
      key: nil
    }

    EctoLibSql.Call.open(config, 0)
  end

  defp close(conn) do
    ref = make_ref()
    :ok = NIF.close(conn, self(), ref)

    receive do
      {^ref, :closed} -> :ok
    end
  end

  defp with_driver(path, fast?, fun, cache \\ 256) do
    {:ok, conn} = open(path, fast?, cache)

    try do
      fun.(conn)
    after
      close(conn)
    end
  end

  defp with_state(path, fun) do
    {:ok, state} = EctoLibSql.connect(database: path)

    try do
      fun.(state)
    after
      EctoLibSql.disconnect(nil, state)
    end
  end

  defp sql!(conn, sql, params \\ []), do: run(conn, :execute, [nil, sql, params, 0, 0])

  # As EctoLibSql.Call does, without its deadlines.
  defp run(conn, op, args) do
    case apply(NIF, op, [conn | args]) do
      {:ok, result} ->
        result

      {:later, _seen, :async} ->
        ref = make_ref()
        :ok = NIF.submit(conn, ref, op, [conn | args])

        receive do
          {^ref, {:ok, result}} -> result
          {^ref, other} -> raise "#{op}: #{inspect(other)}"
        end

      other ->
        raise "#{op}: #{inspect(other)}"
    end
  end

  defp driver_point(conn) do
    for i <- 1..1000, do: sql!(conn, @point, [i])
    time(@point_reads, fn -> driver_points(conn, @point_reads) end)
  end

  defp driver_points(_conn, 0), do: :ok

  defp driver_points(conn, n) do
    {:ok, {:select, _, [[_ | _]], 1, _, _}} =
      NIF.execute(conn, nil, @point, [rem(n, 1000) + 1], 0, @fast)

    driver_points(conn, n - 1)
  end

  defp query_point(state) do
    query_points(state, 1000)
    time(@point_reads, fn -> query_points(state, @point_reads) end)
  end

  defp query_points(_state, 0), do: :ok

  defp query_points(state, n) do
    {:ok, _, %{rows: [[_ | _]]}, _} = EctoLibSql.query(state, @point, [rem(n, 1000) + 1])
    query_points(state, n - 1)
  end

  defp driver_scan(conn) do
    run(conn, :execute, [nil, @scan, [], 0, 0])

    time(@rows, fn ->
      {_, _, rows, @rows, _, _} = run(conn, :execute, [nil, @scan, [], 0, 0])
      rows
    end)
  end

  defp driver_insert(conn, rows) do
    sql!(conn, "DELETE FROM sink")
    time(@rows, fn -> run(conn, :execute_many, [nil, @insert, rows, 0, 0]) end)
  end

  defp in_batches(state) do
    items = for i <- 1..@batch, do: {@insert, [i, "name", 0.5, nil, 1]}
    many(state, fn state -> {:ok, _} = EctoLibSql.Native.batch(state, items) end)
  end

  defp one_by_one(state) do
    rows = for i <- 1..@batch, do: [i, "name", 0.5, nil, 1]

    many(state, fn state ->
      for row <- rows, do: {:ok, _, _, _} = EctoLibSql.query(state, @insert, row)
    end)
  end

  # Rolled back each time, so that each time is the same.
  defp many(state, fun) do
    {:ok, _} = EctoLibSql.run(state, "DELETE FROM sink")

    once = fn ->
      {:ok, begun} = EctoLibSql.Native.begin(state, behavior: :immediate)
      fun.(begun)
      {:ok, _} = EctoLibSql.Native.rollback(begun)
    end

    for _ <- 1..5, do: once.()
    time(100 * @batch, fn -> for _ <- 1..100, do: once.() end)
  end

  defp join_sql do
    joins = for i <- 2..@join_tables, do: " JOIN j#{i} ON j#{i}.a = j#{i - 1}.id AND j#{i}.b <> 'z'"

    "SELECT j1.id, j#{@join_tables}.b FROM j1#{joins} WHERE j1.id = ?1"
  end

  defp driver_join(conn) do
    sql = join_sql()
    for _ <- 1..20, do: sql!(conn, sql, [1])

    time(1000, fn ->
      for _ <- 1..1000 do
        {_, _, [_], 1, _, _} = run(conn, :execute, [nil, sql, [1], 0, @fast])
      end
    end)
  end

  ## exqlite's lowest level

  @exqlite :"Elixir.Exqlite.Sqlite3NIF"

  defp exqlite?, do: Code.ensure_loaded?(@exqlite)

  defp with_exqlite(path, fun) do
    if exqlite?() do
      {:ok, db} = @exqlite.open(path, 0x2 + 0x8000)
      :ok = @exqlite.execute(db, "PRAGMA synchronous = normal")
      result = fun.(db)
      :ok = @exqlite.close(db)
      result
    end
  end

  defp exqlite_point(db) do
    {:ok, stmt} = @exqlite.prepare(db, @point)
    exqlite_points(db, stmt, 1000)
    result = time(@point_reads, fn -> exqlite_points(db, stmt, @point_reads) end)
    @exqlite.release(db, stmt)
    result
  end

  defp exqlite_points(_db, _stmt, 0), do: :ok

  defp exqlite_points(db, stmt, n) do
    @exqlite.reset(stmt)
    @exqlite.bind_integer(stmt, 1, rem(n, 1000) + 1)
    {:done, [[_ | _]]} = @exqlite.multi_step(db, stmt, 50)
    exqlite_points(db, stmt, n - 1)
  end

  defp exqlite_scan(db) do
    {:ok, stmt} = @exqlite.prepare(db, @scan)
    exqlite_fetch(db, stmt, [])
    @exqlite.reset(stmt)
    result = time(@rows, fn -> exqlite_fetch(db, stmt, []) end)
    @exqlite.release(db, stmt)
    result
  end

  defp exqlite_fetch(db, stmt, acc) do
    case @exqlite.multi_step(db, stmt, 500) do
      {:rows, rows} -> exqlite_fetch(db, stmt, [rows | acc])
      {:done, rows} -> [rows | acc] |> Enum.reverse() |> Enum.concat()
    end
  end

  defp exqlite_insert(db, rows) do
    :ok = @exqlite.execute(db, "DELETE FROM sink")
    {:ok, stmt} = @exqlite.prepare(db, @insert)

    result =
      time(@rows, fn ->
        :ok = @exqlite.execute(db, "BEGIN IMMEDIATE")

        Enum.each(rows, fn [id, name, score, _, flag] ->
          @exqlite.reset(stmt)
          @exqlite.bind_integer(stmt, 1, id)
          @exqlite.bind_text(stmt, 2, name)
          @exqlite.bind_float(stmt, 3, score)
          @exqlite.bind_null(stmt, 4)
          @exqlite.bind_integer(stmt, 5, flag)
          :done = @exqlite.step(db, stmt)
        end)

        :ok = @exqlite.execute(db, "COMMIT")
      end)

    @exqlite.release(db, stmt)
    result
  end

  ## The floor

  defp floor(work, path, count) do
    {out, 0} = System.cmd(System.fetch_env!("BENCH_FLOOR"), [work, path, "#{count}"])
    out |> String.trim() |> String.to_float()
  end

  ## A cursor over much

  defp cursor(path) do
    {:ok, conn} = open(path)

    sql =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) " <>
        "SELECT i, 'row ' || i, i * 0.5 FROM n"

    {:ok, stmt} = EctoLibSql.Call.plain(:prepare, [conn, sql])
    started = now()
    :ok = NIF.cursor_start(conn, nil, stmt, [])
    {:ok, {_, [_], 1, false}} = NIF.cursor_fetch(conn, stmt, 1, 0, 0)
    first = now() - started
    {rows, heap, native} = drain(conn, stmt, 1, 0, 0)
    took = now() - started
    close(conn)

    IO.puts("""

    Cursor over #{rows} rows: first row after #{ms(first)} ms, all after #{ms(took)} ms;
    largest process #{mb(heap)} MB, native memory at most #{mb(native)} MB.
    """)
  end

  defp drain(conn, stmt, rows, heap, native) do
    {:ok, {_, _, count, done?}} = NIF.cursor_fetch(conn, stmt, 500, 0, 0)
    {:memory, memory} = Process.info(self(), :memory)
    heap = max(heap, memory)
    native = max(native, NIF.memory().bytes)

    if done?,
      do: {rows + count, heap, native},
      else: drain(conn, stmt, rows + count, heap, native)
  end

  ## Measuring

  defp time(count, fun) do
    :erlang.garbage_collect()
    start = now()
    fun.()
    (now() - start) / count
  end

  defp now, do: System.monotonic_time(:nanosecond)

  # In turns, each in a process of its own, so that nobody inherits another's heap.
  defp measure(works, rounds) do
    runs =
      for _ <- 1..rounds, {who, fun} <- works do
        {who, fun |> Task.async() |> Task.await(:infinity)}
      end

    for {who, _} <- works,
        figures = for({^who, ns} when ns != nil <- runs, do: ns),
        figures != [] do
      {who, median(figures)}
    end
  end

  defp median(list), do: list |> Enum.sort() |> Enum.at(div(length(list), 2))

  defp print(rows) do
    IO.puts(line(["work", "who", "ns each", "× floor", "exqlite ÷"]))
    IO.puts(String.duplicate("-", 104))

    for {name, unit, figures} <- rows do
      base = figures[:floor] || figures[:cached] || figures[:"one batch"]

      for {{who, ns}, i} <- Enum.with_index(figures) do
        IO.puts(
          line([
            if(i == 0, do: "#{name} (per #{unit})", else: ""),
            to_string(who),
            :erlang.float_to_binary(ns / 1, decimals: 0),
            ratio(ns, base),
            if(figures[:exqlite] && who != :exqlite, do: ratio(figures[:exqlite], ns), else: "")
          ])
        )
      end
    end
  end

  defp line([work, who, ns, floor, peer]) do
    String.pad_trailing(work, 50) <>
      String.pad_trailing(who, 27) <>
      String.pad_leading(ns, 9) <> String.pad_leading(floor, 9) <> String.pad_leading(peer, 11)
  end

  defp ratio(a, b), do: :erlang.float_to_binary(a / b, decimals: 2)
  defp ms(ns), do: :erlang.float_to_binary(ns / 1.0e6, decimals: 1)
  defp mb(bytes), do: :erlang.float_to_binary(bytes / 1_048_576, decimals: 1)
end

Bench.main()
