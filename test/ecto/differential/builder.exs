defmodule EctoLibSql.Differential.Builder do
  @moduledoc false
  # The generator's terms as Ecto queries.

  import Ecto.Query
  alias EctoLibSql.Differential.Tables

  def query(%{op: op, left: left, right: right} = combination) do
    left = query(left)
    right = query(right)

    op
    |> combine(left, right)
    |> whole_order(combination)
    |> limits(combination)
  end

  def query(select) do
    select
    |> from_source()
    |> joins(select.joins)
    |> ctes(Map.get(select, :ctes, []))
    |> where(^bool(select.where))
    |> group(select)
    |> window(select.window)
    |> distinct_rows(select.distinct)
    |> order_by(^order(select.order))
    |> limits(select)
    |> select(^Map.new(select.select, fn {name, expr} -> {name, expr(expr)} end))
  end

  @doc "A write as a query; what it sets is in it."
  def write(%{write: kind} = write) do
    query =
      write
      |> from_source()
      |> joins(write.joins)
      |> where(^bool(write.where))
      |> select(^Map.new(write.select, fn {name, expr} -> {name, expr(expr)} end))

    if kind == :update, do: update(query, ^updates(write.set)), else: query
  end

  defp updates(sets) do
    sets
    |> Enum.map(&update_of/1)
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Enum.to_list()
  end

  defp update_of({column, _type, {op, {:param, _, value}}}) when op in [:inc, :push, :pull],
    do: {op, {column, value}}

  defp update_of({column, _type, expr}), do: {:set, {column, expr(expr)}}

  defp combine(:union, left, right), do: union(left, ^right)
  defp combine(:union_all, left, right), do: union_all(left, ^right)
  defp combine(:except, left, right), do: except(left, ^right)
  defp combine(:except_all, left, right), do: except_all(left, ^right)
  defp combine(:intersect, left, right), do: intersect(left, ^right)
  defp combine(:intersect_all, left, right), do: intersect_all(left, ^right)

  # A combination is ordered by the places of its columns, decimals by what they are.
  defp whole_order(query, %{order: nil}), do: query

  defp whole_order(query, %{order: direction, left: left}) do
    for {type, place} <- Enum.with_index(types(left), 1), reduce: query do
      query ->
        term = if type == :dec, do: place_of_decimal(place), else: place(place)
        order_by(query, ^[{direction, term}])
    end
  end

  defp types(%{op: _op, left: left}), do: types(left)
  defp types(%{types: types}), do: types

  for place <- 1..4 do
    defp place(unquote(place)), do: dynamic(fragment(unquote("#{place}")))

    defp place_of_decimal(unquote(place)),
      do: dynamic(fragment(unquote("#{place} COLLATE decimal")))
  end

  defp from_source(%{from: {:values, rows, types}, as: as}),
    do: from(v in values(rows, types), as: ^as)

  defp from_source(%{from: source, as: as}), do: from(x in source(source), as: ^as)

  defp source({:table, "cte" <> _ = name}), do: name
  defp source({:table, name}), do: {name, Tables.Row}
  defp source({:subquery, query}), do: subquery(query(query))

  defp joins(query, joins), do: Enum.reduce(joins, query, &join_source/2)

  for qual <- [:inner, :left, :right, :full, :cross] do
    defp join_source(%{qual: unquote(qual), source: {:values, rows, types}} = join, query),
      do: join(query, unquote(qual), [], v in values(rows, types), on: ^bool(join.on), as: ^join.as)

    defp join_source(%{qual: unquote(qual)} = join, query),
      do:
        join(query, unquote(qual), [], x in ^Ecto.Queryable.to_query(source(join.source)),
          on: ^bool(join.on),
          as: ^join.as
        )
  end

  defp ctes(query, ctes),
    do:
      Enum.reduce(ctes, query, fn {name, cte}, query -> with_cte(query, ^name, as: ^query(cte)) end)

  defp group(query, %{group: nil}), do: query

  defp group(query, %{group: group, having: having}) do
    query = if group == [], do: query, else: group_by(query, ^Enum.map(group, &expr/1))
    if having == true, do: query, else: having(query, ^bool(having))
  end

  defp window(query, nil), do: query

  defp window(query, {[], []}), do: windows(query, w: [])
  defp window(query, {[], order}), do: windows(query, w: [order_by: ^order(order)])

  defp window(query, {partition, []}),
    do: windows(query, w: [partition_by: ^Enum.map(partition, &expr/1)])

  defp window(query, {partition, order}) do
    windows(query, w: [partition_by: ^Enum.map(partition, &expr/1), order_by: ^order(order)])
  end

  defp distinct_rows(query, nil), do: query
  defp distinct_rows(query, true), do: distinct(query, true)
  defp distinct_rows(query, terms), do: distinct(query, ^order(terms))

  defp order(terms), do: for({direction, expr} <- terms, do: {direction, expr(expr)})

  defp limits(query, %{limit: limit, offset: offset}) do
    query = if limit, do: limit(query, ^limit), else: query
    if offset, do: offset(query, ^offset), else: query
  end

  ## Expressions

  def bool(true), do: true
  def bool(expr), do: expr(expr)

  def expr({:col, as, column, _type}), do: dynamic(field(as(^as), ^column))
  def expr({:parent, as, column, _type}), do: dynamic(field(parent_as(^as), ^column))
  def expr({:param, type, value}), do: dynamic(type(^value, ^Tables.ecto(type)))

  # Beside a field, a parameter has the field's type, and needs no type/2.
  for op <- [:==, :!=, :<, :<=, :>, :>=] do
    def expr({:cmp, unquote(op), {:col, as, column, type}, {:param, type, value}})
        when type != :list,
        do: dynamic(unquote(op)(field(as(^as), ^column), ^value))

    for {_type, value} <- Enum.uniq_by(Tables.literals(), &elem(&1, 1)) do
      def expr({:cmp, unquote(op), {:col, as, column, _}, {:lit, _type, unquote(value)}}),
        do: dynamic(unquote(op)(field(as(^as), ^column), unquote(value)))
    end

    def expr({:cmp, unquote(op), left, right}), do: compare(unquote(op), left, right)
    defp compare(unquote(op), left, right), do: dynamic(unquote(op)(^expr(left), ^expr(right)))

    def expr({:any, unquote(op), left, query}),
      do: dynamic(unquote(op)(^expr(left), any(query(query))))

    def expr({:all, unquote(op), left, query}),
      do: dynamic(unquote(op)(^expr(left), all(query(query))))
  end

  def expr({:and, left, right}), do: dynamic(^expr(left) and ^expr(right))
  def expr({:or, left, right}), do: dynamic(^expr(left) or ^expr(right))
  def expr({:not, expr}), do: dynamic(not (^expr(expr)))
  def expr({:is_nil, expr}), do: dynamic(is_nil(^expr(expr)))

  # Ecto cannot cast a list for an aggregate of a subquery.
  def expr({:in_list, type, {:col, as, column, type}, values} = term) do
    if Tables.column?(column),
      do: dynamic(field(as(^as), ^column) in ^values),
      else: in_typed_list(term)
  end

  def expr({:in_list, _type, _expr, _values} = term), do: in_typed_list(term)

  for type <- Tables.types(), type != :list do
    defp in_typed_list({:in_list, unquote(type), expr, values}),
      do: dynamic(^expr(expr) in type(^values, {:array, unquote(Tables.ecto(type))}))
  end

  for {_type, list} <- Tables.literal_lists() do
    def expr({:in_literals, {:col, as, column, _type}, unquote(list)}),
      do: dynamic(field(as(^as), ^column) in unquote(list))
  end

  def expr({:in, expr, [one]}), do: dynamic(^expr(expr) in [^expr(one)])
  def expr({:in, expr, [one, two]}), do: dynamic(^expr(expr) in [^expr(one), ^expr(two)])
  def expr({:in_query, expr, query}), do: dynamic(^expr(expr) in subquery(query(query)))
  def expr({:exists, query}), do: dynamic(exists(query(query)))
  def expr({:scalar, query}), do: dynamic(subquery(query(query)))
  def expr({:element, expr, list}), do: dynamic(^expr(expr) in ^expr(list))
  def expr({:like, expr, pattern}), do: dynamic(like(^expr(expr), ^pattern))

  def expr({:arith, :+, _type, left, {:lit, _, 2}}), do: dynamic(^expr(left) + 2)
  def expr({:arith, :+, _type, left, {:lit, _, 0.1}}), do: dynamic(^expr(left) + 0.1)
  def expr({:arith, :*, _type, left, {:lit, _, 2}}), do: dynamic(^expr(left) * 2)
  def expr({:arith, :*, _type, left, {:lit, _, 0.1}}), do: dynamic(^expr(left) * 0.1)
  def expr({:arith, :+, _type, left, right}), do: dynamic(^expr(left) + ^expr(right))
  def expr({:arith, :-, _type, left, right}), do: dynamic(^expr(left) - ^expr(right))
  def expr({:arith, :*, _type, left, right}), do: dynamic(^expr(left) * ^expr(right))
  def expr({:arith, :/, _type, left, right}), do: dynamic(^expr(left) / ^expr(right))
  def expr({:neg, _type, expr}), do: dynamic(-(^expr(expr)))
  def expr({:coalesce, _type, left, right}), do: dynamic(coalesce(^expr(left), ^expr(right)))
  def expr({:cast, expr, to}), do: dynamic(type(^expr(expr), ^Tables.ecto(to)))

  def expr({:add, :date, expr, count, unit}), do: dynamic(date_add(^expr(expr), ^count, ^unit))
  def expr({:add, _type, expr, count, unit}), do: dynamic(datetime_add(^expr(expr), ^count, ^unit))

  def expr({:count}), do: dynamic(count())
  def expr({:count, :distinct, expr}), do: dynamic(count(^expr(expr), :distinct))
  def expr({:agg, :count, _type, expr}), do: dynamic(count(^expr(expr)))
  def expr({:agg, :sum, _type, expr}), do: dynamic(sum(^expr(expr)))
  def expr({:agg, :avg, _type, expr}), do: dynamic(avg(^expr(expr)))
  def expr({:agg, :min, _type, expr}), do: dynamic(min(^expr(expr)))
  def expr({:agg, :max, _type, expr}), do: dynamic(max(^expr(expr)))

  def expr({:agg_filter, :sum, _type, expr, filter}),
    do: dynamic(filter(sum(^expr(expr)), ^expr(filter)))

  def expr({:agg_filter, :min, _type, expr, filter}),
    do: dynamic(filter(min(^expr(expr)), ^expr(filter)))

  def expr({:agg_filter, :max, _type, expr, filter}),
    do: dynamic(filter(max(^expr(expr)), ^expr(filter)))

  def expr({:over, {:row_number}}), do: dynamic(over(row_number(), :w))
  def expr({:over, {:rank}}), do: dynamic(over(rank(), :w))
  def expr({:over, {:dense_rank}}), do: dynamic(over(dense_rank(), :w))
  def expr({:over, {:count}}), do: dynamic(over(count(), :w))
  def expr({:over, {:agg, :sum, _type, expr}}), do: dynamic(over(sum(^expr(expr)), :w))
  def expr({:over, {:agg, :min, _type, expr}}), do: dynamic(over(min(^expr(expr)), :w))
  def expr({:over, {:agg, :max, _type, expr}}), do: dynamic(over(max(^expr(expr)), :w))
  def expr({:over, {:first_value, expr}}), do: dynamic(over(first_value(^expr(expr)), :w))
  def expr({:over, {:lag, expr, offset, nil}}), do: dynamic(over(lag(^expr(expr), ^offset), :w))
  def expr({:over, {:lead, expr, offset, nil}}), do: dynamic(over(lead(^expr(expr), ^offset), :w))

  def expr({:over, {:lag, expr, offset, default}}),
    do: dynamic(over(lag(^expr(expr), ^offset, ^expr(default)), :w))

  def expr({:over, {:lead, expr, offset, default}}),
    do: dynamic(over(lead(^expr(expr), ^offset, ^expr(default)), :w))
end
