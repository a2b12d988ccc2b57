defmodule Ecto.Adapters.LibSql.Query.Distinct do
  @moduledoc false
  # DISTINCT on expressions, which SQLite lacks: of the rows that agree in them, the first is kept.

  alias Ecto.Adapters.LibSql.Query.{Expr, Order, Select}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The expressions with their directions; none for DISTINCT of whole rows."
  def terms(%{distinct: %{expr: terms}}) when is_list(terms), do: terms
  def terms(_query), do: []

  def combined do
    "SQLite cannot combine a query that is distinct on expressions: make it a subquery first"
  end

  @doc """
  The rows are numbered within each group in an inner query, which also gives what the outer one
  orders by.
  """
  def text(%{query: query} = env) do
    terms = terms(query)
    order = terms ++ Order.all(query)

    [
      ["SELECT ", outer(query.select.fields), " FROM (SELECT ", inner(query.select.fields, env)],
      [sort_columns(order, env), ", row_number() OVER (PARTITION BY ", exprs(terms, env)],
      [" ORDER BY ", Order.terms(order, env), ") AS \"nr\"", Select.body(env), ")"],
      [" WHERE \"nr\" = 1 ORDER BY ", sorted(order) | Order.limit(env)]
    ]
  end

  defp exprs(terms, env), do: terms |> Enum.map(&elem(&1, 1)) |> Expr.list(env)

  defp outer([]), do: "1"

  defp outer(fields) do
    fields |> Enum.with_index() |> Sql.intersperse_map(", ", &outer_field/1)
  end

  defp outer_field({{name, _expr}, index}), do: [column("c", index), " AS " | Sql.quote_name(name)]
  defp outer_field({_expr, index}), do: column("c", index)

  defp inner([], _env), do: "1"

  defp inner(fields, env) do
    fields |> Enum.with_index() |> Sql.intersperse_map(", ", &inner_field(&1, env))
  end

  defp inner_field({{_name, expr}, index}, env),
    do: inner_column(expr, index, env)

  defp inner_field({expr, index}, env), do: inner_column(expr, index, env)

  defp inner_column(expr, index, env), do: [Expr.expr(expr, env), " AS " | column("c", index)]

  defp sort_columns(order, env) do
    order
    |> Enum.with_index()
    |> Enum.map(fn {{_direction, expr}, index} ->
      [", ", Expr.expr(expr, env), " AS " | column("o", index)]
    end)
  end

  defp sorted(order) do
    order
    |> Enum.with_index()
    |> Sql.intersperse_map(", ", fn {{direction, _expr}, index} ->
      [column("o", index) | Order.direction(direction)]
    end)
  end

  defp column(letter, index), do: [?", letter, Integer.to_string(index), ?"]
end
