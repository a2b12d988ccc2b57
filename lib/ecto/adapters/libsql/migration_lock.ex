defmodule Ecto.Adapters.LibSql.MigrationLock do
  @moduledoc false
  # One migrator at a time, among all processes of the machine.
  #
  # Ecto runs each migration in another process on another connection, so the lock may hold neither the
  # database's own lock nor a connection of the Repo. It is a file of its own beside the database, which
  # stays empty: BEGIN EXCLUSIVE on it takes a lock of the operating system, and the kernel frees that
  # when the holder dies. The file is left: whoever removed it would let in who comes next beside who
  # already waits.

  alias Ecto.Adapters.LibSql.DatabaseFile
  alias EctoLibSql.Native

  # As long as the driver can be asked to wait: 24 days.
  @forever 0x7FFFFFFF

  @doc """
  Runs `fun` under the lock of a database: its path, a Repo's options with `:database`, or the adapter's
  meta, whose database is asked for its file.

  Options: `:lock_timeout` in ms (default: as long as it takes). Raises `EctoLibSql.Error` when the lock
  is not to be had by then.
  """
  def with_lock(database, opts, fun) when is_function(fun, 0) do
    case lock_file(database, opts) do
      {:file, path} -> with_file(path <> "-migrate.lock", opts, fun)
      {:memory, name} -> within_vm(name, fun)
    end
  end

  defp lock_file(path, opts) when is_binary(path), do: lock_file([database: path], opts)

  defp lock_file(config, _opts) when is_list(config) do
    case DatabaseFile.locate(config) do
      {:file, path} ->
        {:file, Path.expand(path)}

      :memory ->
        {:memory, config[:database]}

      :server ->
        raise ArgumentError, "a database on a server has no file to lock: migration_lock: :lease"

      {:error, message} ->
        raise ArgumentError, message
    end
  end

  # The pool knows, whatever a dynamic Repo was started with.
  defp lock_file(%{pid: pid} = meta, opts) do
    opts = Keyword.put(opts, :telemetry_options, schema_migration: true)
    sql = "SELECT file FROM pragma_database_list WHERE name = 'main'"

    case Ecto.Adapters.SQL.query!(meta, sql, [], opts) do
      %{rows: [[file]]} when file not in [nil, ""] -> {:file, file}
      _memory -> {:memory, pid}
    end
  end

  ## A database in memory belongs to the VM

  # Tries until it has it.
  defp within_vm(name, fun), do: :global.trans({{__MODULE__, name}, self()}, fun, [node()])

  ## The file

  defp with_file(path, opts, fun) do
    state = take(path, Keyword.get(opts, :lock_timeout, :infinity))

    try do
      fun.()
    after
      EctoLibSql.close(state)
    end
  end

  defp take(path, timeout) do
    busy_timeout = if timeout == :infinity, do: @forever, else: timeout

    with {:ok, state} <- connect(path, busy_timeout),
         {:ok, state} <- Native.begin(state, behavior: :exclusive, timeout: :infinity) do
      state
    else
      {:error, error} -> raise error
    end
  end

  # No WAL, which would let readers pass: here a reader is a second holder.
  defp connect(path, busy_timeout),
    do: EctoLibSql.connect(database: path, journal_mode: :delete, busy_timeout: busy_timeout)
end
