defmodule Ecto.Adapters.LibSql.DDL.Remove do
  @moduledoc false
  # `remove`. With the column go its indexes and the constraints that speak of it, as in other databases.
  # DROP COLUMN refuses a column in a key, a UNIQUE, or another's CHECK: then the table is built anew. A
  # view, a trigger or a generated column that reads it is an error in both ways.

  alias Ecto.Adapters.LibSql.DDL.{Alter, Definition, Tokens}
  alias Ecto.Adapters.LibSql.Sql

  @doc "DROP COLUMN."
  def statement(table, name), do: [Alter.alter_table(table), "DROP COLUMN ", Sql.quote_name(name)]

  @doc "Whether DROP COLUMN would refuse the column for what the table's definition says of it."
  def bound?(definition, name) do
    column = Definition.column(definition, name)

    column != nil and
      (Definition.has?(column, :primary_key) or Definition.has?(column, :unique) or
         Enum.any?(definition.items, &speaks?(&1, name)))
  end

  @doc "Raises for a column that has gone, and that foreign keys refer to."
  def refuse_referenced(catalog, definition, removed) do
    gone = Enum.filter(removed, &(Definition.column(definition, &1) == nil))
    gone? = fn name -> Enum.any?(gone, &Tokens.same?(&1, name)) end
    key = Definition.primary_key(catalog.definition)

    for {child, from, to} <- catalog.references,
        name <- if(to, do: [to], else: key),
        gone?.(name),
        not (Tokens.same?(child, catalog.table.name) and gone?.(from)) do
      raise ArgumentError,
            "column #{inspect(name)} of table #{inspect(catalog.table.name)} is what the foreign key of " <>
              "#{inspect(child)} (#{from}) refers to: remove that first"
    end
  end

  @doc "The definition without the column."
  def from(definition, name) do
    definition
    |> Definition.reject(&(column?(&1, name) or (&1.type == :constraint and speaks?(&1, name))))
    |> without_checks(name)
  end

  defp without_checks(definition, name) do
    definition
    |> Definition.columns()
    |> Enum.filter(&speaks?(&1, name))
    |> Enum.reduce(definition, fn column, definition ->
      Definition.drop_column_constraints(definition, column.name, fn kind, _name, sql ->
        kind == :check and Tokens.mentions?(sql, name)
      end)
    end)
  end

  defp column?(item, name), do: item.type == :column and Tokens.same?(item.name, name)

  # Another column's CHECK, or a constraint of the table.
  defp speaks?(%{type: :column} = column, name) do
    not Tokens.same?(column.name, name) and
      Enum.any?(Definition.column_constraints(column), fn {kind, sql} ->
        kind == :check and Tokens.mentions?(sql, name)
      end)
  end

  defp speaks?(constraint, name) do
    case Definition.kind(constraint) do
      :check -> Tokens.mentions?(constraint.text, name)
      _key -> Enum.any?(Definition.of_columns(constraint), &Tokens.same?(&1, name))
    end
  end
end
