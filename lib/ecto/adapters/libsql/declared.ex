defmodule Ecto.Adapters.LibSql.Declared do
  @moduledoc false
  # Columns of sources without a schema. Nobody but the table knows that a text in them is a decimal, a
  # date or JSON; so the query's SQL begins with a comment that says which columns of which tables it
  # selects, and their values are read by the types that the tables declare at that time.
  #
  # The price is one more query (some 80 µs). A driver that gave declarations with its result saves it.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql, Types}

  ## In the query

  @doc "The comment, for a query that selects such columns; else nothing."
  def comment(%{select: %{fields: [_ | _] = fields}} = query) do
    columns = Enum.map(fields, &column(&1, query))
    if Enum.any?(columns), do: write(columns), else: []
  end

  def comment(_query), do: []

  defp column({{:., _, [{:&, _, [index]}, column]}, _, []}, query) do
    case elem(query.sources, index) do
      {table, nil, prefix} when is_binary(table) -> [prefix, table, Atom.to_string(column)]
      _other -> nil
    end
  end

  defp column({:json_extract_path, _, [_expr, path]}, query),
    do: if(json?(path, query), do: "json")

  defp column(_expr, _query), do: nil

  # Queries that are combined have to select the same.
  defp json?(path, query), do: query.combinations == [] and Enum.all?(path, &step?/1)
  defp step?(step), do: is_binary(step) or is_integer(step)

  @doc "The query with what JSON paths select as JSON: json_extract() makes numbers of booleans."
  def select_json(%{select: %{fields: [_ | _] = fields} = select} = query) do
    %{query | select: %{select | fields: Enum.map(fields, &json(&1, query))}}
  end

  def select_json(query), do: query

  defp json({:json_extract_path, _, [expr, path]} = field, query) do
    if json?(path, query),
      do: {:fragment, [], [raw: "", expr: expr, raw: " -> '#{Sql.json_path(path)}'"]},
      else: field
  end

  defp json(field, _query), do: field

  defp write(columns) do
    json = EctoLibSql.Encoder.json(columns)
    if json =~ "*/", do: [], else: ["/*declared ", json, "*/ "]
  end

  @doc "`{columns, SQL after the comment}`; no columns are `nil`."
  def split("/*declared " <> rest) do
    [json, sql] = String.split(rest, "*/ ", parts: 2)
    {:ok, columns} = Types.json_decode(json)
    {columns, sql}
  end

  def split(sql), do: {nil, sql}

  ## In the answer

  @doc "Functions that read a row's values; `query` takes SQL and parameters, and answers rows."
  def readers(nil, _query), do: nil

  def readers(columns, query) do
    types = columns |> Enum.filter(&is_list/1) |> Enum.map(&Enum.take(&1, 2)) |> Enum.uniq()
    types = Map.new(types, fn table -> {table, declared(table, query)} end)
    readers = Enum.map(columns, &reader(&1, types))
    if Enum.any?(readers), do: readers
  end

  defp declared([nil, table], query), do: Map.new(query.(sql("?1"), [table]), &List.to_tuple/1)

  defp declared([prefix, table], query),
    do: Map.new(query.(sql("?1, ?2"), [table, prefix]), &List.to_tuple/1)

  defp sql(arguments), do: "SELECT name, type FROM pragma_table_xinfo(#{arguments})"

  defp reader(nil, _types), do: nil
  defp reader("json", _types), do: :map

  defp reader([prefix, table, column], types) do
    case ColumnType.to_ecto(types[[prefix, table]][column]) do
      # As Ecto.UUID without a schema has it: bytes, or text.
      {:uuid, _details} -> nil
      {:duration, _details} -> nil
      {type, _details} -> type
      nil -> nil
    end
  end

  @doc "A result, its values read."
  def read(result, nil), do: result
  def read(%{rows: nil} = result, _readers), do: result
  def read(result, readers), do: %{result | rows: Enum.map(result.rows, &row(&1, readers))}

  defp row([value | values], [type | types]), do: [value(value, type) | row(values, types)]
  defp row(values, _no_types), do: values

  # What is not of the declared type stays as it is: SQLite may hold anything.
  defp value(value, type) when value == nil or type == nil, do: value

  # A JSON column may hold more than objects.
  defp value(value, :map) when is_binary(value) do
    case Types.json_decode(value) do
      {:ok, read} -> read
      :error -> value
    end
  end

  defp value(value, type) do
    case Ecto.Type.adapter_load(Ecto.Adapters.LibSql, type, value) do
      {:ok, read} -> read
      :error -> value
    end
  end
end
