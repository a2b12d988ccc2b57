defmodule Ecto.Adapters.LibSql.Query.Combination do
  @moduledoc false
  # UNION, EXCEPT and INTERSECT. SQLite takes them from left to right and knows no parentheses around
  # their parts; SQL has INTERSECT bind first. A part that needs parentheses is made a source.

  alias Ecto.Adapters.LibSql.Query
  alias Ecto.Adapters.LibSql.Query.{Compare, Distinct, Env, Select, Type}
  alias Ecto.Adapters.LibSql.Sql

  @intersects [:intersect, :intersect_all]

  @doc "The query and what it is combined with, without ORDER BY and LIMIT."
  def text(%{query: %{combinations: []}} = env), do: Select.core(env)

  def text(%{query: query} = env) do
    for {_op, part} <- query.combinations, do: alike!(part, env)
    names = names(query.select.fields)
    {intersects, rest} = Enum.split_while(query.combinations, &intersect?/1)
    first = env |> Select.core() |> wrapped(having_alone?(query)) |> chain(intersects, names, env)
    rest |> groups() |> Enum.reduce(first, &add(&1, &2, names, env))
  end

  # Values of two types that mean the same are not the same to SQLite, which tells rows apart by what is
  # stored.
  defp alike!(part, env) do
    part_env = Env.beside(part, env)

    for {left, right} <- Enum.zip(env.query.select.fields, part.select.fields) do
      left = {:sql, Type.field(left, env), []}
      right = {:sql, Type.field(right, part_env), []}
      types = Enum.reject([elem(left, 1), elem(right, 1)], &is_nil/1)

      if match?([_, _], Enum.uniq(types)) and Compare.kind(left, right, env) not in [:plain, :json],
        do: Env.error!(env, mixed(types))
    end
  end

  defp mixed([left, right]) do
    "SQLite would not tell rows apart by their values, for one part of the combination selects " <>
      "#{inspect(left)} where another selects #{inspect(right)}: bring them together with type/2"
  end

  defp intersect?({op, _query}), do: op in @intersects

  # [{op, query, the INTERSECTs behind it}]
  defp groups([]), do: []

  defp groups([{op, query} | rest]) do
    {intersects, rest} = Enum.split_while(rest, &intersect?/1)
    [{op, query, intersects} | groups(rest)]
  end

  defp add({op, query, []}, left, names, env), do: join(op, left, part(query, env), names)

  defp add({op, query, intersects}, left, names, env) do
    right = query |> part(env) |> chain(intersects, names, env)
    join(op, left, source(right), names)
  end

  defp chain(first, intersects, names, env) do
    Enum.reduce(intersects, first, fn {op, query}, left ->
      join(op, left, part(query, env), names)
    end)
  end

  defp join(:union, left, right, _names), do: [left, " UNION " | right]
  defp join(:union_all, left, right, _names), do: [left, " UNION ALL " | right]
  defp join(:except, left, right, _names), do: [left, " EXCEPT " | right]
  defp join(:intersect, left, right, _names), do: [left, " INTERSECT " | right]
  defp join(:except_all, left, right, names), do: counted(" EXCEPT ", left, right, names)
  defp join(:intersect_all, left, right, names), do: counted(" INTERSECT ", left, right, names)

  # SQLite knows ALL for UNION only: rows that are equal are numbered, which makes them different.
  defp counted(op, left, right, names) do
    [
      ["SELECT ", Sql.intersperse_map(names, ", ", &renamed/1), " FROM (SELECT * FROM ("],
      [numbered(left, names), ")", op, "SELECT * FROM (", numbered(right, names), "))"]
    ]
  end

  defp numbered(query, names) do
    columns = Sql.intersperse_map(names, ", ", fn {column, _name} -> column end)

    ["WITH r(", columns, ") AS (", query, ") SELECT *, row_number() OVER (PARTITION BY "] ++
      [columns, ") AS nr FROM r"]
  end

  defp renamed({column, nil}), do: column
  defp renamed({column, name}), do: [column, " AS " | Sql.quote_name(name)]

  defp names(fields) do
    Enum.with_index(fields, fn
      {name, _expr}, index -> {["c" | Integer.to_string(index)], name}
      _expr, index -> {["c" | Integer.to_string(index)], nil}
    end)
  end

  defp part(query, env) do
    query |> Query.combined(env) |> wrapped(not simple?(query))
  end

  defp simple?(query) do
    query.order_bys == [] and query.limit == nil and query.offset == nil and
      query.combinations == [] and Distinct.terms(query) == [] and not having_alone?(query) and
      not match?(%{queries: [_ | _]}, query.with_ctes)
  end

  # With an ORDER BY that collates, the engine takes HAVING of such a part for one without aggregates.
  defp having_alone?(query), do: query.havings != [] and query.group_bys == []

  defp wrapped(sql, true), do: source(sql)
  defp wrapped(sql, false), do: sql

  defp source(sql), do: ["SELECT * FROM (", sql, ")"]
end
