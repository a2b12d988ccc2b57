defmodule Ecto.Adapters.LibSql.Query.Distinct do
  @moduledoc false
  # DISTINCT on expressions, which SQLite lacks: of the rows that agree in them, the first is kept.

  alias Ecto.Adapters.LibSql.Query.{Env, Number, Numbered, Order}

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
    terms = terms(query)
    order = terms ++ Order.all(query)
    exprs = terms |> Enum.map(&elem(&1, 1)) |> Number.keys(env)
    over = ["PARTITION BY ", exprs, " ORDER BY ", Order.terms(order, env)]
    Numbered.text(env, ["row_number() OVER (", over, ")"], " = 1", order, Order.limit(env))
  end
end
