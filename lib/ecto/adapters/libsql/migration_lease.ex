defmodule Ecto.Adapters.LibSql.MigrationLease do
  @moduledoc false
  # One migrator at a time where there is no file to lock: a row that says who may migrate, and until when.
  # Who dies leaves it, and it runs out. It is renewed on a second connection, since the first migrates.
  #
  # A server ends a transaction that is older than five seconds when another wants to write. So who waits reads, and
  # writes only when the lease is free; and nobody renews: it holds for ten minutes in all.

  alias Ecto.Adapters.LibSql.DatabaseFile

  # A migration holds the lock for writing, so that nobody can renew meanwhile, nor take the lease.
  @lease 600
  @renew_every 60_000
  @retry_every 200

  @create """
  CREATE TABLE IF NOT EXISTS ecto_libsql_migration_lease (
    id INTEGER PRIMARY KEY CHECK (id = 1), holder TEXT NOT NULL, until INTEGER NOT NULL
  )
  """

  # By the database's clock: those of its clients differ.
  @take """
  INSERT INTO ecto_libsql_migration_lease (id, holder, until) VALUES (1, ?1, unixepoch() + #{@lease})
  ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, until = excluded.until
  WHERE until < unixepoch() RETURNING id
  """

  @free """
  SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM ecto_libsql_migration_lease WHERE id = 1 AND until >= unixepoch())
  """

  @renew """
  UPDATE ecto_libsql_migration_lease SET until = unixepoch() + #{@lease} WHERE holder = ?1 RETURNING id
  """

  @release "DELETE FROM ecto_libsql_migration_lease WHERE holder = ?1"

  @doc "Runs `fun` under the lease. Raises `Ecto.MigrationError` for a pool of one connection."
  def with_lease(meta, opts, fun) do
    if meta.opts[:pool_size] == 1, do: Ecto.Adapters.SQL.raise_migration_pool_size_error()
    holder = Base.encode16(:crypto.strong_rand_bytes(16))
    query = &query!(meta, &1, &2, [telemetry_options: [schema_migration: true]] ++ opts)

    query.(@create, [])
    take(query, holder)
    renew_every = if DatabaseFile.server?(meta), do: :infinity, else: @renew_every
    keeper = start_keeper(query, holder, renew_every)

    try do
      fun.()
    after
      stop(keeper)
    end
  end

  defp take(query, holder) do
    with [[1]] <- query.(@free, []),
         [_taken] <- query.(@take, [holder]) do
      :ok
    else
      [] ->
        Process.sleep(@retry_every)
        take(query, holder)
    end
  end

  ## The keeper renews the lease, and gives it back when the migrator has ended, or died

  defp start_keeper(query, holder, renew_every) do
    migrator = self()

    spawn(fn ->
      Process.monitor(migrator)
      keep(query, holder, migrator, renew_every)
    end)
  end

  defp keep(query, holder, migrator, renew_every) do
    receive do
      _stop_or_down -> query.(@release, [holder])
    after
      renew_every ->
        renew(query, holder, migrator)
        keep(query, holder, migrator, renew_every)
    end
  end

  # Without the lease nothing more may be migrated.
  defp renew(query, holder, migrator) do
    if query.(@renew, [holder]) == [], do: Process.exit(migrator, :migration_lease_lost)
  end

  defp stop(keeper) do
    monitor = Process.monitor(keeper)
    send(keeper, :stop)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  # Waiting for the lock for writing takes as long as another's migration.
  defp query!(meta, sql, params, opts) do
    case Ecto.Adapters.SQL.query(meta, sql, params, opts) do
      {:ok, result} -> result.rows
      {:error, %EctoLibSql.Error{transient?: true}} -> query!(meta, sql, params, opts)
      {:error, error} -> raise error
    end
  end
end
