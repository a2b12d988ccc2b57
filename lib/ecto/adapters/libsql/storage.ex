defmodule Ecto.Adapters.LibSql.Storage do
  @moduledoc false
  # mix ecto.create and ecto.drop: the file of `:database`.

  @behaviour Ecto.Adapter.Storage

  alias Ecto.Adapters.LibSql.DatabaseFile

  # Those that would stay: the next database of this name would take the WAL for its own. So the
  # database itself is the last to go.
  # "-info" and "-client_wal_index" are what replicas keep of their primary.
  # Nor those of ours (c/src/repl), where a replica was frozen.
  @beside ["-wal", "-shm", "-journal", "-lane", "-info", "-client_wal_index"] ++
            ["-replica", "-replica-lock", "-incoming", "-incoming-state"] ++
            ["-migrate.lock", "-migrate.lock-journal", "-migrate.lock-lane"]

  @impl true
  def storage_up(opts) do
    case DatabaseFile.locate(opts) do
      {:file, path} -> if File.exists?(path), do: {:error, :already_up}, else: create(path, opts)
      # Whoever opens one has made it.
      :memory -> {:error, :already_up}
      :server -> {:error, :already_up}
      {:error, message} -> {:error, message}
    end
  end

  # Opening it writes the first page, since that is where the journal mode stands. Attached databases are
  # made by the same way; they are not dropped with it, since others may have them too.
  defp create(path, opts) do
    opts = opts |> DatabaseFile.driver_options() |> Keyword.drop([:read_only, :create, :extensions])

    with :ok <- make_folders([path | attached(opts)]),
         {:ok, state} <- connect(opts) do
      EctoLibSql.close(state)
      :ok
    end
  end

  defp attached(opts) do
    for {_name, path} <- List.wrap(opts[:attach]),
        {:file, path} <- [DatabaseFile.locate(database: path)],
        do: path
  end

  defp make_folders(paths) do
    Enum.reduce_while(paths, :ok, fn path, :ok ->
      folder = Path.dirname(path)

      case File.mkdir_p(folder) do
        :ok ->
          {:cont, :ok}

        {:error, reason} ->
          {:halt, {:error, "cannot create the folder #{folder}: #{:file.format_error(reason)}"}}
      end
    end)
  end

  defp connect(opts) do
    with {:error, error} <- EctoLibSql.connect(opts), do: {:error, Exception.message(error)}
  end

  @impl true
  def storage_down(opts) do
    case DatabaseFile.locate(opts) do
      {:file, path} ->
        down(path, DatabaseFile.replica?(opts))

      :memory ->
        {:error, :already_down}

      :server ->
        {:error, "a database on a server is dropped there"}

      {:error, message} ->
        {:error, message}
    end
  end

  defp down(path, true) do
    {:error,
     "#{path} is a replica: its database is on a server, and dropped there; the file may be removed when nobody has " <>
       "it open"}
  end

  defp down(path, false),
    do: if(File.exists?(path), do: remove(path), else: {:error, :already_down})

  defp remove(path) do
    @beside
    |> Enum.map(&(path <> &1))
    |> Kernel.++([path])
    |> Enum.reduce_while(:ok, fn file, :ok -> remove_file(file) end)
  end

  defp remove_file(file) do
    case File.rm(file) do
      {:error, reason} when reason != :enoent ->
        {:halt, {:error, "cannot remove #{file}: #{:file.format_error(reason)}"}}

      _gone ->
        {:cont, :ok}
    end
  end

  @impl true
  def storage_status(opts) do
    case DatabaseFile.locate(opts) do
      {:file, path} -> if File.exists?(path), do: :up, else: :down
      :memory -> :up
      :server -> :up
      {:error, message} -> {:error, message}
    end
  end
end
