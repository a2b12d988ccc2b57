defmodule Ecto.Adapters.LibSql.Query.Compare do
  @moduledoc false
  # Comparisons. Most are what they look like. Where what is stored does not compare as what it means,
  # one side is brought to the form of the other, which stays as it is, so that an index on it serves.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_id: 1, is_json: 1, is_moment: 1, is_time: 1]
  alias Ecto.Adapters.LibSql.Query.{Cast, Expr, Ident, Json, Key, Moment, Number, Type}
  alias Ecto.Adapters.LibSql.Sql

  @operators [==: " = ", !=: " != ", <=: " <= ", >=: " >= ", <: " < ", >: " > "]

  @doc "A comparison."
  def expr(op, left, right, env)

  # json_extract makes 1 and 0 of true and false.
  def expr(op, {:json_extract_path, _, [value, path]}, right, env)
      when op in [:==, :!=] and is_boolean(right),
      do: [Json.type(value, path, env), @operators[op], Sql.quote_string(to_string(right))]

  def expr(op, left, {:json_extract_path, _, _} = right, env)
      when op in [:==, :!=] and is_boolean(left),
      do: expr(op, right, left, env)

  def expr(op, {:{}, _, lefts}, {:{}, _, rights}, env) do
    {lefts, rights} = lefts |> Enum.zip(rights) |> Enum.map(&row(op, &1, env)) |> Enum.unzip()
    [?(, Enum.intersperse(lefts, ", "), ?), @operators[op], ?(, Enum.intersperse(rights, ", "), ?)]
  end

  def expr(op, left, right, env) do
    possible!(op, left, right, env)
    kind = kind(left, right, env)

    if kind == :ids and op in [:==, :!=] do
      same_id(op, left, right, env)
    else
      {left, right} = sides(kind, left, right, env)
      [left, @operators[op] | right]
    end
  end

  defp row(op, {left, right}, env) do
    possible!(op, left, right, env)
    sides(left, right, env)
  end

  defp possible!(op, _left, _right, _env) when op in [:==, :!=], do: :ok

  defp possible!(_op, left, right, env) do
    for expr <- [left, right],
        type = Type.of(expr, env),
        not Key.ordered?(type),
        do: Key.unordered!(type, env)
  end

  # A list of both forms, so that an index on what stands before it serves.
  defp same_id(op, left, right, env) do
    {left, right} = if parameter?(left), do: {right, left}, else: {left, right}
    operator = if op == :==, do: " IN ", else: " NOT IN "
    [Expr.operand(left, env), operator | right |> Expr.expr(env) |> Ident.forms()]
  end

  defp parameter?({:^, _, _}), do: true
  defp parameter?(_expr), do: false

  @doc "Both sides of a comparison, such that they compare as what they mean."
  def sides(left, right, env), do: left |> kind(right, env) |> sides(left, right, env)

  @doc "The same, of a kind that `kind/3` has given."
  def sides(kind, left, right, env)

  def sides(:plain, left, right, env), do: {Expr.operand(left, env), Expr.operand(right, env)}

  def sides(:decimal, left, right, env) do
    {left, right} = Number.sides(left, right, env)
    {[left, " COLLATE decimal"], right}
  end

  def sides(:ids, left, right, env),
    do: {Expr.once(left, env, &Ident.bytes/1), Expr.once(right, env, &Ident.bytes/1)}

  def sides(:json, left, right, env), do: {json(left, right, env), json(right, left, env)}

  def sides({:moment, form}, left, right, env),
    do: {moment(left, right, form, env), moment(right, left, form, env)}

  def sides({:time, form}, left, right, env),
    do: {time(left, right, form, env), time(right, left, form, env)}

  # A list that nobody says is an array would be taken for bytes.
  defp json({:^, _, _} = parameter, other, env) do
    type = Type.of(other, env)
    if type != :map and Type.given(other, env) == nil, do: Cast.untyped!(type, env)
    parameter |> Expr.expr(env) |> Json.canonical()
  end

  defp json(expr, _other, env), do: expr |> Expr.expr(env) |> Json.canonical()

  defp moment({:datetime_add, _, _} = expr, _other, form, env),
    do: Cast.moment(expr, form, :compare, env)

  defp moment(expr, other, form, env),
    do: Cast.moment(expr, stored(expr, other, env), form, :compare, env)

  defp time(expr, other, form, env) do
    from = stored(expr, other, env)
    Expr.once(expr, env, &Moment.time(&1, from, form, :compare))
  end

  @doc "How sides have to be compared: `:plain`, or what they have to be brought to."
  def kind(left, right, env),
    do: kind(stored(left, right, env), stored(right, left, env), left, right)

  defp kind(left_type, right_type, left, right) do
    cond do
      :decimal in [left_type, right_type] -> :decimal
      is_json(left_type) or is_json(right_type) -> :json
      ids?(left_type, right_type, left, right) -> :ids
      is_time(left_type) and is_time(right_type) -> times(left_type, right_type)
      is_moment(left_type) or is_moment(right_type) -> moments(left_type, right_type, left, right)
      added?(left) or added?(right) -> moments(left_type, right_type, left, right)
      true -> :plain
    end
  end

  # What a side is stored as; a parameter, what it has been dumped as.
  defp stored({:^, _, _}, other, env), do: Type.given(other, env)
  defp stored(expr, _other, env), do: Ident.form(expr, env)

  # Of a column without a type we take it that it holds what the other side does.
  defp ids?(left_type, right_type, left, right) do
    Ident.differ?(left_type, right_type) or
      (is_id(left_type) and right_type == nil and parameter?(right)) or
      (is_id(right_type) and left_type == nil and parameter?(left))
  end

  defp times(same, same), do: :plain
  defp times(left, _right), do: {:time, left}

  defp moments(left_type, right_type, left, right) do
    known = for {type, expr} <- [{left_type, left}, {right_type, right}], not added?(expr), do: type

    cond do
      match?([same, same], known) ->
        :plain

      :date in known ->
        {:moment, :date}

      true ->
        {:moment, Enum.find(known ++ [left_type, right_type], :naive_datetime_usec, &is_moment/1)}
    end
  end

  defp added?({:datetime_add, _, _}), do: true
  defp added?(_expr), do: false
end
