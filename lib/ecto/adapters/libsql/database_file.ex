defmodule Ecto.Adapters.LibSql.DatabaseFile do
  @moduledoc false
  # Which file a Repo's `:database` means: a path, a `file:` URI, or none.

  alias EctoLibSql.State

  @doc """
  `{:file, path}` (a replica's, too), `:memory`, `:server` (what `:database` says is passed over), or
  `{:error, message}`.
  """
  def locate(opts) do
    case {foreign(opts), State.detect_mode(opts), opts[:database]} do
      {[_ | _] = keys, _mode, _path} -> {:error, foreign_message(keys, opts)}
      {[], :remote, _path} -> :server
      {[], _mode, path} when is_binary(path) and path != "" -> locate_path(path)
      _none -> {:error, "option :database is missing: the path of a file, or \":memory:\""}
    end
  end

  @doc "Whether a Repo, by the adapter's `meta`, writes to a server: it asks one for all, or has a replica."
  def server?(meta) do
    locate(meta.settings) == :server or
      (replica?(meta.settings) and meta.settings[:offline] != true)
  end

  @doc "Whether options are those of a replica."
  def replica?(opts), do: State.detect_mode(opts) == :remote_replica

  # What Ecto makes of its own `url:`, or what is left of another database's configuration. Its
  # `:database` is then no path.
  defp foreign(opts), do: for(key <- [:scheme, :hostname], opts[key] != nil, do: key)

  defp foreign_message(keys, opts) do
    repo = inspect(opts[:repo] || MyApp.Repo)
    app = inspect(opts[:otp_app] || :my_app)

    """
    option #{Enum.map_join(keys, " and ", &inspect/1)} is for databases of other adapters. Ecto's `url:` \
    finds a host and a name in an address, and neither paths nor tokens. In config/runtime.exs, write

        config #{app}, #{repo}, EctoLibSql.config!(System.fetch_env!("DATABASE_URL"))

    instead, or the path of a file as `database:`.
    """
  end

  @doc "Whether each connection that opens it has a database of its own, which goes with the connection."
  def private?(opts) do
    case {locate(opts), opts[:database]} do
      {:memory, "file:" <> uri} -> not shared?(uri)
      {:memory, _name} -> true
      _other -> false
    end
  end

  defp shared?(uri) do
    {path, query} = uri |> String.split("#", parts: 2) |> hd() |> path_and_query()
    query["cache"] == "shared" or (query["vfs"] == "memdb" and String.starts_with?(path, "/"))
  end

  defp locate_path(":memory:"), do: :memory
  defp locate_path("file:" <> uri), do: locate_uri(uri)
  defp locate_path(path), do: {:file, path}

  defp locate_uri(uri) do
    [uri | _fragment] = String.split(uri, "#", parts: 2)
    {path, query} = path_and_query(uri)

    if path in ["", ":memory:"] or query["mode"] == "memory" or query["vfs"] == "memdb",
      do: :memory,
      else: {:file, URI.decode(path)}
  end

  defp path_and_query(uri) do
    case String.split(uri, "?", parts: 2) do
      [path] -> {without_authority(path), %{}}
      [path, query] -> {without_authority(path), URI.decode_query(query)}
    end
  end

  # file:///path and file://localhost/path; SQLite takes no other host.
  defp without_authority("//localhost/" <> path), do: "/" <> path
  defp without_authority("///" <> path), do: "/" <> path
  defp without_authority(path), do: path

  @doc "The options of a Repo that the driver takes."
  def driver_options(opts), do: Keyword.take(opts, EctoLibSql.Options.names())
end
