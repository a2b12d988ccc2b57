defmodule Ecto.Adapters.LibSql.RowKeys do
  @moduledoc false
  # update_all and delete_all with joins find rows first, and write those. A row is known by its number:
  # a schema's primary key may be less than unique in the database, and an alias of the number is unique
  # by nature. Tables WITHOUT ROWID have no numbers, but a primary key that is unique and never NULL; only
  # the database can say which of both a table is. So such a statement begins with a comment that names
  # its table. Before it runs the table is asked for a number, and where it has none, the numbers are
  # replaced by the columns of its key.

  alias Ecto.Adapters.LibSql.{Sql, Statements}
  alias Ecto.Adapters.LibSql.Query.Env

  # The same as _rowid_ to the engine, and not how anybody else writes it.
  @number "_ROWID_"

  ## In the statement

  @doc "The number of a source's row."
  def number(name), do: [name, ?., @number]

  @doc "The number of a row of the written table, where it has no name."
  def number, do: @number

  @doc "The comment that begins a statement with numbers."
  def comment(prefix, table, env) do
    name = prefix |> Sql.quote_table(table) |> IO.iodata_to_binary()
    if name =~ "*/", do: Env.error!(env, "a written table's name cannot hold */")
    ["/*rows ", name, "*/ "]
  end

  ## Before it runs

  @doc """
  The statement as its table can be written. `ask` runs SQL with parameters: `{:ok, rows}` or
  `{:error, error}`.
  """
  def statement("/*rows " <> rest = sql, ask) do
    [table, _sql] = String.split(rest, "*/ ", parts: 2)

    with {:error, %EctoLibSql.Error{}} <- ask.("SELECT #{@number} FROM #{table} LIMIT 0", []),
         [_ | _] = key <- key(names(table), ask) do
      replaced(sql, key)
    else
      # It has numbers, or whatever is wrong with it is the engine's to say.
      _other -> sql
    end
  end

  def statement(sql, _ask), do: sql

  # {name of the attached database or nil, name of the table}
  defp names(quoted) do
    case Regex.scan(~r/"((?:[^"]|"")*)"/, quoted, capture: :all_but_first) do
      [[table]] -> {nil, unquoted(table)}
      [[prefix], [table]] -> {unquoted(prefix), unquoted(table)}
    end
  end

  defp unquoted(name), do: String.replace(name, ~s(""), ~s("))

  # The names of TEMP come first, then those of main and of attached databases in their order.
  @without_rowid """
  SELECT l.schema FROM pragma_table_list(?1) AS l JOIN pragma_database_list AS d ON d.name = l.schema
  WHERE l.wr = 1 AND (?2 IS NULL OR l.schema = ?2 COLLATE NOCASE) ORDER BY d.seq <> 1, d.seq LIMIT 1
  """
  @key "SELECT name FROM pragma_table_info(?1, ?2) WHERE pk > 0 ORDER BY pk"

  defp key({prefix, table}, ask) do
    with {:ok, [[schema]]} <- ask.(@without_rowid, [table, prefix]),
         {:ok, rows} <- ask.(@key, [table, schema]) do
      List.flatten(rows)
    else
      _other -> []
    end
  end

  defp replaced(sql, key) do
    sql |> Statements.tokens() |> replace(Enum.map(key, &Sql.quote_name/1)) |> IO.iodata_to_binary()
  end

  # Of what stands in quotes and comments nothing is replaced.
  defp replace([{:word, name}, {:text, "."}, {:word, @number} | rest], key),
    do: [columns(key, &[name, ?. | &1]) | replace(rest, key)]

  defp replace([{:word, @number} | rest], key),
    do: [?(, columns(key, & &1), ?) | replace(rest, key)]

  defp replace([:semicolon | rest], key), do: [?; | replace(rest, key)]
  defp replace([{_kind, text} | rest], key), do: [text | replace(rest, key)]
  defp replace([], _key), do: []

  defp columns(key, fun), do: Sql.intersperse_map(key, ", ", fun)
end
