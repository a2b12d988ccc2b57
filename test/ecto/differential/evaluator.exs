defmodule EctoLibSql.Differential.Evaluator do
  @moduledoc false
  # What a query means, naively: loops over lists of maps. Knows nothing of SQL, nor of how anything is
  # stored. Queries and expressions are the generator's terms.
  #
  # A row of sources is a map of names to rows (nil where an outer join found none). NULL is nil, and
  # logic has three values.

  ## Queries

  @doc "The rows of a query, as lists of values, in its order."
  def rows(query, tables, outer \\ %{}) do
    env = %{tables: with_ctes(query, tables), outer: outer}

    case query do
      %{op: op, left: left, right: right} -> combine(op, left, right, query, env)
      _select -> query |> select(env) |> limit(query)
    end
  end

  @doc """
  What a write does to its table: `{rows after it, rows that it returns}`; `:open`, where the rows of a join
  say different things of one that is written.
  """
  def write(%{from: {:table, name}, as: as} = write, tables) do
    env = %{tables: tables, outer: %{}}

    found =
      for scope <- sources(write, env),
          scope[as] != nil,
          value(write.where, scope, env) == true,
          do: scope

    changes =
      found
      |> Enum.group_by(& &1[as].id, &changed(write, &1, env))
      |> Map.new(fn {id, rows} -> {id, Enum.uniq(rows)} end)

    if Enum.all?(changes, &match?({_id, [_one]}, &1)) do
      changes = Map.new(changes, fn {id, [row]} -> {id, row} end)

      {Enum.flat_map(tables[name], &after_write(&1, changes)),
       returned(write, tables[name], changes, env)}
    else
      :open
    end
  end

  defp after_write(row, changes) do
    case Map.get(changes, row.id, row) do
      :deleted -> []
      row -> [row]
    end
  end

  defp returned(write, rows, changes, env) do
    for row <- rows, Map.has_key?(changes, row.id) do
      row = if changes[row.id] == :deleted, do: row, else: changes[row.id]
      for {_name, expr} <- write.select, do: value(expr, %{write.as => row}, env)
    end
  end

  defp changed(%{write: :delete}, _scope, _env), do: :deleted

  defp changed(%{write: :update, set: sets} = write, scope, env) do
    row = scope[write.as]

    Map.merge(
      row,
      Map.new(sets, fn {column, type, set} -> {column, set(set, type, row[column], scope, env)} end)
    )
  end

  defp set({:inc, by}, type, old, scope, env), do: calculate(:+, type, old, value(by, scope, env))

  defp set({:push, element}, _type, old, scope, env),
    do: (old || []) ++ [value(element, scope, env)]

  defp set({:pull, element}, _type, old, scope, env),
    do: old && Enum.reject(old, &(&1 == value(element, scope, env)))

  defp set(expr, type, _old, scope, env), do: stored(value(expr, scope, env), type)

  defp stored(value, type) when type in [:dec, :naive, :naive_usec, :utc, :utc_usec],
    do: cast(value, type)

  defp stored(value, _type), do: value

  defp with_ctes(%{ctes: ctes}, tables) do
    Enum.reduce(ctes, tables, fn {name, query}, tables ->
      Map.put(tables, name, named(query, tables, %{}))
    end)
  end

  defp with_ctes(_query, tables), do: tables

  # The rows of a query as those of a table.
  defp named(query, tables, outer) do
    for row <- rows(query, tables, outer), do: Map.new(Enum.zip(names(query), row))
  end

  def names(%{op: _op, left: left}), do: names(left)
  def names(%{select: select}), do: Keyword.keys(select)

  defp select(query, env) do
    found = Enum.filter(sources(query, env), &(value(query.where, &1, env) == true))

    found
    |> groups(query, env)
    |> windows(query, env)
    |> Enum.map(fn scope ->
      {for({_name, expr} <- query.select, do: value(expr, scope, env)), scope}
    end)
    |> distinct(query, env)
    |> order(query, env)
    |> Enum.map(&elem(&1, 0))
  end

  ## Sources and joins

  defp sources(query, env) do
    first = for row <- table(query.from, env), do: %{query.as => row}
    Enum.reduce(query.joins, first, &join(&1, &2, env))
  end

  defp table({:table, name}, env), do: Map.fetch!(env.tables, name)
  defp table({:subquery, query}, env), do: named(query, env.tables, %{})
  defp table({:values, rows, _types}, _env), do: rows

  defp join(%{qual: qual, source: source, as: as, on: on}, lefts, env) do
    rights = table(source, env)
    pairs = for left <- lefts, right <- rights, do: {left, right, Map.put(left, as, right)}
    matched = Enum.filter(pairs, fn {_, _, both} -> value(on, both, env) == true end)
    inner = for {_, _, both} <- matched, do: both

    case qual do
      qual when qual in [:inner, :cross] ->
        inner

      :left ->
        inner ++ lonely_left(lefts, matched, as)

      :right ->
        inner ++ lonely_right(rights, matched, as, lefts, env)

      :full ->
        inner ++ lonely_left(lefts, matched, as) ++ lonely_right(rights, matched, as, lefts, env)
    end
  end

  # Rows may be equal; which of them were matched is told by place.
  defp lonely_left(lefts, matched, as) do
    met = MapSet.new(matched, fn {left, _, _} -> left end)
    for left <- lefts, left not in met, do: Map.put(left, as, nil)
  end

  defp lonely_right(rights, matched, as, _lefts, _env) do
    met = MapSet.new(matched, fn {_, right, _} -> right end)
    for right <- rights, right not in met, do: %{as => right}
  end

  ## Groups. A scope of a group is its first row, with all its rows under :group

  defp groups(found, %{group: nil}, _env), do: found

  defp groups(found, %{group: exprs} = query, env) do
    groups =
      found
      |> Enum.group_by(fn scope -> for expr <- exprs, do: key(value(expr, scope, env)) end)
      |> Map.values()

    groups = if exprs == [] and groups == [], do: [[]], else: groups

    groups
    |> Enum.map(fn rows -> Map.put(List.first(rows) || %{}, :group, rows) end)
    |> Enum.filter(&(value(query.having, &1, env) == true))
  end

  ## Windows. A scope knows all scopes, and its place among them

  defp windows(scopes, query, _env) do
    if Map.get(query, :window),
      do:
        Enum.with_index(scopes, fn scope, place ->
          Map.merge(scope, %{all: scopes, place: place, window: query.window})
        end),
      else: scopes
  end

  ## Distinct, order, limit

  defp distinct(rows, %{distinct: nil}, _env), do: rows

  defp distinct(rows, %{distinct: true}, _env),
    do: Enum.uniq_by(rows, fn {values, _scope} -> Enum.map(values, &key/1) end)

  defp distinct(rows, %{distinct: terms} = query, env) do
    rows
    |> order(%{query | order: terms ++ query.order}, env)
    |> Enum.uniq_by(fn {_values, scope} ->
      for {_direction, expr} <- terms, do: key(value(expr, scope, env))
    end)
  end

  defp order(rows, %{distinct: terms} = query, env) when is_list(terms),
    do: sort(rows, terms ++ query.order, env)

  defp order(rows, query, env), do: sort(rows, query.order, env)

  defp sort(rows, [], _env), do: rows

  defp sort(rows, terms, env) do
    Enum.sort(rows, fn {_, left}, {_, right} -> before?(terms, left, right, env) end)
  end

  defp before?([], _left, _right, _env), do: true

  defp before?([{direction, expr} | terms], left, right, env) do
    case order_of(direction, value(expr, left, env), value(expr, right, env)) do
      :eq -> before?(terms, left, right, env)
      order -> order == :lt
    end
  end

  defp order_of(_direction, nil, nil), do: :eq
  defp order_of(direction, nil, _right), do: if(nulls_first?(direction), do: :lt, else: :gt)
  defp order_of(direction, _left, nil), do: if(nulls_first?(direction), do: :gt, else: :lt)

  defp order_of(direction, left, right) do
    case {compare(left, right), direction} do
      {:eq, _} -> :eq
      {order, asc} when asc in [:asc, :asc_nulls_first, :asc_nulls_last] -> order
      {:lt, _desc} -> :gt
      {:gt, _desc} -> :lt
    end
  end

  defp nulls_first?(direction), do: direction in [:asc, :asc_nulls_first, :desc_nulls_first]

  defp limit(rows, query) do
    rows = Enum.drop(rows, query.offset || 0)
    if query.limit, do: Enum.take(rows, query.limit), else: rows
  end

  ## Combinations, as bags of rows

  defp combine(op, left, right, query, env) do
    [{:first, rows} | rest] = chain(op, left, right, env)

    rest
    |> Enum.reduce(rows, fn {op, right}, left -> bag(op, left, right) end)
    |> Enum.map(&{&1, &1})
    |> sort_by_place(query.order)
    |> limit(query)
  end

  # What is combined from left to right, where INTERSECT binds first.
  defp chain(op, left, right, env) do
    terms =
      case left do
        %{op: op, left: left, right: right} -> chain(op, left, right, env)
        select -> [{:first, rows(select, env.tables, env.outer)}]
      end

    right = rows(right, env.tables, env.outer)

    if op in [:intersect, :intersect_all],
      do: List.update_at(terms, -1, fn {before, left} -> {before, bag(op, left, right)} end),
      else: terms ++ [{op, right}]
  end

  defp bag(:union_all, left, right), do: left ++ right
  defp bag(:union, left, right), do: uniq(left ++ right)
  defp bag(:except, left, right), do: left |> uniq() |> Enum.reject(&among?(&1, right))
  defp bag(:intersect, left, right), do: left |> uniq() |> Enum.filter(&among?(&1, right))
  defp bag(:except_all, left, right), do: left |> taken(right) |> elem(1)
  defp bag(:intersect_all, left, right), do: left |> taken(right) |> elem(0)

  # Of the left rows, those that have one of the right for themselves, and the others.
  defp taken(left, right) do
    counts = Enum.frequencies_by(right, &keys/1)

    {with_one, without, _counts} =
      Enum.reduce(left, {[], [], counts}, fn row, {with_one, without, counts} ->
        if Map.get(counts, keys(row), 0) > 0,
          do: {[row | with_one], without, Map.update!(counts, keys(row), &(&1 - 1))},
          else: {with_one, [row | without], counts}
      end)

    {with_one, without}
  end

  defp uniq(rows), do: Enum.uniq_by(rows, &keys/1)
  defp among?(row, rows), do: Enum.any?(rows, &(keys(&1) == keys(row)))
  defp keys(row), do: Enum.map(row, &key/1)

  # All columns, from the left.
  defp sort_by_place(rows, nil), do: Enum.map(rows, &elem(&1, 0))

  defp sort_by_place(rows, direction) do
    rows
    |> Enum.map(&elem(&1, 0))
    |> Enum.sort(fn left, right -> row_before?(direction, left, right) end)
  end

  defp row_before?(_direction, [], []), do: true

  defp row_before?(direction, [left | lefts], [right | rights]) do
    case order_of(direction, left, right) do
      :eq -> row_before?(direction, lefts, rights)
      order -> order == :lt
    end
  end

  ## Expressions

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
      rows(
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

  defp calculate(_op, _type, nil, _right), do: nil
  defp calculate(_op, _type, _left, nil), do: nil

  defp calculate(op, :dec, left, right) do
    left = decimal(left)
    right = decimal(right)

    case op do
      :+ -> exactly(fn -> Decimal.add(left, right) end)
      :- -> exactly(fn -> Decimal.sub(left, right) end)
      :* -> exactly(fn -> Decimal.mult(left, right) end)
      :/ -> if Decimal.equal?(right, 0), do: nil, else: Decimal.div(left, right)
    end
  end

  defp calculate(:/, _type, _left, right) when right == 0, do: nil
  defp calculate(:/, :int, left, right), do: div(left, right)
  defp calculate(:/, :float, left, right), do: left / right
  defp calculate(:+, _type, left, right), do: left + right
  defp calculate(:-, _type, left, right), do: left - right
  defp calculate(:*, _type, left, right), do: left * right

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
    do: Decimal.div(aggregate(:sum, :dec, values), length(values))

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
end
