defmodule Ecto.Adapters.LibSql.Query.Distinct do
  @moduledoc false
  # DISTINCT on expressions, which SQLite lacks: of the rows that agree in them, the first is kept.

  alias Ecto.Adapters.LibSql.Query.{Env, Key, Numbered, Order, Type}

  @doc "The expressions with their directions; none for DISTINCT of whole rows."
  def terms(%{distinct: %{expr: terms}}) when is_list(terms), do: terms
  def terms(_query), do: []

  def text(%{query: %{combinations: [_ | _]}} = env) do
    Env.error!(
      env,
      "SQLite cannot combine a query that is distinct on expressions: make it a subquery first"
    )
  end

  def text(%{query: query} = env) do
    terms = Enum.map(terms(query), &told_apart(&1, env))
    order = terms ++ Order.all(query)
    exprs = terms |> Enum.map(&elem(&1, 1)) |> Key.groups(env)
    over = ["PARTITION BY ", exprs, " ORDER BY ", Order.terms(order, env)]
    Numbered.text(env, ["row_number() OVER (", over, ")"], " = 1", order, Order.limit(env))
  end

  # What has no order of its own is ordered by what tells it apart.
  defp told_apart({direction, expr}, env) do
    type = Type.of(expr, env)

    if Key.ordered?(type),
      do: {direction, expr},
      else: {direction, {:sql, nil, Key.group(expr, env)}}
  end
end
