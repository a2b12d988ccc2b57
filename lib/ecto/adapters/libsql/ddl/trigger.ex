defmodule Ecto.Adapters.LibSql.DDL.Trigger do
  @moduledoc false
  # on_delete: {:nilify, columns} and {:default, columns}. SQLite acts on all columns of a key or on none:
  # the foreign key is declared without an action, and a trigger of the parent writes the columns before
  # the row goes. A default is the one of the time when the trigger was made.
  #
  # SQLite renames tables and columns in triggers as it does in the schema. It drops a trigger with the
  # parent, not with the child: drop_of_table/1 does, and drops those of a full-text index with it.

  alias Ecto.Adapters.LibSql.DDL.{Default, FTS5}
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.Reference

  @doc """
  The triggers of the references among columns that are added. Options: `if_not_exists: true`; `default:`
  a function that answers the default of a column that is not among them, as SQL.
  """
  def on_delete(table, columns, settings, opts \\ []) do
    default = Keyword.get(opts, :default, &unknown_default/1)

    for {_add, name, %Reference{on_delete: {_action, _}} = reference, _opts} <- columns do
      [
        if(opts[:if_not_exists], do: "CREATE TRIGGER IF NOT EXISTS ", else: "CREATE TRIGGER "),
        Sql.quote_table(table.prefix, trigger_name(table, name, reference)),
        " BEFORE DELETE ON ",
        Sql.quote_name(reference.table),
        " BEGIN ",
        update(table.name),
        assignments(reference.on_delete, &value(&1, columns, settings, default)),
        " WHERE ",
        matching(name, reference),
        "; END"
      ]
    end
  end

  defp trigger_name(table, column, %Reference{name: nil}),
    do: "#{table.name}_#{column}_fkey_on_delete"

  defp trigger_name(_table, _column, %Reference{name: name}), do: "#{name}_on_delete"

  defp update(table), do: ["UPDATE ", Sql.quote_name(table), " SET "]

  defp assignments({action, names}, value) do
    Sql.intersperse_map(names, ", ", fn name ->
      [Sql.quote_name(name), " = ", if(action == :nilify, do: "NULL", else: value.(name))]
    end)
  end

  defp value(name, columns, settings, default) do
    case Enum.find(columns, &(elem(&1, 1) == name)) do
      {_add, _name, type, opts} -> Default.literal(opts[:default], base(type), settings)
      nil -> default.(name)
    end
  end

  defp unknown_default(name) do
    raise ArgumentError,
          "on_delete: {:default, ...} names #{inspect(name)}, whose default is not known here"
  end

  defp base(%Reference{type: type}), do: type
  defp base(type), do: type

  defp matching(name, reference) do
    Sql.intersperse_map([{name, reference.column} | reference.with], " AND ", fn {child, parent} ->
      [Sql.quote_name(child), " = OLD.", Sql.quote_name(parent)]
    end)
  end

  @doc "Drops the trigger of a column that changes or goes, by the reference that the migration says it had."
  def drop(table, name, %Reference{on_delete: {_action, _}} = reference) do
    trigger = Sql.quote_table(table.prefix, trigger_name(table, name, reference))
    [["DROP TRIGGER IF EXISTS ", trigger]]
  end

  def drop(table, name, {%Reference{} = reference, _opts}), do: drop(table, name, reference)
  def drop(_table, _name, _type), do: []

  @doc "The same, and by what the schema has; `names` are those of the triggers that write the table."
  def drop(table, names, name, reference) do
    default = trigger_name(table, name, %Reference{})

    if default in names,
      do: [["DROP TRIGGER ", Sql.quote_table(table.prefix, default)]],
      else: drop(table, name, reference)
  end

  @doc "A step that drops the triggers which write a table that goes."
  def drop_of_table(table) do
    schema = Sql.quote_table(table.prefix || "main", "sqlite_schema")

    sql = [
      ["SELECT name FROM ", schema, " WHERE ", writes(table.name)],
      [" OR ", FTS5.writes(table.name)]
    ]

    next = fn rows ->
      for [name] <- rows, do: ["DROP TRIGGER ", Sql.quote_table(table.prefix, name)]
    end

    {:ask, sql, next, []}
  end

  @doc "The condition that a row of the schema is such a trigger."
  def writes(table) do
    [
      "type = 'trigger' AND name LIKE '%\\_on\\_delete' ESCAPE '\\' AND instr(lower(sql), lower(",
      ["BEGIN ", update(table)] |> IO.iodata_to_binary() |> Sql.quote_string(),
      ")) > 0"
    ]
  end
end
