defmodule Ecto.Adapters.LibSql.Query.Fragment do
  @moduledoc false
  # Fragments: SQL as its author wrote it.

  alias Ecto.Adapters.LibSql.Query.{Env, Expr}

  def expr({:fragment, _, [keywords]}, env) when is_list(keywords) or tuple_size(keywords) == 3 do
    Env.error!(env, "SQLite knows no keyword fragments: write the fragment as text")
  end

  def expr({:fragment, _, parts}, env) do
    sql = Enum.map(parts, &part(&1, env))
    if query?(parts), do: [?(, sql, ?)], else: sql
  end

  defp part({:raw, sql}, _env), do: sql

  # A source is its name in the query: fragment("?.rank", words).
  defp part({:expr, {:&, _, [index]} = source}, env) do
    case Env.name(env, index) do
      name when is_atom(name) -> Expr.expr(source, env)
      name -> name
    end
  end

  defp part({:expr, expr}, env), do: Expr.expr(expr, env)

  # A query inside an expression or among the sources stands in parentheses.
  defp query?([{:raw, sql} | _]), do: sql =~ ~r/\A\s*(SELECT|VALUES|WITH)\b/i
  defp query?(_parts), do: false
end
