defmodule EctoLibSql.Replica do
  @moduledoc false
  # What connections to replicas have of their own: which options, syncs, and what is known of them.

  alias EctoLibSql.{Connection, Error, NIF, Remote}

  # Of which only a replica's connection makes use.
  @own ~w(sync_on_open sync_timeout sync_interval read_your_writes stale_after on_stale adopt sync_protocol offline)a

  # Of a file that others write to, which a replica's is not, or not there yet.
  @not_here ~w(read_only vfs attach mvcc replicas page_size auto_vacuum)a

  @protocols %{auto: 0, v1: 1, v2: 2}

  ## Options

  @doc "The options of a replica among those given, where the connection is of another kind: the first one, or nil."
  def misplaced(opts), do: Enum.find(@own, &(Keyword.get(opts, &1) != nil))

  @doc "Whether checked options can be had of a replica."
  def check(%{database: nil}),
    do: {:error, "option :database is missing: the path of the replica's file"}

  def check(%{uri: nil}),
    do: {:error, "option :uri is missing: the address of the server that the replica follows"}

  def check(checked) do
    with :ok <- check_path(checked.database),
         :ok <- check_server(checked),
         :ok <- check_there(checked),
         do: check_here(checked)
  end

  defp check_path(path) do
    if path in ["", ":memory:"] or String.starts_with?(path, "file:"),
      do:
        {:error, "a replica's option :database is a plain path: neither in memory, nor a file: URI"},
      else: :ok
  end

  defp check_server(checked), do: Remote.check_address(%{checked | replicas: []})

  defp check_there(%{offline: true, sync_protocol: :v1}),
    do:
      {:unsupported,
       "offline: true needs sync_protocol: :v2 (or :auto): by :v1 nothing can be pushed"}

  defp check_there(_checked), do: :ok

  defp check_here(%{foreign_keys: false, offline: false}),
    do: {:error, "foreign_keys: false cannot be had of a replica: the server enforces them"}

  defp check_here(%{journal_mode: mode}) when mode != :wal,
    do: {:error, "a replica's journal_mode is :wal, not #{inspect(mode)}"}

  defp check_here(checked) do
    case Enum.find(@not_here, &(Map.get(checked, &1) not in [nil, false, []])) do
      nil ->
        :ok

      name ->
        {:error,
         "option #{inspect(name)} is of no use with a replica (:uri beside :database): the server has the database"}
    end
  end

  @doc "What NIF.open/2 takes as `replica`."
  def native(checked) do
    %{
      sync_interval: checked.sync_interval,
      no_sync_on_open: not checked.sync_on_open,
      open_timeout: if(checked.sync_timeout == 0, do: -1, else: checked.sync_timeout),
      stale_reads: not checked.read_your_writes,
      stale_after: max(checked.stale_after, 1),
      stale_is_error: checked.on_stale == :error,
      replace: checked.adopt == :replace,
      offline: checked.offline,
      sync_protocol: Map.fetch!(@protocols, checked.sync_protocol)
    }
  end

  ## What may be asked

  @doc "Syncs up to an index, or to all that the server has."
  def sync(conn, until, timeout) do
    with {:ok, {index, frames, bytes}} <- Connection.timed(:sync, [conn, until], timeout),
         do: {:ok, %{index: index, frames: frames, bytes: bytes}}
  end

  @doc "Keeps what was not pushed in a copy, and has the file follow its server again: the copy's path, or nil."
  def set_aside(conn, timeout), do: Connection.timed(:set_aside, [conn], timeout)

  def freeze(conn), do: Connection.plain(:freeze, [conn])

  def info(conn) do
    case NIF.replica_info(conn) do
      {:ok, info} ->
        {:ok, %{info | last_error: last_error(info.last_error), protocol: protocol(info.protocol)}}

      {:error, native} ->
        {:error, Error.from_native(native)}
    end
  end

  # :auto where it is not known yet.
  defp protocol(number) do
    {name, ^number} = Enum.find(@protocols, &match?({_, ^number}, &1))
    name
  end

  defp last_error(nil), do: nil
  defp last_error({code, message}), do: Error.new(code, message)
end
