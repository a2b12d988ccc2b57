defmodule Ecto.Adapters.LibSql.DDL.Table do
  @moduledoc false
  # CREATE TABLE.

  alias Ecto.Adapters.LibSql.DDL.{Column, Comment, Reference, TableOptions, Trigger}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The table, and the triggers of its references that need some."
  def create(table, columns, options, if_not_exists?, settings) do
    refuse_empty(table, columns)
    TableOptions.check_autoincrement(options, columns)
    settings = Keyword.put(settings, :strict, options[:strict] == true)

    [
      [
        ["CREATE ", modifiers(Map.get(table, :modifiers)), "TABLE "],
        if(if_not_exists?, do: "IF NOT EXISTS ", else: []),
        Sql.quote_table(table.prefix, table.name),
        Comment.text(table.comment),
        " (",
        Enum.intersperse(definitions(table, columns, settings), ", "),
        ?),
        TableOptions.text(options)
      ]
      | Trigger.on_delete(table, columns, settings, if_not_exists: if_not_exists?)
    ]
  end

  defp modifiers(nil), do: []

  defp modifiers(words) do
    if String.upcase(words) in ["TEMP", "TEMPORARY"],
      do: [words, ?\s],
      else: raise(ArgumentError, "SQLite has TEMPORARY tables, and none that are #{words}")
  end

  defp refuse_empty(table, []),
    do: raise(ArgumentError, "table #{inspect(table.name)} has no columns; SQLite wants one")

  defp refuse_empty(_table, _columns), do: :ok

  defp definitions(table, columns, settings) do
    keys = for {:add, name, _type, opts} <- columns, opts[:primary_key], do: name
    settings = Keyword.put(settings, :composite_key, length(keys) > 1)

    Enum.map(columns, &Column.define(table, &1, settings)) ++
      primary_key(keys) ++ Reference.table_level(table, columns)
  end

  defp primary_key([_, _ | _] = keys), do: [["PRIMARY KEY (", Sql.quote_names(keys), ?)]]
  defp primary_key(_none_or_one), do: []
end
