defmodule Ecto.Adapters.LibSql.Query.Cast do
  @moduledoc false
  # type/2, and values that take the type of what they are stored in or stand beside.

  import Ecto.Adapters.LibSql.Query.Type,
    only: [is_datetime: 1, is_id: 1, is_json: 1, is_moment: 1, is_time: 1]

  alias Ecto.Adapters.LibSql.Query.{Env, Expr, Ident, Interval, Moment, Number, Type}

  @names %{integer: "INTEGER", boolean: "INTEGER", float: "REAL", string: "TEXT", binary: "BLOB"}

  @doc "An expression as a type, as `type/2` writes it."
  def type(expr, type, env)

  # What the dumper has bound is of the type already.
  def type({:^, _, _} = parameter, _type, env), do: Expr.expr(parameter, env)

  def type(expr, type, env) do
    from = Type.of(expr, env)
    possible?(from, type) || Env.error!(env, refused(from, type))
    to(type, from, expr, env)
  end

  # A date from a number, a number from a list: other databases refuse it, SQLite makes something up.
  defp possible?(from, to) when from == nil or to == nil or from == to, do: true
  defp possible?(_from, :string), do: true
  defp possible?(:string, to), do: to not in [:boolean, :bitstring]
  defp possible?(:binary, to), do: is_id(to)
  defp possible?(from, to) when is_id(from), do: is_id(to) or to == :binary
  defp possible?(from, to) when is_moment(from), do: is_moment(to) or is_time(to)
  defp possible?(from, to) when is_time(from), do: is_time(to)
  defp possible?(from, to) when is_json(from), do: is_json(to)
  defp possible?(:boolean, to), do: to == :integer
  defp possible?(:integer, to), do: to in [:float, :decimal, :boolean]
  defp possible?(from, to) when from in [:float, :decimal], do: to in [:integer, :float, :decimal]
  defp possible?(_from, _to), do: false

  defp refused(from, type),
    do: "SQLite cannot make #{inspect(type)} of #{inspect(from)}: say how in a fragment"

  defp to(:decimal, _from, expr, env), do: Number.cast(expr, env)
  defp to(:string, from, expr, env), do: string(from, expr, env)
  defp to(:binary, id, expr, env) when is_id(id), do: Expr.once(expr, env, &Ident.bytes/1)
  defp to(name, _from, expr, env) when is_map_key(@names, name), do: cast(expr, name, env)

  # By its index, if it has one: what the type says of a column is taken for true.
  defp to(type, nil, {{:., _, _}, _, _} = column, env) when is_moment(type),
    do: Expr.expr(column, env)

  defp to(type, from, expr, env) when is_moment(type) and (from == nil or is_moment(from)),
    do: moment(expr, type, :store, env)

  defp to(type, from, expr, env) when is_time(type) and is_moment(from),
    do: Expr.once(expr, env, &Moment.time_of(&1, from, type))

  defp to(type, from, expr, env) when is_time(type) and is_time(from),
    do: Expr.once(expr, env, &Moment.time(&1, from, type, :store))

  defp to(_type, _from, expr, env), do: Expr.operand(expr, env)

  defp cast(expr, name, env), do: ["CAST(", Expr.expr(expr, env), " AS ", @names[name], ?)]

  # As a reader would have it, whatever the Repo stores.
  defp string(from, expr, env) when is_id(from), do: Expr.once(expr, env, &Ident.text/1)

  defp string(from, expr, env) when is_datetime(from),
    do: Expr.once(expr, env, &Moment.iso(&1, from))

  defp string(from, expr, env) when is_json(from), do: ["json(", Expr.expr(expr, env), ?)]

  defp string(from, expr, env) when from in [:decimal, :date, :time, :time_usec],
    do: Expr.expr(expr, env)

  defp string(_from, expr, env), do: cast(expr, :string, env)

  @doc "A date or date-time in a form, for a purpose: see `Moment.convert/4`."
  def moment({:datetime_add, _, [datetime, count, unit]}, type, purpose, env) do
    from = Type.of(datetime, env)
    count = Expr.count(count, env)
    Expr.once(datetime, env, &Interval.datetime(&1, count, unit, from, type, purpose))
  end

  def moment(expr, type, purpose, env), do: moment(expr, Type.of(expr, env), type, purpose, env)

  @doc "The same, of an expression whose form is known otherwise."
  def moment(expr, type, type, _purpose, env), do: Expr.expr(expr, env)

  def moment(expr, from, type, purpose, env),
    do: Expr.once(expr, env, &Moment.convert(&1, from, type, purpose))

  @doc """
  A value that is stored in a column, or is one of several that may be an expression's value, as what the
  others are. `given`: what a parameter there has been dumped as.
  """
  def value(expr, type, given, env)

  def value(expr, nil, _given, env), do: Expr.operand(expr, env)
  def value(nil, _type, _given, _env), do: "NULL"
  def value({:^, _, _} = parameter, type, type, env), do: Expr.expr(parameter, env)
  def value({:^, _, _} = parameter, :decimal, _given, env), do: Number.cast(parameter, env)

  def value({:^, _, _}, type, _given, env) when is_id(type) or (is_json(type) and type != :map),
    do: untyped!(type, env)

  def value({:^, _, _} = parameter, type, given, env) when is_datetime(type),
    do: moment(parameter, given, type, :store, env)

  def value(number, :decimal, _given, env) when is_number(number), do: Number.cast(number, env)

  def value({:datetime_add, _, _} = expr, type, _given, env) when is_datetime(type),
    do: moment(expr, type, :store, env)

  def value(expr, type, _given, env) do
    from = Type.of(expr, env)

    cond do
      from in [nil, type] or literal?(expr) -> Expr.operand(expr, env)
      converted?(from, type) -> to(type, from, expr, env)
      alike?(from, type) -> Expr.operand(expr, env)
      true -> Env.error!(env, mixed(from, type))
    end
  end

  @doc "Refuses a parameter that Ecto has no type for, and that says nothing of its own."
  def untyped!(type, env) do
    Env.error!(env, "a parameter does not say that it is #{inspect(type)} here: write it in type/2")
  end

  # The planner has dumped it as what stands beside it.
  defp literal?(expr), do: is_binary(expr) or is_number(expr) or is_boolean(expr)

  defp converted?(from, type) when is_datetime(from), do: is_moment(type)
  defp converted?(from, type) when is_time(from), do: is_time(type)
  defp converted?(from, :decimal), do: from in [:integer, :float]
  defp converted?(from, :float), do: from == :decimal
  defp converted?(_from, _type), do: false

  defp alike?(:integer, type), do: type in [:float, :boolean]
  defp alike?(:boolean, type), do: type == :integer
  defp alike?(from, type) when is_json(from), do: is_json(type)
  defp alike?(from, type), do: from in [:string, :binary] and type in [:string, :binary]

  defp mixed(from, type) do
    "a value of type #{inspect(from)} stands where #{inspect(type)} is: bring it there with type/2, " <>
      "or in a fragment"
  end
end
