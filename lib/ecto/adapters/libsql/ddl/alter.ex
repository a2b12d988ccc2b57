defmodule Ecto.Adapters.LibSql.DDL.Alter do
  @moduledoc false
  # ALTER TABLE: one statement for each change, in their order.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}
  alias Ecto.Adapters.LibSql.DDL.{Column, Comment, Modify, TableOptions, Trigger}
  alias Ecto.Migration.Reference

  @doc "`ALTER TABLE name `."
  def alter_table(table), do: ["ALTER TABLE ", Sql.quote_table(table.prefix, table.name), ?\s]

  def steps(table, changes, settings) do
    Comment.refuse(table.comment, "table #{inspect(table.name)}")
    strict? = TableOptions.parse(table.options)[:strict] == true
    given = Keyword.put(settings, :strict, strict?)
    plain = Enum.flat_map(changes, &change(table, &1, given))

    if strict? or Enum.all?(changes, &storage_class?(&1, settings)),
      do: plain,
      else: [ask_strict(table, changes, settings, plain)]
  end

  # A STRICT table takes storage classes alone; the migration need not say that it is one.
  defp ask_strict(table, changes, settings, plain) do
    sql = [
      "SELECT 1 FROM pragma_table_list WHERE strict AND ",
      of_table("schema", "name", table)
    ]

    next = fn
      [] -> plain
      [_] -> Enum.flat_map(changes, &change(table, &1, Keyword.put(settings, :strict, true)))
    end

    {:ask, sql, next, plain}
  end

  defp storage_class?({change, _name, type, opts}, settings)
       when change in [:add, :add_if_not_exists, :modify],
       do: type |> Column.declare(opts, settings) |> ColumnType.strict?()

  defp storage_class?(_remove, _settings), do: true

  defp of_table(schema_column, name_column, table) do
    [
      [schema_column, " = ", quote_text(table.prefix || "main")],
      [" AND ", name_column, " = ", quote_text(table.name), " COLLATE NOCASE"]
    ]
  end

  defp quote_text(text), do: text |> to_string() |> Sql.quote_string()

  ## Changes

  defp change(table, {:add, name, type, opts} = add, settings) do
    refuse_key(table, name, opts)
    refuse_composite(table, name, type)
    column = Column.define(table, add, settings)
    [[alter_table(table), "ADD COLUMN ", column] | Trigger.on_delete(table, [add], settings)]
  end

  defp change(table, {:add_if_not_exists, name, type, opts}, settings) do
    add = change(table, {:add, name, type, opts}, settings)
    [if_column(table, name, "add_if_not_exists", fn exists? -> if exists?, do: [], else: add end)]
  end

  defp change(table, {:modify, name, type, opts} = modify, settings) do
    refuse_key(table, name, opts)
    refuse_composite(table, name, type)

    Trigger.drop(table, name, opts[:from]) ++
      [Modify.step(table, modify, settings)] ++ Trigger.on_delete(table, [modify], settings)
  end

  defp change(table, {:remove, name}, _settings), do: [drop_column(table, name)]

  defp change(table, {:remove, name, type, _opts}, _settings),
    do: Trigger.drop(table, name, type) ++ [drop_column(table, name)]

  defp change(table, {:remove_if_exists, name}, settings),
    do: change(table, {:remove_if_exists, name, nil}, settings)

  defp change(table, {:remove_if_exists, name, type}, _settings) do
    drop = Trigger.drop(table, name, type) ++ [drop_column(table, name)]
    [if_column(table, name, "remove_if_exists", fn exists? -> if exists?, do: drop, else: [] end)]
  end

  defp drop_column(table, name), do: [alter_table(table), "DROP COLUMN ", Sql.quote_name(name)]

  # table_xinfo shows generated columns too.
  defp if_column(table, name, change, next) do
    sql = [
      ["SELECT 1 FROM pragma_table_xinfo(", quote_text(table.name), ", "],
      [quote_text(table.prefix || "main"), ") WHERE name = ", quote_text(name), " COLLATE NOCASE"]
    ]

    why = "#{change} of #{inspect(name)} looks into the database: run the migration to see its SQL"
    {:ask, sql, &next.(&1 != []), why}
  end

  ## What needs a new table

  defp refuse_key(table, name, opts) do
    if opts[:primary_key] do
      raise ArgumentError, """
      SQLite cannot change the primary key of a table (column #{inspect(name)}). Write by hand: \
      create a new table with the key, execute "INSERT INTO new (...) SELECT ... FROM #{table.name}", \
      drop #{table.name}, rename the new table.\
      """
    end
  end

  defp refuse_composite(table, name, %Reference{with: [_ | _]}) do
    raise ArgumentError, """
    SQLite cannot add a foreign key of several columns to a table (column #{inspect(name)}). Write by \
    hand: create a new table with it, execute "INSERT INTO new (...) SELECT ... FROM #{table.name}", \
    drop #{table.name}, rename the new table.\
    """
  end

  defp refuse_composite(_table, _name, _type), do: :ok
end
