defmodule Ecto.Adapters.LibSql.Query.Type do
  @moduledoc false
  # What the expressions of a query are. Ecto knows it of fields; what is calculated from them, and what
  # comes out of subqueries and CTEs, is worked out here, for SQLite compares and orders by what is
  # stored alone: '1.50' and '1.5' are two texts, and so are a time with microseconds and one without.

  alias Ecto.Adapters.LibSql.Query.Env
  alias Ecto.Query.Tagged

  @datetimes [:naive_datetime, :naive_datetime_usec, :utc_datetime, :utc_datetime_usec]
  @moments [:date | @datetimes]
  @times [:time, :time_usec]
  @ids [:uuid, :binary_id]

  # CTEs that use themselves without end are an error of the engine's, which we have to live to see.
  @max_depth 40

  defguard is_datetime(type) when type in @datetimes
  defguard is_moment(type) when type in @moments
  defguard is_time(type) when type in @times
  defguard is_id(type) when type in @ids

  defguard is_json(type)
           when type == :map or (is_tuple(type) and elem(type, 0) in [:array, :map])

  @booleans [:==, :!=, :<, :>, :<=, :>=, :and, :or, :not, :is_nil, :like, :ilike, :in, :exists]
  @integers [:count, :row_number, :rank, :dense_rank, :ntile]
  @of_first [:min, :max, :first_value, :last_value, :nth_value, :lag, :lead, :filter, :over]

  @doc "The database type of an expression, where the query says so; else nil."
  def of(expr, env)

  def of(%Tagged{type: type}, _env), do: base(type)
  def of({:sql, type, _sql}, _env), do: type
  def of({{:., _, [{:&, _, [index]}, column]}, _, []}, env), do: column(env, index, column)

  def of({{:., _, [{:parent_as, _, [as]}, column]}, _, []}, env) do
    {parent, index} = Env.parent(env, as)
    column(parent, index, column)
  end

  def of(%Ecto.SubQuery{query: %{select: %{fields: [field]}} = query}, env),
    do: field(field, Env.inner(query, env))

  def of({:selected_as, _, [name]}, %{query: %{select: %{fields: fields}}} = env) do
    with {_name, _expr} = field <- named(fields, name), do: field(field, env)
  end

  def of({op, _, [_ | _]}, _env) when op in @booleans, do: :boolean
  def of({function, _, args}, _env) when function in @integers and is_list(args), do: :integer
  def of({function, _, _}, _env) when function in [:percent_rank, :cume_dist], do: :float
  def of({function, _, [arg | _]}, env) when function in @of_first, do: of(arg, env)
  def of({:coalesce, _, args}, env), do: args |> Enum.map(&of(&1, env)) |> common()
  def of({:sum, _, [arg]}, env), do: of(arg, env)
  def of({:avg, _, [arg]}, env), do: if(of(arg, env) == :decimal, do: :decimal, else: :float)
  def of({:-, _, [arg]}, env), do: of(arg, env)

  def of({op, _, [left, right]}, env) when op in [:+, :-, :*, :/],
    do: number(operand(left, env), operand(right, env))

  def of({:date_add, _, _}, _env), do: :date

  def of({:datetime_add, _, [datetime | _]}, env) do
    case of(datetime, env) do
      :date -> :naive_datetime
      type -> type
    end
  end

  def of({:type, _, [expr, _type]}, env), do: of(expr, env)
  def of(%Decimal{}, _env), do: :decimal
  def of(literal, _env) when is_integer(literal), do: :integer
  def of(literal, _env) when is_float(literal), do: :float
  def of(literal, _env) when is_boolean(literal), do: :boolean
  def of(literal, _env) when is_binary(literal), do: :string
  def of(_expr, _env), do: nil

  # The planner has dumped a number that stands there as a decimal's text.
  defp operand(literal, _env) when is_binary(literal), do: :decimal
  defp operand(expr, env), do: of(expr, env)

  @doc "The selected field of a name; nil: there is none."
  def named(fields, name), do: Enum.find(fields, &match?({^name, _expr}, &1))

  @doc "The type of a selected field, which may have a name."
  def field({name, expr}, env) when is_atom(name), do: of(expr, env)
  def field(expr, env), do: of(expr, env)

  @doc """
  What a parameter beside an expression has been dumped as: Ecto gives it the type of a field, of an
  aggregate of one, and of `type/2`; nil: it is bound as it was given, or we cannot tell. (Beside
  `datetime_add` it is a :naive_datetime; beside `ago`, which looks the same here, what was given.)
  """
  def given({:datetime_add, _, _}, _env), do: nil
  def given({:selected_as, _, _}, _env), do: nil
  def given({op, _, _}, _env) when op in [:coalesce, :filter, :over, :+, :-, :*, :/], do: nil
  def given({:sum, _, [arg]}, env), do: given(arg, env)
  def given({:avg, _, [arg]}, env), do: given(arg, env)
  def given({function, _, [arg | _]}, env) when function in @of_first, do: given(arg, env)
  def given(%Ecto.SubQuery{}, _env), do: nil
  def given(expr, env), do: declared(expr, env)

  # What Ecto knows, which is less of a subquery's field than `of/2` finds out.
  defp declared({{:., _, [{:&, _, [index]}, column]}, _, []} = expr, env) do
    case Env.source(env, index) do
      %Ecto.SubQuery{select: select} -> select |> selected(column) |> base()
      {name, nil, _prefix} when is_binary(name) -> nil
      _other -> of(expr, env)
    end
  end

  defp declared({{:., _, [{:parent_as, _, [as]}, column]}, _, []}, env) do
    {parent, index} = Env.parent(env, as)
    declared({{:., [], [{:&, [], [index]}, column]}, [], []}, parent)
  end

  defp declared(expr, env), do: of(expr, env)

  defp selected({:source, _, _, types}, field), do: types[field]
  defp selected({:struct, _name, types}, field), do: value(types[field])
  defp selected({:map, types}, field), do: value(types[field])

  defp value({:value, {:try, type}}), do: type
  defp value({:value, type}), do: type
  defp value(_other), do: nil

  @doc "Whether an expression is a column, or a parameter or a column by `type/2`."
  def plain?({{:., _, _}, _, []}), do: true
  def plain?({:^, _, _}), do: true
  def plain?({:sql, _type, _sql}), do: true
  def plain?(%Tagged{value: value}), do: plain?(value)
  def plain?(_expr), do: false

  @doc "The one type that values of several are brought to, nil: none is known."
  def common(types) do
    case types |> Enum.reject(&is_nil/1) |> Enum.uniq() do
      [] -> nil
      [type] -> type
      [first | _] = several -> wider(first, several)
    end
  end

  defp wider(first, types) do
    cond do
      :decimal in types -> :decimal
      Enum.all?(types, &is_datetime/1) and Enum.any?(types, &usec?/1) -> usec(first)
      true -> first
    end
  end

  @doc "Whether a type has microseconds."
  def usec?(type), do: type in [:naive_datetime_usec, :utc_datetime_usec, :time_usec]

  defp usec(:naive_datetime), do: :naive_datetime_usec
  defp usec(:utc_datetime), do: :utc_datetime_usec
  defp usec(type), do: type

  defp number(left, right) do
    cond do
      :decimal in [left, right] -> :decimal
      :float in [left, right] -> :float
      left == right -> left
      true -> left || right
    end
  end

  ## Columns

  defp column(%{depth: depth}, _index, _column) when depth > @max_depth, do: nil

  defp column(env, index, column) do
    case Env.source(env, index) do
      {name, nil, nil} when is_binary(name) -> env |> Env.cte(name) |> selected_in(column)
      {_source, nil, _prefix} -> nil
      {:values, _, [types | _]} -> base(types[column])
      {:fragment, _, _} -> nil
      {_source, schema, _prefix} -> column(schema, column)
      %Ecto.SubQuery{query: query} -> query |> Env.inner(Env.hide(env)) |> selected_in(column)
    end
  end

  defp selected_in(nil, _column), do: nil

  defp selected_in(%{query: %{select: %{fields: fields}}} = env, column) do
    with {_name, _expr} = field <- named(fields, column), do: field(field, env)
  end

  @doc "The type of a schema's column, which the planner has put where the field's name was; else nil."
  def column(schema, column) do
    field = Enum.find(schema.__schema__(:fields), &(schema.__schema__(:field_source, &1) == column))

    if field, do: base(schema.__schema__(:type, field))
  end

  @doc "The database type of one of Ecto's; nil: it says nothing."
  def base(type) when type in [nil, :any], do: nil
  def base(:uuid), do: :uuid
  def base(:id), do: :integer
  def base({:array, of}), do: {:array, base(of)}
  def base({:map, _of}), do: :map

  def base(type) do
    case Ecto.Type.type(type) do
      ^type -> type
      other -> base(other)
    end
  end
end
