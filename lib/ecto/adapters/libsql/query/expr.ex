defmodule Ecto.Adapters.LibSql.Query.Expr do
  @moduledoc false
  # Expressions.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_moment: 1]
  alias Ecto.Adapters.LibSql.{Query, Sql, Types}

  alias Ecto.Adapters.LibSql.Query.{
    Cast,
    Compare,
    Env,
    Fragment,
    In,
    Interval,
    Json,
    Key,
    Number,
    Quantifier,
    Type,
    Window
  }

  alias Ecto.Query.Tagged
  alias EctoLibSql.Encoder

  @arithmetic [+: " + ", -: " - ", *: " * ", /: " / "]
  @logic [and: " AND ", or: " OR "]
  @comparisons [:==, :!=, :<=, :>=, :<, :>]
  @binary Keyword.keys(@arithmetic ++ @logic) ++ @comparisons ++ [:like, :ilike, :in]

  @doc "Expressions with commas."
  def list(exprs, env), do: Sql.intersperse_map(exprs, ", ", &expr(&1, env))

  @doc "An expression that stands next to an operator."
  def operand({op, _, [_, _]} = expr, env) when op in @binary, do: paren(expr, env)
  def operand({op, _, [_]} = expr, env) when op in [:not, :is_nil, :-], do: paren(expr, env)
  def operand(expr, env), do: expr(expr, env)

  defp paren(expr, env), do: [?(, expr(expr, env), ?)]

  @doc "SQL that writes an expression several times: what is more than a column is calculated once."
  def once(expr, env, fun) do
    if Type.plain?(expr),
      do: fun.(expr(expr, env)),
      else: ["(SELECT ", fun.("x"), " FROM (SELECT ", expr(expr, env), " AS x))"]
  end

  @doc "An expression."
  def expr(expr, env)

  ## Parameters, columns and literals

  def expr({:^, _, [index]}, _env), do: parameter(index)
  def expr({:sql, _type, sql}, _env), do: sql

  def expr({{:., _, [{:parent_as, _, [as]}, column]}, _, []}, env) do
    {parent, index} = Env.parent(env, as)
    column(parent, index, column)
  end

  def expr({{:., _, [{:&, _, [index]}, column]}, _, []}, env), do: column(env, index, column)
  def expr({:&, _, [index]}, env), do: Env.error!(env, whole_source(index))

  def expr(nil, _env), do: "NULL"
  def expr(true, _env), do: "1"
  def expr(false, _env), do: "0"
  def expr(literal, _env) when is_binary(literal), do: Sql.quote_text(literal)
  def expr(literal, env) when is_integer(literal), do: integer(literal, env)
  def expr(literal, _env) when is_float(literal), do: Float.to_string(literal)
  def expr({:blob, literal}, _env) when is_binary(literal), do: Sql.quote_blob(literal)
  def expr({{:form, :json}, literal}, _env), do: literal |> Encoder.json() |> Sql.quote_text()
  def expr(%Decimal{} = literal, _env), do: [?', Decimal.to_string(literal, :normal), ?']
  def expr(list, env) when is_list(list), do: Json.array(list, env)

  ## Casts

  def expr(%Tagged{value: value, type: :binary}, _env) when is_binary(value),
    do: Sql.quote_blob(value)

  def expr(%Tagged{value: value, type: :bitstring}, _env) when is_bitstring(value),
    do: value |> Types.pack_bits() |> Sql.quote_blob()

  def expr(%Tagged{value: value, type: type}, env), do: Cast.type(value, Type.base(type), env)

  ## Subqueries and fragments

  def expr(%Ecto.SubQuery{query: query}, env), do: [?(, Query.nested(query, env), ?)]
  def expr({:exists, _, [subquery]}, env), do: ["EXISTS " | expr(subquery, env)]
  def expr({:fragment, _, _} = fragment, env), do: Fragment.expr(fragment, env)

  def expr({tag, _, [name]}, _env) when tag in [:identifier, :literal] and is_binary(name),
    do: Sql.quote_name(name)

  def expr({:constant, _, [value]}, env), do: expr(value, env)
  def expr({:splice, _, [{:^, _, [index, count]}]}, _env), do: parameters(index, count)

  # The expression itself, for a column of that name would hide the alias.
  def expr({:selected_as, _, [name]}, %{query: %{select: %{fields: fields}}} = env) do
    case Type.named(fields, name) do
      {_name, expr} -> paren(expr, env)
      nil -> Sql.quote_name(name)
    end
  end

  def expr({quantifier, _, [_subquery]}, env) when quantifier in [:any, :all] do
    Env.error!(env, "SQLite has no #{quantifier}(): it can only stand beside a comparison")
  end

  def expr({op, _, [left, {quantifier, _, [%Ecto.SubQuery{} = subquery]}]}, env)
      when op in @comparisons and quantifier in [:any, :all],
      do: Quantifier.expr(op, left, quantifier, subquery, env)

  def expr({op, _, [{quantifier, _, [%Ecto.SubQuery{} = subquery]}, right]}, env)
      when op in @comparisons and quantifier in [:any, :all],
      do: Quantifier.expr(flip(op), right, quantifier, subquery, env)

  ## Operators

  def expr({:in, _, [left, right]}, env), do: In.expr(left, right, env)
  def expr({:is_nil, _, [arg]}, env), do: [operand(arg, env), " IS NULL"]
  def expr({:not, _, [arg]}, env), do: ["NOT (", expr(arg, env), ?)]
  def expr({:like, _, [left, right]}, env), do: [matched(left, env), " LIKE " | operand(right, env)]

  def expr({:ilike, _, [left, right]}, env),
    do: ["lower(", matched(left, env), ") LIKE lower(", expr(right, env), ?)]

  def expr({op, _, [left, right]}, env) when op in @comparisons,
    do: Compare.expr(op, left, right, env)

  for {op, text} <- @logic do
    def expr({unquote(op), _, [left, right]}, env),
      do: [operand(left, env), unquote(text) | operand(right, env)]
  end

  def expr({op, _, [left, right]} = expr, env) when op in [:+, :-, :*, :/] do
    numbers!([left, right], op, env)

    if Number.decimal?(expr, env),
      do: Number.calculate(op, left, right, env),
      else: [operand(left, env), @arithmetic[op] | operand(right, env)]
  end

  def expr({:-, _, [arg]}, env) do
    numbers!([arg], :-, env)
    if Number.decimal?(arg, env), do: Number.negate(arg, env), else: ["- " | operand(arg, env)]
  end

  ## Functions

  def expr({:json_extract_path, _, [value, path]}, env), do: Json.extract(value, path, env)

  def expr({:datetime_add, _, _} = expr, env),
    do: Cast.moment(expr, Type.of(expr, env), :store, env)

  def expr({:date_add, _, [date, count, unit]}, env) do
    type = Type.of(date, env)
    date = if is_moment(type), do: Cast.moment(date, :date, :store, env), else: expr(date, env)
    Interval.date(date, count(count, env), unit)
  end

  def expr({:filter, _, [aggregate, filter]}, env),
    do: [expr(aggregate, env), " FILTER (WHERE ", expr(filter, env), ?)]

  def expr({:over, _, [function, window]}, env),
    do: [expr(function, env) | Window.over(window, env)]

  def expr({:{}, _, elements}, env), do: [?(, list(elements, env), ?)]
  def expr({:count, _, []}, _env), do: "count(*)"
  def expr({:count, _, [arg, :distinct]}, env), do: ["count(DISTINCT ", Key.group(arg, env), ?)]

  def expr({function, _, [arg]}, env) when function in [:min, :max],
    do: [Atom.to_string(function), ?(, Key.order(arg, env), ?)]

  def expr({function, _, [arg]}, env) when function in [:sum, :avg] do
    numbers!([arg], function, env)
    prefix = if Number.decimal?(arg, env), do: "decimal_", else: []
    [prefix, Atom.to_string(function), ?(, expr(arg, env), ?)]
  end

  def expr({:coalesce, _, args} = expr, env),
    do: ["coalesce(", values(args, Type.of(expr, env), env), ?)]

  # The value where there is no such row is of the type of the others.
  def expr({function, _, [arg, offset, default]}, env) when function in [:lag, :lead] do
    default = Cast.value(default, Type.of(arg, env), nil, env)
    [Atom.to_string(function), ?(, list([arg, offset], env), ", ", default, ?)]
  end

  @functions [:count, :row_number, :rank, :dense_rank, :percent_rank, :cume_dist, :ntile] ++
               [:first_value, :last_value, :nth_value, :lag, :lead]

  def expr({function, _, args}, env) when function in @functions,
    do: [Atom.to_string(function), ?(, list(args, env), ?)]

  def expr({tag, _, _} = expr, env) when is_atom(tag),
    do: Env.error!(env, "SQLite has nothing for #{Macro.to_string(expr)}")

  # The query's text is the same for every Repo, what they store is not.
  def expr({{:form, _kind}, value}, env), do: interpolate!(value, env)
  def expr(value, env), do: interpolate!(value, env)

  ## What the clauses above need

  @doc "Refuses a value whose form the connection decides."
  def interpolate!(value, env) do
    Env.error!(
      env,
      "#{inspect(value)} must be interpolated (using ^), for not all Repos store it alike"
    )
  end

  defp parameter(index), do: [?? | Integer.to_string(index + 1)]

  defp parameters(_index, 0), do: []

  defp parameters(index, count),
    do: Sql.intersperse_map(Enum.to_list(index..(index + count - 1)), ", ", &parameter/1)

  defp values(args, type, env),
    do: Sql.intersperse_map(args, ", ", &Cast.value(&1, type, nil, env))

  defp column(env, index, column) do
    case Env.name(env, index) do
      :unseen -> Env.error!(env, unseen(column))
      name -> [name, ?. | Sql.quote_name(column)]
    end
  end

  defp unseen(column) do
    "RETURNING sees only the table that is written, so `#{column}` of a join cannot be selected: " <>
      "select it in a query of its own"
  end

  defp whole_source(index) do
    "the columns of source #{index} are not known: give it a schema, or select fields by name"
  end

  defp integer(literal, _env) when literal in -0x8000000000000000..0x7FFFFFFFFFFFFFFF,
    do: Integer.to_string(literal)

  defp integer(literal, env), do: Env.error!(env, "#{literal} does not fit into 64 bits")

  # LIKE compares text; an engine may be built so that it matches no blob.
  defp matched(expr, env) do
    if Type.of(expr, env) == :binary,
      do: ["CAST(", expr(expr, env), " AS TEXT)"],
      else: operand(expr, env)
  end

  # SQLite would make a number of the first digits of a text.
  defp numbers!(exprs, op, env) do
    type =
      exprs |> Enum.reject(&is_binary/1) |> Enum.map(&Type.of(&1, env)) |> Enum.find(&not_number?/1)

    if type do
      Env.error!(
        env,
        "SQLite cannot calculate with #{inspect(type)}, so #{op} has no value: use datetime_add/3, " <>
          "date_add/3 or a fragment"
      )
    end
  end

  defp not_number?(type),
    do: type not in [nil, :integer, :float, :decimal, :boolean]

  @doc "How many units an interval has: a number, or SQL."
  def count(count, _env) when is_number(count), do: count
  def count(%Tagged{value: count}, env), do: count(count, env)
  def count(count, env), do: operand(count, env)

  defp flip(:<), do: :>
  defp flip(:>), do: :<
  defp flip(:<=), do: :>=
  defp flip(:>=), do: :<=
  defp flip(op), do: op
end
