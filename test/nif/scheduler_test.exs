defmodule EctoLibSql.NIF.SchedulerTest do
  # Dropping handles costs a scheduler nothing, even while their connection is busy for seconds.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.Settled, as: NIF

  @query_ms 6_000
  # A scheduler that waited for the query would stand still for seconds; `make bench` shows the figure.
  @stall_ms 2_000

  @tag :slow
  @tag timeout: 60_000
  test "statements are dropped and collected while a query runs" do
    assert largest_gap(&statements/1) < @stall_ms
  end

  # Largest gap in ms between the ticks of any ticker, while a query runs for its six seconds and
  # what make gives is dropped in pieces.
  defp largest_gap(make) do
    conn = connect(tmp_path())
    execute!(conn, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    droppers = for _ <- 1..4, do: start_dropper(make, conn)
    ref = make_ref()
    args = [conn, nil, endless(), [], @query_ms, 0]
    :ok = NIF.submit(conn, ref, :execute, args)
    tickers = for _ <- 1..(2 * System.schedulers_online()), do: start_ticker()
    for {pid, _} <- droppers, do: send(pid, :drop)
    assert code(answer(ref, @query_ms + 5_000)) == :timeout
    gaps = for {pid, monitor} <- tickers, do: stop_ticker(pid, monitor)

    for {pid, monitor} <- droppers do
      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, 30_000
    end

    assert {:ok, _} = NIF.execute(conn, nil, "SELECT 1", [], 0, 0)
    close!(conn)
    Enum.max(gaps)
  end

  # Cursors that are half read, over statements of their own.
  defp statements(conn) do
    for i <- 1..200 do
      {:ok, stmt} = NIF.prepare(conn, "SELECT a, b, #{i} FROM t WHERE a > ? UNION SELECT 1, 2, 3")
      :ok = NIF.cursor_start(conn, nil, stmt, [i])
      {:ok, _} = NIF.cursor_fetch(conn, stmt, 1, 0, 0)
      stmt
    end
  end

  # A process that drops one statement after another, and collects after each.
  defp start_dropper(make, conn) do
    parent = self()

    dropper =
      spawn_monitor(fn ->
        things = make.(conn)
        send(parent, {:ready, self()})
        receive do: (:drop -> drop(things))
      end)

    {pid, _} = dropper
    assert_receive {:ready, ^pid}, 30_000
    dropper
  end

  defp drop([]), do: :ok

  defp drop([_ | rest]) do
    :erlang.garbage_collect()
    Process.sleep(10)
    drop(rest)
  end

  defp start_ticker, do: spawn_monitor(fn -> tick(System.monotonic_time(:microsecond), 0) end)

  defp tick(last, largest) do
    receive do
      {:stop, from} -> send(from, {self(), div(largest, 1000)})
    after
      5 ->
        now = System.monotonic_time(:microsecond)
        tick(now, max(largest, now - last))
    end
  end

  defp stop_ticker(pid, monitor) do
    send(pid, {:stop, self()})
    assert_receive {^pid, gap}, 30_000
    assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, 30_000
    gap
  end
end
