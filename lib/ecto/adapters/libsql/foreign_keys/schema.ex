defmodule Ecto.Adapters.LibSql.ForeignKeys.Schema do
  @moduledoc false
  # What a database says of its foreign keys.

  alias Ecto.Adapters.LibSql.ForeignKeys.Rows
  alias Ecto.Adapters.LibSql.Rerun

  @doc """
  All foreign keys and triggers of a database. A key has its `table`, `columns`, `parent`, the columns there
  (`to`), `on_delete`, `on_update`, its `id` in the table, and a `number`; `query` takes SQL and parameters.
  They come in the order in which the engine looks at those of one parent: from the last one. Keys to what
  is no table are left out.
  """
  def read(query, database) do
    tables = query |> tables(database) |> MapSet.new(&Rows.fold/1)

    keys =
      query
      |> keys(database)
      |> Enum.filter(&(Rows.fold(&1.parent) in tables))
      |> Enum.with_index(&Map.put(&1, :number, &2))

    %{database: database, keys: keys, with_triggers: with_triggers(query, database)}
  end

  # Views and virtual tables have no page.
  defp tables(query, database) do
    sql = ["SELECT name FROM ", Rerun.master(database), " WHERE type = 'table' AND rootpage > 0"]
    query |> Rerun.rows(sql, []) |> List.flatten()
  end

  # A key that names no columns means the primary key.
  defp keys(query, database) do
    sql = [
      ~s{SELECT child.name, key.id, key."table", key."from", coalesce(key."to", },
      ~s{(SELECT name FROM pragma_table_info(key."table", ?1) WHERE pk = key.seq + 1)), },
      "key.on_delete, key.on_update FROM ",
      Rerun.master(database),
      " AS child, pragma_foreign_key_list(child.name, ?1) AS key ",
      "WHERE child.type = 'table' ORDER BY child.rowid DESC, key.id, key.seq"
    ]

    query
    |> Rerun.rows(sql, [database])
    |> Enum.chunk_by(fn [table, id | _] -> {table, id} end)
    |> Enum.map(&key/1)
    |> Enum.reject(&(nil in &1.to))
  end

  defp key([[table, id, parent, _from, _to, on_delete, on_update] | _] = rows) do
    %{
      table: table,
      id: id,
      parent: parent,
      columns: Enum.map(rows, &Enum.at(&1, 3)),
      to: Enum.map(rows, &Enum.at(&1, 4)),
      on_delete: on_delete,
      on_update: on_update
    }
  end

  @doc "The columns that tell a row from all others: its rowid, under a name that no column has."
  def identity(query, database, table) do
    sql = """
    SELECT list.wr, info.name, info.pk
    FROM pragma_table_list(?1) AS list, pragma_table_xinfo(?1, ?2) AS info
    WHERE list.schema = ?2
    """

    case Rerun.rows(query, sql, [table, database]) do
      [[1 | _] | _] = rows ->
        for [_, name, pk] <- Enum.sort_by(rows, &List.last/1), pk > 0, do: name

      rows ->
        [Enum.find(~w(rowid _rowid_ oid), &free?(&1, rows))]
    end
  end

  defp free?(name, rows),
    do: not Enum.any?(rows, fn [_, column, _] -> String.downcase(column, :ascii) == name end)

  # Of other databases only temporary ones reach into this.
  defp with_triggers(query, database) do
    sql = [
      "SELECT tbl_name FROM ",
      Rerun.master(database),
      " WHERE type = 'trigger' UNION SELECT tbl_name FROM sqlite_temp_master WHERE type = 'trigger'"
    ]

    query |> Rerun.rows(sql, []) |> List.flatten()
  end

  @doc "The text of a table."
  def definition(query, database, table) do
    sql = ["SELECT sql FROM ", Rerun.master(database), " WHERE type = 'table' AND name = ?1"]

    case Rerun.rows(query, sql, [table]) do
      [[text]] -> text
      [] -> nil
    end
  end
end
