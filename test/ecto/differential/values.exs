defmodule EctoLibSql.Differential.Values do
  @moduledoc false
  # The value of an expression in a row, how values compare, and what they are ordered by.

  alias EctoLibSql.Differential.Evaluator

  @doc "The value of an expression in a scope."
  def value(expr, scope, env)

  def value(true, _scope, _env), do: true

  def value({:col, as, column, _type}, scope, env) do
    case scope do
      %{^as => nil} -> nil
      %{^as => row} -> Map.fetch!(row, column)
      _none -> outer(env.outer, as, column)
    end
  end

  def value({:parent, as, column, _type}, _scope, env), do: outer(env.outer, as, column)

  def value({:param, _type, value}, _scope, _env), do: value
  def value({:lit, _type, value}, _scope, _env), do: value

  def value({:cmp, op, left, right}, scope, env),
    do: comparison(op, value(left, scope, env), value(right, scope, env))

  def value({:and, left, right}, scope, env) do
    case {value(left, scope, env), value(right, scope, env)} do
      {false, _} -> false
      {_, false} -> false
      {true, true} -> true
      _unknown -> nil
    end
  end

  def value({:or, left, right}, scope, env) do
    case {value(left, scope, env), value(right, scope, env)} do
      {true, _} -> true
      {_, true} -> true
      {false, false} -> false
      _unknown -> nil
    end
  end

  def value({:not, expr}, scope, env), do: negated(value(expr, scope, env))
  def value({:is_nil, expr}, scope, env), do: value(expr, scope, env) == nil

  def value({:in, expr, elements}, scope, env),
    do: member(value(expr, scope, env), Enum.map(elements, &value(&1, scope, env)))

  def value({:in_list, _type, expr, values}, scope, env),
    do: member(value(expr, scope, env), values)

  def value({:in_literals, expr, values}, scope, env), do: member(value(expr, scope, env), values)

  def value({:in_query, expr, query}, scope, env),
    do: member(value(expr, scope, env), column(query, scope, env))

  def value({:exists, query}, scope, env), do: subquery(query, scope, env) != []

  def value({:any, op, expr, query}, scope, env) do
    left = value(expr, scope, env)
    results = for right <- column(query, scope, env), do: comparison(op, left, right)
    if true in results, do: true, else: if(nil in results, do: nil, else: false)
  end

  def value({:all, op, expr, query}, scope, env) do
    left = value(expr, scope, env)
    results = for right <- column(query, scope, env), do: comparison(op, left, right)
    if false in results, do: false, else: if(nil in results, do: nil, else: true)
  end

  def value({:scalar, query}, scope, env), do: query |> column(scope, env) |> List.first()

  def value({:element, expr, list}, scope, env) do
    case value(list, scope, env) do
      # Of no list there are no elements.
      nil -> false
      list -> member(value(expr, scope, env), list)
    end
  end

  def value({:like, expr, pattern}, scope, env) do
    with text when is_binary(text) <- value(expr, scope, env) do
      regex = pattern |> Regex.escape() |> String.replace("%", ".*") |> String.replace("_", ".")
      Regex.match?(Regex.compile!("\\A" <> regex <> "\\z", "si"), text)
    end
  end

  def value({:arith, op, type, left, right}, scope, env),
    do: calculate(op, type, value(left, scope, env), value(right, scope, env))

  def value({:neg, type, expr}, scope, env),
    do: calculate(:-, type, zero(type), value(expr, scope, env))

  def value({:coalesce, type, left, right}, scope, env) do
    value = with nil <- value(left, scope, env), do: value(right, scope, env)
    if type == :dec, do: cast(value, :dec), else: value
  end

  def value({:cast, expr, to}, scope, env), do: cast(value(expr, scope, env), to)

  def value({:add, _type, expr, count, unit}, scope, env),
    do: shift(value(expr, scope, env), count, unit)

  def value({:count}, scope, _env), do: length(scope.group)

  def value({:count, :distinct, expr}, scope, env),
    do: expr |> values(scope.group, env) |> Enum.uniq_by(&key/1) |> length()

  def value({:agg, name, type, expr}, scope, env),
    do: aggregate(name, type, values(expr, scope.group, env))

  def value({:agg_filter, name, type, expr, filter}, scope, env) do
    rows = Enum.filter(scope.group, &(value(filter, &1, env) == true))
    aggregate(name, type, values(expr, rows, env))
  end

  def value({:over, function}, scope, env), do: over(function, scope, env)

  # What a join left out is not there at all, and NULL.
  defp outer(outer, as, column) do
    case outer do
      %{^as => row} when row != nil -> Map.fetch!(row, column)
      _none -> nil
    end
  end

  defp values(expr, rows, env),
    do: for(row <- rows, value <- [value(expr, row, env)], value != nil, do: value)

  defp subquery(query, scope, env),
    do:
      Evaluator.rows(
        query,
        env.tables,
        Map.merge(env.outer, Map.drop(scope, [:group, :all, :place, :window]))
      )

  defp column(query, scope, env), do: for([value] <- subquery(query, scope, env), do: value)

  ## Logic and comparison

  defp negated(nil), do: nil
  defp negated(value), do: not value

  defp comparison(_op, nil, _right), do: nil
  defp comparison(_op, _left, nil), do: nil

  defp comparison(op, left, right) do
    order = compare(left, right)

    case op do
      :== -> order == :eq
      :!= -> order != :eq
      :< -> order == :lt
      :<= -> order in [:lt, :eq]
      :> -> order == :gt
      :>= -> order in [:gt, :eq]
    end
  end

  defp member(_value, []), do: false
  defp member(nil, _values), do: nil

  defp member(value, values) do
    cond do
      Enum.any?(values, &(&1 != nil and compare(value, &1) == :eq)) -> true
      nil in values -> nil
      true -> false
    end
  end

  @doc "What equal values have in common."
  def key(%Decimal{} = value) do
    if Decimal.equal?(value, 0),
      do: {:number, "0"},
      else: {:number, exactly(fn -> value |> Decimal.normalize() |> Decimal.to_string(:normal) end)}
  end

  def key(value) when is_float(value), do: key(Decimal.from_float(value + 0.0))
  def key(value) when is_integer(value), do: key(Decimal.new(value))
  def key(%DateTime{} = value), do: value |> DateTime.to_naive() |> key()

  def key(%NaiveDateTime{} = value),
    do: {:moment, NaiveDateTime.diff(value, ~N[2000-01-01 00:00:00], :microsecond)}

  def key(%Date{} = value), do: key(NaiveDateTime.new!(value, ~T[00:00:00]))
  def key(value), do: value

  defp compare(left, right), do: ordered(order_key(left), order_key(right))

  defp ordered(%Decimal{} = left, %Decimal{} = right), do: Decimal.compare(left, right)
  defp ordered(same, same), do: :eq
  defp ordered(left, right), do: if(left < right, do: :lt, else: :gt)

  defp order_key(value) when is_integer(value), do: Decimal.new(value)
  defp order_key(value) when is_float(value), do: Decimal.from_float(value)
  defp order_key(%Decimal{} = value), do: value
  defp order_key(false), do: 0
  defp order_key(true), do: 1
  defp order_key(value), do: key(value)

  ## Numbers

  defp zero(:int), do: 0
  defp zero(:float), do: 0.0
  defp zero(:dec), do: Decimal.new(0)

  def calculate(_op, _type, nil, _right), do: nil
  def calculate(_op, _type, _left, nil), do: nil

  def calculate(op, :dec, left, right) do
    left = decimal(left)
    right = decimal(right)

    case op do
      :+ -> exactly(fn -> Decimal.add(left, right) end)
      :- -> exactly(fn -> Decimal.sub(left, right) end)
      :* -> exactly(fn -> Decimal.mult(left, right) end)
      :/ -> if Decimal.equal?(right, 0), do: nil, else: divided(left, right)
    end
  end

  def calculate(:/, _type, _left, right) when right == 0, do: nil
  def calculate(:/, :int, left, right), do: div(left, right)
  def calculate(:/, :float, left, right), do: left / right
  def calculate(:+, _type, left, right), do: left + right
  def calculate(:-, _type, left, right), do: left - right
  def calculate(:*, _type, left, right), do: left * right

  # Said here, for Decimal 3 has 34 digits by default, and Decimal 2 has 28.
  defp divided(left, right) do
    context = %Decimal.Context{precision: 28, rounding: :half_up}
    Decimal.Context.with(context, fn -> Decimal.div(left, right) end)
  end

  defp exactly(fun), do: Decimal.Context.with(%Decimal.Context{precision: 2000}, fun)

  defp decimal(%Decimal{} = value), do: value
  defp decimal(value) when is_integer(value), do: Decimal.new(value)
  defp decimal(value) when is_float(value), do: Decimal.from_float(value)

  defp aggregate(:count, _type, values), do: length(values)
  defp aggregate(_name, _type, []), do: nil

  defp aggregate(:min, _type, values),
    do: Enum.reduce(values, &if(compare(&1, &2) == :lt, do: &1, else: &2))

  defp aggregate(:max, _type, values),
    do: Enum.reduce(values, &if(compare(&1, &2) == :gt, do: &1, else: &2))

  defp aggregate(:sum, type, values), do: Enum.reduce(values, &calculate(:+, type, &2, &1))

  defp aggregate(:avg, :dec, values),
    do: divided(aggregate(:sum, :dec, values), length(values))

  defp aggregate(:avg, type, values), do: aggregate(:sum, type, values) / length(values)

  ## Casts

  @doc "A value as one of a type."
  def cast(nil, _to), do: nil
  def cast(value, :float), do: value * 1.0
  def cast(value, :dec), do: decimal(value)
  def cast(value, :str), do: Integer.to_string(value)
  def cast(value, :int), do: if(value, do: 1, else: 0)
  def cast(%Date{} = value, :date), do: value
  def cast(%Date{} = value, to), do: value |> NaiveDateTime.new!(~T[00:00:00.000000]) |> cast(to)
  def cast(%DateTime{} = value, to), do: value |> DateTime.to_naive() |> cast(to)
  def cast(value, :date), do: NaiveDateTime.to_date(value)
  def cast(value, :naive), do: NaiveDateTime.truncate(value, :second)
  def cast(value, :naive_usec), do: value
  def cast(value, :utc), do: value |> cast(:naive) |> DateTime.from_naive!("Etc/UTC")
  def cast(value, :utc_usec), do: DateTime.from_naive!(value, "Etc/UTC")

  ## Intervals

  defp shift(nil, _count, _unit), do: nil

  defp shift(%DateTime{} = value, count, unit),
    do: value |> DateTime.to_naive() |> shift(count, unit) |> DateTime.from_naive!("Etc/UTC")

  defp shift(%Date{} = value, count, unit),
    do: value |> NaiveDateTime.new!(~T[00:00:00]) |> shift(count, unit) |> NaiveDateTime.to_date()

  defp shift(value, count, "year"), do: shift(value, count * 12, "month")

  defp shift(%{year: year, month: month, day: day} = value, count, "month") do
    months = year * 12 + month - 1 + count
    first = Date.new!(Integer.floor_div(months, 12), Integer.mod(months, 12) + 1, 1)
    date = %{first | day: min(day, Date.days_in_month(first))}
    NaiveDateTime.new!(date, NaiveDateTime.to_time(value))
  end

  defp shift(value, count, "week"), do: shift(value, count * 7, "day")
  defp shift(value, count, "day"), do: shift(value, count * 86_400, "second")
  defp shift(value, count, "hour"), do: shift(value, count * 3600, "second")
  defp shift(value, count, "minute"), do: shift(value, count * 60, "second")
  defp shift(value, count, "second"), do: NaiveDateTime.add(value, count, :second)
  defp shift(value, count, unit), do: NaiveDateTime.add(value, count, String.to_existing_atom(unit))

  ## Window functions. The frame: from the beginning of the partition to the last peer

  defp over(function, %{window: {partition, order}} = scope, env) do
    rows =
      for {row, place} <- Enum.with_index(scope.all),
          alike?(partition, row, scope, env),
          do: {row, place}

    rows = Enum.sort(rows, fn {left, _}, {right, _} -> before?(order, left, right, env) end)

    position = Enum.find_index(rows, fn {_row, place} -> place == scope.place end)
    rows = Enum.map(rows, &elem(&1, 0))
    peer? = fn row -> before?(order, row, scope, env) and before?(order, scope, row, env) end
    frame = if order == [], do: rows, else: Enum.filter(rows, &before?(order, &1, scope, env))
    window(function, rows, position, frame, {peer?, order}, env)
  end

  defp alike?(partition, row, scope, env),
    do: Enum.all?(partition, &(key(value(&1, row, env)) == key(value(&1, scope, env))))

  defp window({:row_number}, _rows, position, _frame, _order, _env), do: position + 1

  defp window({:rank}, rows, _position, _frame, {peer?, _order}, _env),
    do: Enum.find_index(rows, peer?) + 1

  defp window({:dense_rank}, rows, _position, _frame, {peer?, order}, env) do
    before = Enum.take_while(rows, &(not peer?.(&1)))

    peers =
      Enum.uniq_by(before, fn row -> for {_, expr} <- order, do: key(value(expr, row, env)) end)

    1 + length(peers)
  end

  defp window({:agg, name, type, expr}, _rows, _position, frame, _order, env),
    do: aggregate(name, type, values(expr, frame, env))

  defp window({:count}, _rows, _position, frame, _order, _env), do: length(frame)

  defp window({:lag, expr, offset, default}, rows, position, _frame, _order, env),
    do: at(rows, position - offset, expr, default, env)

  defp window({:lead, expr, offset, default}, rows, position, _frame, _order, env),
    do: at(rows, position + offset, expr, default, env)

  defp window({:first_value, expr}, _rows, _position, [first | _], _order, env),
    do: value(expr, first, env)

  defp at(rows, position, expr, _default, env) when position >= 0 and position < length(rows),
    do: rows |> Enum.at(position) |> then(&value(expr, &1, env))

  defp at(_rows, _position, _expr, default, env), do: default && value(default, %{}, env)

  ## Order

  def before?([], _left, _right, _env), do: true

  def before?([{direction, expr} | terms], left, right, env) do
    case order_of(direction, value(expr, left, env), value(expr, right, env)) do
      :eq -> before?(terms, left, right, env)
      order -> order == :lt
    end
  end

  def order_of(_direction, nil, nil), do: :eq
  def order_of(direction, nil, _right), do: if(nulls_first?(direction), do: :lt, else: :gt)
  def order_of(direction, _left, nil), do: if(nulls_first?(direction), do: :gt, else: :lt)

  def order_of(direction, left, right) do
    case {compare(left, right), direction} do
      {:eq, _} -> :eq
      {order, asc} when asc in [:asc, :asc_nulls_first, :asc_nulls_last] -> order
      {:lt, _desc} -> :gt
      {:gt, _desc} -> :lt
    end
  end

  defp nulls_first?(direction), do: direction in [:asc, :asc_nulls_first, :desc_nulls_first]
end
