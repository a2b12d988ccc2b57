# make demo: every place of GeoNames in a local database, and what one can ask of it.
#
#     demo/demo.exs CITIES_JSON DATABASE

Code.require_file("screen.exs", __DIR__)

defmodule Demo do
  alias EctoLibSql.Demo.Screen
  alias EctoLibSql.{Native, Result}

  @chunk 2_000

  def main([json, path]) do
    for suffix <- ["", "-wal", "-shm"], do: File.rm(path <> suffix)
    info = EctoLibSql.core_info()

    Screen.title("EctoLibSql: #{info.engine} #{info.engine_version}, from Elixir, by a core in C")
    {:ok, state} = EctoLibSql.connect(database: path)

    places = load(state, json)
    index(state)
    largest_countries(state)
    names_that_match(state)
    places_in_a_box(state)
    readers_beside_a_writer(state, path)
    cursor_over_everything(state, places)
    interrupt(state)
    the_end(state, path)
  end

  ## Loading

  # The JSON is taken apart by the engine itself: a cursor over json_each reads it a piece at a time.
  defp load(state, json) do
    Screen.section("Loading the cities of GeoNames, in one transaction")

    run(state, """
    CREATE TABLE place (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL,
      country TEXT NOT NULL,
      lat REAL NOT NULL CHECK (lat BETWEEN -90 AND 90),
      lng REAL NOT NULL CHECK (lng BETWEEN -180 AND 180)
    ) STRICT
    """)

    {:ok, source} = EctoLibSql.connect(database: ":memory:")
    text = File.read!(json)
    total = value(source, "SELECT json_array_length(?1)", [text])

    {took, :ok} =
      timed(fn ->
        {:ok, state} = Native.begin(state, behavior: :immediate)

        {:ok, query, cursor, source} =
          EctoLibSql.handle_declare(
            %EctoLibSql.Query{
              statement: """
              SELECT key + 1, value ->> 'name', value ->> 'country',
                     CAST(value ->> 'lat' AS REAL), CAST(value ->> 'lng' AS REAL)
              FROM json_each(?1)
              """
            },
            [text],
            [],
            source
          )

        copy(source, query, cursor, state, total, 0)
        {:ok, _} = Native.commit(state)
        :ok
      end)

    EctoLibSql.disconnect(nil, source)
    Screen.done("#{Screen.number(total)} places", took)
    total
  end

  defp copy(source, query, cursor, state, total, done) do
    {more, %Result{rows: rows}, source} = fetch(source, query, cursor)

    {:ok, _} =
      EctoLibSql.execute_many(
        state,
        "INSERT INTO place (id, name, country, lat, lng) VALUES (?1, ?2, ?3, ?4, ?5)",
        rows
      )

    done = done + length(rows)
    Screen.progress(done, total)
    if more == :cont, do: copy(source, query, cursor, state, total, done), else: :ok
  end

  defp fetch(state, query, cursor) do
    {more, result, state} = EctoLibSql.handle_fetch(query, cursor, [max_rows: @chunk], state)
    {more, result, state}
  end

  defp index(state) do
    Screen.section("Three indexes over them")

    step(state, "by country", "CREATE INDEX place_country ON place (country, name)")

    step(state, "R*Tree, for boxes on the map", """
    CREATE VIRTUAL TABLE place_box USING rtree(id, min_lat, max_lat, min_lng, max_lng);
    INSERT INTO place_box SELECT id, lat, lat, lng, lng FROM place;
    """)

    step(state, "full text, for names", """
    CREATE VIRTUAL TABLE place_name USING fts5(name, content = 'place', content_rowid = 'id',
                                               tokenize = 'unicode61 remove_diacritics 2');
    INSERT INTO place_name (place_name) VALUES ('rebuild');
    """)
  end

  defp step(state, name, sql) do
    {took, {:ok, _}} = timed(fn -> Native.execute_batch_sql(state, sql) end)
    Screen.done(name, took)
  end

  ## Asking

  defp largest_countries(state) do
    question(state, "Which countries have the most places?", """
    SELECT country, count(*) AS places,
           printf('%.1f %%', 100.0 * count(*) / (SELECT count(*) FROM place)) AS share
    FROM place GROUP BY country ORDER BY places DESC LIMIT 5
    """)
  end

  defp names_that_match(state) do
    question(
      state,
      "Places called something like \"san jose\", wherever the accents are",
      """
      SELECT p.name, p.country, round(p.lat, 2) AS lat, round(p.lng, 2) AS lng
      FROM place_name n JOIN place p ON p.id = n.rowid
      WHERE place_name MATCH ?1 ORDER BY rank, p.id LIMIT 5
      """,
      ["san jose*"]
    )
  end

  defp places_in_a_box(state) do
    question(
      state,
      "Places within half a degree of Zürich",
      """
      SELECT p.name, p.country, round(p.lat, 3) AS lat, round(p.lng, 3) AS lng
      FROM place_box b JOIN place p ON p.id = b.id
      WHERE b.min_lat >= :south AND b.max_lat <= :north AND b.min_lng >= :west AND b.max_lng <= :east
      ORDER BY (p.lat - 47.3769) * (p.lat - 47.3769) + (p.lng - 8.5417) * (p.lng - 8.5417) LIMIT 5
      """,
      south: 46.8769,
      north: 47.8769,
      west: 8.0417,
      east: 9.0417
    )
  end

  defp question(state, title, sql, params \\ []) do
    Screen.section(title)
    {took, result} = timed(fn -> query(state, sql, params) end)
    Screen.table(result.columns, result.rows)
    Screen.done("#{result.num_rows} rows", took)
  end

  ## Working at once

  @readers 4
  @reads 5_000

  defp readers_beside_a_writer(state, path) do
    Screen.section("#{@readers} processes read, while one writes")
    run(state, "CREATE TABLE visit (place INTEGER NOT NULL, at INTEGER NOT NULL) STRICT")
    writer = Task.async(fn -> write_until_told(path) end)

    {took, _} =
      timed(fn ->
        1..@readers
        |> Enum.map(&Task.async(fn -> read(path, &1) end))
        |> Task.await_many(:infinity)
      end)

    send(writer.pid, :stop)
    written = Task.await(writer, :infinity)
    reads = @readers * @reads

    Screen.fact(
      "#{Screen.number(reads)} point reads, #{Screen.number(round(reads / (took / 1.0e6)))} a second"
    )

    Screen.fact("#{Screen.number(written)} transactions written meanwhile, none refused")
    Screen.done("#{@readers} readers, 1 writer", took)
  end

  defp read(path, seed) do
    {:ok, state} = EctoLibSql.connect(database: path)
    :rand.seed(:exsss, {seed, 0, 0})

    for _ <- 1..@reads do
      %Result{rows: [[_, _]]} =
        query(state, "SELECT name, country FROM place WHERE id = ?1", [:rand.uniform(170_000)])
    end

    EctoLibSql.disconnect(nil, state)
  end

  defp write_until_told(path) do
    {:ok, state} = EctoLibSql.connect(database: path)
    written = write(state, 0)
    EctoLibSql.disconnect(nil, state)
    written
  end

  defp write(state, n) do
    receive do
      :stop -> n
    after
      0 ->
        run(state, "INSERT INTO visit VALUES (?1, ?2)", [rem(n, 170_000) + 1, n])
        write(state, n + 1)
    end
  end

  defp cursor_over_everything(state, places) do
    Screen.section("A cursor over everything, in constant memory")

    {:ok, query, cursor, state} =
      EctoLibSql.handle_declare(
        %EctoLibSql.Query{
          statement: "SELECT a.*, b.* FROM place a, (SELECT 1 UNION ALL SELECT 2) b"
        },
        [],
        [],
        state
      )

    {took, {rows, heap}} = timed(fn -> drain(state, query, cursor, 0, 0) end)
    true = rows == 2 * places

    Screen.fact(
      "#{Screen.number(rows)} rows of 6 columns; this process never held more than #{Screen.bytes(heap)}"
    )

    Screen.done("cursor", took)
  end

  defp drain(state, query, cursor, rows, heap) do
    {more, result, state} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 500], state)
    {:memory, memory} = Process.info(self(), :memory)
    rows = rows + length(result.rows)
    heap = max(heap, memory)
    if more == :cont, do: drain(state, query, cursor, rows, heap), else: {rows, heap}
  end

  defp interrupt(state) do
    Screen.section("A query that would take hours, interrupted after 100 ms")
    me = self()

    spawn_link(fn ->
      Process.sleep(100)
      send(me, :interrupted)
      EctoLibSql.interrupt_connection(state)
    end)

    {took, {:error, error, _}} =
      timed(fn ->
        EctoLibSql.query(
          state,
          "SELECT count(*) FROM place a, place b, place c WHERE a.lat + b.lng > c.lat",
          []
        )
      end)

    Screen.fact("it answered #{inspect(error.code)}: #{Exception.message(error)}")
    Screen.fact("and the connection goes on: 1 + 1 = #{value(state, "SELECT 1 + 1")}")
    Screen.done("from the start of the query", took)
  end

  defp the_end(state, path) do
    :ok = EctoLibSql.disconnect(nil, state)
    Screen.title("The database is #{path}, #{Screen.bytes(File.stat!(path).size)}")
    IO.puts("  Data: GeoNames, geonames.org, CC BY 4.0\n")
  end

  ## Small things

  defp query(state, sql, params) do
    case EctoLibSql.query(state, sql, params) do
      {:ok, _query, result, _state} -> result
      {:error, error, _state} -> raise error
    end
  end

  defp run(state, sql, params \\ []), do: query(state, sql, params)

  defp value(state, sql, params \\ []) do
    %Result{rows: [[value]]} = query(state, sql, params)
    value
  end

  defp timed(fun), do: :timer.tc(fun)
end

Demo.main(System.argv())
