defmodule EctoLibSql.Upgrade.Orphans do
  @moduledoc false
  # Rows whose foreign key finds no parent.

  alias Ecto.Adapters.LibSql.Sql
  alias EctoLibSql.Error
  alias EctoLibSql.Upgrade.DB

  @doc "What there is, and what would become of it."
  def find(work), do: for(table <- work.columns, finding <- find_in(work, table), do: finding)

  defp find_in(%{db: db, opts: opts}, table) do
    sql = "SELECT fkid, rowid FROM pragma_foreign_key_check(?1)"

    for {id, rows} <- db |> DB.rows(sql, [table.name]) |> Enum.group_by(&hd/1) |> Enum.sort() do
      key = Enum.find(table.keys, &(&1.id == id))
      action = action(opts[:orphans], key, table)
      rowids = Enum.map(rows, &List.last/1)

      %{
        table: table.name,
        columns: key.from,
        kind: :orphans,
        count: length(rows),
        what: "rows that find no parent in #{key.parent}" <> does(action),
        status: if(match?({:left, _why}, action), do: :left, else: :found),
        message: if(match?({:left, _why}, action), do: elem(action, 1)),
        orphans: {action, rowids}
      }
    end
  rescue
    error in Error ->
      finding = %{table: table.name, columns: [], kind: :orphans, count: 0}
      message = "its foreign keys cannot be checked: " <> Exception.message(error)

      [
        Map.merge(finding, %{
          what: "rows are known to be without a parent",
          status: :left,
          message: message
        })
      ]
  end

  defp does(:nilify), do: ": to be NULL"
  defp does(:delete), do: ": to be deleted"
  defp does({:left, _why}), do: ""

  defp action(_wish, _key, %{rowid: nil}), do: {:left, "the table has no rowid: mend it by hand"}
  defp action(:keep, _key, _table), do: {:left, "kept"}
  defp action(:delete, _key, _table), do: :delete
  defp action(:nilify, key, table), do: nilify(key, table)
  defp action(:follow, %{on_delete: "CASCADE"}, _table), do: :delete
  defp action(:follow, %{on_delete: "SET NULL"} = key, table), do: nilify(key, table)

  defp action(:follow, %{on_delete: on_delete}, _table) do
    {:left, "the key says #{on_delete}: decide with --orphans nilify or --orphans delete"}
  end

  defp nilify(key, table) do
    names = Enum.map(key.from, &String.downcase(&1, :ascii))

    nullable? =
      Enum.all?(table.columns, fn column ->
        column.null? or String.downcase(column.name, :ascii) not in names
      end)

    if nullable?,
      do: :nilify,
      else: {:left, "the key may not be NULL: decide with --orphans delete"}
  end

  @doc """
  Does it, a table at a time. Foreign keys are enforced: what is deleted takes its children along, or
  stays because of them.
  """
  def mend(work) do
    DB.rows(work.db, "PRAGMA foreign_keys = on")
    for table <- work.columns, finding <- mend_in(work, table), do: finding
  end

  defp mend_in(work, table) do
    case find_in(work, table) do
      [] -> []
      findings -> mend_table(work.db, table, findings)
    end
  end

  defp mend_table(db, table, findings) do
    work =
      for %{status: :found, orphans: {action, ids}} = finding <- findings,
          do: {finding, action, ids}

    answer =
      if work == [],
        do: :ok,
        else: DB.transaction(db, fn db -> Enum.each(work, &mend_key(db, table, &1)) end)

    Enum.map(findings, &answered(&1, answer))
  end

  defp mend_key(db, table, {finding, action, rowids}) do
    where = [" WHERE ", table.rowid, " IN (SELECT value FROM json_each(?1))"]
    DB.rows(db, [statement(action, table, finding) | where], [EctoLibSql.Encoder.json(rowids)])
  end

  defp statement(:delete, table, _finding), do: ["DELETE FROM ", Sql.quote_name(table.name)]

  defp statement(:nilify, table, finding) do
    set = Sql.intersperse_map(finding.columns, ", ", &[Sql.quote_name(&1), " = NULL"])
    ["UPDATE ", Sql.quote_name(table.name), " SET " | set]
  end

  defp answered(%{status: :found} = finding, :ok), do: %{finding | status: :mended}

  defp answered(%{status: :found} = finding, {:error, why}),
    do: %{finding | status: :failed, message: why}

  defp answered(finding, _answer), do: finding
end
