defmodule EctoLibSql.Test.TlsFront do
  @moduledoc """
  TLS before a server that has none, with an authority of its own: each front makes one.

      front = TlsFront.start!(to: sqld.port)
      front.url                                     #=> "https://localhost:23917"
      front.ca_file                                 # the authority, PEM
      front.client_cert, front.client_key           # a client's, by the same authority, PEM

  Options:

    * `:to` - the server's port on 127.0.0.1
    * `:names` - whom the certificate names; `["localhost", {127, 0, 0, 1}]`
    * `:expired` - `true`: the certificate's time is over
    * `:client_cert` - `true`: only clients with a certificate of the authority
    * `:silent` - `true`: takes connections and never says a word of TLS
    * `:versions` - as `:ssl` takes them

  It ends with the test.
  """

  use GenServer, restart: :temporary

  defstruct [:pid, :port, :url, :ca_file, :client_cert, :client_key]

  def start!(opts) do
    spec = Supervisor.child_spec({__MODULE__, opts}, id: make_ref())
    ExUnit.Callbacks.start_supervised!(spec) |> GenServer.call(:info)
  end

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @doc "How many connections were made, and how many of them got through the handshake."
  def counts(%__MODULE__{pid: pid}), do: GenServer.call(pid, :counts)

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)
    %{server_config: server, client_config: client} = certificates(opts)

    dir = Path.join(System.tmp_dir!(), "ecto_libsql-tls-#{System.pid()}-#{unique()}")
    File.mkdir_p!(dir)

    {:ok, listener} = :ssl.listen(EctoLibSql.Test.Sqld.free_port(), options(server, opts))
    {:ok, {_, port}} = :ssl.sockname(listener)

    info = %__MODULE__{
      pid: self(),
      port: port,
      url: "https://localhost:#{port}",
      # The server's authority is among what the client trusts.
      ca_file: write(dir, "ca.pem", for(der <- client[:cacerts], do: {:Certificate, der})),
      client_cert: write(dir, "client.pem", certificate_chain(client)),
      client_key: write(dir, "client.key", [client[:key]])
    }

    counters = :counters.new(2, [])
    front = self()
    to = Keyword.fetch!(opts, :to)
    silent = opts[:silent] == true

    spawn_link(fn ->
      accept(listener, %{front: front, to: to, silent: silent, counters: counters})
    end)

    {:ok, %{info: info, dir: dir, listener: listener, counters: counters}}
  end

  @impl true
  def handle_call(:info, _from, state), do: {:reply, state.info, state}

  def handle_call(:counts, _from, state) do
    %{counters: counters} = state
    counts = %{connections: :counters.get(counters, 1), handshakes: :counters.get(counters, 2)}
    {:reply, counts, state}
  end

  @impl true
  def handle_info(_exit, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    :ssl.close(state.listener)
    File.rm_rf(state.dir)
  end

  ## Certificates: OTP makes chains for tests

  defp certificates(opts) do
    names = Keyword.get(opts, :names, ["localhost", {127, 0, 0, 1}])
    # OTP's own choice of a digest is one that OpenSSL takes for too weak.
    sort = [key: {:namedCurve, :secp256r1}, digest: :sha256]
    peer = sort ++ [extensions: [alternative_names(names)]] ++ validity(opts)
    chain = fn peer -> %{root: sort, intermediates: [], peer: peer} end
    :public_key.pkix_test_data(%{server_chain: chain.(peer), client_chain: chain.(sort)})
  end

  defp validity(opts) do
    if opts[:expired], do: [validity: {{2020, 1, 1}, {2020, 1, 2}}], else: []
  end

  defp alternative_names(names) do
    values =
      for name <- names do
        case name do
          {a, b, c, d} -> {:iPAddress, <<a, b, c, d>>}
          name -> {:dNSName, to_charlist(name)}
        end
      end

    {:Extension, {2, 5, 29, 17}, false, values}
  end

  defp certificate_chain(config), do: [{:Certificate, config[:cert]}]

  defp write(dir, name, entries) do
    path = Path.join(dir, name)
    pem = for {type, der} <- entries, do: {type, der, :not_encrypted}
    File.write!(path, :public_key.pem_encode(pem))
    path
  end

  defp options(server, opts) do
    verify = if opts[:client_cert], do: [verify: :verify_peer, fail_if_no_peer_cert: true], else: []

    versions = if versions = opts[:versions], do: [versions: versions], else: []

    socket = [ip: {127, 0, 0, 1}, active: false, reuseaddr: true, nodelay: true, backlog: 1024]

    [:binary, log_level: :none] ++
      Keyword.take(server, [:cert, :key, :cacerts]) ++ socket ++ verify ++ versions
  end

  ## Connections

  defp accept(listener, shared) do
    with {:ok, socket} <- :ssl.transport_accept(listener) do
      :counters.add(shared.counters, 1, 1)
      pid = spawn(fn -> connection(shared) end)
      :ok = :ssl.controlling_process(socket, pid)
      send(pid, {:go, socket})
      accept(listener, shared)
    end
  end

  defp connection(shared) do
    Process.link(shared.front)

    receive do
      {:go, _socket} when shared.silent -> Process.sleep(:infinity)
      {:go, socket} -> handshake(socket, shared)
    end
  end

  defp handshake(socket, shared) do
    with {:ok, client} <- :ssl.handshake(socket, 10_000),
         :counters.add(shared.counters, 2, 1),
         {:ok, server} <- :gen_tcp.connect({127, 0, 0, 1}, shared.to, [:binary, active: :once]) do
      :ssl.setopts(client, active: :once)
      relay(client, server)
    end
  end

  defp relay(client, server) do
    receive do
      {:ssl, _, data} ->
        :gen_tcp.send(server, data)
        :ssl.setopts(client, active: :once)
        relay(client, server)

      {:tcp, _, data} ->
        :ssl.send(client, data)
        :inet.setopts(server, active: :once)
        relay(client, server)

      _closed_or_broken ->
        :ssl.close(client)
        :gen_tcp.close(server)
    end
  end

  defp unique, do: System.unique_integer([:positive])
end
