defmodule Ecto.Adapters.LibSql.DatabaseFile do
  @moduledoc false
  # Which file a Repo's `:database` means: a path, a `file:` URI, or none.

  @doc "`{:file, path}`, `:memory`, `:server` (only `:uri` is given), or `{:error, message}`."
  def locate(opts) do
    case {opts[:database], opts[:uri]} do
      {path, _uri} when is_binary(path) and path != "" -> locate_path(path)
      {nil, uri} when is_binary(uri) -> :server
      _none -> {:error, "option :database is missing: the path of a file, or \":memory:\""}
    end
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
