defmodule EctoLibSql.Options do
  @moduledoc false
  # One schema: checks, defaults and documentation come from it.

  require Logger

  alias EctoLibSql.{Forms, Remote, Replica}

  # {name, type, default, documentation}. An option that sets a PRAGMA of the same name has the type
  # {:pragma, type}; nil leaves the engine's own.
  @schema [
    {:database, :path, nil,
     "path of the database file; `\":memory:\"` for one that only this connection has; " <>
       "`\"file:NAME?mode=memory&cache=shared\"` for one that connections of this VM share by its name; " <>
       "or a `file:` URI of SQLite"},
    {:mode, {:in, [:local, :remote, :remote_replica]}, nil,
     "the kind of connection; without it, it follows from which of the options are given"},
    {:busy_timeout, :ms, 5000,
     "how long a call waits for the locks of other programs, in ms; 0: not at all. Connections of this VM " <>
       "wait for one another as long as their calls' `:timeout` allows; without a time-out, this long too"},
    {:read_only, :boolean, false, "refuses all writes; the file must exist"},
    {:create, :boolean, true, "creates the file if it does not exist"},
    {:follow_symlinks, :boolean, true, "whether the path may be a symbolic link"},
    {:vfs, :string, nil, "name of the engine's file layer to use"},
    {:encryption_key, :string, nil,
     "key of an encrypted file (AES-256); the wrong one is `:not_a_database`"},
    {:journal_mode, {:pragma, {:in, [:wal, :delete, :truncate, :persist, :memory, :off]}}, :wal,
     "how changes are made safe; readers and the writer stand in each other's way in all but `:wal`"},
    {:durability, {:in, [:durable, :balanced, :embedded, :none]}, :balanced,
     "what a power cut may cost; a crash of the program costs nothing that was committed. It is the default of " <>
       "the options named here, which win where they are given. `:durable`: nothing: each commit waits for the " <>
       "disk (`synchronous: :extra`, `fullfsync: true`). `:balanced`: the commits since the last checkpoint, " <>
       "never the file (`synchronous: :normal`). `:embedded`: the same, for devices with little flash " <>
       "storage: pages are written to the file less often (`wal_autocheckpoint: 2000`, so a checkpoint may " <>
       "be longer ago), the WAL's file shrinks to 1 MiB when it begins again (`journal_size_limit`), and sorts " <>
       "and temporary tables stay in memory (`temp_store: :memory`). `:none`: the file; for what can be made " <>
       "again (`synchronous: :off`, which is refused without this word)"},
    {:synchronous, {:pragma, {:in, [:off, :normal, :full, :extra]}}, nil,
     "how often the disk is waited for, by default as `:durability` says; with `:wal`, `:normal` waits at " <>
       "checkpoints, `:full` and `:extra` at each commit"},
    {:fullfsync, {:pragma, :boolean}, nil,
     "on macOS, waits until the disk has emptied its own cache, too"},
    {:foreign_keys, {:pragma, :boolean}, true, "enforces foreign keys"},
    {:cache_size, {:pragma, :integer}, nil,
     "pages of a connection's page cache if positive, KiB if negative; the engine's default is -2000. Each " <>
       "connection of a pool has one"},
    {:cache_budget, :budget, nil,
     "bytes for the page caches of all connections of a Repo or a pool together, instead of `:cache_size`: each " <>
       "gets an equal part, at least 64 KiB, and a few percent more to keep it in order. A Repo counts those that stand beside its pool. Attached databases " <>
       "have caches of their own, as large"},
    {:temp_store, {:pragma, {:in, [:default, :file, :memory]}}, nil,
     "where temporary tables and sorts lie"},
    {:mmap_size, {:pragma, :integer}, nil, "bytes of the file to map into memory"},
    {:auto_vacuum, {:pragma, {:in, [:none, :full, :incremental]}}, nil,
     "whether deleted pages go back to the system; only for a new file"},
    {:page_size, {:pragma, :integer}, nil, "bytes of a page; only for a new file"},
    {:recursive_triggers, {:pragma, :boolean}, nil, "whether triggers fire triggers of themselves"},
    {:secure_delete, {:pragma, {:in, [true, false, :fast]}}, nil,
     "overwrites deleted content with zeros"},
    {:wal_autocheckpoint, {:pragma, :integer}, nil,
     "pages in the WAL (default 1000) that call for a checkpoint, which a thread of ours takes when writers are calm, " <>
       "or the WAL has eight times as many; 0: never"},
    {:journal_size_limit, {:pragma, :integer}, nil,
     "bytes that the journal or WAL keeps when idle"},
    {:case_sensitive_like, {:pragma, :boolean}, nil, "whether LIKE tells `a` and `A` apart"},
    {:pragmas, :pragmas, [],
     "any other PRAGMAs, a keyword list; applied after those above, in their order"},
    {:attach, :attach, [],
     "databases to attach to each connection, `[name: path]`: a path as `:database` has it. They have its " <>
       "key, its flags, and the settings that a database has for itself; `reset_connection/1` attaches " <>
       "them again where they were detached. Tables in them are called `name.table`, by Ecto's `prefix:`. " <>
       "A transaction over several files in WAL mode is atomic in each, but a crash in its commit can come " <>
       "between two of them"},
    {:statement_cache, :size, 256, "prepared statements that the connection keeps; 0: none"},
    {:fast_path, :boolean, true,
     "runs cached statements that are known to be short on the caller's own scheduler"},
    {:max_length, :size, nil, "bytes that a text, blob or row may have; at most 100,000,000"},
    {:double_quoted_strings, :boolean, false,
     "whether `\"text\"` in SQL may be a string where no column has that name"},
    {:unsafe_filesystem, :boolean, false,
     "allows `journal_mode: :wal` on network and shared-folder file systems"},
    {:extensions, :extensions, [],
     "SQLite extensions to load at connect: paths, or `{path, entry_point}`"},
    {:on_connect, :hook, nil,
     "called with the state after each connect and reconnect, before anybody else has the connection: a " <>
       "function of one argument, or `{module, function, arguments}`, the state put before them. If it " <>
       "answers `:error` or `{:error, ...}`, raises, or leaves a transaction open, the connect has failed; " <>
       "other answers are passed over. `connect/1` calls it too; DBConnection's `after_connect:` is the " <>
       "pool's own, and gets a `DBConnection` instead. What a setting can do belongs into the options: " <>
       "`reset_connection/1` applies those again, and does not call this"},
    {:transaction_mode, {:in, [:deferred, :immediate, :exclusive, :read]}, nil,
     "how DBConnection and Ecto begin transactions, if the call does not say: by default `:immediate`, and with " <>
       "`:mvcc` `:deferred`"},
    {:mvcc, :boolean, false,
     "optimistic transactions. They begin `:deferred` and have a snapshot from their first read on; those that " <>
       "only read neither wait for a writer nor keep one waiting, and whoever writes after it has read is " <>
       "refused with `:busy_snapshot` if another has written since, or is writing: run it again, by " <>
       "`Repo.transaction(fun, retry: n)` for one. One that writes first waits for its turn, as ever. " <>
       "All databases of the connection must be in WAL mode and have `locking_mode` normal: the connect fails " <>
       "if one is not, or is in memory. A `:transaction_mode` of `:immediate` or `:exclusive` says the opposite " <>
       "and is refused beside it; a single transaction may still ask for one by its `:mode`"},
    {:uuid_type, {:in, [:blob, :text]}, :blob,
     "how `Ecto.UUID` is stored: its 16 bytes, or 36 characters"},
    {:binary_id_type, {:in, [:text, :blob]}, :text,
     "how `:binary_id` is stored: as any text that the application makes up, or as the 16 bytes of a UUID"},
    {:json_type, {:in, [:text, :jsonb]}, :text,
     "how maps, embedded schemas and arrays are stored: JSON text, or SQLite's JSONB"},
    {:datetime_type, {:in, [:text, :integer]}, :text,
     "how date-times are stored: ISO 8601 text, or microseconds since 1970 in UTC"},
    {:long_transaction, :ms_or_infinity, 1000,
     "ms after which an immediate or exclusive transaction that ends without having written anything is " <>
       "told as the event `[:ecto_libsql, :idle_writer]`: it kept all writers waiting, where " <>
       "`mode: :read` would have kept nobody"},
    {:events, {:in, [:rare, :all]}, :rare,
     "which events of `EctoLibSql.Telemetry` the connection tells: with `:all` also those of each query, " <>
       "transaction and savepoint, which take a few microseconds each"},
    {:uri, :string, nil,
     "address of a server: `libsql://HOST`, `https://…`, `http://…`, `wss://…`, `ws://…` (a WebSocket; what cannot go by it goes by HTTP)"},
    {:auth_token, :token, nil,
     "the server's token: a text (or `\"Basic \" <> Base.encode64(\"user:password\")`, for an `sqld --http-auth`); or a function without arguments or `{module, function, arguments}` that " <>
       "answers one, asked when a connection opens and once more when the server refuses the token"},
    {:namespace, :string, nil,
     "which database of a server that has several; by default the address says"},
    {:tls, :tls, [],
     "`[ca_file: path, cert_file: path, key_file: path, verify: boolean]`: PEM files of the authorities to trust " <>
       "instead of the system's, and of a client's certificate; `verify: false` takes any server for the right one"},
    {:proxy, :string, nil,
     "address of an HTTP proxy; by default as the environment says (`https_proxy`, `no_proxy`, …)"},
    {:connect_timeout, :ms, 10_000, "ms for finding a server, connecting to it, and TLS"},
    {:first_byte_timeout, :ms, 0,
     "ms from sending a request to a server to the beginning of its answer; 0: as long as the call may take"},
    {:retry_time, :ms, 3_000,
     "ms in which a call to a server that failed is sent again, where nothing of it can have run, or where it " <>
       "only reads; 0: never"},
    {:replicas, :strings, [],
     "addresses of servers that follow the one of `:uri`: while that does not answer, what only reads, outside of " <>
       "transactions, is sent to them. They may be behind it"},
    {:read_from, {:in, [:primary, :replicas]}, :primary,
     "`:replicas`: what only reads, outside of transactions, is always sent to them, by turns"},
    {:trace_context, :token_source, nil,
     "a function, or `{module, function, arguments}`, that answers the calling process's trace context as the text " <>
       "of a `traceparent` header (or nil), which servers are told; by default that of OpenTelemetry's API, where " <>
       "it is loaded. Not with `ws://` and `wss://`, whose messages have no place for it: asked for, it is an " <>
       "error there; OpenTelemetry's is told with what goes by HTTP alone"},
    {:max_response_size, :size, nil,
     "bytes that an answer of a server may have; by default 256 MiB"},
    {:sync, :boolean, nil,
     "`true`, beside `:database` and `:uri`: a replica, a local file that follows the server's database. (`false` " <>
       "asks for one, too, as it did in 0.9.) The options below are a replica's"},
    {:sync_on_open, :boolean, true,
     "whether the first connection of the VM to the file brings it up to date before it is used; where the server " <>
       "cannot be asked, what is there is read. A file that is not there yet is always fetched first"},
    {:sync_timeout, :ms, 30_000, "ms that a connect may wait for that; 0: as long as it takes"},
    {:sync_interval, :ms, 60_000,
     "ms between two syncs that nobody asks for, less a random tenth, and more after failures; 0: none"},
    {:read_your_writes, :boolean, true,
     "whether reads see what this VM has written before: they wait until the file has it"},
    {:stale_after, :ms, 5_000, "ms that they wait, but never more than half of their call's time"},
    {:on_stale, {:in, [:primary, :error]}, :primary,
     "what they do then: ask the server, or fail with `:stale`"},
    {:adopt, {:in, [:replace]}, nil,
     "`:replace`: a file with data that is no replica of this server is set aside, and a replica made in its " <>
       "place; without it that is the error `:not_a_replica`"},
    {:sync_protocol, {:in, [:auto, :v1, :v2]}, :auto,
     "how the server's pages come: `:v1` as frames of its log (sqld), `:v2` by generations (Turso's newer servers); " <>
       "`:auto` asks which, and remembers it beside the file"},
    {:offline, :boolean, false,
     "experimental; `true`: writes are stored in the file, whether the server can be reached or not, and pushed by syncs. " <>
       "Only with `sync_protocol: :v2` (or `:auto`), and one writer at a time: see \"Offline writes\" in docs/replicas.md"},
    {:remote_encryption_key, :string, nil,
     "key, in base64, of a database that the server keeps encrypted"}
  ]

  @durability %{
    durable: %{synchronous: :extra, fullfsync: true},
    balanced: %{synchronous: :normal},
    embedded: %{
      synchronous: :normal,
      wal_autocheckpoint: 2000,
      journal_size_limit: 1_048_576,
      temp_store: :memory
    },
    none: %{synchronous: :off}
  }

  @secrets [:encryption_key, :auth_token, :remote_encryption_key]

  @names Enum.map(@schema, &elem(&1, 0))
  @by_name Map.new(@schema, fn {name, type, default, _doc} -> {name, {type, default}} end)

  # Of DBConnection, Ecto and their pools: theirs, never a near miss of ours.
  @others ~w(adapter after_connect backoff_max backoff_min backoff_type configure connection_listeners connections
             dump_path dump_prefixes idle_interval idle_limit log migration_lock migration_primary_key
             migration_repo migration_source migration_timestamps name otp_app ownership_timeout pool
             pool_count pool_index pool_size priv queue_interval queue_target repo shared_connections show_sensitive_data
             socket_options ssl stacktrace start_apps_before_migration telemetry_prefix timeout
             strict_tables types url username password hostname port)a

  # Of exqlite and ecto_sqlite3, in our words.
  @elsewhere %{
    array_type: :json_type,
    custom_pragmas: :pragmas,
    default_transaction_mode: :transaction_mode,
    key: :encryption_key,
    load_extensions: :extensions,
    map_type: :json_type
  }
  @pragmas ~w(analysis_limit automatic_index cache_spill hard_heap_limit locking_mode soft_heap_limit)a

  @open_readonly 1
  @open_nocreate 2
  @open_nofollow 4
  @open_any_filesystem 8
  @open_dqs 16

  @doc "The options as Markdown."
  def docs do
    Enum.map_join(@schema, "\n", fn {name, type, default, doc} ->
      "  * `:#{name}` (#{describe(type)}#{describe_default(default)}): #{doc}"
    end)
  end

  @doc "Names of all options."
  def names, do: @names

  @doc """
  Checks options and fills in defaults. `strict: true` refuses keys that are not ours; else they are
  passed over, with a warning for what looks like a slip of the pen.
  """
  def validate(opts, settings \\ []) do
    with :ok <- check_keyword(opts),
         unknown = for({key, _} <- opts, key not in @names, do: key),
         :ok <- check_unknown(unknown, Keyword.get(settings, :strict, false)),
         {:ok, checked} <- check_all(opts),
         :ok <- check_together(checked) do
      {:ok, implied(checked)}
    end
  end

  defp check_keyword(opts) do
    if Keyword.keyword?(opts), do: :ok, else: {:error, "options are a keyword list"}
  end

  defp check_unknown([], _strict?), do: :ok

  defp check_unknown(unknown, true) do
    case Enum.reject(unknown, &(&1 in @others)) do
      [] -> :ok
      [key | _] -> {:error, "there is no option #{inspect(key)}#{suggestion(key)}"}
    end
  end

  defp check_unknown(unknown, false) do
    tell_near(unknown)

    # Passed over, it would leave plain what is believed to be encrypted.
    if :key in unknown,
      do: {:error, "there is no option :key#{suggestion(:key)}"},
      else: :ok
  end

  defp tell_near(unknown) do
    for key <- unknown, key not in [:key | @others], name = near(key) do
      Logger.warning(
        "EctoLibSql: there is no option #{inspect(key)}; did you mean #{inspect(name)}?"
      )
    end
  end

  defp suggestion(key) do
    case near(key) do
      nil -> "; there are: " <> Enum.map_join(@names, ", ", &inspect/1)
      name -> "; did you mean #{inspect(name)}?"
    end
  end

  defp near(key) when is_map_key(@elsewhere, key), do: @elsewhere[key]
  defp near(key) when key in @pragmas, do: :pragmas

  defp near(key) when is_atom(key) do
    text = Atom.to_string(key)
    closest = Enum.max_by(@names, &String.jaro_distance(text, Atom.to_string(&1)))
    if String.jaro_distance(text, Atom.to_string(closest)) > 0.9, do: closest
  end

  defp check_all(opts) do
    Enum.reduce_while(@schema, {:ok, %{}}, fn {name, type, default, _doc}, {:ok, checked} ->
      value = Keyword.get(opts, name)

      cond do
        is_nil(value) ->
          {:cont, {:ok, Map.put(checked, name, default)}}

        fits?(value, type) ->
          {:cont, {:ok, Map.put(checked, name, value)}}

        true ->
          {:halt,
           {:error, "option #{inspect(name)} must be #{describe(type)}#{instead(name, value)}"}}
      end
    end)
  end

  ## Options that speak of one another

  defp check_together(%{synchronous: :off, durability: durability}) when durability != :none do
    {:error,
     "option :synchronous is :off, with which a power cut may destroy the database; if that is meant, say " <>
       "durability: :none"}
  end

  defp check_together(%{cache_budget: budget, cache_size: size})
       when budget != nil and size != nil,
       do:
         {:error,
          "options :cache_budget and :cache_size contradict each other: the budget is shared out to the connections"}

  defp check_together(%{mvcc: true, transaction_mode: mode})
       when mode in [:immediate, :exclusive] do
    {:error,
     "options :mvcc and :transaction_mode contradict each other: with mvcc: true transactions begin " <>
       ":deferred (or :read), not #{inspect(mode)}"}
  end

  defp check_together(%{mvcc: true, journal_mode: mode}) when mode != :wal,
    do: {:error, "option :mvcc needs journal_mode: :wal, not #{inspect(mode)}"}

  defp check_together(_checked), do: :ok

  # What is not given follows from what is.
  defp implied(checked) do
    mode = if checked.mvcc, do: :deferred, else: :immediate

    @durability
    |> Map.fetch!(checked.durability)
    |> Map.put(:transaction_mode, mode)
    |> Map.merge(checked, fn _name, implied, given -> if given == nil, do: implied, else: given end)
  end

  # Messages come into logs: what may be a secret is not shown.
  defp instead(name, _value) when name in @secrets, do: ""
  defp instead(_name, value), do: ", not #{inspect(value)}"

  @doc "Checks one value."
  def valid?(name, value) when is_atom(name) and is_map_key(@by_name, name) do
    {type, _default} = Map.fetch!(@by_name, name)
    fits?(value, type)
  end

  # A value may have the name of an option: this is not valid?/2.
  defp fits?(value, {:pragma, type}), do: fits?(value, type)
  defp fits?(value, {:in, values}), do: value in values
  defp fits?(value, :boolean), do: is_boolean(value)
  defp fits?(value, :integer), do: is_integer(value) and abs(value) < 0x7FFFFFFFFFFFFFFF
  defp fits?(value, :ms), do: is_integer(value) and value in 0..0x7FFFFFFF
  defp fits?(value, :ms_or_infinity), do: value == :infinity or fits?(value, :ms)
  defp fits?(value, :budget), do: is_integer(value) and value in 65_536..0xFFFFFFFFFFFF
  defp fits?(value, :size), do: is_integer(value) and value in 0..100_000_000
  defp fits?(value, :string), do: is_binary(value) and value != ""
  defp fits?(value, :token), do: fits?(value, :string) or is_function(value, 0) or mfa?(value)

  defp fits?(value, :token_source), do: is_function(value, 0) or mfa?(value)
  defp fits?(value, :strings), do: is_list(value) and Enum.all?(value, &fits?(&1, :string))

  defp fits?(value, :tls) do
    Keyword.keyword?(value) and
      Enum.all?(value, fn
        {:verify, verify?} -> is_boolean(verify?)
        {key, path} -> key in [:ca_file, :cert_file, :key_file] and fits?(path, :string)
      end)
  end

  defp fits?(value, :path), do: is_binary(value) and not String.contains?(value, <<0>>)

  defp fits?(value, :pragmas) do
    Keyword.keyword?(value) and
      Enum.all?(value, fn {_, v} -> is_atom(v) or is_integer(v) or is_binary(v) end)
  end

  defp fits?(value, :attach) do
    is_list(value) and Enum.all?(value, &attached?/1) and
      value |> Enum.uniq_by(&(&1 |> elem(0) |> to_string() |> String.downcase(:ascii))) |> length() ==
        length(value)
  end

  defp fits?(value, :extensions) do
    is_list(value) and
      Enum.all?(value, fn
        {path, entry} -> is_binary(path) and is_binary(entry)
        path -> is_binary(path)
      end)
  end

  defp fits?(value, :hook) when is_function(value), do: is_function(value, 1)

  defp fits?(value, :hook), do: mfa?(value)

  defp mfa?({module, function, args}),
    do: is_atom(module) and is_atom(function) and is_list(args)

  defp mfa?(_other), do: false

  defp attached?({name, path}) when is_atom(name) or is_binary(name) do
    name = to_string(name)

    byte_size(name) in 1..40 and String.valid?(name) and not String.contains?(name, <<0>>) and
      String.downcase(name, :ascii) not in ["main", "temp"] and fits?(path, :path)
  end

  defp attached?(_other), do: false

  defp describe({:pragma, type}), do: describe(type)
  defp describe({:in, values}), do: Enum.map_join(values, " or ", &inspect/1)
  defp describe(:boolean), do: "a boolean"
  defp describe(:integer), do: "an integer"
  defp describe(:ms), do: "an integer of milliseconds, from 0"
  defp describe(:ms_or_infinity), do: describe(:ms) <> ", or :infinity"
  defp describe(:budget), do: "an integer of bytes, from 65,536"
  defp describe(:size), do: "an integer from 0 to 100,000,000"
  defp describe(:string), do: "a text that is not empty"

  defp describe(:token),
    do: "a text that is not empty, a function without arguments or {module, function, arguments}"

  defp describe(:token_source),
    do: "a function without arguments or {module, function, arguments}"

  defp describe(:strings), do: "a list of texts that are not empty"

  defp describe(:tls),
    do: "a keyword list of :ca_file, :cert_file, :key_file and :verify"

  defp describe(:path), do: "a text without a NUL"
  defp describe(:pragmas), do: "a keyword list of names and values"

  defp describe(:hook),
    do: "a function of one argument or {module, function, arguments}"

  defp describe(:attach),
    do:
      "a keyword list of names and paths, each name once, of 1 to 40 bytes and neither main nor temp"

  defp describe(:extensions), do: "a list of paths or {path, entry_point}"

  defp describe_default(nil), do: ""
  defp describe_default(default), do: ", default `#{inspect(default)}`"

  @doc "What NIF.open/1 takes, of checked options."
  def native(checked) do
    %{
      path: checked.database,
      flags: flags(checked),
      vfs: checked.vfs,
      busy_timeout: checked.busy_timeout,
      settings: settings(checked),
      attached: for({name, path} <- checked.attach, do: {to_string(name), path}),
      statement_cache: checked.statement_cache,
      fast_path: checked.fast_path,
      max_length: checked.max_length,
      key: checked.encryption_key,
      kept: kept(checked)
    }
  end

  @doc "The same of a server's connection; `{:error, error}` where its token cannot be had."
  def native_remote(checked) do
    with {:ok, remote} <- Remote.native(checked) do
      kept =
        checked
        |> Map.put(:database, address(checked.uri))
        |> kept()
        |> Map.put(:token, Remote.renewal(checked.auth_token))
        |> Map.put(:trace, Remote.tracer(checked.trace_context))

      {:ok, %{path: checked.uri, busy_timeout: checked.busy_timeout, remote: remote, kept: kept}}
    end
  end

  @doc "The same of a replica's connection."
  def native_replica(checked) do
    with {:ok, server} <- native_remote(%{checked | replicas: [], read_from: :primary}) do
      file = native(checked)
      kept = Map.merge(file.kept, Map.take(server.kept, [:token, :trace]))

      {:ok,
       Map.merge(file, %{
         kept: kept,
         primary: server.path,
         remote: server.remote,
         replica: Replica.native(checked)
       })}
    end
  end

  # For logs and events: a query may hold what is secret.
  defp address(uri), do: uri |> String.split("?") |> hd()

  # What the driver wants to know of an open connection. It stays with the handle, for the state is copied by
  # DBConnection several times in each call.
  defp kept(checked) do
    checked
    |> Map.take([:database, :transaction_mode, :long_transaction, :pooled])
    |> Map.put(:forms, Forms.new(checked))
  end

  defp flags(checked) do
    [
      {checked.read_only, @open_readonly},
      {not checked.create, @open_nocreate},
      {not checked.follow_symlinks, @open_nofollow},
      {checked.unsafe_filesystem, @open_any_filesystem},
      {checked.double_quoted_strings, @open_dqs}
    ]
    |> Enum.reduce(0, fn {on?, flag}, sum -> if on?, do: sum + flag, else: sum end)
  end

  # page_size and auto_vacuum must come before the file's first page, which WAL mode writes.
  defp settings(checked) do
    first = [:page_size, :auto_vacuum]
    pragmas = for {name, {:pragma, _}, _, _} <- @schema, do: name

    for(name <- first ++ (pragmas -- first), value = setting(checked, name), do: value) ++
      for {name, value} <- checked.pragmas, do: {Atom.to_string(name), text(value)}
  end

  defp setting(checked, name) do
    case Map.fetch!(checked, name) do
      nil -> nil
      value -> {Atom.to_string(name), text(value)}
    end
  end

  defp text(true), do: "on"
  defp text(false), do: "off"
  defp text(value), do: to_string(value)
end
