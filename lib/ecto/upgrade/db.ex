defmodule EctoLibSql.Upgrade.DB do
  @moduledoc false
  # The connection that looks and mends.

  alias Ecto.Adapters.LibSql.Sql
  alias EctoLibSql.Native

  @doc "The rows of a statement; raises `EctoLibSql.Error`."
  def rows(db, sql, params \\ []) do
    case EctoLibSql.query(db, sql, params) do
      {:ok, _query, result, _db} -> result.rows
      {:error, error, _db} -> raise error
    end
  end

  @doc "The one value of a statement."
  def one(db, sql, params \\ []) do
    [[value]] = rows(db, sql, params)
    value
  end

  @doc "Runs `fun` with a connection in a transaction: `:ok`, or `{:error, message}` and nothing is changed."
  def transaction(db, fun) do
    case Native.begin(db, behavior: :immediate) do
      {:ok, db} -> in_transaction(db, fun)
      {:error, error} -> {:error, Exception.message(error)}
    end
  end

  defp in_transaction(db, fun) do
    fun.(db)
    committed(Native.commit(db), db)
  rescue
    error ->
      Native.rollback(db)
      {:error, Exception.message(error)}
  end

  defp committed({:ok, _success}, _db), do: :ok

  defp committed({:error, error}, db) do
    Native.rollback(db)
    {:error, Exception.message(error)}
  end

  @doc """
  Runs `fun` while the table has no triggers: the rows stay what they are, only their form changes, and
  nobody is to take that for an update.
  """
  def without_triggers(db, table, fun) do
    sql = """
    SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE
    ORDER BY rowid
    """

    triggers = rows(db, sql, [table])
    for [name, _sql] <- triggers, do: rows(db, ["DROP TRIGGER ", Sql.quote_name(name)])
    fun.()
    for [_name, sql] <- triggers, do: rows(db, sql)
    :ok
  end
end
