# How long a scheduler stands still while a query runs for six seconds on a connection, its other
# statements are dropped, and garbage is collected: the largest gap that tickers of 5 ms see. Beside it,
# the same without anything to drop.
#
#     make bench

defmodule Ticker do
  alias EctoLibSql.Native

  @endless "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
  @query_ms 6_000

  def main do
    control = largest_gap(fn _db -> List.duplicate(nil, 200) end)
    gap = largest_gap(&statements/1)

    IO.puts("""

    A query of #{div(@query_ms, 1000)} s, 800 statements dropped meanwhile: the largest gap of a 5 ms
    ticker was #{gap} ms, and #{control} ms with nothing to drop.
    """)
  end

  defp largest_gap(make) do
    {:ok, db} = EctoLibSql.connect(database: ":memory:")
    {:ok, _, _, db} = EctoLibSql.query(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    droppers = for _ <- 1..4, do: start_dropper(make, db)
    query = Task.async(fn -> EctoLibSql.query(db, @endless, [], timeout: @query_ms) end)
    tickers = for _ <- 1..(2 * System.schedulers_online()), do: Task.async(&tick/0)
    for dropper <- droppers, do: send(dropper.pid, :drop)
    {:error, %{code: :timeout}, _} = Task.await(query, :infinity)
    for ticker <- tickers, do: send(ticker.pid, :stop)
    gaps = Task.await_many(tickers)
    Task.await_many(droppers)
    EctoLibSql.close(db)
    div(Enum.max(gaps), 1000)
  end

  # Cursors that are half read, over statements of their own.
  defp statements(db) do
    for i <- 1..200 do
      sql = "SELECT a, b, #{i} FROM t UNION SELECT 1, 2, 3 UNION SELECT 4, 5, 6"
      {:ok, query, cursor, db} = EctoLibSql.handle_declare(sql, [], [], db)
      {:cont, _, _} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 1], db)
      {:ok, stmt} = Native.prepare(db, sql)
      {cursor, stmt}
    end
  end

  # One after another, and a collection after each.
  defp start_dropper(make, db) do
    parent = self()

    task =
      Task.async(fn ->
        things = make.(db)
        send(parent, :made)
        receive do: (:drop -> drop(things))
      end)

    receive do: (:made -> task)
  end

  defp drop([]), do: :ok

  defp drop([_ | rest]) do
    :erlang.garbage_collect()
    Process.sleep(10)
    drop(rest)
  end

  defp tick(last \\ System.monotonic_time(:microsecond), largest \\ 0) do
    receive do
      :stop -> largest
    after
      5 ->
        now = System.monotonic_time(:microsecond)
        tick(now, max(largest, now - last))
    end
  end
end

Ticker.main()
