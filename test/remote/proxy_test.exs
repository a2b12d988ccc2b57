defmodule EctoLibSql.Remote.ProxyTest do
  # The proxy of the tests, before a server that answers with what it was sent.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.Test.Proxy

  setup do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}, active: false, backlog: 100])

    {:ok, port} = :inet.port(listener)
    test = self()
    spawn_link(fn -> accept(listener, test) end)
    {:ok, proxy: Proxy.start!(to: port)}
  end

  defp accept(listener, test) do
    {:ok, socket} = :gen_tcp.accept(listener)
    pid = spawn(fn -> receive(do: (:go -> echo(socket, test, ""))) end)
    :gen_tcp.controlling_process(socket, pid)
    send(pid, :go)
    accept(listener, test)
  end

  # Tells the test of each byte's arrival and of the end; answers requests of 10 bytes of body.
  defp echo(socket, test, got) do
    case :gen_tcp.recv(socket, 0) do
      {:ok, data} ->
        echo(socket, test, answered(socket, test, got <> data))

      {:error, _} ->
        send(test, {:ended, byte_size(got)})
    end
  end

  defp answered(socket, test, got) do
    with [head, <<body::binary-size(10), rest::binary>>] <- :binary.split(got, "\r\n\r\n") do
      send(test, {:served, body, byte_size(head) + 14})
      :gen_tcp.send(socket, Proxy.http(200, body))
      answered(socket, test, rest)
    else
      _ -> got
    end
  end

  @request "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789"
  @answer IO.iodata_to_binary(Proxy.http(200, "0123456789"))

  defp dial(proxy) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, proxy.port, [:binary, active: false])
    socket
  end

  defp ask(socket, request \\ @request) do
    :gen_tcp.send(socket, request)
    receive_until(socket, "")
  end

  # {:whole | why it ended, what came}
  defp receive_until(socket, got, timeout \\ 2_000)
  defp receive_until(_socket, @answer, _timeout), do: {:whole, @answer}

  defp receive_until(socket, got, timeout) do
    case :gen_tcp.recv(socket, 0, timeout) do
      {:ok, data} -> receive_until(socket, got <> data, timeout)
      {:error, reason} -> {reason, got}
    end
  end

  test "without faults, many exchanges on one connection, counted", %{proxy: proxy} do
    socket = dial(proxy)
    for _ <- 1..5, do: assert({:whole, @answer} = ask(socket))
    counts = Proxy.counts(proxy)
    assert %{connections: 1, exchanges: 5, open: 1} = counts
    assert counts.to_server == 5 * byte_size(@request)
    assert counts.to_client == 5 * byte_size(@answer)
    assert Proxy.requests(proxy) == List.duplicate(@request, 5)
    :gen_tcp.close(socket)
    eventually(fn -> Proxy.counts(proxy).open == 0 end)
  end

  test "a request that comes in pieces, and two at once", %{proxy: proxy} do
    socket = dial(proxy)

    for <<byte <- @request>> do
      :gen_tcp.send(socket, <<byte>>)
      Process.sleep(1)
    end

    assert {:whole, _} = receive_until(socket, "")
    :gen_tcp.send(socket, [@request, @request])
    assert {:ok, both} = :gen_tcp.recv(socket, 2 * byte_size(@answer), 2_000)
    assert both == @answer <> @answer
  end

  test "cut at every byte of the request", %{proxy: proxy} do
    for n <- 0..byte_size(@request) do
      Proxy.next(proxy, [{:close, :request, n}])
      assert {:closed, ""} = ask(dial(proxy))
      # A server may get what is whole: the last byte went on before the end.
      if n == byte_size(@request), do: assert_receive({:served, _, ^n})
      rest = rem(n, byte_size(@request))
      assert_receive {:ended, ^rest}, 30_000
    end
  end

  test "cut at every byte of the answer; the server has got the request", %{proxy: proxy} do
    for n <- 0..byte_size(@answer) do
      Proxy.next(proxy, [{:close, :answer, n}])
      socket = dial(proxy)
      :gen_tcp.send(socket, @request)
      assert {_, got} = receive_until(socket, "")
      assert got == binary_part(@answer, 0, n)
      assert_receive {:served, "0123456789", _}, 30_000
      assert {:error, _} = :gen_tcp.recv(socket, 0, 2_000)
    end
  end

  test "a reset is none of an end", %{proxy: proxy} do
    Proxy.next(proxy, [{:reset, :answer, 5}])
    assert {reason, _} = ask(dial(proxy))
    assert reason in [:econnreset, :closed]
    Proxy.next(proxy, [{:reset, :request, 0}])
    socket = dial(proxy)
    :inet.setopts(socket, show_econnreset: true)
    assert {:econnreset, ""} = ask(socket)
  end

  test "a stall and a black hole keep the connection open and say nothing", %{proxy: proxy} do
    for {faults, n} <- [
          {[:black_hole], 0},
          {[{:stall, :answer, 7}], 7},
          {[{:stall, :request, 9}], 0}
        ] do
      Proxy.next(proxy, faults)
      socket = dial(proxy)
      :gen_tcp.send(socket, @request)
      assert {:timeout, got} = receive_until(socket, "", 200)
      assert byte_size(got) == n
    end
  end

  test "half closed: the reader sees an end, the other way stays", %{proxy: proxy} do
    Proxy.next(proxy, [{:half_close, :answer, 12}])
    socket = dial(proxy)
    :inet.setopts(socket, exit_on_close: false)
    assert {:closed, got} = ask(socket)
    assert byte_size(got) == 12
    assert :ok = :gen_tcp.send(socket, "more")
    assert Proxy.counts(proxy).open == 1

    Proxy.next(proxy, [{:half_close, :request, 20}])
    socket = dial(proxy)
    :gen_tcp.send(socket, @request)
    assert_receive {:ended, 20}, 30_000
  end

  test "a delay each way keeps the order", %{proxy: proxy} do
    Proxy.always(proxy, [{:delay, 60}])
    socket = dial(proxy)
    {us, {:whole, _}} = :timer.tc(fn -> ask(socket) end)
    assert us >= 120_000
    Proxy.heal(proxy)
    {us, {:whole, _}} = :timer.tc(fn -> ask(socket) end)
    assert us < 2_000_000
  end

  test "a trickle", %{proxy: proxy} do
    Proxy.next(proxy, [{:trickle, :answer, 400}])
    {us, {:whole, _}} = :timer.tc(fn -> ask(dial(proxy)) end)
    assert us >= div(1_000_000 * byte_size(@answer), 400) - 60_000
    Proxy.next(proxy, [{:trickle, :request, 400}])
    {us, {:whole, _}} = :timer.tc(fn -> ask(dial(proxy)) end)
    assert us >= div(1_000_000 * byte_size(@request), 400) - 60_000
  end

  test "an answer of its own: without the server, or in place of the server's", %{proxy: proxy} do
    busy = IO.iodata_to_binary(Proxy.http(503, "later", [{"Retry-After", "2"}]))
    socket = dial(proxy)
    Proxy.next(proxy, [{:reply, busy}])
    :gen_tcp.send(socket, @request)
    assert {:ok, ^busy} = :gen_tcp.recv(socket, byte_size(busy), 2_000)
    refute_receive {:served, _, _}, 50
    # The connection goes on.
    assert {:whole, _} = ask(socket)
    assert_receive {:served, _, _}

    Proxy.next(proxy, [{:replace, "garbage\0\xff"}])
    assert {:closed, "garbage\0\xff"} = ask(socket)
    assert_receive {:served, _, _}
  end

  test "faults for requests with a text, in their order", %{proxy: proxy} do
    Proxy.next(proxy, [{:close, :answer, 0}], "INSERT")
    Proxy.next(proxy, [{:close, :answer, 1}], "POST")
    Proxy.next(proxy, [{:close, :answer, 2}])
    assert {:closed, <<_>>} = ask(dial(proxy))
    assert {:closed, <<_, _>>} = ask(dial(proxy))
    assert {:whole, _} = ask(dial(proxy))
    assert {:closed, ""} = ask(dial(proxy), String.replace(@request, "01234567", "xxINSERT"))
    Proxy.always(proxy, fn text -> if text =~ "INSERT", do: [{:close, :request, 0}], else: [] end)
    assert {:whole, _} = ask(dial(proxy))
    assert {:closed, ""} = ask(dial(proxy), String.replace(@request, "01234567", "xxINSERT"))
  end

  test "dropped, refused and taken again", %{proxy: proxy} do
    socket = dial(proxy)
    assert {:whole, _} = ask(socket)
    Proxy.refuse(proxy)
    # What is open stays.
    assert {:whole, _} = ask(socket)
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, proxy.port, [])
    Proxy.drop(proxy)
    assert {:error, :closed} = :gen_tcp.recv(socket, 0, 2_000)
    Proxy.listen(proxy)
    assert {:whole, _} = ask(dial(proxy))
  end
end
