defmodule Ecto.Adapters.LibSql.Query.Window do
  @moduledoc false
  # WINDOW, OVER and FILTER.

  alias Ecto.Adapters.LibSql.Query.{Expr, Key, Order}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The WINDOW clause."
  def clause(%{query: %{windows: []}}), do: []

  def clause(%{query: %{windows: windows}} = env) do
    windows = Sql.intersperse_map(windows, ", ", &named(&1, env))
    [" WINDOW " | windows]
  end

  defp named({name, %{expr: parts}}, env),
    do: [Sql.quote_name(name), " AS " | definition(parts, env)]

  @doc "What follows a function: OVER a named window or one of its own."
  def over(name, _env) when is_atom(name), do: [" OVER " | Sql.quote_name(name)]
  def over(parts, env), do: [" OVER " | definition(parts, env)]

  defp definition(parts, env), do: [?(, Sql.intersperse_map(parts, " ", &part(&1, env)), ?)]

  defp part({:partition_by, exprs}, env), do: ["PARTITION BY " | Key.groups(exprs, env)]
  defp part({:order_by, terms}, env), do: ["ORDER BY " | Order.terms(terms, env)]
  defp part({:frame, {:fragment, _, _} = frame}, env), do: Expr.expr(frame, env)
end
