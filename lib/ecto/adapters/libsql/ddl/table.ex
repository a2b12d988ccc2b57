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

  ## DROP TABLE

  @doc """
  Drops a table, and the triggers that write it. It deletes the rows first, and by that those of tables whose
  foreign keys say ON DELETE CASCADE: other databases refuse that, and so do we.
  """
  def drop(table, if_exists?) do
    words = if if_exists?, do: "DROP TABLE IF EXISTS ", else: "DROP TABLE "
    sql = [words, Sql.quote_table(table.prefix, table.name)]
    [Trigger.drop_of_table(table), {:ask, acting_keys(table), &acts(&1, table), []}, sql]
  end

  defp acting_keys(table) do
    schema = to_string(table.prefix || "main")
    name = table.name |> to_string() |> Sql.quote_string()

    [
      ["SELECT m.name, k.\"from\", k.on_delete FROM ", Sql.quote_table(schema, "sqlite_schema")],
      [" AS m, pragma_foreign_key_list(m.name, ", Sql.quote_string(schema), ") AS k, "],
      ["pragma_foreign_keys AS f WHERE f.foreign_keys AND m.type = 'table' AND k.seq = 0 "],
      ["AND k.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT') AND k.\"table\" = ", name],
      [" COLLATE NOCASE AND m.name <> ", name, " COLLATE NOCASE"]
    ]
  end

  defp acts(keys, table) do
    for [child, column, action] <- keys do
      rows = ["SELECT 1 FROM ", Sql.quote_table(table.prefix, child)]
      sql = [rows, " WHERE ", Sql.quote_name(column), " IS NOT NULL LIMIT 1"]
      {:ask, sql, &refuse_acting(&1, table, child, column, action), []}
    end
  end

  defp refuse_acting([], _table, _child, _column, _action), do: []

  defp refuse_acting(_rows, table, child, column, action) do
    raise ArgumentError,
          "table #{inspect(table.name)} cannot be dropped: rows of #{inspect(child)} refer to it by " <>
            "#{inspect(column)}, and ON DELETE #{action} would act on them. Drop that table, its foreign " <>
            "key or its rows first"
  end
end
