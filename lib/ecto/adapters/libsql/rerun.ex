defmodule Ecto.Adapters.LibSql.Rerun do
  @moduledoc false
  # A statement that has failed, run once more to see why, and undone.
  #
  # What watches it, tables and triggers, is temporary. Servers refuse all that is: there it stands beside the
  # user's own tables, and goes when the run is undone, before anybody else can see it.

  alias Ecto.Adapters.LibSql.DatabaseFile

  @savepoint "ecto_libsql_again"

  @doc """
  What `fun` answers, which is given a function of SQL and parameters that runs it. `nil` if it cannot be
  found out: the first error says more.
  """
  def look(meta, opts, fun) do
    fun.(query(meta, opts))
  rescue
    _error in [EctoLibSql.Error, DBConnection.ConnectionError] -> nil
  end

  @doc "The same, to run the statement again: nobody else writes meanwhile."
  def ask(meta, opts, fun) do
    in_transaction(meta, silent(opts), fn -> fun.(query(meta, opts)) end)
  rescue
    _error in [EctoLibSql.Error, DBConnection.ConnectionError] -> nil
  end

  defp query(meta, opts),
    do: &Ecto.Adapters.SQL.query(meta, IO.iodata_to_binary(&1), &2, silent(opts))

  defp silent(opts), do: [log: false, telemetry_event: nil] ++ Keyword.take(opts, [:timeout])

  @doc "The schema in which is created what a second run needs, and what undoes it removes."
  def notes(meta), do: if(DatabaseFile.server?(meta), do: "main", else: "temp")

  # The lock for writing is taken before anything is read.
  defp in_transaction(meta, opts, fun) do
    if Ecto.Adapters.SQL.in_transaction?(meta) do
      fun.()
    else
      {:ok, answer} = Ecto.Adapters.SQL.transaction(meta, [mode: :immediate] ++ opts, fun)
      answer
    end
  end

  @doc """
  What `fun` answers, with foreign keys deferred; what it does is undone. `notes` is that of `notes/1`. `nil`
  where rows are being read by a stream: temporary triggers change the schema, and undoing that would end the
  stream. A server's rows have been read to their end when something else is asked.
  """
  def undone(query, notes, fun) do
    if notes == "main" or rows(query, "PRAGMA open_cursors") == [[0]], do: undone_now(query, fun)
  end

  defp undone_now(query, fun) do
    [[deferred]] = rows(query, "PRAGMA defer_foreign_keys")
    rows(query, "SAVEPOINT " <> @savepoint)

    try do
      rows(query, "PRAGMA defer_foreign_keys = ON")
      fun.()
    after
      roll_back(query)
      # ROLLBACK TO does not set it back.
      query.("PRAGMA defer_foreign_keys = #{deferred}", [])
    end
  end

  # What was run twice must not stay: where the savepoint is lost, the transaction goes with it.
  defp roll_back(query) do
    with {:ok, _} <- query.("ROLLBACK TO " <> @savepoint, []),
         {:ok, _} <- query.("RELEASE " <> @savepoint, []) do
      :ok
    else
      _error -> query.("ROLLBACK", [])
    end
  end

  @doc "The rows of a statement that must succeed."
  def rows(query, sql, params \\ []) do
    case query.(sql, params) do
      {:ok, result} -> result.rows
      {:error, error} -> raise error
    end
  end

  @doc "The database of a table: that of its prefix, or where a name without one leads."
  def database(query, nil, table) do
    sql = """
    SELECT list.schema FROM pragma_table_list AS list JOIN pragma_database_list AS d ON d.name = list.schema
    WHERE list.name = ?1 COLLATE NOCASE ORDER BY d.seq <> 1, d.seq LIMIT 1
    """

    case rows(query, sql, [table]) do
      [[database]] -> database
      [] -> "main"
    end
  end

  def database(_query, prefix, _table), do: prefix

  @doc "The schema's own table of a database."
  def master(database), do: [Ecto.Adapters.LibSql.Sql.quote_name(database), ".sqlite_master"]
end
