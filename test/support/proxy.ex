defmodule EctoLibSql.Test.Proxy do
  @moduledoc """
  A proxy before an HTTP/1.1 server that breaks what it carries, as a script says.

      proxy = Proxy.start!(to: sqld.port)
      Proxy.next(proxy, [{:close, :answer, 17}])        # for the next exchange, once
      Proxy.next(proxy, [:black_hole], "INSERT")        # ... whose request has that text
      Proxy.always(proxy, [{:delay, 40}])               # for all others

  A request is read whole (by its Content-Length) before anything of it goes on; then its faults are chosen. An
  answer goes on as it comes. Faults of an exchange:

    * `{how, :request | :answer, n}` - n bytes of it go on, and then: `:close` both ends; `:reset` them (RST); `:stall`,
      nothing more goes on in that direction and nothing is closed; `:half_close`, the reader sees an end, the
      other direction stays. With `:answer` the server has always got the whole request and begun to answer
    * `:black_hole` - nothing goes on, nothing is closed
    * `{:reply, iodata}` - that, and the server hears nothing; `{:reply, iodata, :close}`
    * `{:replace, iodata}` - the server's answer is dropped, that goes in its place, and both ends are closed
    * `{:delay, ms}` - each way
    * `{:trickle, :request | :answer, bytes}` - so many bytes a second

  A WebSocket is carried, too: behind its upgrade each message of the client is an exchange, its text what `next/3`
  looks at, and what the server says until the client's next message is the answer.

  `http/3` makes an answer. All functions may be called from any process; it ends with the test.
  """

  use GenServer, restart: :temporary

  defstruct [:pid, :port, :url]

  @counters [:connections, :exchanges, :to_server, :to_client]

  @doc "Starts one under the test's supervisor; `:to` is the server's port on 127.0.0.1."
  def start!(opts) do
    spec = Supervisor.child_spec({__MODULE__, opts}, id: make_ref())
    ExUnit.Callbacks.start_supervised!(spec) |> GenServer.call(:info)
  end

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @doc "Faults for one exchange, the next that nothing before it in the queue takes and that has the text."
  def next(proxy, faults, text \\ ""), do: call(proxy, {:next, faults, text})

  @doc "Faults for every exchange that the queue has nothing for: a list, or a function of the request's text."
  def always(proxy, faults), do: call(proxy, {:always, faults})

  @doc "How many faults of `next/3` nothing has met yet."
  def waiting(proxy), do: call(proxy, :waiting)

  @doc "No faults any more."
  def heal(proxy), do: call(proxy, :heal)

  @doc "Closes all connections now; `:reset`: by RST."
  def drop(proxy, how \\ :close), do: call(proxy, {:drop, how})

  @doc "New connections are refused, until `listen/1`."
  def refuse(proxy), do: call(proxy, :refuse)

  @doc "Takes connections again, on the same port."
  def listen(proxy), do: call(proxy, :listen)

  @doc "How much there was: `%{connections:, exchanges:, to_server:, to_client:, open:}`; the last is what is open now."
  def counts(proxy), do: call(proxy, :counts)

  @doc "The texts of the requests so far, the oldest first."
  def requests(proxy), do: call(proxy, :requests)

  @doc "An answer of HTTP/1.1."
  def http(status, body, headers \\ [{"Content-Type", "application/json"}]) do
    lines = for {name, value} <- headers, do: [name, ": ", value, "\r\n"]
    length = Integer.to_string(IO.iodata_length(body))
    ["HTTP/1.1 #{status} Status\r\n", lines, "Content-Length: ", length, "\r\n\r\n", body]
  end

  defp call(%__MODULE__{pid: pid}, request), do: GenServer.call(pid, request)

  ## In the proxy's process: the script and the figures

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)
    {:ok, listener} = open(opts[:port] || EctoLibSql.Test.Sqld.free_port())
    {:ok, port} = :inet.port(listener)
    info = %__MODULE__{pid: self(), port: port, url: "http://127.0.0.1:#{port}"}

    state = %{
      info: info,
      to: Keyword.fetch!(opts, :to),
      listener: nil,
      queue: [],
      always: [],
      requests: [],
      counters: :counters.new(length(@counters), []),
      open: MapSet.new()
    }

    {:ok, accept(state, listener)}
  end

  defp open(port) do
    :gen_tcp.listen(port, [
      :binary,
      ip: {127, 0, 0, 1},
      active: false,
      reuseaddr: true,
      nodelay: true,
      backlog: 1024
    ])
  end

  @impl true
  def handle_call(:info, _from, state), do: {:reply, state.info, state}

  def handle_call({:next, faults, text}, _from, state),
    do: {:reply, :ok, %{state | queue: state.queue ++ [{faults, text}]}}

  def handle_call({:always, faults}, _from, state), do: {:reply, :ok, %{state | always: faults}}
  def handle_call(:waiting, _from, state), do: {:reply, length(state.queue), state}
  def handle_call(:heal, _from, state), do: {:reply, :ok, %{state | queue: [], always: []}}

  def handle_call({:drop, how}, _from, state) do
    for pid <- state.open, do: send(pid, {:drop, how})
    {:reply, :ok, state}
  end

  def handle_call(:refuse, _from, %{listener: nil} = state), do: {:reply, :ok, state}

  def handle_call(:refuse, _from, state) do
    :gen_tcp.close(state.listener)
    {:reply, :ok, %{state | listener: nil}}
  end

  def handle_call(:listen, _from, %{listener: nil} = state) do
    {:ok, listener} = open(state.info.port)
    {:reply, :ok, accept(state, listener)}
  end

  def handle_call(:listen, _from, state), do: {:reply, :ok, state}

  def handle_call(:counts, _from, state) do
    counts =
      for {name, i} <- Enum.with_index(@counters, 1), do: {name, :counters.get(state.counters, i)}

    {:reply, Map.new([{:open, MapSet.size(state.open)} | counts]), state}
  end

  def handle_call(:requests, _from, state), do: {:reply, Enum.reverse(state.requests), state}

  def handle_call({:choose, request}, _from, state) do
    state = %{state | requests: [request | state.requests]}

    case Enum.split_while(state.queue, fn {_, text} -> not String.contains?(request, text) end) do
      {before, [{faults, _} | rest]} -> {:reply, faults, %{state | queue: before ++ rest}}
      {_, []} when is_function(state.always) -> {:reply, state.always.(request), state}
      {_, []} -> {:reply, state.always, state}
    end
  end

  @impl true
  def handle_info({:accepted, pid}, state) do
    count(state.counters, :connections, 1)
    {:noreply, %{state | open: MapSet.put(state.open, pid)}}
  end

  def handle_info({:EXIT, pid, _reason}, state),
    do: {:noreply, %{state | open: MapSet.delete(state.open, pid)}}

  # The acceptor ends with its listener; each connection is a process, linked to the proxy's.
  defp accept(state, listener) do
    proxy = self()
    shared = %{proxy: proxy, to: state.to, counters: state.counters}
    spawn(fn -> accept_loop(listener, shared) end)
    %{state | listener: listener}
  end

  defp accept_loop(listener, shared) do
    with {:ok, client} <- :gen_tcp.accept(listener) do
      pid = spawn(fn -> connection(client, shared) end)
      :ok = :gen_tcp.controlling_process(client, pid)
      send(pid, :go)
      accept_loop(listener, shared)
    end
  end

  defp count(counters, name, n) do
    :counters.add(counters, Enum.find_index(@counters, &(&1 == name)) + 1, n)
  end

  ## In a connection's process

  defp connection(client, shared) do
    receive do
      :go -> :ok
    end

    Process.link(shared.proxy)
    send(shared.proxy, {:accepted, self()})

    options = [:binary, active: false, nodelay: true]

    case :gen_tcp.connect({127, 0, 0, 1}, shared.to, options, 5_000) do
      {:ok, server} -> serve(Map.merge(shared, %{client: client, server: server}))
      {:error, _} -> :gen_tcp.close(client)
    end
  catch
    # The proxy ended first.
    :error, :noproc -> :ok
  end

  defp serve(shared) do
    state =
      Map.merge(shared, %{
        given: "",
        upgraded: false,
        faults: [],
        sent: %{},
        outbox: [],
        last: %{},
        dropping: false
      })

    arm(state.client)
    arm(state.server)
    loop(state)
  end

  defp arm(socket), do: :inet.setopts(socket, active: :once)

  defp loop(state) do
    %{client: client, server: server} = state

    receive do
      {:tcp, ^client, data} ->
        state = from_client(%{state | given: state.given <> data})
        arm(client)
        loop(state)

      {:tcp, ^server, data} ->
        state = from_server(state, data)
        arm(server)
        loop(state)

      {:tcp_closed, ^server} ->
        loop(if state.dropping, do: state, else: put(state, client, {:end, :close}, 0))

      {:tcp_closed, ^client} ->
        finish(state, :close)

      {:tcp_error, _socket, _reason} ->
        finish(state, :reset)

      {:drop, how} ->
        finish(state, how)
    after
      wait(state) -> state |> flush() |> loop()
    end
  end

  # A whole request: its faults are chosen, and it goes on, as far as they let it.
  defp from_client(state) do
    case split(state) do
      {request, text, rest} ->
        count(state.counters, :exchanges, 1)
        faults = GenServer.call(state.proxy, {:choose, text}, :infinity)

        upgraded = state.upgraded or text =~ ~r/\r\nupgrade: *websocket/i

        state = %{
          state
          | given: rest,
            upgraded: upgraded,
            faults: faults,
            sent: %{},
            dropping: false
        }

        state |> exchange(request) |> from_client()

      :more ->
        state
    end
  end

  defp exchange(state, request) do
    reply = Enum.find(state.faults, &(is_tuple(&1) and elem(&1, 0) == :reply))

    cond do
      :black_hole in state.faults -> %{state | dropping: true}
      reply != nil -> reply(%{state | dropping: true}, reply)
      true -> emit(state, :request, request)
    end
  end

  defp reply(state, {:reply, answer}), do: forward(state, :answer, IO.iodata_to_binary(answer))

  defp reply(state, {:reply, answer, :close}) do
    state |> reply({:reply, answer}) |> put(state.client, {:end, :close}, delay(state))
  end

  defp from_server(%{dropping: true} = state, _data), do: state

  defp from_server(state, data) do
    case List.keyfind(tuples(state), :replace, 0) do
      {:replace, answer} -> reply(%{state | dropping: true}, {:reply, answer, :close})
      nil -> emit(state, :answer, data)
    end
  end

  # What a limit lets through, and then what it says.
  defp emit(state, direction, data) do
    case Enum.find(tuples(state), &match?({_, ^direction, _}, trickle_apart(&1))) do
      nil ->
        forward(state, direction, data)

      {how, _, limit} ->
        sent = Map.get(state.sent, direction, 0)

        if sent + byte_size(data) < limit do
          forward(state, direction, data)
        else
          state = forward(state, direction, binary_part(data, 0, max(limit - sent, 0)))
          limited(state, how, direction)
        end
    end
  end

  defp trickle_apart({:trickle, _, _}), do: nil
  defp trickle_apart(other), do: other

  # What else the server says in this exchange is dropped.
  defp limited(state, how, direction) do
    state = if direction == :answer, do: %{state | dropping: true}, else: state
    put(state, to(state, direction), {:end, how}, delay(state))
  end

  defp forward(state, _direction, ""), do: state

  defp forward(state, direction, data) do
    state = update_in(state.sent[direction], &((&1 || 0) + byte_size(data)))
    name = if direction == :request, do: :to_server, else: :to_client
    count(state.counters, name, byte_size(data))

    case List.keyfind(
           Enum.filter(tuples(state), &match?({:trickle, ^direction, _}, &1)),
           :trickle,
           0
         ) do
      nil -> put(state, to(state, direction), data, delay(state))
      {_, _, rate} -> trickle(state, to(state, direction), data, rate)
    end
  end

  # In pieces of a twentieth of a second, or of one byte.
  defp trickle(state, _socket, "", _rate), do: state

  defp trickle(state, socket, data, rate) do
    size = min(max(div(rate, 20), 1), byte_size(data))
    <<piece::binary-size(size), rest::binary>> = data
    behind = max(Map.get(state.last, socket, now()) - now(), 0)
    state |> put(socket, piece, behind + div(1000 * size, rate)) |> trickle(socket, rest, rate)
  end

  defp to(state, :request), do: state.server
  defp to(state, :answer), do: state.client

  defp tuples(state), do: Enum.filter(state.faults, &is_tuple/1)

  defp delay(state) do
    case List.keyfind(tuples(state), :delay, 0) do
      {:delay, ms} -> ms
      nil -> 0
    end
  end

  ## What waits to be written: in order for each socket, each with the time when it is due

  defp put(state, socket, what, ms) do
    due = max(now() + ms, Map.get(state.last, socket, now()))

    state = %{
      state
      | outbox: state.outbox ++ [{due, socket, what}],
        last: Map.put(state.last, socket, due)
    }

    if ms == 0, do: flush(state), else: state
  end

  defp wait(%{outbox: []}), do: :infinity
  defp wait(%{outbox: outbox}), do: max(Enum.min(for {due, _, _} <- outbox, do: due) - now(), 0)

  defp flush(state) do
    now = now()
    {due, later} = Enum.split_with(state.outbox, fn {due, _, _} -> due <= now end)
    Enum.each(due, fn {_, socket, what} -> write(state, socket, what) end)
    %{state | outbox: later}
  end

  defp write(state, _socket, {:end, how}) when how in [:close, :reset], do: finish(state, how)
  defp write(_state, _socket, {:end, :stall}), do: :ok
  defp write(_state, socket, {:end, :half_close}), do: :gen_tcp.shutdown(socket, :write)
  defp write(_state, socket, data), do: :gen_tcp.send(socket, data)

  defp finish(state, how) do
    for socket <- [state.client, state.server] do
      if how == :reset, do: :inet.setopts(socket, linger: {true, 0})
      :gen_tcp.close(socket)
    end

    exit(:normal)
  end

  defp now, do: System.monotonic_time(:millisecond)

  ## HTTP and WebSockets, as far as it takes to see where a request ends: {its bytes, its text, what is behind}

  defp split(%{upgraded: true, given: given}), do: split_messages(given, "", "")

  defp split(%{given: given}) do
    with [head, body] <- :binary.split(given, "\r\n\r\n"),
         length = content_length(head),
         <<body::binary-size(length), rest::binary>> <- body do
      request = head <> "\r\n\r\n" <> body
      {request, request, rest}
    else
      _ -> :more
    end
  end

  # What a client says without waiting in between is one exchange.
  defp split_messages(given, bytes, text) do
    case given do
      <<a, 1::1, 126::7, n::16, mask::32, body::binary-size(n), rest::binary>> ->
        split_messages(
          rest,
          bytes <> <<a, 254, n::16, mask::32>> <> body,
          text <> unmask(body, mask)
        )

      <<a, 1::1, 127::7, n::64, mask::32, body::binary-size(n), rest::binary>> ->
        split_messages(
          rest,
          bytes <> <<a, 255, n::64, mask::32>> <> body,
          text <> unmask(body, mask)
        )

      <<a, 1::1, n::7, mask::32, body::binary-size(n), rest::binary>> when n < 126 ->
        split_messages(
          rest,
          bytes <> <<a, 1::1, n::7, mask::32>> <> body,
          text <> unmask(body, mask)
        )

      rest when bytes != "" ->
        {bytes, text, rest}

      _ ->
        :more
    end
  end

  defp unmask(body, mask) do
    n = byte_size(body)
    key = binary_part(:binary.copy(<<mask::32>>, div(n, 4) + 1), 0, n)
    :crypto.exor(body, key)
  end

  defp content_length(head) do
    case Regex.run(~r/\r\ncontent-length: *(\d+)/i, head) do
      [_, digits] -> String.to_integer(digits)
      nil -> 0
    end
  end
end
