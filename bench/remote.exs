# Servers: what this library makes of them, beside the least that the exchange needs. Part of `make bench`.
#
#     bench/remote.exs [ROUNDS]
#
#   * 256 processes that read by key in a loop, beside wrk with the same bytes over as many connections as the library
#     has, right before and right after it, and at its best of 8 to 256; without wrk, the rate alone
#   * one read: through the library, and by libcurl alone (bench/http.c)
#   * a 10 MB answer to rows of Elixir, from a server that has it ready: MB of JSON a second, the network included
#   * how many requests a transaction of ten statements is, as a batch

defmodule Bench.Remote do
  @seconds 3
  @processes 256
  # LSQI_HTTP_AT_ONCE: requests to one server under way, each on a connection.
  @at_once 32
  @sql "SELECT id, name, price FROM item WHERE id = ?"

  def main(args) do
    rounds = args |> List.first("3") |> String.to_integer()

    case System.cmd(Path.expand("../tools/sqld", __DIR__), [], stderr_to_stdout: true) do
      {program, 0} -> with_server(String.trim(program), rounds)
      {why, _} -> IO.puts("remote: skipped (#{String.trim(why)})")
    end

    decoding(rounds)
    requests_of_a_batch()
  end

  ## A server

  @watch ~S"""
  "$0" "$@" >/dev/null 2>&1 &
  server=$!
  read -r _
  kill "$server"
  wait "$server"
  """

  defp with_server(program, rounds) do
    folder = Path.join(System.tmp_dir!(), "bench_remote_#{System.pid()}")
    port = free_port()
    address = "127.0.0.1:#{port}"
    args = ["-c", @watch, program, "-d", folder, "--http-listen-addr", address, "--no-welcome"]
    server = Port.open({:spawn_executable, "/bin/sh"}, [:binary, :exit_status, args: args])

    try do
      url = "http://" <> address
      {:ok, db} = EctoLibSql.connect(uri: url, retry_time: 15_000)

      {:ok, _, _, _} =
        EctoLibSql.query(
          db,
          "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL)",
          []
        )

      rows = for i <- 1..1000, do: [i, "item #{i}", i / 7]
      {:ok, _} = EctoLibSql.execute_many(db, "INSERT INTO item VALUES (?, ?, ?)", rows)
      many(url, rounds)
      one_by_one(url, db)
    after
      Port.command(server, "\n")
      receive do: ({^server, {:exit_status, _}} -> :ok)
      File.rm_rf!(folder)
    end
  end

  ## Many at once

  defp many(url, rounds) do
    ways = %{"http" => url, "ws" => String.replace_prefix(url, "http", "ws")}

    figures =
      for _ <- 1..rounds do
        before = wrk(url, [@at_once])
        http = rate(ways["http"])
        beside = before && (before + wrk(url, [@at_once])) / 2
        best = wrk(url, [8, 128, 256])
        %{http: http, ws: rate(ways["ws"]), beside: beside, best: best && max(best, beside)}
      end

    IO.puts(
      "#{@processes} processes, reads a second: #{middle(figures, :http)} over HTTP, " <>
        "#{middle(figures, :ws)} over a WebSocket"
    )

    if hd(figures).beside do
      IO.puts(
        "  wrk over as many connections, #{@at_once}: #{middle(figures, :beside)}; ours over HTTP is " <>
          "#{percent(figures, :beside)} of it"
      )

      IO.puts(
        "  wrk, its best of 8 to 256 connections: #{middle(figures, :best)}; ours over HTTP is " <>
          "#{percent(figures, :best)} of it"
      )
    else
      IO.puts("  (wrk is not here to compare with)")
    end
  end

  defp middle(figures, key), do: round(median(Enum.map(figures, & &1[key])))

  defp percent(figures, key) do
    ratios = for f <- figures, do: round(100 * f.http / f[key])
    "#{median(ratios)} % (#{Enum.min(ratios)} to #{Enum.max(ratios)})"
  end

  defp rate(url) do
    dbs = for _ <- 1..@processes, do: elem({:ok, _} = EctoLibSql.connect(uri: url), 1)
    until = System.monotonic_time(:millisecond) + @seconds * 1000
    start = System.monotonic_time(:microsecond)
    tasks = for db <- dbs, do: Task.async(fn -> reads(db, until, 0) end)
    count = tasks |> Task.await_many(:infinity) |> Enum.sum()
    took = System.monotonic_time(:microsecond) - start
    for db <- dbs, do: EctoLibSql.close(db, wait: false)
    count * 1_000_000 / took
  end

  defp reads(db, until, count) do
    if System.monotonic_time(:millisecond) < until do
      {:ok, _, %{num_rows: 1}, _} = EctoLibSql.query(db, @sql, [rem(count, 1000) + 1])
      reads(db, until, count + 1)
    else
      count
    end
  end

  # What the library sends for one of those reads.
  @body ~S({"baton":null,"requests":[{"type":"execute","stmt":{"sql":"SELECT id, name, price FROM item WHERE id = ?",) <>
          ~S("args":[{"type":"integer","value":"500"}],"want_rows":true}},{"type":"close"}]})

  # Its best rate.
  defp wrk(url, connections) do
    if System.find_executable("wrk") do
      script = Path.join(System.tmp_dir!(), "bench_remote_#{System.pid()}.lua")

      lua =
        ~s(wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[#{@body}]]\n)

      File.write!(script, lua)
      best = for n <- connections, do: wrk(url, script, n)
      File.rm!(script)
      Enum.max(best)
    end
  end

  defp wrk(url, script, connections) do
    args = ["-t2", "-c#{connections}", "-d#{@seconds}s", "-s", script, url <> "/v3/pipeline"]
    {out, 0} = System.cmd("wrk", args)
    [rate] = Regex.run(~r/Requests\/sec:\s+([\d.]+)/, out, capture: :all_but_first)
    String.to_float(rate)
  end

  ## One after another

  defp one_by_one(url, db) do
    times =
      for i <- 1..2000,
          do:
            elem(
              :timer.tc(fn -> {:ok, _, _, _} = EctoLibSql.query(db, @sql, [rem(i, 1000) + 1]) end),
              0
            )

    IO.puts("one read, median: #{median(times)} µs through EctoLibSql.query/3")
    program = Path.expand("../build/release/bench/http", __DIR__)

    if File.exists?(program) do
      {out, 0} = System.cmd(program, [url <> "/v3/pipeline", @body, "1000"], stderr_to_stdout: true)
      IO.puts("  of libcurl alone, and of the library's loop in C:\n" <> indented(out))
    end
  end

  defp indented(text), do: text |> String.trim() |> String.replace(~r/^/m, "    ")

  ## Decoding

  defp decoding(rounds) do
    body = answer()
    url = serve(body)
    {:ok, db} = EctoLibSql.connect(uri: url, pool_index: 1)

    times =
      for _ <- 1..(rounds * 3) do
        {took, {:ok, _, %{num_rows: rows}, _}} =
          :timer.tc(fn -> EctoLibSql.query(db, "SELECT 1", []) end)

        true = rows > 10_000
        :erlang.garbage_collect()
        took
      end

    mb = byte_size(body) / 1_000_000

    IO.puts(
      "an answer of #{Float.round(mb, 1)} MB to rows: #{round(mb / (median(times) / 1_000_000))} MB of JSON a second, with the way over the network"
    )
  end

  defp answer do
    row = fn i ->
      ~s([{"type":"integer","value":"#{i}"},{"type":"text","value":"the name of item number #{i}"},) <>
        ~s({"type":"float","value":#{i / 7}},{"type":"null"}])
    end

    rows = Enum.map_intersperse(1..65_000, ",", row)

    cols =
      ~s([{"name":"id","decltype":null},{"name":"name","decltype":null},{"name":"price","decltype":null},{"name":"x","decltype":null}])

    IO.iodata_to_binary([
      ~s({"baton":null,"base_url":null,"results":[{"type":"ok","response":{"type":"execute","result":{"cols":),
      cols,
      ~s(,"rows":[),
      rows,
      ~s(],"affected_row_count":0,"last_insert_rowid":null}}},),
      ~s({"type":"ok","response":{"type":"close"}}]})
    ])
  end

  # A server that has but this answer.
  defp serve(body) do
    {:ok, listener} =
      :gen_tcp.listen(0, [
        :binary,
        active: false,
        ip: {127, 0, 0, 1},
        packet: :raw,
        sndbuf: 1_000_000
      ])

    {:ok, port} = :inet.port(listener)

    head =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: #{byte_size(body)}\r\n\r\n"

    spawn_link(fn -> accept(listener, [head, body]) end)
    "http://127.0.0.1:#{port}"
  end

  defp accept(listener, answer) do
    {:ok, socket} = :gen_tcp.accept(listener)
    answer_all(socket, answer)
    accept(listener, answer)
  end

  defp answer_all(socket, answer) do
    with {:ok, data} <- :gen_tcp.recv(socket, 0, 10_000),
         true <- String.contains?(data, "\r\n\r\n") do
      :ok = :gen_tcp.send(socket, answer)
      answer_all(socket, answer)
    end
  end

  ## Requests

  defp requests_of_a_batch do
    counter = :counters.new(1, [])

    ok =
      ~s({"type":"ok","response":{"type":"batch","result":{"step_results":[#{steps()}],"step_errors":[#{nulls()}]}}})

    body =
      ~s({"baton":null,"base_url":null,"results":[#{ok},{"type":"ok","response":{"type":"close"}}]})

    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)

    head =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: #{byte_size(body)}\r\n\r\n"

    spawn_link(fn ->
      {:ok, socket} = :gen_tcp.accept(listener)
      count(socket, counter, head <> body)
    end)

    {:ok, db} = EctoLibSql.connect(uri: "http://127.0.0.1:#{port}", pool_index: 1)
    items = for i <- 1..10, do: {"UPDATE item SET price = 0 WHERE id = ?", [i]}
    {:ok, _} = EctoLibSql.Native.batch_transactional(db, items)
    IO.puts("a transaction of ten statements as a batch: #{:counters.get(counter, 1)} request")
  end

  defp steps do
    one = ~s({"cols":[],"rows":[],"affected_row_count":1,"last_insert_rowid":null})
    Enum.join(List.duplicate(one, 12) ++ ["null"], ",")
  end

  defp nulls, do: Enum.join(List.duplicate("null", 13), ",")

  defp count(socket, counter, answer) do
    with {:ok, data} <- :gen_tcp.recv(socket, 0, 10_000) do
      if String.contains?(data, "POST "), do: :counters.add(counter, 1, 1)
      if String.ends_with?(data, "]}"), do: :gen_tcp.send(socket, answer)
      count(socket, counter, answer)
    end
  end

  defp median(list) do
    sorted = Enum.sort(list)
    Enum.at(sorted, div(length(sorted), 2))
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end
end

Bench.Remote.main(System.argv())
