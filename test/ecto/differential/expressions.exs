defmodule EctoLibSql.Differential.Expressions do
  @moduledoc false
  # Random expressions of a type, in a context: `%{sources: [{name, columns}], outer: the same of the queries
  # around, ctes: ..., depth: how deep it may go}`.

  import EctoLibSql.Differential.Chance
  alias EctoLibSql.Differential.{Generator, Tables}

  @moments [:date, :naive, :naive_usec, :utc, :utc_usec]
  @ordered ordered()
  @datetimes @moments -- [:date]
  @ops [:==, :!=, :<, :<=, :>, :>=]

  @doc "An expression of a type."
  def expr(type, ctx, opts \\ [])

  def expr(:bool, %{depth: 0} = ctx, _opts),
    do: column(:bool, ctx) || comparison(&leaf(&1, ctx), :int)

  def expr(type, %{depth: 0} = ctx, _opts), do: leaf(type, ctx)

  def expr(:bool, ctx, opts) do
    deeper = %{ctx | depth: ctx.depth - 1}
    queries? = ctx.depth > 1 and opts == []

    case :rand.uniform(16) do
      1 ->
        {:and, expr(:bool, deeper, opts), expr(:bool, deeper, opts)}

      2 ->
        {:or, expr(:bool, deeper, opts), expr(:bool, deeper, opts)}

      3 ->
        {:not, expr(:bool, deeper, opts)}

      4 ->
        {:is_nil, expr(Enum.random(Tables.types()), deeper, opts)}

      5 ->
        listed(deeper, opts)

      6 ->
        among(deeper, opts)

      7 ->
        {:like, expr(:str, deeper, opts), Enum.random(["a%", "%b", "_", "%", "A_", "1%"])}

      8 ->
        {:element, Enum.random([param(:str), leaf(:str, ctx)]), column(:list, ctx) || param(:list)}

      9 when queries? ->
        {:exists, inner(Generator.types(), ctx)}

      10 when queries? ->
        in_query(deeper, ctx)

      11 when queries? ->
        quantified(deeper, ctx)

      12 ->
        column(:bool, ctx) || comparison(&expr(&1, deeper, opts), :int)

      14 ->
        literal(ctx)

      13 ->
        {:cmp, Enum.random([:==, :!=]), column(:list, ctx) || param(:list), param(:list)}

      _n ->
        comparison(&expr(&1, deeper, opts), Enum.random(@ordered))
    end
  end

  def expr(type, ctx, opts) do
    deeper = %{ctx | depth: ctx.depth - 1}
    queries? = ctx.depth > 1 and opts == []

    case :rand.uniform(10) do
      1 when type != :list ->
        {:coalesce, type, expr(type, deeper, opts), expr(other(type), deeper, opts)}

      2 when queries? ->
        {:scalar, scalar(type, ctx)}

      n when n in 3..6 ->
        calculated(type, deeper, opts) || leaf(type, ctx)

      _n ->
        leaf(type, ctx)
    end
  end

  # What a value of the type may stand in for.
  defp other(:dec), do: Enum.random([:int, :float, :dec])
  defp other(type) when type in [:naive_usec, :utc_usec], do: Enum.random(@datetimes)
  defp other(type), do: type

  def leaf(type, ctx), do: if(chance(8), do: param(type), else: column(type, ctx) || param(type))
  def param(type), do: {:param, type, Tables.value(type)}

  def column(type, ctx) do
    own = for {as, columns} <- ctx.sources, {column, ^type} <- columns, do: {:col, as, column, type}

    outer =
      for {as, columns} <- ctx.outer, {column, ^type} <- columns, do: {:parent, as, column, type}

    cond do
      outer != [] and (own == [] or chance(3)) -> Enum.random(outer)
      own != [] -> Enum.random(own)
      true -> nil
    end
  end

  # A column beside what stands in the query as it is.
  defp literal(ctx) do
    {type, value} = Enum.random(Tables.literals() ++ Tables.literal_lists())

    case {column(type, %{ctx | outer: []}), value} do
      {nil, _value} -> comparison(&leaf(&1, ctx), :int)
      {column, list} when is_list(list) -> {:in_literals, column, list}
      {column, value} -> {:cmp, Enum.random(@ops), column, {:lit, type, value}}
    end
  end

  # Of two types that mean the same kind of thing.
  def comparison(fun, type) do
    family = family(type)
    left = fun.(Enum.random(family)) || param(type)
    right = fun.(Enum.random(family)) || param(type)
    {:cmp, Enum.random(@ops), left, right}
  end

  defp family(type) when type in [:int, :float, :dec], do: [:int, :int, :float, :dec, :dec]
  defp family(type) when type in @moments, do: @moments
  defp family(type) when type in [:uuid, :bid], do: [:uuid, :bid]
  defp family(type), do: [type]

  defp listed(ctx, opts) do
    type = Enum.random(Tables.types() -- [:list])
    values = for _n <- 1..Enum.random(0..3)//1, do: Tables.value(type)
    {:in_list, type, expr(type, ctx, opts), values}
  end

  defp among(ctx, opts) do
    family = Enum.random([[:int, :dec], @datetimes, [:uuid, :bid], [:str]])
    elements = for _n <- 1..Enum.random(1..2), do: expr(Enum.random(family), ctx, opts)
    {:in, expr(Enum.random(family), ctx, opts), elements}
  end

  defp in_query(deeper, ctx) do
    family = family(Enum.random(@ordered))
    {:in_query, expr(Enum.random(family), deeper), inner([Enum.random(family)], ctx)}
  end

  defp quantified(deeper, ctx) do
    family = family(Enum.random(@ordered))

    {Enum.random([:any, :all]), Enum.random(@ops), expr(Enum.random(family), deeper),
     inner([Enum.random(family)], ctx)}
  end

  # A query that sees those around it.
  defp inner(types, ctx),
    do: Generator.whole(types, %{ctx | sources: [], outer: ctx.outer ++ ctx.sources, depth: 1})

  # One row.
  def scalar(type, ctx) do
    inner = %{ctx | sources: [], outer: ctx.outer ++ ctx.sources, depth: 1}
    {sources, within} = Generator.sources(inner)
    where = expr(:bool, within)

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

    case {type in @ordered, Generator.ids(within)} do
      {true, _ids} ->
        Generator.put_select(%{query | group: []}, [type], [
          {:agg, Enum.random([:min, :max]), type,
           expr(type, %{within | depth: 1, outer: []}, no_queries: true)}
        ])

      {false, nil} ->
        scalar(type, ctx)

      {false, ids} ->
        Generator.put_select(%{query | order: ids, limit: 1}, [type], [leaf(type, within)])
    end
  end

  defp calculated(:int, ctx, opts) do
    case :rand.uniform(6) do
      1 ->
        {:neg, :int, expr(:int, ctx, opts)}

      2 ->
        {:cast, expr(:bool, ctx, opts), :int}

      _n ->
        {:arith, Enum.random([:+, :-, :*, :/]), :int, expr(:int, ctx, opts), expr(:int, ctx, opts)}
    end
  end

  defp calculated(:float, ctx, opts) do
    case :rand.uniform(4) do
      1 ->
        {:cast, expr(:int, ctx, opts), :float}

      2 ->
        {:arith, :/, :float, expr(:float, ctx, opts), {:param, :float, 2.0}}

      _n ->
        {:arith, Enum.random([:+, :-, :*]), :float, expr(:float, ctx, opts),
         expr(Enum.random([:int, :float]), ctx, opts)}
    end
  end

  defp calculated(:dec, ctx, opts) do
    case :rand.uniform(6) do
      1 ->
        {:neg, :dec, expr(:dec, ctx, opts)}

      3 ->
        {:arith, Enum.random([:+, :*]), :dec, expr(:dec, ctx, opts),
         {:lit, :dec, Enum.random([2, 0.1])}}

      2 ->
        {:cast, expr(Enum.random([:int, :float]), ctx, opts), :dec}

      _n ->
        {:arith, Enum.random([:+, :-, :*, :/]), :dec, expr(:dec, ctx, opts),
         expr(Enum.random([:int, :dec]), ctx, opts)}
    end
  end

  defp calculated(:str, ctx, opts), do: {:cast, expr(:int, ctx, opts), :str}

  defp calculated(:date, ctx, opts) do
    if chance(2),
      do: {:cast, expr(Enum.random(@datetimes), ctx, opts), :date},
      else:
        {:add, :date, known(:date, ctx, opts), Enum.random(-40..40),
         Enum.random(["day", "month", "year", "week"])}
  end

  defp calculated(type, ctx, opts) when type in @datetimes do
    if chance(3) do
      {:cast, expr(Enum.random(@datetimes), ctx, opts), type}
    else
      {:add, type, known(type, ctx, opts), Enum.random(-40..40), Enum.random(units(type))}
    end
  end

  defp calculated(_type, _ctx, _opts), do: nil

  # Of what Ecto has no type for, it takes the sum for a :naive_datetime, and cuts it.
  defp known(type, ctx, opts) do
    case leaf(type, ctx) do
      {_col_or_parent, _as, column, _type} = leaf ->
        if Tables.column?(column), do: leaf, else: {:cast, leaf, type}

      leaf ->
        if chance(2), do: leaf, else: {:cast, expr(type, ctx, opts), type}
    end
  end

  # Columns without microseconds count whole seconds.
  defp units(type) when type in [:naive_usec, :utc_usec],
    do: ["microsecond", "millisecond" | units(:naive)]

  defp units(_type), do: ~w(second minute hour day week month year)
end
