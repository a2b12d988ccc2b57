defmodule Ecto.Adapters.LibSql.RepoConfig do
  @moduledoc false
  # A Repo's configuration, looked at once, before its pool starts: what is wrong with it is said there, and
  # not by connections that fail again and again.

  require Logger

  alias Ecto.Adapters.LibSql.{DatabaseFile, Shared}

  @doc "The configuration with which the pool is started. Raises `ArgumentError` for what cannot be."
  def check!(config) do
    check_size(config, Keyword.get(config, :pool_size, 10))
    with {:error, message} <- DatabaseFile.locate(config), do: refuse(config, message)
    with {:error, message} <- EctoLibSql.Options.validate(config), do: refuse(config, message)
    check_server(config, DatabaseFile.locate(config))
    check_budget(config)
    check_folder(config, DatabaseFile.locate(config))
    check_mvcc(config, DatabaseFile.locate(config))

    config =
      config |> hide(:auth_token) |> Keyword.put_new(:queue_target, queue_target(config[:timeout]))

    if DatabaseFile.private?(config), do: one_connection(config), else: one_pool(config)
  end

  defp check_server(config, :server) do
    {:ok, checked} = EctoLibSql.Options.validate(config)
    with {:error, message} <- EctoLibSql.Remote.check(checked), do: refuse(config, message)
  end

  defp check_server(config, _local),
    do: if(DatabaseFile.replica?(config), do: check_replica(config), else: :ok)

  defp check_replica(config) do
    {:ok, checked} = EctoLibSql.Options.validate(config)

    case EctoLibSql.Replica.check(checked) do
      :ok -> check_sandbox(config)
      {_kind, message} -> refuse(config, message)
    end
  end

  defp check_sandbox(config) do
    if config[:pool] == Ecto.Adapters.SQL.Sandbox do
      refuse(config, """
      the SQL sandbox cannot have a replica: its tests would write to the server, where all see it, or, with \
      offline: true, keep what is synced from going in. Test on a local \
      file (:database alone), or on a server of the tests' own (:uri alone)
      """)
    end
  end

  # Reports of crashes show what processes were started with: a function shows nothing.
  defp hide(config, key) do
    case config[key] do
      text when is_binary(text) -> Keyword.put(config, key, fn -> text end)
      _function_or_none -> config
    end
  end

  defp check_budget(config) do
    {:ok, checked} = EctoLibSql.Options.validate(config)
    opts = [connections: Shared.connections(config)]

    with {:error, message} <- EctoLibSql.CacheBudget.share(checked, opts),
         do: refuse(config, message)
  end

  # Writers wait for one another: that the pool's connections are taken for longer than DBConnection's 50 ms is
  # no sign of trouble, for which others are to be turned away. It turns away who has waited twice as long as
  # this; who waits for longer than a time-out, and gets a connection then, would have it closed at once.
  defp queue_target(ms) when is_integer(ms), do: div(ms, 2)
  defp queue_target(_none_or_infinity), do: 7_500

  # Not made here: a disk that is not mounted would get an empty database in its place.
  defp check_folder(config, {:file, path}) do
    folder = Path.dirname(path)

    if not File.dir?(folder) do
      refuse(config, """
      the folder #{folder} of its database does not exist. mix ecto.create makes it; where there is no mix, \
      so does Ecto.Adapters.LibSql.storage_up(#{inspect(config[:repo])}.config())
      """)
    end
  end

  defp check_folder(_config, _no_file), do: :ok

  defp check_mvcc(config, where) do
    if config[:mvcc] == true and where == :memory do
      refuse(config, """
      mvcc: true needs a file: in memory, readers and the writer wait for each other
      """)
    end
  end

  # With none, single statements would still go round the pool, and all else wait for ever.
  defp check_size(_config, size) when is_integer(size) and size > 0, do: :ok

  defp check_size(config, size),
    do: refuse(config, "pool_size is #{inspect(size)}, and must be a positive integer")

  defp refuse(config, message),
    do: raise(ArgumentError, "configuration of #{inspect(config[:repo])}: #{message}")

  # Single statements go round the pool, and a file has one writer at a time: nothing would be gained, and which
  # connections the Repo has would be known to nobody.
  defp one_pool(config) do
    count = Keyword.get(config, :pool_count, 1)

    if count != 1 do
      refuse(config, """
      pool_count is #{inspect(count)}, and can only be 1: a database file has one writer at a time, and several \
      pools would only divide its connections. How many there are is for :pool_size to say
      """)
    end

    config
  end

  # Each connection to it would open an empty database, and lose it again when it closes.
  defp one_connection(config) do
    if config[:pool_size] != 1 or Keyword.get(config, :pool_count, 1) != 1, do: tell(config[:repo])

    config
    |> Keyword.delete(:max_lifetime)
    |> Keyword.merge(pool_size: 1, pool_count: 1)
  end

  # process-wide: said once for each Repo, however many of it are started.
  defp tell(repo) do
    if :persistent_term.get({__MODULE__, repo}, :new) == :new do
      :persistent_term.put({__MODULE__, repo}, :told)

      Logger.info(
        "#{inspect(repo)} is in memory: one database, served by one connection (:pool_size counts as 1)"
      )
    end
  end
end
