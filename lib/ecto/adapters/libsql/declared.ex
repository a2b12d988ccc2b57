defmodule Ecto.Adapters.LibSql.Declared do
  @moduledoc false
  # Selected values of which Ecto does not know the type: columns of sources without a schema, what a JSON
  # path gives, what is calculated. A text among them may be a decimal, a date or JSON. So the SQL of such
  # a query begins with a comment that says which columns are to be read, and how: by the type that the
  # table declares, which the driver gives with the result, or by one that the query implies.
  #
  # The comment is between prepare/2 and the first execution, for Ecto keeps nothing else of a query; the
  # database and the logs do not see it. Durations are here too, for their columns cut them.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_json: 1]
  alias Ecto.Adapters.LibSql.{ColumnType, Durations, Moments, Sql, Types}
  alias Ecto.Adapters.LibSql.Query.{Env, Type}

  @option :libsql_columns

  # :declared is the table's type.
  @readings [:declared, :json, :duration, :decimal, :boolean, :date, :time, :time_usec] ++
              [:naive_datetime, :naive_datetime_usec, :utc_datetime, :utc_datetime_usec]

  @calculated [:+, :-, :*, :/, :coalesce, :in, :exists]
  @aggregates [:min, :max, :sum, :avg, :lag, :lead, :first_value, :last_value, :nth_value]

  ## In the query

  @doc "The comment, for a query that selects such columns; else nothing."
  def comment(%{select: %{fields: [_ | _] = fields}} = query) do
    env = Env.new(query, [])

    fields
    |> Enum.map(&reading(bare(&1), query, env))
    |> Enum.with_index()
    |> Enum.reject(&match?({nil, _place}, &1))
    |> write()
  end

  def comment(_query), do: []

  defp write([]), do: []

  defp write(readings),
    do: ["/*read", Enum.map(readings, fn {how, place} -> " #{place}:#{how}" end), "*/ "]

  defp bare({name, expr}) when is_atom(name), do: expr
  defp bare(expr), do: expr

  defp reading({:json_extract_path, _, [_expr, path]} = expr, query, env),
    do: if(json?(path, query), do: :json, else: implied(expr, env))

  defp reading({{:., _, [{:&, _, [index]}, _name]}, _, []} = column, query, env) do
    cond do
      untyped_source?(elem(query.sources, index)) -> implied(column, env) || :declared
      Type.of(column, env) == :duration -> :duration
      true -> nil
    end
  end

  # An aggregate has the type of its field.
  defp reading({aggregate, _, [{{:., _, [{:&, _, [index]}, _name]}, _, []} | _]} = expr, query, env)
       when aggregate in @aggregates,
       do: if(untyped_source?(elem(query.sources, index)), do: implied(expr, env))

  defp reading({wrap, _, [expr, _]}, query, env) when wrap in [:filter, :over],
    do: reading(expr, query, env)

  defp reading(%Ecto.SubQuery{} = subquery, _query, env),
    do: implied(subquery, env) || :declared

  defp reading(expr, _query, env), do: if(untyped?(expr), do: implied(expr, env))

  # What the query itself says.
  defp implied(expr, env) do
    case Type.of(expr, env) do
      type when type in @readings -> type
      type when is_json(type) -> :json
      _other -> nil
    end
  end

  # What is calculated; of others Ecto has the type.
  defp untyped?({op, _, [_ | _]}), do: op in @calculated or op in @aggregates
  defp untyped?(_literal), do: false

  # Whether Ecto may take the value as it comes: of a subquery or a list of values it forgets the types
  # where `map/2` picks fields.
  defp untyped_source?({table, nil, _prefix}) when is_binary(table), do: true
  defp untyped_source?({:fragment, _, _}), do: true
  defp untyped_source?({:values, _, _}), do: true
  defp untyped_source?(%Ecto.SubQuery{}), do: true
  defp untyped_source?(_source), do: false

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

  ## On the way to the connection

  @doc """
  A query as Ecto gives it to `c:Ecto.Adapter.Queryable.execute/5`, without the comment, and options that
  say what stood there.
  """
  def take({:cache, update, {id, "/*read " <> _ = sql}}, opts) do
    {columns, sql} = split(sql)
    {{:cache, update, {id, sql}}, [{@option, columns} | opts]}
  end

  def take({:nocache, {id, "/*read " <> _ = sql}}, opts) do
    {columns, sql} = split(sql)
    {{:nocache, {id, sql}}, [{@option, columns} | opts]}
  end

  def take(query, opts), do: {query, opts}

  @doc "The same for a stream, which takes the text alone of a query that was cached."
  def take_stream(
        {:cached, _, _, {_id, %EctoLibSql.Query{prepared: [_ | _] = columns}}} = query,
        opts
      ),
      do: {query, [{@option, columns} | opts]}

  def take_stream(query, opts), do: take(query, opts)

  defp split("/*read " <> rest) do
    [readings, sql] = String.split(rest, "*/ ", parts: 2)

    readings =
      for reading <- String.split(readings, " "), into: %{} do
        [place, how] = String.split(reading, ":")
        {String.to_integer(place), String.to_existing_atom(how)}
      end

    {Enum.map(0..(readings |> Map.keys() |> Enum.max()), &readings[&1]), sql}
  end

  @doc "How the columns of a query are to be read, by its options: a list, to be kept with the query."
  def columns(opts), do: Keyword.get(opts, @option)

  @doc "The options of the call that answers a query."
  def ask(opts, nil), do: opts
  def ask(opts, _columns), do: [{:declared_types, true} | opts]

  ## In the answer

  @doc "A result, its values read."
  def read(result, nil), do: result
  def read(%{rows: rows} = result, _columns) when rows in [nil, []], do: result

  def read(%{rows: rows} = result, columns) do
    readers = readers(columns, result.types)
    if Enum.any?(readers), do: %{result | rows: Enum.map(rows, &row(&1, readers))}, else: result
  end

  defp readers([:declared | columns], [type | types]),
    do: [declared(type, ColumnType.to_ecto(type)) | readers(columns, types)]

  defp readers([:duration | columns], [type | types]),
    do: [duration(ColumnType.to_ecto(type)) | readers(columns, types)]

  defp readers([type | columns], [_type | types]), do: [type | readers(columns, types)]
  defp readers(_columns, _types), do: []

  # In 0.9, times with a fraction and without, in UTC and not, were declared alike.
  defp declared(_name, {:naive_datetime, [numbers: _]}), do: :moment
  defp declared(_name, {:time, [numbers: _]}), do: :moment
  # As Ecto.UUID without a schema has it: bytes, or text.
  defp declared(_name, {:uuid, _details}), do: nil
  defp declared(_name, {:map, _details}), do: :json
  defp declared(_name, {{:array, _of}, _details}), do: :json
  defp declared(_name, {:duration, _details} = duration), do: duration(duration)
  defp declared(_name, {type, _details}), do: type
  defp declared(_name, nil), do: nil

  defp duration({:duration, details}), do: {:duration, details}
  defp duration(_undeclared), do: nil

  defp row([value | values], [reader | readers]),
    do: [value(value, reader) | row(values, readers)]

  defp row(values, _no_readers), do: values

  # What is not of its type stays as it is: SQLite may hold anything.
  defp value(value, reader) when value == nil or reader == nil, do: value
  defp value(value, :json) when is_binary(value), do: or_else(Types.json_decode(value), value)
  defp value(value, :json), do: value
  defp value(value, :moment), do: or_else(Moments.any(value), value)
  defp value(value, {:duration, details}), do: or_else(Durations.load(value, details), value)

  defp value(value, type),
    do: or_else(Ecto.Type.adapter_load(Ecto.Adapters.LibSql, type, value), value)

  defp or_else({:ok, read}, _value), do: read
  defp or_else(:error, value), do: value
end
