defmodule EctoLibSql.Differential.Shrinker do
  @moduledoc false
  # Of a term that fails, a smaller one that fails: what can be left out is left out, one thing after the
  # other. Terms that mean nothing any more do not count, which the caller sees to.

  @most 400

  @doc "`fails?` answers whether a term fails as the first one did."
  def shrink(term, fails?), do: shrink(term, fails?, @most)

  defp shrink(term, fails?, left) do
    {smaller, left} = first(smaller(term), fails?, left)
    if smaller, do: shrink(smaller, fails?, left), else: term
  end

  defp first([], _fails?, left), do: {nil, left}
  defp first(_candidates, _fails?, 0), do: {nil, 0}

  defp first([candidate | rest], fails?, left),
    do: if(fails?.(candidate), do: {candidate, left - 1}, else: first(rest, fails?, left - 1))

  # Candidates, each with one thing less; the largest steps first.
  defp smaller(%{op: _op, left: left, right: right} = query) do
    [left, right] ++
      put(query, order: nil, limit: nil, offset: nil) ++
      within(query, [:left, :right])
  end

  defp smaller(%{write: _kind} = write) do
    put(write, where: true) ++
      dropped(write, :joins) ++
      dropped(write, :set) ++
      dropped(write, :select) ++ within(write, [:where, :joins, :set, :select])
  end

  defp smaller(%{select: select} = query) do
    put(query, ctes: []) ++
      put(query, where: true, having: true, window: nil, distinct: nil) ++
      put(query, limit: nil, offset: nil) ++
      if(query.limit || query.offset, do: [], else: put(query, order: [])) ++
      dropped(query, :joins) ++
      for(
        {field, place} <- Enum.with_index(select),
        length(select) > 1,
        do: without(query, field, place)
      ) ++
      within(query, [
        :where,
        :having,
        :joins,
        :select,
        :from,
        :group,
        :order,
        :distinct,
        :window,
        :ctes
      ])
  end

  defp smaller(map) when is_map(map) and not is_struct(map), do: within(map, Map.keys(map))

  defp smaller({op, left, right}) when op in [:and, :or],
    do: [left, right] ++ inside({op, left, right})

  defp smaller({:coalesce, _type, left, _right} = term), do: [left | inside(term)]
  defp smaller({:not, expr}), do: [expr | inside({:not, expr})]
  defp smaller({:neg, _type, expr} = term), do: [expr | inside(term)]
  defp smaller({:arith, _op, _type, left, _right} = term), do: [left | inside(term)]
  defp smaller({:add, _type, expr, _count, _unit} = term), do: [expr | inside(term)]
  defp smaller({:col, _as, _column, _type}), do: []
  defp smaller({:parent, _as, _column, _type}), do: []
  defp smaller({:param, _type, _value}), do: []
  defp smaller({:table, _name}), do: []
  defp smaller({:values, _rows, _types}), do: []
  defp smaller(tuple) when is_tuple(tuple), do: inside(tuple)

  defp smaller(list) when is_list(list) do
    for {element, place} <- Enum.with_index(list),
        smaller <- smaller(element),
        do: List.replace_at(list, place, smaller)
  end

  defp smaller(_other), do: []

  defp inside(tuple) do
    for smaller <- tuple |> Tuple.to_list() |> smaller(), do: List.to_tuple(smaller)
  end

  defp within(map, keys) do
    for key <- keys,
        Map.has_key?(map, key),
        smaller <- smaller(map[key]),
        do: %{map | key => smaller}
  end

  defp put(map, values) do
    for {key, value} <- values, Map.has_key?(map, key), map[key] != value, do: %{map | key => value}
  end

  defp dropped(map, key),
    do: for(element <- Enum.reverse(map[key] || []), do: %{map | key => map[key] -- [element]})

  defp without(query, field, place),
    do: %{query | select: query.select -- [field], types: List.delete_at(query.types, place)}
end
