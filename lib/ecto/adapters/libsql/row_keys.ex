defmodule Ecto.Adapters.LibSql.RowKeys do
  @moduledoc false
  # update_all and delete_all with joins find rows first, and write those. A row is known by its number:
  # a schema's primary key may be less than unique in the database, and an alias of the number is unique
  # by nature. Tables WITHOUT ROWID have no numbers, but a primary key that is unique and never NULL; and a
  # column may have the name of the number, and hide it. Only the database can say what a table has. So such
  # a statement begins with a comment that names its table. Before it runs the table is asked, and where it
  # has to be, the numbers are replaced by another of their names, or by the columns of the key.

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

  # The columns that have names of the number, and whether the table has one at all.
  @hiding """
  SELECT lower(name) FROM pragma_table_xinfo(?1, ?2) WHERE lower(name) IN ('_rowid_', 'rowid', 'oid')
  UNION ALL
  """

  @doc """
  The statement as its table can be written. `ask` runs SQL with parameters: `{:ok, rows}` or
  `{:error, error}`.
  """
  def statement("/*rows " <> rest = sql, ask) do
    [table, _sql] = String.split(rest, "*/ ", parts: 2)
    {prefix, name} = names(table)

    case ask.([@hiding, probe(@number, table)], [name, prefix]) do
      {:ok, [_ | _] = hiding} -> with_key(sql, key_beside(Enum.concat(hiding), table, ask))
      {:error, %EctoLibSql.Error{}} -> with_key(sql, key({prefix, name}, ask))
      _numbers -> sql
    end
  end

  def statement(sql, _ask), do: sql

  # Whatever else is wrong with the table is the engine's to say.
  defp with_key(sql, []), do: sql
  defp with_key(sql, key), do: replaced(sql, key)

  defp probe(number, table),
    do: ["SELECT ", number, " FROM (SELECT ", number, " FROM ", table, " LIMIT 0)"]

  defp key_beside(hiding, table, ask) do
    number = Enum.find(~w(rowid _rowid_ oid), &(&1 not in hiding))

    if number && match?({:ok, _rows}, ask.(probe(number, table), [])),
      do: [number],
      else: table |> names() |> key(ask) |> only_key!(table)
  end

  defp only_key!([], table) do
    raise ArgumentError,
          "rows of #{table} cannot be told apart: its columns _rowid_, rowid and oid hide their numbers"
  end

  defp only_key!(key, _table), do: key

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
