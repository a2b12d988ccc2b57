defmodule EctoLibSql.Remote do
  @moduledoc false
  # What connections to servers have of their own: which options, and the token.

  alias EctoLibSql.{Error, NIF}

  # Of the file or the engine, which are the server's. Given, they were meant for something.
  @files_only ~w(read_only vfs encryption_key attach extensions mvcc pragmas cache_budget cache_size mmap_size
                 temp_store page_size auto_vacuum double_quoted_strings unsafe_filesystem synchronous fullfsync
                 secure_delete wal_autocheckpoint journal_size_limit case_sensitive_like recursive_triggers)a

  @doc "Whether checked options can be had of a server."
  def check(%{uri: nil}), do: {:error, "option :uri is missing: the address of the server"}

  def check(checked) do
    with :ok <- check_address(checked), do: check_options(checked)
  end

  @doc "Whether they name servers."
  def check_address(checked) do
    case Enum.reject([checked.uri | checked.replicas], &server?/1) do
      [] -> :ok
      [uri | _] -> {:error, not_a_server(uri)}
    end
  end

  defp web_socket?(uri), do: uri =~ ~r/\Awss?:/i

  defp server?(uri), do: uri =~ ~r/\A(libsql|https?|wss?):\/\/./i

  # What stands before the first slash or question mark is no secret.
  defp not_a_server(uri) do
    "options :uri and :replicas are addresses of servers, which begin with libsql://, https://, http://, wss:// or " <>
      "ws://: not #{inspect(uri |> String.split(["?", "@"]) |> hd())}"
  end

  defp check_options(%{foreign_keys: false}),
    do: {:error, "foreign_keys: false cannot be had of a server, which enforces them"}

  defp check_options(%{journal_mode: mode}) when mode != :wal do
    {:error,
     "option :journal_mode is for local files, and of no use with a server (:uri), which has its own"}
  end

  defp check_options(checked) do
    if checked.trace_context && Enum.any?([checked.uri | checked.replicas], &web_socket?/1) do
      {:error,
       "option :trace_context is of no use with a ws:// or wss:// address: a message of a WebSocket has no place " <>
         "for a `traceparent`; take http:// or https://"}
    else
      check_files_only(checked)
    end
  end

  defp check_files_only(checked) do
    case Enum.find(
           @files_only,
           &(Map.get(checked, &1) not in [nil, false, []] and given?(checked, &1))
         ) do
      nil ->
        :ok

      name ->
        {:error, "option #{inspect(name)} is for local files, and of no use with a server (:uri)"}
    end
  end

  # What :durability implies was not asked for.
  defp given?(_checked, :synchronous), do: false

  defp given?(%{durability: :embedded}, name)
       when name in [:wal_autocheckpoint, :journal_size_limit, :temp_store],
       do: false

  defp given?(%{durability: :durable}, :fullfsync), do: false
  defp given?(_checked, _name), do: true

  @doc "What NIF.open/2 takes beside the address: asks for the token."
  def native(checked) do
    with {:ok, token} <- first_token(checked) do
      tls = checked.tls

      {:ok,
       %{
         token: token,
         namespace: checked.namespace,
         encryption_key: checked.remote_encryption_key,
         ca_file: tls[:ca_file],
         client_cert: tls[:cert_file],
         client_key: tls[:key_file],
         verify: Keyword.get(tls, :verify, true),
         proxy: checked.proxy,
         connect_timeout: checked.connect_timeout,
         first_byte_timeout: checked.first_byte_timeout,
         retry_time: if(checked.retry_time == 0, do: -1, else: checked.retry_time),
         max_response: checked.max_response_size,
         replicas: checked.replicas,
         read_replicas: checked.read_from == :replicas
       }}
    end
  end

  # A pool's connection that cannot be opened is the pool's matter: its callers would be told that there is none. Opened
  # without a token, its calls are refused, ask for one, and are told why there is none.
  defp first_token(%{auth_token: source, pooled: pooled?}) do
    case token(source) do
      {:error, _why} when pooled? -> {:ok, nil}
      answer -> answer
    end
  end

  @doc "How to get another token, to be kept with the connection; nil: there is but this one."
  def renewal(token) when is_binary(token) or token == nil, do: nil
  def renewal(source), do: source

  @doc "The server has refused the connection's token: `:ok` if there is another one now."
  def renew(conn) do
    with source when source != nil <- Map.get(NIF.kept(conn), :token),
         {:ok, token} when is_binary(token) <- token(source) do
      NIF.set_token(conn, token)
    else
      {:error, %Error{} = error} -> {:error, error}
      _none -> :none
    end
  end

  @propagator :otel_propagator_text_map

  @doc "Where the callers' trace context comes from, to be kept with the connection; nil: there is none."
  def tracer(nil), do: if(Code.ensure_loaded?(@propagator), do: :open_telemetry)
  def tracer(source), do: source

  @doc "The calling process's trace context, to be sent with a call by this connection, or nil."
  def traceparent(conn) do
    case NIF.kept(conn) do
      %{trace: source} when source != nil -> header(source)
      _local_or_none -> nil
    end
  end

  # A trace is no reason for a query to fail.
  defp header(source) do
    with text when is_binary(text) <- context(source), true <- byte_size(text) < 1000 do
      text
    else
      _none -> nil
    end
  catch
    _kind, _reason -> nil
  end

  defp context(:open_telemetry) do
    with {_key, text} <- List.keyfind(apply(@propagator, :inject, [[]]), "traceparent", 0), do: text
  end

  defp context(source), do: ask(source)

  # What a function raises may hold the token: it is not shown.
  defp token(nil), do: {:ok, nil}
  defp token(token) when is_binary(token), do: {:ok, token}

  defp token(source) do
    case ask(source) do
      token when is_binary(token) and token != "" ->
        {:ok, token}

      {:ok, token} when is_binary(token) and token != "" ->
        {:ok, token}

      _other ->
        {:error,
         Error.new(
           :unauthorized,
           "the function of :auth_token gave no token: it must answer a text"
         )}
    end
  catch
    _kind, _reason ->
      {:error, Error.new(:unauthorized, "the function of :auth_token failed")}
  end

  defp ask({module, function, args}), do: apply(module, function, args)
  defp ask(fun), do: fun.()
end
