defmodule Ecto.Adapters.LibSql.Lock do
  @moduledoc false
  # Ecto.Query's lock. SQLite has no locks of rows, but one for writing, which the transaction then has
  # until its end: it keeps out more than was asked for, and nothing less.

  alias Ecto.Adapters.LibSql.Sql

  # Others wait for the lock; not to wait, or to pass over locked rows, cannot be had.
  @locks ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"]

  @doc "A comment that begins a query with a lock: `/*lock \"table\"*/`."
  def comment(%{lock: lock} = query) when lock in @locks do
    case query.from.source do
      {table, _schema} when is_binary(table) -> ["/*lock ", name(query, table), "*/ "]
      _other -> refuse(query, "a lock needs a table in from")
    end
  end

  def comment(query) do
    refuse(query, "SQLite has no lock #{inspect(query.lock)}, but #{Enum.join(@locks, ", ")}")
  end

  defp name(query, table) do
    name = (query.from.prefix || query.prefix) |> Sql.quote_table(table) |> IO.iodata_to_binary()
    if name =~ "*/", do: refuse(query, "a locked table's name cannot hold */"), else: name
  end

  defp refuse(query, message), do: raise(Ecto.QueryError, query: query, message: message)

  @doc "Takes the lock that a prepared query asks for."
  def take(meta, prepared, opts) do
    with "/*lock " <> rest <- text(prepared) do
      [table, _sql] = String.split(rest, "*/", parts: 2)
      take_lock(meta, table, Keyword.delete(opts, :libsql_blobs))
    end
  end

  # A DELETE of nothing begins to write, or waits until it can.
  defp take_lock(meta, table, opts) do
    opts = [log: false, telemetry_event: nil] ++ opts
    Ecto.Adapters.SQL.query!(meta, "DELETE FROM #{table} WHERE false", [], opts)
  end

  defp text({:cached, _update, _reset, {_id, %EctoLibSql.Query{statement: sql}}}), do: sql
  defp text({_cache, _update, {_id, sql}}), do: sql
  defp text({_nocache, {_id, sql}}), do: sql
end
