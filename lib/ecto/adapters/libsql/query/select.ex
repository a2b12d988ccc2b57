defmodule Ecto.Adapters.LibSql.Query.Select do
  @moduledoc false
  # SELECT, without WITH.

  alias Ecto.Adapters.LibSql.Query.{Combination, Distinct, Env, Expr, Key, Number}
  alias Ecto.Adapters.LibSql.Query.{Numbered, Order, Source, Ties, Window}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The whole SELECT."
  def text(%{query: query} = env) do
    no_lock(env)

    cond do
      match?(%{with_ties: true}, query.limit) -> Ties.text(env)
      Distinct.terms(query) != [] -> Distinct.text(env)
      ordered_outside?(query) -> Numbered.ordered(env, Order.all(query), Order.limit(env))
      true -> [Combination.text(env), Order.clause(env) | Order.limit(env)]
    end
  end

  defp ordered_outside?(query) do
    query.combinations == [] and not match?(%{expr: true}, query.distinct) and
      Order.sees_out?(query)
  end

  @doc "From SELECT to WINDOW."
  def core(env), do: ["SELECT ", distinct(env), fields(env) | body(env)]

  @doc "From FROM to WINDOW."
  def body(%{query: query} = env) do
    [
      Source.from(env),
      Source.joins(env),
      where(env),
      group_by(env),
      conditions(" HAVING ", query.havings, env) | Window.clause(env)
    ]
  end

  @doc "WHERE."
  def where(%{query: query} = env), do: conditions(" WHERE ", query.wheres, env)

  @doc "The selected fields."
  def fields(%{query: %{select: %{fields: []}}}), do: "1"

  def fields(%{query: %{select: %{fields: fields}}} = env),
    do: Sql.intersperse_map(fields, ", ", &field(&1, env))

  defp field({name, expr}, env) when is_atom(name),
    do: [field(expr, env), " AS " | Sql.quote_name(name)]

  # Where rows are told apart, decimals are by their value.
  defp field(expr, env) do
    cond do
      combined?(env) -> Number.part(expr, env)
      match?(%{expr: true}, env.query.distinct) -> Key.field(expr, env)
      true -> Expr.expr(expr, env)
    end
  end

  defp combined?(%{query: %{combinations: [_ | _]}}), do: true
  defp combined?(%{beside: beside}), do: beside != nil

  defp distinct(%{query: %{distinct: %{expr: true}}}), do: "DISTINCT "
  defp distinct(_env), do: []

  defp group_by(%{query: query} = env) do
    case Enum.flat_map(query.group_bys, & &1.expr) do
      [] -> []
      exprs -> [" GROUP BY " | Key.groups(exprs, Env.blind(env))]
    end
  end

  @doc "Conditions, each joined to all that come before it."
  def conditions(_keyword, [], _env), do: []

  def conditions(keyword, [%{expr: expr} | rest], env) do
    {_op, sql} = Enum.reduce(rest, {nil, paren(expr, env)}, &condition(&1, &2, env))
    [keyword | sql]
  end

  defp condition(%{expr: expr, op: op}, {previous, sql}, env) when previous in [nil, op],
    do: {op, [sql, operator(op) | paren(expr, env)]}

  defp condition(%{expr: expr, op: op}, {_other, sql}, env),
    do: {op, [?(, sql, ?), operator(op) | paren(expr, env)]}

  defp operator(:and), do: " AND "
  defp operator(:or), do: " OR "

  defp paren(expr, env), do: [?(, Expr.expr(expr, env), ?)]

  defp no_lock(%{query: %{lock: nil}}), do: :ok

  defp no_lock(env) do
    Env.error!(
      env,
      "SQLite has no row locks: a transaction with `mode: :immediate` keeps all other writers out"
    )
  end
end
