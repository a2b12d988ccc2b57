defmodule EctoLibSql.Differential.Evaluator do
  @moduledoc false
  # What a query means, naively: loops over lists of maps. Knows nothing of SQL, nor of how anything is
  # stored. Queries and expressions are the generator's terms.
  #
  # A row of sources is a map of names to rows (nil where an outer join found none). NULL is nil, and
  # logic has three values.

  import EctoLibSql.Differential.Values

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

    row
    |> Map.merge(
      Map.new(sets, fn {column, type, set} -> {column, set(set, type, row[column], scope, env)} end)
    )
    |> kept(write.from)
  end

  # A column that is NUMERIC (docs/ecto.md says so of DECIMAL) makes a float of what has more than 15 digits.
  defp kept(%{e: %Decimal{coef: coef} = value} = row, {:table, "b"})
       when is_integer(coef) and coef > 999_999_999_999_999,
       do: %{row | e: value |> Decimal.to_float() |> Decimal.from_float()}

  defp kept(row, _from), do: row

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
end
