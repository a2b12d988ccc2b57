defmodule Ecto.Adapters.LibSql.Lock do
  @moduledoc false
  # Ecto.Query's lock. SQLite has no locks of rows, but one for writing, which a transaction then has
  # until its end: it keeps out more than was asked for, and nothing less.

  alias Ecto.Adapters.LibSql.Sql

  # Others wait for the lock; not to wait, or to pass over locked rows, cannot be had.
  @locks ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"]

  @doc "A comment that begins the SQL of a query with a lock, and names what is to be locked."
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

  @doc "What is to be run before SQL that begins so; else nil."
  def statement("/*lock " <> rest) do
    [table, _sql] = String.split(rest, "*/", parts: 2)
    # A DELETE of nothing begins to write, or waits until it can.
    "DELETE FROM #{table} WHERE false"
  end

  def statement(_sql), do: nil
end
