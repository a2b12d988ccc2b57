defmodule Ecto.Adapters.LibSql.Query.Source do
  @moduledoc false
  # FROM and JOIN.

  alias Ecto.Adapters.LibSql.Query
  alias Ecto.Adapters.LibSql.Query.{Env, Expr}
  alias Ecto.Adapters.LibSql.Sql

  @doc "FROM with the query's first source."
  def from(env), do: [" FROM " | first(env, Env.name(env, 0))]

  @doc "The query's first source under a name."
  def first(%{query: %{from: from}} = env, name) do
    [text(from.source, 0, env), " AS ", name | hints(from, env)]
  end

  @doc "The joins, each with its ON."
  def joins(%{query: query} = env), do: Enum.map(query.joins, &join(&1, env))

  defp join(join, env),
    do: [kind(join, env), source(join, env) | on(join, env)]

  @doc "A join's source, without its ON."
  def source(%{ix: index} = join, env) do
    [text(join.source, index, env), " AS ", Env.name(env, index) | hints(join, env)]
  end

  @doc "A join's condition, or nil where it has none to check."
  def condition(%{on: nil}), do: nil
  def condition(%{on: %{expr: true}}), do: nil
  def condition(%{on: %{expr: expr}}), do: expr

  defp on(%{qual: qual} = join, env) when qual in [:cross, :cross_lateral] do
    case condition(join) do
      nil -> []
      expr -> [" ON " | Expr.expr(expr, env)]
    end
  end

  defp on(join, env), do: [" ON " | Expr.expr(condition(join) || true, env)]

  defp kind(%{qual: :inner}, _env), do: " INNER JOIN "
  defp kind(%{qual: :left}, _env), do: " LEFT OUTER JOIN "
  defp kind(%{qual: :right}, _env), do: " RIGHT OUTER JOIN "
  defp kind(%{qual: :full}, _env), do: " FULL OUTER JOIN "
  defp kind(%{qual: :cross}, _env), do: " CROSS JOIN "

  # A table-valued function sees the sources before it.
  defp kind(%{qual: qual, source: source} = join, env)
       when qual in [:inner_lateral, :left_lateral, :cross_lateral] do
    if fragment?(source), do: kind(%{join | qual: not_lateral(qual)}, env), else: lateral(qual, env)
  end

  @doc "Whether a source is a fragment, which may see the sources before it."
  def fragment?({:fragment, _, _}), do: true
  def fragment?({{:fragment, _, _}, _schema}), do: true
  def fragment?(_source), do: false

  defp not_lateral(:inner_lateral), do: :inner
  defp not_lateral(:left_lateral), do: :left
  defp not_lateral(:cross_lateral), do: :cross

  defp lateral(qual, env) do
    Env.error!(
      env,
      "SQLite has no LATERAL, so there is no #{qual} join with a subquery: put the subquery into " <>
        "select or where, or join a subquery that numbers its rows with row_number() over a partition"
    )
  end

  # A table's prefix is known only where the planner has put the sources.
  defp text(source, index, env) do
    case elem(env.query.sources, index) do
      {table, _schema, prefix} when is_binary(table) -> Sql.quote_table(prefix, table)
      _other -> derived(source, env)
    end
  end

  defp derived({{:fragment, _, _} = fragment, _schema}, env), do: derived(fragment, env)

  # SQLite names columns in WITH alone.
  defp derived({:fragment, meta, _} = fragment, env) do
    sql = Expr.expr(fragment, env)

    case meta[:column_names] do
      nil ->
        sql

      names ->
        ["(WITH c(", Sql.quote_names(names), ") AS (SELECT * FROM ", sql, ") SELECT * FROM c)"]
    end
  end

  defp derived(%Ecto.SubQuery{query: query}, env),
    do: [?(, Query.nested(query, Env.hide(env)), ?)]

  # VALUES may be of any length, a compound SELECT may not; its columns are column1, column2 ...
  defp derived({:values, _, [types, index, count]}, _env) do
    width = length(types)
    rows = Enum.map(0..(count - 1), &(index + &1 * width))
    columns = Enum.with_index(types, 1)

    [
      ["(SELECT ", Sql.intersperse_map(columns, ", ", &renamed/1), " FROM (VALUES "],
      [Sql.intersperse_map(rows, ", ", &row(types, &1)), "))"]
    ]
  end

  defp renamed({{field, _type}, position}),
    do: ["column", Integer.to_string(position), " AS " | Sql.quote_name(field)]

  defp row(types, index) do
    cells = types |> Keyword.values() |> Enum.with_index(index)
    [?(, Sql.intersperse_map(cells, ", ", &cell/1), ?)]
  end

  defp cell({type, index}) do
    parameter = [?? | Integer.to_string(index + 1)]

    case affinity(type) do
      nil -> parameter
      name -> ["CAST(", parameter, " AS ", name, ?)]
    end
  end

  # A value of a list has the affinity of a column, except where a cast could change it.
  defp affinity(type) when type in [:id, :integer, :boolean], do: "INTEGER"
  defp affinity(:float), do: "REAL"
  defp affinity(type) when type in [:string, :decimal], do: "TEXT"
  defp affinity(_type), do: nil

  defp hints(%{hints: hints, source: source}, env), do: Enum.map(hints, &hint(&1, source, env))

  @hint ~r/\A\s*(INDEXED\s+BY\s+.+|NOT\s+INDEXED)\s*\z/is

  defp hint(hint, {table, _schema}, env) when is_binary(hint) and is_binary(table) do
    if hint =~ @hint, do: [?\s | hint], else: unknown_hint(hint, env)
  end

  defp hint(hint, _source, env), do: unknown_hint(hint, env)

  defp unknown_hint(hint, env) do
    Env.error!(
      env,
      "SQLite knows the hints \"INDEXED BY name\" and \"NOT INDEXED\", for tables: #{inspect(hint)}"
    )
  end
end
