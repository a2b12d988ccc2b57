defmodule Ecto.Adapters.LibSql.DDL.Constraint do
  @moduledoc false
  # `create constraint` and `drop constraint`. SQLite has constraints in CREATE TABLE alone: the table is
  # built anew.

  alias Ecto.Adapters.LibSql.DDL.{Catalog, Comment, Definition, Rebuild, Tokens}
  alias Ecto.Adapters.LibSql.Sql

  @doc "A CHECK of the table."
  def create(%{exclude: exclude} = constraint) when exclude != nil do
    raise ArgumentError,
          "SQLite does not support exclusion constraints (#{inspect(constraint.name)}); " <>
            "a trigger with RAISE(ABORT, ...) can refuse the rows"
  end

  def create(constraint) do
    ask(constraint, fn catalog ->
      refuse_twice(catalog, constraint)
      definition = Definition.append_constraint(catalog.definition, check(constraint))
      [Rebuild.step(catalog, definition, %{unchecked?: constraint.validate == false})]
    end)
  end

  defp check(%{name: name, check: sql, comment: comment}),
    do: ["CONSTRAINT ", Sql.quote_name(name), " CHECK (", sql, ?), Comment.text(comment)]

  defp refuse_twice(catalog, %{name: name, table: table}) do
    if without(catalog, name) != catalog.definition,
      do: raise(ArgumentError, "table #{inspect(table)} already has a constraint #{inspect(name)}")
  end

  @doc "Drops a constraint by its name: the one that it was given, or Ecto's for a key without."
  def drop(constraint, if_exists?) do
    ask(constraint, if_exists?, fn catalog ->
      definition = without(catalog, constraint.name)

      cond do
        definition != catalog.definition -> [Rebuild.step(catalog, definition, %{})]
        if_exists? -> []
        true -> raise ArgumentError, "there is no constraint #{inspect(constraint.name)} to drop"
      end
    end)
  end

  defp ask(constraint, if_exists? \\ false, fun) do
    table = %Ecto.Migration.Table{name: constraint.table, prefix: constraint.prefix}

    next = fn rows ->
      case Catalog.new(table, rows) do
        nil when if_exists? -> []
        nil -> raise ArgumentError, "there is no table #{inspect(table.name)} for the constraint"
        catalog -> fun.(catalog)
      end
    end

    [{:ask, Catalog.question(table), next, Rebuild.offline(table)}]
  end

  defp without(catalog, name) do
    table = catalog.table.name

    catalog.definition
    |> Definition.reject(&(&1.type == :constraint and named?(&1, table, name)))
    |> without_of_columns(table, name)
  end

  defp named?(item, table, name) do
    default =
      case Definition.kind(item) do
        :foreign_key -> "#{table}_#{hd(Definition.of_columns(item))}_fkey"
        :primary_key -> "#{table}_pkey"
        _other -> nil
      end

    Tokens.same?(item.name || default, name)
  end

  defp without_of_columns(definition, table, name) do
    definition
    |> Definition.columns()
    |> Enum.reduce(definition, fn column, definition ->
      Definition.drop_column_constraints(definition, column.name, fn kind, own, _sql ->
        Tokens.same?(own || default(kind, table, column.name), name)
      end)
    end)
  end

  defp default(:foreign_key, table, column), do: "#{table}_#{column}_fkey"
  defp default(:primary_key, table, _column), do: "#{table}_pkey"
  defp default(_kind, _table, _column), do: nil
end
