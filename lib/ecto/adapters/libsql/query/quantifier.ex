defmodule Ecto.Adapters.LibSql.Query.Quantifier do
  @moduledoc false
  # any() and all(), which SQLite lacks.

  alias Ecto.Adapters.LibSql.Query
  alias Ecto.Adapters.LibSql.Query.{Compare, In, Type}

  def expr(:==, left, :any, subquery, env), do: In.expr(left, subquery, env)
  def expr(:!=, left, :all, subquery, env), do: ["NOT (", In.expr(left, subquery, env), ?)]

  # Whether one, or each, of the comparisons is true, and NULL where those that are NULL decide.
  def expr(op, left, quantifier, subquery, env) do
    {aggregate, found} = decided(quantifier)
    value = {:sql, Type.of(subquery, env), ~s("value")}

    [
      ["(SELECT CASE WHEN ", aggregate, "(b) = ", found, " THEN ", found],
      [" WHEN count(*) > count(b) THEN NULL ELSE ", other(found), " END"],
      [" FROM (SELECT ", Compare.expr(op, left, value, env), ~s( AS b FROM ()],
      [Query.nested(In.named(subquery.query), env), ")))"]
    ]
  end

  defp decided(:any), do: {"max", "1"}
  defp decided(:all), do: {"min", "0"}

  defp other("1"), do: "0"
  defp other("0"), do: "1"
end
