defmodule Ecto.Adapters.LibSql.Query.Quantifier do
  @moduledoc false
  # any() and all(), which SQLite lacks.

  alias Ecto.Adapters.LibSql.Query
  alias Ecto.Adapters.LibSql.Query.Expr

  @symbols [==: " = ", !=: " != ", <=: " <= ", >=: " >= ", <: " < ", >: " > "]

  def expr(:==, left, :any, subquery, env),
    do: [Expr.operand(left, env), " IN " | Expr.expr(subquery, env)]

  def expr(:!=, left, :all, subquery, env),
    do: [Expr.operand(left, env), " NOT IN " | Expr.expr(subquery, env)]

  # Whether one, or each, of the comparisons is true, and NULL where those that are NULL decide.
  def expr(op, left, quantifier, subquery, env) do
    {aggregate, found} = decided(quantifier)

    [
      ["(SELECT CASE WHEN ", aggregate, "(b) = ", found, " THEN ", found],
      [" WHEN count(*) > count(b) THEN NULL ELSE ", other(found), " END"],
      [" FROM (SELECT ", Expr.operand(left, env), @symbols[op], ~s("value" AS b FROM ()],
      [Query.nested(named(subquery.query), env), ")))"]
    ]
  end

  defp decided(:any), do: {"max", "1"}
  defp decided(:all), do: {"min", "0"}

  defp other("1"), do: "0"
  defp other("0"), do: "1"

  defp named(%{select: %{fields: [field]} = select} = query),
    do: %{query | select: %{select | fields: [{:value, plain(field)}]}}

  defp plain({_name, expr}), do: expr
  defp plain(expr), do: expr
end
