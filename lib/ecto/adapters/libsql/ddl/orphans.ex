defmodule Ecto.Adapters.LibSql.DDL.Orphans do
  @moduledoc false
  # Rows of a table, and of its children, whose foreign key finds no parent. A table that is built anew may
  # have those it had before, and no others.

  alias Ecto.Adapters.LibSql.Sql

  @doc """
  `%{{child, parent, columns} => rowids}`, or `:mismatch` for the rowids where the engine cannot check a
  table's keys, one of them being of columns that are no key.
  """
  def list(query, catalog) do
    for table <- tables(query, catalog),
        keys = keys(query, catalog, table),
        {key, rowids} <- orphans(query, catalog, table, keys),
        into: %{},
        do: {key, rowids}
  end

  defp tables(query, %{schema: schema, table: table}) do
    name = Sql.quote_string(table.name)

    rows =
      query.([
        ["SELECT DISTINCT m.name FROM ", Sql.quote_name(schema), ".sqlite_schema AS m, "],
        [
          "pragma_foreign_key_list(m.name, ",
          Sql.quote_string(schema),
          ") AS k WHERE m.type = 'table'"
        ],
        [" AND (m.name = ", name, " COLLATE NOCASE OR k.\"table\" = ", name, " COLLATE NOCASE)"]
      ])

    Enum.concat(rows)
  end

  # %{id => {child, parent, columns}}
  defp keys(query, %{schema: schema}, table) do
    rows =
      query.([
        ["SELECT id, \"table\", \"from\" FROM pragma_foreign_key_list(", Sql.quote_string(table)],
        [", ", Sql.quote_string(schema), ") ORDER BY id, seq"]
      ])

    rows
    |> Enum.chunk_by(&hd/1)
    |> Map.new(fn [[id, parent, _from] | _] = rows ->
      {id, {table, String.downcase(parent, :ascii), Enum.map(rows, &List.last/1)}}
    end)
  end

  defp orphans(query, %{schema: schema}, table, keys) do
    rows =
      query.([
        ["SELECT fkid, rowid FROM pragma_foreign_key_check(", Sql.quote_string(table)],
        [", ", Sql.quote_string(schema), ")"]
      ])

    found = Enum.group_by(rows, &hd/1, &List.last/1)
    for {id, key} <- keys, do: {key, Enum.sort(Map.get(found, id, []))}
  rescue
    _mismatch in EctoLibSql.Error -> for {_id, key} <- keys, do: {key, :mismatch}
  end

  @doc "Raises for orphans that were not there before, of keys that old rows have to keep to."
  def refuse_new(query, catalog, before, plan) do
    unchecked = Enum.map(Map.get(plan, :unchecked_keys, []), &to_string/1)

    table = catalog.table.name

    for {{child, _parent, [column | _]} = key, now} <- list(query, catalog),
        not (child == table and column in unchecked),
        why = new(Map.get(before, key, []), now, child != table or plan.rowids_kept?),
        do: raise(Ecto.MigrationError, message(table, key, why))

    :ok
  end

  defp new(:mismatch, _now, _same_rowids?), do: nil
  defp new(_before, :mismatch, _same_rowids?), do: "refers to columns that are no longer a key"

  # Rows of a table WITHOUT ROWID have nil: how many there are tells.
  defp new(before, now, same_rowids?) do
    new = if same_rowids?, do: now -- before, else: Enum.drop(now, length(before))

    if new != [],
      do:
        "finds no parent in #{length(new)} row(s)" <>
          if(same_rowids?, do: example(hd(new)), else: "")
  end

  defp example(nil), do: ""
  defp example(rowid), do: ", the first of rowid #{rowid}"

  defp message(table, {child, parent, columns}, why) do
    "building table #{inspect(table)} anew: the foreign key of #{inspect(child)} " <>
      "(#{Enum.join(columns, ", ")}) to #{inspect(parent)} #{why}"
  end
end
