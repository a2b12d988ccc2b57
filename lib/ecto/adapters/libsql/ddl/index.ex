defmodule Ecto.Adapters.LibSql.DDL.Index do
  @moduledoc false
  # CREATE INDEX, and renaming one. `concurrently: true` is passed over: it asks PostgreSQL not to lock
  # the table's writers, and SQLite has one writer at a time in any case.

  alias Ecto.Adapters.LibSql.DDL.Comment
  alias Ecto.Adapters.LibSql.Sql

  @doc "One statement. A prefix goes before the index's own name, and the table lies in that database."
  def create(index, if_not_exists?) do
    check(index)

    [
      if(index.unique, do: "CREATE UNIQUE INDEX ", else: "CREATE INDEX "),
      if(if_not_exists?, do: "IF NOT EXISTS ", else: []),
      Sql.quote_table(index.prefix, index.name),
      Comment.text(index.comment),
      " ON ",
      Sql.quote_name(index.table),
      " (",
      Sql.intersperse_map(index.columns, ", ", &column/1),
      ?),
      where(index.where)
    ]
  end

  defp column({direction, column}), do: [column(column), direction(direction)]
  defp column(name) when is_atom(name), do: Sql.quote_name(name)
  defp column(expression) when is_binary(expression), do: expression

  # NULL is the least value: what says so of itself needs no words, what does not has none.
  defp direction(direction) when direction in [:asc, :asc_nulls_first], do: " ASC"
  defp direction(direction) when direction in [:desc, :desc_nulls_last], do: " DESC"

  defp direction(other) do
    raise ArgumentError,
          "SQLite does not support #{other} in an index; add the expression " <>
            "\"column IS NULL\" as a column before it"
  end

  defp where(nil), do: []
  defp where(sql), do: [" WHERE ", to_string(sql)]

  defp check(index) do
    if index.using not in [nil, :btree, "btree"] do
      refuse(index, "using: #{inspect(index.using)}", "all its indexes are B-trees")
    end

    if index.include not in [nil, []] do
      refuse(index, ":include", "a covering index has the columns at its end")
    end

    if index.nulls_distinct == false do
      refuse(
        index,
        "nulls_distinct: false",
        "index \"ifnull(column, '')\", or \"column IS NULL\" too"
      )
    end

    if index.only, do: refuse(index, "only: true", "there are no partitions")
    if index.options, do: refuse(index, ":options", "indexes take none")
  end

  defp refuse(index, what, instead) do
    raise ArgumentError,
          "SQLite does not support #{what} (index #{inspect(index.name)}): #{instead}"
  end

  ## Renaming: SQLite has no statement for it, the index is made again under its new name

  @name ~S/(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[^\s(]+)/
  @create Regex.compile!("\\A(CREATE\\s+(?:UNIQUE\\s+)?INDEX\\s+)" <> @name <> "(.*)\\z", "is")

  @doc "Steps: the text of the index is read from the schema."
  def rename(index, new_name) do
    sql = [
      "SELECT sql FROM ",
      Sql.quote_table(index.prefix || "main", "sqlite_schema"),
      " WHERE type = 'index' AND name = ",
      index.name |> to_string() |> Sql.quote_string()
    ]

    [{:ask, sql, &renamed(&1, index, new_name), offline_rename(index, new_name)}]
  end

  defp renamed([[sql]], index, new_name) when is_binary(sql) do
    [_all, create, rest] = Regex.run(@create, sql)
    [drop(index), [create, Sql.quote_table(index.prefix, new_name), rest]]
  end

  defp renamed([[nil]], index, _new_name) do
    raise ArgumentError,
          "index #{inspect(index.name)} belongs to a UNIQUE or PRIMARY KEY of its table and keeps its name"
  end

  defp renamed([], index, _new_name),
    do: raise(ArgumentError, "there is no index #{inspect(index.name)} to rename")

  # Without the schema: what the migration says of the index.
  defp offline_rename(index, new_name),
    do: [drop(index), create(%{index | name: new_name}, false)]

  defp drop(index), do: ["DROP INDEX ", Sql.quote_table(index.prefix, index.name)]
end
