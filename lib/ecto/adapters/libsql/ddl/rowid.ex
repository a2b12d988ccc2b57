defmodule Ecto.Adapters.LibSql.DDL.Rowid do
  @moduledoc false
  # The rowids of a table that is built anew. Full-text indexes of the table, and whoever has noted one, know
  # a row by it: so it stays, in a new INTEGER PRIMARY KEY too.

  alias Ecto.Adapters.LibSql.DDL.{Catalog, Definition}
  alias Ecto.Adapters.LibSql.Sql

  @doc "`[{column of the new table, expression of the old one}]`, or `[]` where there is nothing to add."
  @spec copied((iodata() -> [[term()]]), %Catalog{}, Definition.t()) :: [{iodata(), iodata()}]
  def copied(query, catalog, definition) do
    key = key(definition)

    cond do
      without?(catalog.definition) or without?(definition) -> []
      key != nil and key.source != nil -> []
      true -> pair(of_old(query, catalog), key, definition)
    end
  end

  defp pair(nil, _key, _definition), do: []

  defp pair(old, nil, definition) do
    case name(definition) do
      nil -> []
      name -> [{name, old}]
    end
  end

  defp pair(old, key, _definition), do: [{Sql.quote_name(key.name), old}]

  @doc "Whether a row has the same rowid in both tables."
  @spec kept?((iodata() -> [[term()]]), %Catalog{}, Definition.t()) :: boolean()
  def kept?(query, catalog, definition) do
    case {copied(query, catalog, definition), key(definition)} do
      {[_pair], _key} ->
        true

      {[], %{source: source}} when source != nil ->
        match?(%{name: ^source}, old_key(query, catalog))

      _other ->
        false
    end
  end

  defp without?(definition), do: Definition.option?(definition, "WITHOUT ROWID")

  # Any of the three, unless a column has that name.
  defp name(definition),
    do: Enum.find(~w(rowid _rowid_ oid), &(Definition.column(definition, &1) == nil))

  defp of_old(query, catalog) do
    case name(catalog.definition) do
      nil -> with %{name: name} <- old_key(query, catalog), do: Sql.quote_name(name)
      name -> name
    end
  end

  # The old table can be asked: a key that is no rowid has an index.
  defp old_key(query, catalog) do
    sql = [
      ["SELECT 1 FROM pragma_index_list(", Sql.quote_string(catalog.table.name), ", "],
      [Sql.quote_string(catalog.schema), ") WHERE origin = 'pk'"]
    ]

    with [name] <- Definition.primary_key(catalog.definition),
         [] <- query.(sql) do
      Definition.column(catalog.definition, name)
    else
      _none -> nil
    end
  end

  # DESC makes PRIMARY KEY no rowid, if it stands in the column's definition.
  defp key(definition) do
    with [name] <- Definition.primary_key(definition),
         column = Definition.column(definition, name),
         true <- String.upcase(Definition.declared_type(column)) == "INTEGER",
         false <- descending?(column) do
      column
    else
      _other -> nil
    end
  end

  defp descending?(column) do
    case Definition.column_constraints(column)[:primary_key] do
      nil -> false
      sql -> sql =~ ~r/\bKEY\s+DESC\b/i
    end
  end
end
