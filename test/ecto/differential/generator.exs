defmodule EctoLibSql.Differential.Generator do
  @moduledoc false
  # Random queries, as terms that Builder makes Ecto queries of and Evaluator answers.
  #
  # What SQL leaves open is not asked for: a limit comes with an order that leaves no two rows alike, and
  # sums are of numbers that binary floats hold exactly.

  import EctoLibSql.Differential.Chance
  import EctoLibSql.Differential.Expressions
  alias EctoLibSql.Differential.Tables

  @ordered ordered()
  @datetimes [:naive, :naive_usec, :utc, :utc_usec]

  ## Queries

  @doc "A query, whole."
  def query do
    case :rand.uniform(10) do
      n when n <= 2 -> combination(types(), 2)
      3 -> with_ctes()
      _n -> select(types(), %{sources: [], outer: [], ctes: [], depth: 3})
    end
  end

  def types, do: for(_n <- 1..Enum.random(1..4), do: Enum.random(Tables.types()))

  defp with_ctes do
    inner = select(types(), %{sources: [], outer: [], ctes: [], depth: 1})
    name = "cte#{fresh()}"
    ctx = %{sources: [], outer: [], ctes: [{name, columns(inner)}], depth: 2}
    Map.put(select(types(), ctx), :ctes, [{name, inner}])
  end

  # Parts select plain values; which of equal ones is kept does not show.
  defp combination(types, depth) do
    ctx = %{sources: [], outer: [], ctes: [], depth: 1}

    %{
      op: Enum.random([:union, :union_all, :except, :except_all, :intersect, :intersect_all]),
      left: left(types, depth, ctx),
      right: if(depth > 0 and chance(4), do: combination(types, depth - 1), else: part(types, ctx)),
      order: nil,
      limit: nil,
      offset: nil
    }
    |> ordered(types)
  end

  # Its order and limit would be those of the whole.
  defp left(types, depth, ctx) do
    if depth > 0 and chance(3),
      do: %{combination(types, depth - 1) | order: nil, limit: nil, offset: nil},
      else: %{part(types, ctx) | limit: nil, offset: nil, order: []}
  end

  defp part(types, ctx), do: %{whole(types, ctx) | distinct: nil}

  # A group leaves out types that have no aggregate.
  def whole(types, ctx) do
    query = select(types, ctx)
    if query.types == types, do: query, else: whole(types, ctx)
  end

  # By all columns, which leaves no two rows apart that are not alike.
  defp ordered(combination, types) do
    if chance(3) and :list not in types,
      do: %{
        combination
        | order: Enum.random([:asc, :desc]),
          limit: Enum.random([nil, 1, 2, 3]),
          offset: Enum.random([nil, 1])
      },
      else: combination
  end

  @doc "Whether the parts of a combination select the same types."
  def alike?(%{op: _op, left: left, right: right}),
    do: alike?(left) and alike?(right) and columns_types(left) == columns_types(right)

  def alike?(_select), do: true

  defp columns_types(%{op: _op, left: left}), do: columns_types(left)
  defp columns_types(%{types: types}), do: types

  @doc "A SELECT of these types."
  def select(types, ctx) do
    {sources, ctx} = sources(ctx)
    where = if chance(2), do: true, else: expr(:bool, ctx)

    query =
      Map.merge(sources, %{
        where: where,
        group: nil,
        having: true,
        distinct: nil,
        order: [],
        limit: nil,
        offset: nil,
        window: nil
      })

    case :rand.uniform(8) do
      n when n <= 2 -> grouped(query, types, ctx)
      n when n in [3, 5] -> windowed(query, types, ctx)
      4 -> distinct(query, types, ctx)
      _n -> plain(query, types, ctx)
    end
  end

  @doc "A SELECT for a subquery: its columns and their types."
  def columns(%{op: _op, left: left}), do: columns(left)
  def columns(%{select: select, types: types}), do: select |> Keyword.keys() |> Enum.zip(types)

  defp plain(query, types, ctx) do
    query
    |> put_select(types, for(type <- types, do: expr(type, ctx)))
    |> order(terms(Enum.random(0..2), ctx), ctx)
  end

  # One subquery at most: Ecto exchanges those of a dynamic order.
  defp terms(0, _ctx), do: []

  defp terms(count, ctx) do
    for n <- 1..count do
      type = orderable()
      query? = n == 1 and ctx.depth > 1 and chance(4)

      if query?,
        do: {direction(), {:scalar, scalar(type, ctx)}},
        else: {direction(), expr(type, ctx, no_queries: true)}
    end
  end

  def put_select(query, types, exprs) do
    names = for n <- 1..length(exprs), do: String.to_atom("v#{n}")
    Map.merge(query, %{select: Enum.zip(names, exprs), types: types})
  end

  # Up to the sources' own keys.
  defp order(query, terms, ctx) do
    case ids(ctx) do
      nil -> query
      ids -> limited(%{query | order: terms ++ ids})
    end
  end

  defp limited(query) do
    if chance(2),
      do: %{query | limit: Enum.random([nil, 1, 2, 3, 4]), offset: Enum.random([nil, nil, 1])},
      else: query
  end

  def ids(%{sources: sources}) do
    if Enum.all?(sources, fn {_as, columns} -> {:id, :int} in columns end),
      do: for({as, _columns} <- sources, do: {:asc, {:col, as, :id, :int}})
  end

  defp grouped(query, types, ctx) do
    group_types = for _n <- 1..Enum.random(0..2)//1, do: Enum.random(Tables.types() -- [:list])
    # SQLite's GROUP BY does not see the queries around.
    group = for type <- group_types, do: expr(type, %{ctx | depth: 1, outer: []})
    keys = Enum.zip(group_types, group)
    exprs = for type <- types, do: aggregate(type, keys, ctx)
    # A type that has no aggregate is not selected.
    {types, exprs} =
      types |> Enum.zip(exprs) |> Enum.filter(&elem(&1, 1)) |> or_count() |> Enum.unzip()

    %{query | group: group, having: if(chance(3), do: having(keys, ctx), else: true)}
    |> put_select(types, exprs)
    |> Map.put(:order, for(key <- group, do: {direction(), key}))
    |> limited()
  end

  defp or_count([]), do: [{:int, {:count}}]
  defp or_count(exprs), do: exprs

  defp having(keys, ctx), do: comparison(&aggregate(&1, keys, ctx), :int)

  defp aggregate(type, keys, ctx) do
    case Enum.filter(keys, fn {key_type, _expr} -> key_type == type end) do
      [_ | _] = same ->
        if chance(2), do: same |> Enum.random() |> elem(1), else: function(type, ctx)

      [] ->
        function(type, ctx)
    end
  end

  # An aggregate of columns of the query around would be one of that query.
  defp function(type, %{outer: [_ | _]} = ctx), do: function(type, %{ctx | outer: []})

  defp function(type, ctx) when type in [:int, :dec, :float] do
    expr = expr(type, %{ctx | depth: 1})

    case :rand.uniform(6) do
      1 when type == :int ->
        {:count}

      2 when type == :int ->
        {:count, :distinct, expr(Enum.random(Tables.types() -- [:list]), %{ctx | depth: 1})}

      3 when type == :int ->
        {:agg, :count, :int, expr(Enum.random(Tables.types()), %{ctx | depth: 1})}

      4 when type == :dec ->
        {:agg, :avg, type, expr}

      5 ->
        {:agg_filter, Enum.random([:sum, :min, :max]), type, expr, expr(:bool, %{ctx | depth: 1})}

      _n ->
        {:agg, Enum.random([:sum, :min, :max]), type, expr}
    end
  end

  defp function(type, ctx) when type in @ordered,
    do: {:agg, Enum.random([:min, :max]), type, expr(type, %{ctx | depth: 1})}

  defp function(_type, _ctx), do: nil

  defp windowed(query, types, ctx) do
    case ids(ctx) do
      nil ->
        plain(query, types, ctx)

      ids ->
        partition =
          for _n <- 1..Enum.random(0..1)//1, do: column(Enum.random(Tables.types() -- [:list]), ctx)

        terms = for _n <- 1..Enum.random(0..1)//1, do: {direction(), column(orderable(), ctx)}
        total? = chance(2)
        order = if total?, do: terms ++ ids, else: terms
        exprs = for type <- types, do: window(type, total?, order != [], ctx)

        query
        |> Map.put(
          :window,
          {Enum.reject(partition, &is_nil/1), Enum.reject(order, &match?({_, nil}, &1))}
        )
        |> put_select(types, exprs)
        |> Map.put(:order, ids)
    end
  end

  defp window(type, total?, ordered?, ctx) do
    expr = expr(type, %{ctx | depth: 1})

    case :rand.uniform(7) do
      1 when type == :int and total? ->
        {:over, {:row_number}}

      2 when type == :int and ordered? ->
        {:over, {Enum.random([:rank, :dense_rank])}}

      3 when type in [:int, :dec, :float] ->
        {:over, {:agg, Enum.random([:sum, :min, :max]), type, expr}}

      4 when type in @ordered ->
        {:over, {:agg, Enum.random([:min, :max]), type, expr}}

      5 when total? ->
        {:over, {Enum.random([:lag, :lead]), expr, Enum.random(1..2), default(type)}}

      6 when total? ->
        {:over, {:first_value, expr}}

      _n ->
        expr
    end
  end

  defp default(:list), do: nil
  defp default(type), do: if(chance(2), do: param(type))

  defp distinct(query, types, ctx) do
    query = put_select(query, types, for(type <- types, do: expr(type, ctx)))

    case {chance(2), ids(ctx)} do
      {true, ids} when ids != nil ->
        terms = terms(Enum.random(1..2), ctx)
        limited(%{query | distinct: terms, order: ids})

      _rows ->
        %{query | distinct: true}
    end
  end

  ## Writes

  @doc "An update_all or delete_all."
  def write do
    ctx = %{sources: [], outer: [], ctes: [], depth: 2}
    name = Enum.random(Tables.names())
    as = name()
    target = %{ctx | sources: [{as, table()}]}
    {joins, ctx} = Enum.map_reduce(1..Enum.random(0..2)//1, target, fn _n, ctx -> join(ctx) end)
    where = if chance(2), do: true, else: expr(:bool, ctx)
    types = for _n <- 1..Enum.random(1..2), do: Enum.random(Tables.types())
    returned = for type <- types, do: expr(type, %{target | depth: 1}, no_queries: true)

    write = put_select(%{from: {:table, name}, as: as, joins: joins, where: where}, types, returned)

    if chance(2),
      do: Map.put(write, :write, :delete),
      else: Map.merge(write, %{write: :update, set: sets(ctx)})
  end

  defp sets(ctx) do
    columns =
      Enum.take_random(
        for({column, type} <- table(), column != :id, do: {column, type}),
        Enum.random(1..3)
      )

    for {column, type} <- columns, do: {column, type, set(type, ctx)}
  end

  # Ecto knows no subqueries there.
  defp set(:int, ctx),
    do: if(chance(3), do: {:inc, param(:int)}, else: expr(:int, ctx, no_queries: true))

  defp set(:dec, ctx) do
    if chance(3),
      do: {:inc, param(:dec)},
      else: expr(Enum.random([:int, :dec]), ctx, no_queries: true)
  end

  defp set(:list, _ctx), do: {Enum.random([:push, :pull]), param(:str)}

  defp set(type, ctx) when type in @datetimes,
    do: expr(Enum.random(@datetimes), ctx, no_queries: true)

  defp set(type, ctx), do: expr(type, ctx, no_queries: true)

  ## Sources

  def sources(ctx) do
    {source, columns} = source(ctx)
    as = name()
    ctx = %{ctx | sources: [{as, columns}]}
    count = if ctx.depth > 1, do: Enum.random([0, 0, 1, 1, 2]), else: Enum.random([0, 0, 1])
    {joins, ctx} = Enum.map_reduce(1..count//1, ctx, fn _n, ctx -> join(ctx) end)
    {%{from: source, as: as, joins: joins}, ctx}
  end

  defp join(ctx) do
    {source, columns} = source(ctx)
    as = name()
    ctx = %{ctx | sources: ctx.sources ++ [{as, columns}]}
    qual = Enum.random([:inner, :inner, :left, :left, :right, :full, :cross])
    on = if qual == :cross, do: true, else: on(ctx)
    {%{qual: qual, source: source, as: as, on: on}, ctx}
  end

  # Mostly of fields of two sources that mean the same.
  defp on(ctx) do
    if chance(3),
      do: expr(:bool, %{ctx | depth: 1, outer: []}, no_queries: true),
      else: comparison(&column(&1, ctx), :int)
  end

  defp source(%{ctes: [_ | _] = ctes} = ctx) do
    if chance(2) do
      {name, columns} = Enum.random(ctes)
      {{:table, name}, columns}
    else
      source(%{ctx | ctes: []})
    end
  end

  defp source(%{depth: depth} = ctx) do
    cond do
      depth > 1 and chance(6) ->
        query = select(types(), %{ctx | sources: [], outer: [], depth: 1})
        {{:subquery, query}, columns(query)}

      depth > 1 and chance(12) ->
        types = types()

        columns =
          for {type, n} <- Enum.with_index(types -- [:list]), do: {String.to_atom("x#{n}"), type}

        values(columns ++ [{:n, :int}])

      true ->
        {{:table, Enum.random(Tables.names())}, table()}
    end
  end

  defp values(columns) do
    rows =
      for _n <- 1..Enum.random(1..3),
          do: Map.new(columns, fn {name, type} -> {name, Tables.value(type)} end)

    {{:values, rows, Map.new(columns, fn {name, type} -> {name, Tables.ecto(type)} end)}, columns}
  end

  defp table, do: for(type <- Tables.types(), column <- Tables.columns(type), do: {column, type})
end
