defmodule Ecto.Adapters.LibSql.Query.Key do
  @moduledoc false
  # What rows are ordered by, and what they are told apart by, in ORDER BY, GROUP BY, PARTITION BY, DISTINCT
  # and the aggregates that compare.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_json: 1]
  alias Ecto.Adapters.LibSql.Query.{Env, Expr, Json, Number, Type}
  alias Ecto.Adapters.LibSql.Sql

  @doc "What rows are ordered by."
  def order(expr, env) do
    case Type.of(expr, env) do
      :decimal -> Number.collated(expr, env)
      type -> if ordered?(type), do: Expr.expr(expr, env), else: unordered!(type, env)
    end
  end

  @doc "What rows are told apart by."
  def group(expr, env) do
    case Type.of(expr, env) do
      :decimal -> Number.collated(expr, env)
      type when is_json(type) -> expr |> Expr.expr(env) |> Json.canonical()
      _type -> Expr.expr(expr, env)
    end
  end

  @doc "Expressions with commas, as `group/2` has them."
  def groups(exprs, env), do: Sql.intersperse_map(exprs, ", ", &group(&1, env))

  @doc "A field of rows that are told apart as they are selected."
  def field(expr, env),
    do: if(Number.decimal?(expr, env), do: Number.collated(expr, env), else: Expr.expr(expr, env))

  @doc "Whether what is stored of a type sorts as its values do."
  def ordered?(type), do: type not in [:duration, :bitstring] and not is_json(type)

  @doc "Refuses an order of values that SQLite would sort by their spelling."
  def unordered!(type, env) do
    Env.error!(
      env,
      "SQLite has no order of #{inspect(type)}: order or compare what is in it, by a fragment"
    )
  end
end
