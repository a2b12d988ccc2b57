defmodule Ecto.Adapters.LibSql.Query.Number do
  @moduledoc false
  # Decimals, which are TEXT with exact digits: compared by the collation "decimal", calculated by the
  # functions decimal_*, all of which EctoLibSql gives to its local connections. Where they are not
  # known, the engine refuses the statement.
  #
  # Columns of EctoLibSql 0.9 have NUMERIC affinity and hold numbers: beside such a column a text becomes
  # a number, and a collation is not asked for.

  alias Ecto.Adapters.LibSql.Query.{Env, Expr, Type}
  alias Ecto.Query.Tagged

  @functions [+: "decimal_add", -: "decimal_sub", *: "decimal_mul", /: "decimal_div"]

  @doc "Whether an expression is a decimal."
  def decimal?(expr, env), do: Type.of(expr, env) == :decimal

  @doc "A decimal as what compares by its value."
  def collated(expr, env), do: [comparand(expr, env), " COLLATE decimal"]

  @doc "A decimal among those of the queries that this one is combined with, where none is a number."
  def part(expr, env) do
    if decimal?(expr, env),
      do: [element(expr, nil, env), " COLLATE decimal"],
      else: Expr.expr(expr, env)
  end

  @doc "What follows the name of a decimal."
  def collation(expr, env), do: if(decimal?(expr, env), do: " COLLATE decimal", else: [])

  @doc "A decimal calculated from two numbers."
  def calculate(op, left, right, env),
    do: [@functions[op], ?(, argument(left, env), ", ", argument(right, env), ?)]

  @doc "The negative of a decimal."
  def negate(expr, env), do: ["decimal_sub(0, ", argument(expr, env), ?)]

  @doc "An argument of a decimal function, which takes numbers of every kind."
  def argument(literal, _env) when is_float(literal), do: quoted(literal)
  def argument(%Decimal{} = literal, env), do: Expr.expr(literal, env)
  def argument(expr, env), do: Expr.expr(expr, env)

  @doc """
  What stands beside a decimal in a comparison: text, unless it is a column, whose affinity sees to it.
  """
  def comparand(literal, _env) when is_number(literal), do: quoted(literal)

  def comparand(expr, env) do
    if text?(expr, env) or column?(expr, env),
      do: Expr.operand(expr, env),
      else: ["decimal(", Expr.expr(expr, env), ?)]
  end

  @doc "The sides of a comparison."
  def sides(left, right, env), do: {side(left, right, env), side(right, left, env)}

  @doc "An element of a list after IN, where affinities of columns do not count."
  def element({:^, _, _} = parameter, other, env) when other != nil,
    do: side(parameter, other, env)

  def element(expr, _other, env) do
    if is_number(expr) or text?(expr, env),
      do: comparand(expr, env),
      else: ["decimal(", Expr.expr(expr, env), ?)]
  end

  # A parameter has been dumped as what the column beside it is.
  defp side({:^, _, _} = parameter, other, env) do
    if Type.given(other, env) == :decimal,
      do: Expr.expr(parameter, env),
      else: ["decimal(", Expr.expr(parameter, env), ?)]
  end

  defp side(expr, _other, env), do: comparand(expr, env)

  defp quoted(number), do: [?', to_string(number), ?']

  # What is certainly text.
  defp text?({op, _, [_, _]} = expr, env) when op in [:+, :-, :*, :/], do: decimal?(expr, env)

  defp text?({function, _, [_]} = expr, env) when function in [:sum, :avg, :-],
    do: decimal?(expr, env)

  defp text?({wrap, _, [expr, _]}, env) when wrap in [:filter, :over], do: text?(expr, env)
  defp text?(%Tagged{type: :decimal, value: {:^, _, _}}, _env), do: true
  defp text?(%Tagged{type: :decimal, value: value}, env), do: not decimal?(value, env)
  defp text?(%Decimal{}, _env), do: true
  defp text?(literal, _env) when is_binary(literal), do: true
  defp text?(_expr, _env), do: false

  # A column of a table; that of a subquery or CTE may have lost its affinity.
  defp column?({{:., _, [{:&, _, [index]}, _column]}, _, []} = expr, env) do
    case Env.source(env, index) do
      {table, schema, _prefix} when is_binary(table) and schema != nil ->
        Env.cte(env, table) == nil and decimal?(expr, env)

      _other ->
        false
    end
  end

  defp column?({{:., _, [{:parent_as, _, [as]}, column]}, _, []}, env) do
    {parent, index} = Env.parent(env, as)
    column?({{:., [], [{:&, [], [index]}, column]}, [], []}, parent)
  end

  defp column?(%Tagged{value: value}, env), do: column?(value, env)
  defp column?(_expr, _env), do: false

  @doc "A value that becomes a decimal: numbers are written out, others are read as one."
  def cast(literal, _env) when is_number(literal), do: quoted(literal)

  def cast(expr, env) do
    if decimal?(expr, env),
      do: Expr.expr(expr, env),
      else: ["decimal(", Expr.expr(expr, env), ?)]
  end
end
