defmodule Ecto.Adapters.LibSql.InsertAll do
  @moduledoc false
  # insert_all in as many INSERTs as it takes: rows that leave out other columns stand in another one
  # (VALUES knows no DEFAULT), and one INSERT has no more parameters than the engine allows.

  alias Ecto.Adapters.LibSql.{Params, Query, Violations, Write}
  alias Ecto.Adapters.LibSql.Query.Type

  # SQLITE_MAX_VARIABLE_NUMBER of the engine.
  @max_params 32_766

  @doc "`c:Ecto.Adapter.Schema.insert_all/8`."
  def run(meta, schema, header, rows, on_conflict, returning, placeholders, opts) do
    opts = [source: schema.source] ++ opts
    plan = plan(header, rows, on_conflict, length(placeholders), schema.schema)

    %{source: source, prefix: prefix} = schema

    statements =
      for {rows, params, on_conflict} <- plan do
        sql = Write.insert(prefix, source, header, rows, on_conflict, returning, placeholders)
        {sql, placeholders ++ params ++ elem(on_conflict, 1)}
      end

    execute(statements, {meta, {prefix, source}}, opts)
  end

  defp execute([{sql, params}], table, opts), do: call(table, sql, params, opts)

  # All rows or none, as one INSERT would have it.
  defp execute(statements, {meta, _target} = table, opts) do
    {:ok, answer} =
      Ecto.Adapters.SQL.transaction(meta, opts, fn ->
        answers = for {sql, params} <- statements, do: call(table, sql, params, opts)
        {counts, rows} = Enum.unzip(answers)
        {Enum.sum(counts), join(rows)}
      end)

    answer
  end

  defp call({meta, target}, sql, params, opts) do
    {bare, marked_opts} = Params.unmark(params, opts)
    began = Violations.now()

    try do
      %{num_rows: count, rows: rows} = Ecto.Adapters.SQL.query!(meta, sql, bare, marked_opts)
      {count, rows}
    rescue
      error in EctoLibSql.Error ->
        statement = {target, [:insert, :update], sql, params}
        reraise Violations.explain(error, began, meta, statement, opts), __STACKTRACE__
    end
  end

  defp join(rows), do: if(Enum.any?(rows), do: Enum.concat(rows))

  # What queries select is stored as the columns have it.
  defp into(query, _columns, nil), do: query

  defp into(query, columns, schema),
    do: Query.into(query, Enum.map(columns, &Type.column(schema, &1)))

  ## Which rows go together

  @doc "`[{rows of cells, their parameters, on_conflict}]`: the INSERTs that it takes, in order."
  def plan(header, rows_or_query, on_conflict, placeholders, schema \\ nil)

  def plan(header, {%Ecto.Query{} = query, params}, on_conflict, _placeholders, schema),
    do: [{into(query, header, schema), params, on_conflict}]

  def plan(header, rows, on_conflict, placeholders, schema) do
    {_action, conflict_params, _targets} = on_conflict
    room = @max_params - placeholders - length(conflict_params)

    case plain(header, rows) do
      nil -> plan_each(header, known(rows, placeholders), on_conflict, room, schema)
      rows -> plan_alike(header, rows, on_conflict, room)
    end
  end

  # Rows that have all the columns, in one order, and nothing but values: most are, and there may be
  # thousands of them. Answers the values of each as the header has them; else nil.
  defp plain([_ | _] = header, [first | _] = rows) when length(first) == length(header) do
    names = for {name, _value} <- first, do: name
    places = for column <- header, do: Enum.find_index(names, &(&1 == column))

    cond do
      nil in places -> nil
      names == header -> values_of_all(rows, names, & &1)
      true -> values_of_all(rows, names, &in_order(List.to_tuple(&1), places))
    end
  end

  defp plain(_header, _rows), do: nil

  defp in_order(values, places), do: for(place <- places, do: elem(values, place))

  defp values_of_all([row | rows], names, order) do
    with [_ | _] = values <- values(row, names),
         rest when is_list(rest) <- values_of_all(rows, names, order),
         do: [order.(values) | rest]
  end

  defp values_of_all([], _names, _order), do: []

  defp values([{_name, {%Ecto.Query{}, _params}} | _row], _names), do: nil
  defp values([{_name, {:placeholder, _number}} | _row], _names), do: nil

  defp values([{name, value} | row], [name | names]) do
    with values when is_list(values) <- values(row, names), do: [value | values]
  end

  defp values([], []), do: []
  defp values(_other_names, _names), do: nil

  defp plan_alike(header, rows, {action, conflict_params, targets}, room) do
    width = length(header)
    total = width * length(rows)

    for rows <- Enum.chunk_every(rows, max(div(room, width), 1)) do
      count = length(rows)
      on_conflict = {shift(action, count * width - total), conflict_params, targets}
      {List.duplicate(header, count), Enum.concat(rows), on_conflict}
    end
  end

  defp plan_each(header, rows, on_conflict, room, schema) do
    rows = Enum.map(rows, &row(&1, header, schema))
    total = rows |> Enum.map(& &1.count) |> Enum.sum()

    {groups, _offset} =
      rows |> groups(room) |> Enum.map_reduce(0, &group(&1, &2, total, on_conflict))

    groups
  end

  # Ecto before 3.14 lets a placeholder stand in columns of two types, and counts it twice while it gives one
  # value: the numbers behind it would be other rows' values.
  defp known(rows, placeholders) do
    for row <- rows, {_column, {:placeholder, number}} when number > placeholders <- row do
      raise ArgumentError,
            "a placeholder key can only be used with columns of the same type: give each type its own"
    end

    rows
  end

  defp row(fields, header, schema) do
    {cells, params} = Enum.map_reduce(header, [], &cell(&1, &2, fields, schema))
    missing = for {nil, place} <- Enum.with_index(cells), do: place
    %{cells: cells, params: Enum.reverse(params), count: length(params), missing: missing}
  end

  defp cell(column, params, fields, schema) do
    case List.keyfind(fields, column, 0) do
      {_, {%Ecto.Query{} = query, query_params}} ->
        query = into(query, [column], schema)
        {{query, length(query_params)}, Enum.reverse(query_params, params)}

      {_, {:placeholder, number}} ->
        {{:placeholder, Integer.to_string(number)}, params}

      {_, value} ->
        {column, [value | params]}

      nil ->
        {nil, params}
    end
  end

  # Neighbours only: rows keep their order, and their automatic ids with it.
  defp groups(rows, room) do
    Enum.chunk_while(rows, {[], 0}, &chunk(&1, &2, room), fn
      {[], 0} -> {:cont, nil}
      {rows, _count} -> {:cont, Enum.reverse(rows), nil}
    end)
  end

  defp chunk(row, {[], 0}, _room), do: {:cont, {[row], row.count}}

  defp chunk(row, {[last | _] = rows, count}, room) do
    if last.missing == row.missing and last.cells != [] and count + row.count <= room and
         not all_missing?(row),
       do: {:cont, {[row | rows], count + row.count}},
       else: {:cont, Enum.reverse(rows), {[row], row.count}}
  end

  # DEFAULT VALUES is one row.
  defp all_missing?(row), do: length(row.missing) == length(row.cells)

  # Queries among the cells, and that of on_conflict, were numbered for one INSERT of all rows.
  defp group(rows, offset, total, {action, conflict_params, targets}) do
    count = rows |> Enum.map(& &1.count) |> Enum.sum()
    cells = for row <- rows, do: Enum.map(row.cells, &shift_cell(&1, -offset))
    action = shift(action, count - total)
    params = Enum.flat_map(rows, & &1.params)
    {{cells, params, {action, conflict_params, targets}}, offset + count}
  end

  defp shift_cell({%Ecto.Query{} = query, count}, by), do: {shift(query, by), count}
  defp shift_cell(cell, _by), do: cell

  defp shift(term, 0), do: term
  defp shift(%Ecto.Query{} = query, by), do: renumber(query, by)
  defp shift(other, _by), do: other

  defp renumber({:^, meta, [first | rest]}, by) when is_integer(first),
    do: {:^, meta, [first + by | rest]}

  defp renumber({:values, meta, [types, first, rows]}, by) when is_integer(first),
    do: {:values, meta, [types, first + by, rows]}

  defp renumber(%module{} = struct, by),
    do: struct(module, struct |> Map.from_struct() |> renumber(by))

  defp renumber(map, by) when is_map(map), do: Map.new(map, &renumber(&1, by))
  defp renumber([head | tail], by), do: [renumber(head, by) | renumber(tail, by)]

  defp renumber(tuple, by) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> renumber(by) |> List.to_tuple()

  defp renumber(other, _by), do: other
end
