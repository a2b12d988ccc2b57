defmodule Ecto.Adapters.LibSql.Query.Numbered do
  @moduledoc false
  # A query whose rows are numbered by a window function in an inner query and picked by that number in
  # an outer one, or ordered in an outer one, which is how SQLite can do what it has no clause for.

  alias Ecto.Adapters.LibSql.Query.{Expr, Key, Order, Select}
  alias Ecto.Adapters.LibSql.Sql

  @doc """
  The rows that `condition` (on "nr") picks, in the order of `terms`, up to `limit`. The inner query
  also gives what the outer one orders by.
  """
  def text(env, number, condition, terms, limit) do
    fields = env.query.select.fields

    [
      ["SELECT ", outer(fields), " FROM (SELECT ", inner(fields, env), sort_columns(terms, env)],
      [", ", number, " AS \"nr\"", Select.body(env), ") WHERE \"nr\"", condition],
      [" ORDER BY ", sorted(terms) | limit]
    ]
  end

  @doc "All rows in the order of `terms`, which the inner query gives, for it sees the queries around."
  def ordered(env, terms, limit) do
    fields = env.query.select.fields

    [
      ["SELECT ", outer(fields), " FROM (SELECT ", inner(fields, env), sort_columns(terms, env)],
      [Select.body(env), ") ORDER BY ", sorted(terms) | limit]
    ]
  end

  defp outer([]), do: "1"
  defp outer(fields), do: numbered(fields, &outer_field/1)

  defp outer_field({{name, _expr}, index}), do: [column("c", index), " AS " | Sql.quote_name(name)]
  defp outer_field({_expr, index}), do: column("c", index)

  defp inner([], _env), do: "1"
  defp inner(fields, env), do: numbered(fields, &inner_field(&1, env))

  # A field with a name of its own is {name, expression}.
  defp inner_field({{name, expr}, index}, env) when is_atom(name),
    do: named(expr, index, env)

  defp inner_field({expr, index}, env), do: named(expr, index, env)

  defp sort_columns(terms, env),
    do: [", " | numbered(terms, &sort_column(&1, env))]

  defp sort_column({{_direction, expr}, index}, env),
    do: [Key.order(expr, env), " AS " | column("o", index)]

  defp sorted(terms) do
    numbered(terms, fn {{direction, _expr}, index} ->
      [column("o", index) | Order.direction(direction)]
    end)
  end

  defp numbered(list, fun), do: list |> Enum.with_index() |> Sql.intersperse_map(", ", fun)
  defp named(expr, index, env), do: [Expr.expr(expr, env), " AS " | column("c", index)]
  defp column(letter, index), do: [?", letter, Integer.to_string(index), ?"]
end
