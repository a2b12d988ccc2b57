defmodule Ecto.Adapters.LibSql.Query.Order do
  @moduledoc false
  # ORDER BY, LIMIT and OFFSET.

  alias Ecto.Adapters.LibSql.Query.{Env, Expr, Key, Number}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The terms of a query's order_bys."
  def all(query), do: Enum.flat_map(query.order_bys, & &1.expr)

  @doc "Whether a term has a column of a query around, which ORDER BY does not see."
  def sees_out?(query), do: query |> all() |> parent?()

  defp parent?({:parent_as, _, [_as]}), do: true
  defp parent?(struct) when is_struct(struct, Ecto.Query.Tagged), do: parent?(struct.value)
  defp parent?(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> parent?()
  defp parent?([head | tail]), do: parent?(head) or parent?(tail)
  defp parent?(_leaf), do: false

  @doc "ORDER BY, for a query that is not in need of a wrap."
  def clause(env) do
    case env |> by_number() |> all() do
      [] -> []
      terms -> [" ORDER BY " | Sql.intersperse_map(terms, ", ", &outer(&1, Env.blind(env)))]
    end
  end

  @doc """
  The query, where a combination is ordered by the numbers of its columns: SQLite finds an expression among
  them by its text, which is not the same where columns are brought into one form.
  """
  def by_number(%{query: %{combinations: []} = query}), do: query

  def by_number(%{query: query} = env) do
    texts = Enum.map(query.select.fields, &(&1 |> field() |> text(env)))

    order_bys =
      for order_by <- query.order_bys,
          do: %{order_by | expr: Enum.map(order_by.expr, &number(&1, texts, env))}

    %{query | order_bys: order_bys}
  end

  defp number({_direction, {op, _, _}} = term, _texts, _env) when op in [:selected_as, :column],
    do: term

  defp number({direction, expr} = term, texts, env) do
    case Enum.find_index(texts, &(&1 == text(expr, env))) do
      nil -> term
      index -> {direction, {:column, [], [index]}}
    end
  end

  defp field({name, expr}) when is_atom(name), do: expr
  defp field(expr), do: expr

  defp text(expr, env), do: expr |> Expr.expr(env) |> IO.iodata_to_binary()

  # By itself, a name in ORDER BY is first of all the name of a result.
  defp outer({direction, {:selected_as, _, [name]} = selected}, env),
    do: [Sql.quote_name(name), Number.collation(selected, env) | direction(direction)]

  defp outer({direction, {:column, _, [index]}}, env) do
    field = env.query.select.fields |> Enum.at(index) |> field()
    # Refuses what has no order.
    _sql = Key.order(field, env)
    [Integer.to_string(index + 1), Number.collation(field, env) | direction(direction)]
  end

  defp outer({_direction, {:fragment, _, _}} = term, env), do: term(term, env)

  defp outer(_term, %{query: %{combinations: [_ | _]}} = env) do
    Env.error!(
      env,
      "a combination can be ordered by what it selects only: select this, too, or make the " <>
        "combination a subquery and order that"
    )
  end

  defp outer(term, env), do: term(term, env)

  @doc "Terms with commas, where names of results cannot be used."
  def terms(terms, env), do: Sql.intersperse_map(terms, ", ", &term(&1, env))

  defp term({direction, expr}, env), do: [Key.order(expr, env) | direction(direction)]

  @doc "What follows a term."
  def direction(:asc), do: []
  def direction(:desc), do: " DESC"
  def direction(:asc_nulls_first), do: " ASC NULLS FIRST"
  def direction(:asc_nulls_last), do: " ASC NULLS LAST"
  def direction(:desc_nulls_first), do: " DESC NULLS FIRST"
  def direction(:desc_nulls_last), do: " DESC NULLS LAST"

  @doc "LIMIT and OFFSET. SQLite has no OFFSET without LIMIT; a negative one is none."
  def limit(%{query: %{limit: nil, offset: nil}}), do: []
  def limit(%{query: %{limit: nil}} = env), do: [" LIMIT -1" | offset(env)]
  def limit(%{query: query} = env), do: [" LIMIT ", Expr.expr(query.limit.expr, env) | offset(env)]

  defp offset(%{query: %{offset: nil}}), do: []
  defp offset(%{query: query} = env), do: [" OFFSET " | Expr.expr(query.offset.expr, env)]
end
