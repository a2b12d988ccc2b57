defmodule Ecto.Adapters.LibSql.DDL.Trigger do
  @moduledoc false
  # on_delete: {:nilify, columns} and {:default, columns}. SQLite acts on all columns of a key or on none:
  # the foreign key is declared without an action, and a trigger of the parent writes the columns before
  # the row goes. A default is the one of the time when the trigger was made.
  #
  # SQLite renames tables and columns in triggers as it does in the schema. It drops a trigger with the
  # parent, not with the child: drop_of_table/1 does.

  alias Ecto.Adapters.LibSql.DDL.Default
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.Reference

  @doc "The triggers of a new table's references."
  def on_delete(table, columns, settings, if_not_exists? \\ false) do
    for {_add, name, %Reference{on_delete: {_action, _}} = reference, _opts} <- columns do
      create(table, name, reference, columns, settings, if_not_exists?)
    end
  end

  defp create(table, name, reference, columns, settings, if_not_exists?) do
    [
      if(if_not_exists?, do: "CREATE TRIGGER IF NOT EXISTS ", else: "CREATE TRIGGER "),
      Sql.quote_table(table.prefix, trigger_name(table, name, reference)),
      " BEFORE DELETE ON ",
      Sql.quote_name(reference.table),
      " BEGIN ",
      update(table.name),
      assignments(reference.on_delete, columns, settings),
      " WHERE ",
      matching(name, reference),
      "; END"
    ]
  end

  defp trigger_name(table, column, %Reference{name: nil}),
    do: "#{table.name}_#{column}_fkey_on_delete"

  defp trigger_name(_table, _column, %Reference{name: name}), do: "#{name}_on_delete"

  defp update(table), do: ["UPDATE ", Sql.quote_name(table), " SET "]

  defp assignments({action, names}, columns, settings) do
    Sql.intersperse_map(names, ", ", fn name ->
      [Sql.quote_name(name), " = ", value(action, name, columns, settings)]
    end)
  end

  defp value(:nilify, _name, _columns, _settings), do: "NULL"

  defp value(:default, name, columns, settings) do
    case Enum.find(columns, &(elem(&1, 1) == name)) do
      {_add, _name, type, opts} ->
        Default.literal(opts[:default], base(type), settings)

      nil ->
        raise ArgumentError,
              "on_delete: {:default, ...} names #{inspect(name)}, whose default is not known here; " <>
                "create the table with both columns"
    end
  end

  defp base(%Reference{type: type}), do: type
  defp base(type), do: type

  defp matching(name, reference) do
    Sql.intersperse_map([{name, reference.column} | reference.with], " AND ", fn {child, parent} ->
      [Sql.quote_name(child), " = OLD.", Sql.quote_name(parent)]
    end)
  end

  @doc "Drops the trigger of a column that changes or goes, if its reference has one."
  def drop(table, name, %Reference{on_delete: {_action, _}} = reference) do
    trigger = Sql.quote_table(table.prefix, trigger_name(table, name, reference))
    [["DROP TRIGGER IF EXISTS ", trigger]]
  end

  def drop(table, name, {%Reference{} = reference, _opts}), do: drop(table, name, reference)
  def drop(_table, _name, _type), do: []

  @doc "A step that drops the triggers which write a table that goes."
  def drop_of_table(table) do
    sql = [
      "SELECT name FROM ",
      Sql.quote_table(table.prefix || "main", "sqlite_schema"),
      " WHERE type = 'trigger' AND name LIKE '%\\_on\\_delete' ESCAPE '\\' AND instr(lower(sql), lower(",
      ["BEGIN ", update(table.name)] |> IO.iodata_to_binary() |> Sql.quote_string(),
      ")) > 0"
    ]

    next = fn rows ->
      for [name] <- rows, do: ["DROP TRIGGER ", Sql.quote_table(table.prefix, name)]
    end

    {:ask, sql, next, []}
  end
end
