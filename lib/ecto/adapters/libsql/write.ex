defmodule Ecto.Adapters.LibSql.Write do
  @moduledoc false
  # INSERT, UPDATE and DELETE of single rows and of insert_all.

  alias Ecto.Adapters.LibSql.{Query, Sql}
  alias Ecto.Query.BooleanExpr

  ## INSERT

  @doc """
  An INSERT of rows, or of what a query gives.

  A cell is a column's name (a parameter), `{:placeholder, number}`, `{query, count of its parameters}`,
  or `nil`: the column's default. SQLite has no word for a default among VALUES, so a column is missing
  in all rows or in none; `Ecto.Adapters.LibSql.InsertAll` sorts rows so.
  """
  def insert(prefix, table, header, rows, on_conflict, returning, placeholders, _opts \\ []) do
    [
      "INSERT INTO ",
      Sql.quote_table(prefix, table),
      insert_as(on_conflict),
      source(header, rows, on_conflict, length(placeholders) + 1),
      on_conflict(on_conflict),
      returning(returning)
    ]
  end

  # A query's fields are written with the name of its source, as in UPDATE.
  defp insert_as({%Ecto.Query{} = query, _params, _targets}), do: [" AS ", Query.source_name(query)]
  defp insert_as(_on_conflict), do: []

  defp source(header, %Ecto.Query{} = query, on_conflict, _first),
    do: [?\s, columns(header), ?\s, select(query, on_conflict)]

  defp source(header, rows, on_conflict, first) do
    case present(header, rows) do
      [] ->
        default_values(rows, on_conflict)

      ^header ->
        if alike?(rows, header, first), do: alike(rows, header), else: values(header, rows, first)

      present ->
        values(present, Enum.map(rows, &without_nil/1), first)
    end
  end

  defp values(header, rows, first),
    do: [?\s, columns(header), " VALUES " | rows(rows, first)]

  # Many rows of nothing but parameters, from the first on: `?` is the next one, so that the text is that of
  # one row, repeated.
  defp alike?(rows, header, first),
    do: first == 1 and tl(rows) != [] and Enum.all?(rows, &(&1 == header))

  defp alike([_ | rows], header) do
    row = IO.iodata_to_binary([?(, Enum.intersperse(Enum.map(header, fn _ -> ?? end), ?,), ?)])
    [?\s, columns(header), " VALUES ", row | :binary.copy("," <> row, length(rows))]
  end

  defp columns(names), do: [?(, Sql.quote_names(names), ?)]

  # The columns that the rows have.
  defp present(header, rows) do
    if Enum.all?(rows, &(&1 == header)), do: header, else: present_in_each(header, rows)
  end

  defp present_in_each(header, rows) do
    case rows |> Enum.map(&present_cells(header, &1)) |> Enum.uniq() do
      [columns] -> columns
      _several -> raise ArgumentError, "rows of one INSERT must leave out the same columns"
    end
  end

  defp present_cells(header, row),
    do: for({column, cell} <- Enum.zip(header, row), cell != nil, do: column)

  defp without_nil(row), do: Enum.reject(row, &is_nil/1)

  defp default_values([_row], {:raise, _params, _targets}), do: " DEFAULT VALUES"

  # DEFAULT VALUES is one row and takes no ON CONFLICT; an automatic rowid is the same.
  defp default_values(rows, _on_conflict),
    do: [" (_rowid_) VALUES " | Sql.intersperse_map(rows, ?,, fn _row -> "(NULL)" end)]

  defp rows(rows, first) do
    {sql, _next} = Enum.map_reduce(rows, first, &row/2)
    Enum.intersperse(sql, ?,)
  end

  defp row(cells, next) do
    {sql, next} = Enum.map_reduce(cells, next, &cell/2)
    {[?(, Enum.intersperse(sql, ?,), ?)], next}
  end

  defp cell({:placeholder, number}, next), do: {[?? | to_string(number)], next}
  defp cell({%Ecto.Query{} = query, count}, next), do: {[?(, Query.all(query), ?)], next + count}
  defp cell(_column, next), do: {parameter(next), next + 1}

  defp parameter(number), do: [?? | Integer.to_string(number)]

  # After FROM, the parser takes ON CONFLICT for the ON of a join; a WHERE in between ends the FROM.
  defp select(query, {:raise, _params, _targets}), do: Query.all(query)

  defp select(query, _on_conflict) do
    cond do
      not ends_with_from?(query) -> Query.all(query)
      query.combinations == [] -> Query.all(%{query | wheres: [always()]})
      true -> ["SELECT * FROM (", Query.all(query), ") WHERE true"]
    end
  end

  defp ends_with_from?(query) do
    query.order_bys == [] and query.limit == nil and query.offset == nil and
      (query.combinations != [] or
         (query.wheres == [] and query.group_bys == [] and query.havings == [] and
            query.windows == []))
  end

  defp always, do: %BooleanExpr{op: :and, expr: true, params: [], file: __ENV__.file, line: 0}

  ## ON CONFLICT

  defp on_conflict({:raise, _params, []}), do: []

  defp on_conflict({:nothing, _params, targets}),
    do: [" ON CONFLICT", targets(targets), " DO NOTHING"]

  defp on_conflict({%Ecto.Query{} = query, _params, targets}),
    do: [" ON CONFLICT", targets(targets), " DO ", Query.on_conflict(query)]

  defp on_conflict({[_ | _] = fields, _params, targets}) do
    set = Sql.intersperse_map(fields, ", ", &replace/1)
    [" ON CONFLICT", targets(targets), " DO UPDATE SET ", set]
  end

  defp replace(field) do
    name = Sql.quote_name(field)
    [name, " = excluded.", name]
  end

  defp targets([]), do: []
  defp targets({:unsafe_fragment, sql}), do: [?\s, sql]

  defp targets([{:constraint, name} | _]) do
    raise ArgumentError,
          "SQLite's ON CONFLICT names columns, not the constraint #{inspect(name)}: give the columns of its " <>
            "index as :conflict_target, or {:unsafe_fragment, \"(lower(email))\"} for one of expressions"
  end

  defp targets(columns), do: [?\s, columns(columns)]

  ## UPDATE, DELETE

  def update(prefix, table, fields, filters, returning) do
    {set, next} = Enum.map_reduce(fields, 1, &assign/2)

    [
      "UPDATE ",
      Sql.quote_table(prefix, table),
      " SET ",
      Enum.intersperse(set, ", "),
      where(filters, next),
      returning(returning)
    ]
  end

  defp assign(field, next), do: {[Sql.quote_name(field), " = ", parameter(next)], next + 1}

  def delete(prefix, table, filters, returning),
    do: ["DELETE FROM ", Sql.quote_table(prefix, table), where(filters, 1), returning(returning)]

  @doc "WHERE of filters, its parameters numbered from `next`."
  def where([], _next), do: []

  def where(filters, next) do
    {terms, _next} = Enum.map_reduce(filters, next, &filter/2)
    [" WHERE ", Enum.intersperse(terms, " AND ")]
  end

  # A nil is among the parameters too, so it takes a number.
  defp filter({field, nil}, next), do: {[Sql.quote_name(field), " IS ", parameter(next)], next + 1}
  defp filter({field, _value}, next), do: assign(field, next)
  defp filter(field, next), do: assign(field, next)

  defp returning([]), do: []
  defp returning(columns), do: [" RETURNING " | Sql.quote_names(columns)]
end
