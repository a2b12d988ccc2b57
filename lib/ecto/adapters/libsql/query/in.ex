defmodule Ecto.Adapters.LibSql.Query.In do
  @moduledoc false
  # IN.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_json: 1, is_moment: 1]
  alias Ecto.Adapters.LibSql.{Query, Sql, Types}
  alias Ecto.Adapters.LibSql.Query.{Compare, Expr, Json, List, Moment, Number, Type}

  @doc "Whether the left side is among the right."
  def expr(left, right, env)

  def expr(_left, [], _env), do: "0"

  def expr({:{}, _, _} = left, rows, env) when is_list(rows) do
    if Enum.all?(rows, &match?({:{}, _, _}, &1)) and plain?(left, rows, env),
      do: [Expr.expr(left, env), " IN (VALUES ", Expr.list(rows, env), ?)],
      else: any(left, rows, env)
  end

  def expr(left, elements, env) when is_list(elements) do
    case elements |> Enum.map(&Compare.kind(left, &1, env)) |> Enum.uniq() do
      [:plain] -> [Expr.operand(left, env), " IN (", Expr.list(elements, env), ?)]
      [:decimal] -> decimals(left, elements, env)
      _kinds -> any(left, elements, env)
    end
  end

  def expr(left, {:^, _, [index, _count]}, env),
    do: among(left, Expr.expr({:^, [], [index]}, env), Type.given(left, env), env)

  def expr(left, %Ecto.SubQuery{} = right, env), do: selected(left, right, env)

  # The planner has dumped a list of literals.
  def expr(left, literals, env) when is_binary(literals) do
    {:ok, list} = Types.json_decode(literals)
    expr(left, {{:form, :json}, list}, env)
  end

  def expr(left, {{:form, :json}, list} = literals, env) do
    type = Type.of(left, env)

    if type in [:integer, :float, :string, :boolean, :decimal],
      do: expr(left, list, env),
      else: among(left, Expr.expr(literals, env), type, env)
  end

  def expr(left, array, env) do
    type =
      case Type.of(array, env) do
        {:array, of} -> of
        _other -> Type.of(left, env)
      end

    array = Expr.expr(array, env)

    if type == :float and Type.of(left, env) != :decimal,
      do: float(left, array, env),
      else: among(left, array, type, env)
  end

  ## Lists

  defp plain?({:{}, _, lefts}, rows, env) do
    Enum.all?(rows, fn {:{}, _, rights} ->
      Enum.zip(lefts, rights) |> Enum.all?(fn {l, r} -> Compare.kind(l, r, env) == :plain end)
    end)
  end

  defp decimals(left, [first | _] = elements, env) do
    {sql, _first} = Compare.sides(left, first, env)
    [sql, " IN (", Sql.intersperse_map(elements, ", ", &Number.element(&1, left, env)), ?)]
  end

  defp any(left, elements, env) do
    equal = &[?(, Compare.expr(:==, left, &1, env), ?)]
    [?(, Sql.intersperse_map(elements, " OR ", equal), ?)]
  end

  # Not one that List has written.
  defp float(left, array, env) do
    Expr.once(left, env, fn left ->
      [left, " IN (SELECT ", List.float("e", array, left), " FROM json_each(", array, ") AS e)"]
    end)
  end

  ## JSON arrays, as SQL. `type`: what their elements are

  defp among(left, array, type, env) do
    left_type = Type.of(left, env) || type

    cond do
      :decimal in [left_type, type] ->
        [Number.comparand(left, env), " COLLATE decimal IN " | List.elements(array, :decimal)]

      is_json(left_type) ->
        [Json.canonical(Expr.expr(left, env)), " IN " | each(array, Json.canonical("e.value"))]

      is_moment(left_type) and left_type != type ->
        [Expr.once(left, env, &Moment.text/1), " IN " | each(array, Moment.text("e.value"))]

      true ->
        [Expr.operand(left, env), " IN " | List.elements(array, type)]
    end
  end

  defp each(array, element), do: ["(SELECT ", element, " FROM json_each(", array, ") AS e)"]

  ## Subqueries

  defp selected(left, right, env) do
    value = {:sql, Type.of(right, env), ~s("value")}

    case Compare.kind(left, value, env) do
      :plain ->
        [Expr.operand(left, env), " IN " | Expr.expr(right, env)]

      kind ->
        {left, value} = Compare.sides(kind, left, value, env)
        [left, " IN (SELECT ", value, " FROM (", Query.nested(named(right.query), env), "))"]
    end
  end

  @doc "A query of one field, which is named \"value\"."
  def named(%{select: %{fields: [field]} = select} = query),
    do: %{query | select: %{select | fields: [{:value, plain(field)}]}}

  defp plain({name, expr}) when is_atom(name), do: expr
  defp plain(expr), do: expr
end
