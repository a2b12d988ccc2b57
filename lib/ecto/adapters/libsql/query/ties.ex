defmodule Ecto.Adapters.LibSql.Query.Ties do
  @moduledoc false
  # LIMIT with ties, which SQLite lacks: rows are kept up to the rank that the limit ends in.

  alias Ecto.Adapters.LibSql.Query.{Distinct, Env, Expr, Numbered, Order}

  def text(%{query: query} = env) do
    case {Order.all(query), possible?(query)} do
      {[], _} -> Env.error!(env, "a limit with ties needs an order_by")
      {_, false} -> Env.error!(env, "SQLite can limit with ties neither combinations nor distinct")
      {terms, true} -> ranked(terms, env)
    end
  end

  defp possible?(query) do
    query.combinations == [] and Distinct.terms(query) == [] and
      not match?(%{expr: true}, query.distinct)
  end

  defp ranked(terms, %{query: query} = env) do
    rank = ["rank() OVER (ORDER BY ", Order.terms(terms, env), ")"]
    limit = Expr.operand(query.limit.expr, env)
    Numbered.text(env, rank, [" <= ", limit, skipped(env)], terms, skip(env))
  end

  defp skipped(%{query: %{offset: nil}}), do: []
  defp skipped(%{query: query} = env), do: [" + " | Expr.operand(query.offset.expr, env)]

  defp skip(env), do: Order.limit(%{env | query: %{env.query | limit: nil}})
end
