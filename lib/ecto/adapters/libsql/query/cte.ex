defmodule Ecto.Adapters.LibSql.Query.Cte do
  @moduledoc false
  # WITH.

  alias Ecto.Adapters.LibSql.Query
  alias Ecto.Adapters.LibSql.Query.{Env, Expr}
  alias Ecto.Adapters.LibSql.Sql

  def clause(%{query: %{with_ctes: %{queries: [_ | _] = queries} = ctes}} = env) do
    queries = Sql.intersperse_map(queries, ", ", &cte(&1, env))
    [with_(ctes.recursive), queries, ?\s]
  end

  def clause(_env), do: []

  defp with_(true), do: "WITH RECURSIVE "
  defp with_(_recursive), do: "WITH "

  defp cte({name, opts, query}, env) do
    only_reads(opts[:operation], name, env)
    [Sql.quote_name(name), " AS ", materialized(opts[:materialized]) | body(query, env)]
  end

  defp only_reads(operation, _name, _env) when operation in [nil, :all], do: :ok

  defp only_reads(operation, name, env) do
    Env.error!(
      env,
      "SQLite's WITH holds queries that read, so #{inspect(name)} cannot be an #{operation}: run it " <>
        "first, in the same transaction, and bind what it returns"
    )
  end

  defp materialized(true), do: "MATERIALIZED "
  defp materialized(false), do: "NOT MATERIALIZED "
  defp materialized(nil), do: []

  defp body(%Ecto.Query{} = query, env), do: [?(, Query.nested(query, Env.hide(env)), ?)]

  defp body(%{expr: expr}, env) do
    sql = expr |> Expr.expr(Env.hide(env)) |> IO.iodata_to_binary()
    if sql =~ ~r/\A\s*\(/, do: sql, else: [?(, sql, ?)]
  end
end
