defmodule Ecto.Adapters.LibSql.DDL.Reference do
  @moduledoc false
  # Foreign keys. One of a single column stands in the column's definition, one of more at the table's end.

  alias Ecto.Adapters.LibSql.DDL.{Definition, Tokens}
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.Reference

  @doc "` REFERENCES ...` in a column's definition, or nothing."
  def column_level(table, name, %Reference{with: []} = reference) do
    [constraint(reference), " REFERENCES ", target(table, name, reference)]
  end

  def column_level(_table, _name, _type), do: []

  @doc "The foreign keys of more than one column."
  def table_level(table, columns) do
    for {:add, name, %Reference{with: [_ | _]} = reference, _opts} <- columns do
      keys = [name | Keyword.keys(reference.with)]
      key = ["FOREIGN KEY (", Sql.quote_names(keys), ") REFERENCES "]
      constraint = reference |> constraint() |> trim()
      [constraint, key, target(table, name, reference)]
    end
  end

  @doc "The foreign keys at the end of a table's definition that are named after a column, their first."
  def of_column(definition, name) do
    for item <- Definition.constraints(definition),
        Definition.kind(item) == :foreign_key,
        item |> Definition.of_columns() |> hd() |> Tokens.same?(name),
        do: item
  end

  defp trim([]), do: []
  defp trim([?\s | text]), do: [text, ?\s]

  # Its own name is Ecto's default where none is given: nobody needs to read it in the schema.
  defp constraint(%Reference{name: nil}), do: []
  defp constraint(%Reference{name: name}), do: [?\s, "CONSTRAINT ", Sql.quote_name(name)]

  # The parent is in the same database as the child, and SQLite has no syntax to say so.
  defp target(table, name, reference) do
    check_prefix(table, name, reference)
    check_match(name, reference)

    [
      Sql.quote_name(reference.table),
      ?(,
      Sql.quote_names([reference.column | Keyword.values(reference.with)]),
      ?),
      on_delete(reference.on_delete),
      on_update(reference.on_update)
    ]
  end

  defp check_prefix(table, name, %Reference{prefix: prefix}) do
    if prefix != nil and to_string(prefix) != to_string(table.prefix) do
      raise ArgumentError,
            "the foreign key of #{inspect(name)} cannot refer to another database (prefix " <>
              "#{inspect(prefix)}); SQLite's foreign keys stay within one"
    end
  end

  defp check_match(_name, %Reference{match: match}) when match in [nil, :simple], do: :ok
  defp check_match(_name, %Reference{match: :full, with: []}), do: :ok

  defp check_match(name, %Reference{match: match}) do
    raise ArgumentError,
          "SQLite does not support match: #{inspect(match)} (foreign key of #{inspect(name)}); " <>
            "a :check that the columns are all NULL or none does what :full does"
  end

  defp on_delete(:nothing), do: []
  defp on_delete(:delete_all), do: " ON DELETE CASCADE"
  defp on_delete(:nilify_all), do: " ON DELETE SET NULL"
  defp on_delete(:default_all), do: " ON DELETE SET DEFAULT"
  defp on_delete(:restrict), do: " ON DELETE RESTRICT"
  # Done by a trigger: see Trigger.
  defp on_delete({action, _columns}) when action in [:nilify, :default], do: []

  defp on_update(:nothing), do: []
  defp on_update(:update_all), do: " ON UPDATE CASCADE"
  defp on_update(:nilify_all), do: " ON UPDATE SET NULL"
  defp on_update(:restrict), do: " ON UPDATE RESTRICT"

  defp on_update(other),
    do: raise(ArgumentError, "SQLite does not support on_update: #{inspect(other)}")
end
