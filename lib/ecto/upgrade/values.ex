defmodule EctoLibSql.Upgrade.Values do
  @moduledoc false
  # Bytes and ids that are not stored as the Repo stores them.

  alias Ecto.Adapters.LibSql.Sql
  alias EctoLibSql.Upgrade.DB

  @doc "What is to be mended, and what looks as if it were."
  def find(work) do
    for table <- work.columns, column <- table.columns, finding <- column(work, table, column) do
      finding
    end
  end

  defp column(work, table, %{kind: nil, known?: false} = column),
    do: work.db |> unknown(table, column) |> List.wrap()

  defp column(work, table, column) do
    name = Sql.quote_name(column.name)

    for {what, where, new} <- rules(column.kind, work.forms, name),
        count = count(work.db, table, where),
        count > 0 do
      finding(table, column, column.kind, count, what)
      |> Map.merge(%{status: :found, mend: {where, new}})
    end
  end

  defp finding(table, column, kind, count, what) do
    %{table: table.name, columns: [column.name], kind: kind, count: count, what: what, message: nil}
  end

  defp count(db, table, where),
    do: DB.one(db, ["SELECT count(*) FROM ", Sql.quote_name(table.name), " WHERE " | where])

  ## {what is wrong, condition, new value}

  defp rules(:binary, _forms, c),
    do: [{"TEXT that is to be BLOB", ["typeof(", c, ") = 'text'"], bytes(c)}]

  defp rules(:uuid, %{uuid: :blob}, c) do
    [
      {"UUIDs whose bytes are TEXT, to be BLOB", text_of_bytes(c), bytes(c)},
      {"UUIDs as 36 characters, to be BLOB", text_of_characters(c), ["unhex(", c, ", '-')"]}
    ]
  end

  defp rules(:uuid, %{uuid: :text}, c) do
    [
      {"UUIDs whose bytes are TEXT, to be 36 characters", text_of_bytes(c), characters(bytes(c))},
      {"UUIDs as BLOB, to be 36 characters", blob(c), characters(c)}
    ]
  end

  defp rules(:binary_id, %{binary_id: :blob}, c),
    do: [{"ids as 36 characters, to be BLOB", text_of_characters(c), ["unhex(", c, ", '-')"]}]

  defp rules(:binary_id, %{binary_id: :text}, c),
    do: [{"ids as BLOB, to be 36 characters", blob(c), characters(c)}]

  defp rules(_other, _forms, _c), do: []

  defp bytes(c), do: ["CAST(", c, " AS BLOB)"]

  defp characters(bytes) do
    parts =
      for {from, length} <- [{1, 8}, {9, 4}, {13, 4}, {17, 4}, {21, 12}],
          do: ["substr(hex(", bytes, "), #{from}, #{length})"]

    ["lower(", Enum.intersperse(parts, " || '-' || "), ?)]
  end

  defp blob(c), do: ["typeof(", c, ") = 'blob' AND length(", c, ") = 16"]
  defp text_of_bytes(c), do: ["typeof(", c, ") = 'text' AND length(", bytes(c), ") = 16"]

  defp text_of_characters(c) do
    ["typeof(", c, ") = 'text' AND ", c, " LIKE '________-____-____-____-____________' "] ++
      ["AND length(unhex(", c, ", '-')) = 16"]
  end

  # By version and variant: few texts of 16 bytes have both.
  defp looks_like_uuid(c) do
    [text_of_bytes(c), " AND substr(hex(", c, "), 13, 1) BETWEEN '1' AND '8' "] ++
      ["AND substr(hex(", c, "), 17, 1) IN ('8', '9', 'A', 'B')"]
  end

  ## Columns of which nothing says what they hold

  defp unknown(db, table, %{affinity: :blob, type: type} = column) when type != "" do
    count = count(db, table, ["typeof(", Sql.quote_name(column.name), ") = 'text'"])
    if count > 0, do: left(table, column, count, "TEXT in a column of BLOBs", :binary)
  end

  defp unknown(db, table, %{affinity: :text} = column) do
    count = count(db, table, looks_like_uuid(Sql.quote_name(column.name)))
    if count > 0, do: left(table, column, count, "texts that look like the bytes of UUIDs", :uuid)
  end

  defp unknown(_db, _table, _column), do: nil

  defp left(table, column, count, what, kind) do
    message =
      "no schema has this column: if it holds #{words(kind)}, say --column #{table.name}.#{column.name}:#{kind}"

    table |> finding(column, :unknown, count, what) |> Map.merge(%{status: :left, message: message})
  end

  defp words(:binary), do: "bytes"
  defp words(:uuid), do: "UUIDs"

  @doc "Mends what was found in a table, in the open transaction."
  def mend(db, table, findings) do
    work = for %{mend: {where, new}, columns: [column]} <- findings, do: {column, where, new}

    if work != [] do
      DB.without_triggers(db, table, fn ->
        for {column, where, new} <- work do
          sql = ["UPDATE ", Sql.quote_name(table), " SET ", Sql.quote_name(column), " = ", new]
          DB.rows(db, [sql, " WHERE " | where])
        end
      end)
    end
  end
end
