defmodule Ecto.Adapters.LibSql.Query.Write do
  @moduledoc false
  # UPDATE and DELETE of what a query finds.

  alias Ecto.Adapters.LibSql.Query.{Cast, Cte, Distinct, Env, Expr, Json}
  alias Ecto.Adapters.LibSql.Query.{Order, Select, Source, Type}
  alias Ecto.Adapters.LibSql.{RowKeys, Sql}

  ## UPDATE

  @doc "UPDATE."
  def update(%{query: query} = env) do
    cond do
      query.joins == [] and plain?(query) -> update_table(env)
      query.joins == [] -> update_found(env)
      not plain?(query) -> Env.error!(env, "SQLite cannot limit or order an UPDATE with joins")
      Enum.all?(query.joins, &inner?/1) -> update_from(env)
      true -> update_copy(env)
    end
  end

  defp update_table(env),
    do: [Cte.clause(env), updated(env), Select.where(env) | returning(env)]

  defp update_found(env) do
    [comment(env), Cte.clause(env), updated(env), " WHERE ", found(env) | returning(env)]
  end

  # The sources of UPDATE FROM stand beside the table; only WHERE sees all of them.
  defp update_from(%{query: query} = env) do
    sources = Sql.intersperse_map(query.joins, ", ", &Source.source(&1, env))
    where = Select.conditions(" WHERE ", ons(query.joins) ++ wheres(query), env)
    [Cte.clause(env), updated(env), " FROM ", sources, where | returning(env)]
  end

  defp inner?(%{source: source, qual: qual}),
    do: qual in [:inner, :cross] and not Source.fragment?(source)

  defp ons(joins), do: for(join <- joins, expr = Source.condition(join), do: and_(expr))

  # Joins that begin with the table itself: it is read once more, and rows are found by their number.
  defp update_copy(%{query: query} = env) do
    where = Select.conditions(" AND ", wheres(query), env)
    copy = RowKeys.number(Env.name(env, 0))

    [
      [comment(env), Cte.clause(env), "UPDATE ", table(env), " AS target SET ", sets(env)],
      [Source.from(env), Source.joins(env), " WHERE (", RowKeys.number("target"), ") = ("],
      [copy, ")", where | returning(env)]
    ]
  end

  # One condition: an or_where among them is not to undo what stands before it.
  defp wheres(%{wheres: []}), do: []

  defp wheres(%{wheres: [first | rest]}) do
    [and_(Enum.reduce(rest, first.expr, &{&1.op, [], [&2, &1.expr]}))]
  end

  defp and_(expr), do: %{expr: expr, op: :and}

  defp updated(env), do: ["UPDATE ", Source.first(env, Env.name(env, 0)), " SET " | sets(env)]

  @doc "The columns and their new values, as after SET."
  def sets(%{query: %{updates: updates}} = env) do
    fields =
      for %{expr: expr} <- updates, {op, kw} <- expr, {key, value} <- kw, do: {op, key, value}

    Sql.intersperse_map(fields, ", ", &set(&1, env))
  end

  defp set({op, column, value}, env) do
    old = {{:., [], [{:&, [], [0]}, column]}, [], []}
    [Sql.quote_name(column), " = " | new(op, old, value, env)]
  end

  defp new(:set, _old, {{:form, :json}, value}, env), do: Expr.interpolate!(value, env)

  defp new(:set, old, value, env) do
    type = Type.of(old, env)
    Cast.value(value, type, type, env)
  end

  defp new(:inc, old, value, env), do: Expr.expr({:+, [], [old, value]}, env)

  defp new(:push, old, value, env),
    do: Json.push(Expr.expr(old, env), Expr.expr(value, env), Type.of(old, env))

  defp new(:pull, old, value, env),
    do: Json.pull(Expr.expr(old, env), Expr.expr(value, env), Type.of(old, env))

  defp new(op, _old, _value, env), do: Env.error!(env, "SQLite has no update with #{inspect(op)}")

  ## DELETE

  @doc "DELETE."
  def delete(%{query: query} = env) do
    if query.joins == [] and plain?(query),
      do: [Cte.clause(env), "DELETE FROM ", delete_table(env) | returning(env)],
      else: [comment(env), Cte.clause(env), "DELETE FROM ", delete_found(env) | returning(env)]
  end

  defp delete_table(env), do: [Source.first(env, Env.name(env, 0)) | Select.where(env)]
  defp delete_found(env), do: [table(env), " WHERE " | found(env)]

  ## What both have

  # The numbers of the rows that the query finds.
  defp found(%{query: query} = env) do
    if query.group_bys != [] or query.havings != [] or query.combinations != [] or
         Distinct.terms(query) != [],
       do: Env.error!(env, "SQLite writes rows of a table, not groups or combinations of them")

    number = RowKeys.number(Env.name(env, 0))
    order = [Order.clause(env) | Order.limit(env)]
    [RowKeys.number(), " IN (SELECT ", number, Select.body(env), order, ")"]
  end

  defp plain?(query) do
    query.order_bys == [] and query.limit == nil and query.offset == nil and
      query.group_bys == [] and query.havings == [] and query.combinations == [] and
      query.distinct == nil and query.windows == []
  end

  # The table is one, or Query has refused it.
  defp table(%{query: query}) do
    {table, _schema, prefix} = elem(query.sources, 0)
    Sql.quote_table(prefix, table)
  end

  defp comment(%{query: query} = env) do
    {table, _schema, prefix} = elem(query.sources, 0)
    RowKeys.comment(prefix, table, env)
  end

  defp returning(%{query: %{select: nil}}), do: []
  defp returning(env), do: [" RETURNING " | env |> Env.returning() |> Select.fields()]
end
