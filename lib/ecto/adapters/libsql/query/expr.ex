defmodule Ecto.Adapters.LibSql.Query.Expr do
  @moduledoc false
  # Expressions.

  alias Ecto.Adapters.LibSql.Query
  alias Ecto.Adapters.LibSql.Query.{Env, Fragment, Interval, Json, Quantifier, Type, Window}
  alias Ecto.Adapters.LibSql.{Sql, Types}
  alias Ecto.Query.Tagged

  @operators [
    ==: " = ",
    !=: " != ",
    <=: " <= ",
    >=: " >= ",
    <: " < ",
    >: " > ",
    +: " + ",
    -: " - ",
    *: " * ",
    /: " / ",
    and: " AND ",
    or: " OR "
  ]
  @binary Keyword.keys(@operators) ++ [:like, :ilike, :in]
  @comparisons [:==, :!=, :<=, :>=, :<, :>]
  @datetimes [:utc_datetime, :utc_datetime_usec, :naive_datetime, :naive_datetime_usec]

  @doc "Expressions with commas."
  def list(exprs, env), do: Sql.intersperse_map(exprs, ", ", &expr(&1, env))

  @doc "An expression that stands next to an operator."
  def operand({op, _, [_, _]} = expr, env) when op in @binary, do: paren(expr, env)
  def operand({op, _, [_]} = expr, env) when op in [:not, :is_nil], do: paren(expr, env)
  def operand(expr, env), do: expr(expr, env)

  defp paren(expr, env), do: [?(, expr(expr, env), ?)]

  @doc "An expression."
  def expr(expr, env)

  ## Parameters, columns and literals

  def expr({:^, _, [index]}, _env), do: parameter(index)

  def expr({{:., _, [{:parent_as, _, [as]}, column]}, _, []}, env) do
    {parent, index} = Env.parent(env, as)
    outer_column(Env.name(parent, index), column, env)
  end

  def expr({{:., _, [{:&, _, [index]}, column]}, _, []}, env),
    do: column(Env.name(env, index), column, env)

  def expr({:&, _, [index]}, env), do: Env.error!(env, whole_source(index))

  def expr(nil, _env), do: "NULL"
  def expr(true, _env), do: "1"
  def expr(false, _env), do: "0"
  def expr(literal, env) when is_binary(literal), do: text(literal, env)
  def expr(literal, env) when is_integer(literal), do: integer(literal, env)
  def expr(literal, _env) when is_float(literal), do: Float.to_string(literal)
  def expr({:blob, literal}, _env) when is_binary(literal), do: Sql.quote_blob(literal)
  def expr(%Decimal{} = literal, _env), do: Decimal.to_string(literal, :normal)
  def expr(list, env) when is_list(list), do: Json.array(list, env)

  # The query's text is the same for every Repo, what they store is not.
  def expr({{:form, :json}, term}, _env), do: Json.literal(term)
  def expr({{:form, _kind}, value}, env), do: interpolate!(value, env)
  def expr(%DateTime{} = value, env), do: interpolate!(value, env)
  def expr(%NaiveDateTime{} = value, env), do: interpolate!(value, env)

  ## Casts

  def expr(%Tagged{value: value, type: :binary}, _env) when is_binary(value),
    do: Sql.quote_blob(value)

  def expr(%Tagged{value: value, type: :bitstring}, _env) when is_bitstring(value),
    do: value |> Types.pack_bits() |> Sql.quote_blob()

  # The connection binds it as it is stored already.
  def expr(%Tagged{value: {:^, _, _} = value, type: type}, env)
      when type in [:binary, :decimal | @datetimes],
      do: expr(value, env)

  def expr(%Tagged{value: value, type: type}, env) do
    case Type.cast(type) do
      nil -> expr(value, env)
      name -> ["CAST(", expr(value, env), " AS ", name, ?)]
    end
  end

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
    case List.keyfind(Enum.filter(fields, &is_tuple/1), name, 0) do
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

  ## in

  def expr({:in, _, [_left, []]}, _env), do: "0"
  def expr({:in, _, [_left, {:^, _, [_index, 0]}]}, _env), do: "0"

  def expr({:in, _, [{:{}, _, _} = left, right]}, env) when is_list(right),
    do: [expr(left, env), " IN (VALUES ", list(right, env), ?)]

  def expr({:in, _, [left, right]}, env) when is_list(right) do
    if decimal?(left, env),
      do: [numeric(left, env), " IN (", numerics(right, env), ?)],
      else: [operand(left, env), " IN (", list(right, env), ?)]
  end

  def expr({:in, _, [left, {:^, _, [index, count]}]}, env) do
    if Type.spread?(),
      do: expr({:in, [], [left, Enum.map(index..(index + count - 1), &{:^, [], [&1]})]}, env),
      else: expr({:in, [], [left, %Tagged{value: {:^, [], [index]}, type: :list}]}, env)
  end

  def expr({:in, _, [left, %Ecto.SubQuery{} = right]}, env),
    do: [operand(left, env), " IN " | expr(right, env)]

  def expr({:in, _, [left, right]}, env) do
    type = Type.element(left, right, env)
    left = if type == :decimal, do: numeric(left, env), else: operand(left, env)
    [left, " IN " | Json.elements(right, type, env)]
  end

  ## Operators

  def expr({:is_nil, _, [arg]}, env), do: [operand(arg, env), " IS NULL"]
  def expr({:not, _, [arg]}, env), do: ["NOT (", expr(arg, env), ?)]
  def expr({:like, _, [left, right]}, env), do: [matched(left, env), " LIKE " | operand(right, env)]

  def expr({:ilike, _, [left, right]}, env),
    do: ["lower(", matched(left, env), ") LIKE lower(", expr(right, env), ?)]

  # json_extract makes 1 and 0 of true and false.
  def expr({op, _, [{:json_extract_path, _, [value, path]}, right]}, env)
      when op in [:==, :!=] and is_boolean(right),
      do: [Json.type(value, path, env), @operators[op], Sql.quote_string(to_string(right))]

  def expr({op, meta, [left, {:json_extract_path, _, _} = right]}, env)
      when op in [:==, :!=] and is_boolean(left),
      do: expr({op, meta, [right, left]}, env)

  def expr({op, _, [left, {{:form, :json}, term}]}, env) when op in [:==, :!=] do
    left = operand(left, env)
    [left, @operators[op] | Json.literal(term, left)]
  end

  def expr({op, meta, [{{:form, :json}, _} = left, right]}, env) when op in [:==, :!=],
    do: expr({op, meta, [right, left]}, env)

  def expr({op, _, [left, right]}, env) when op in @comparisons do
    if decimal?(left, env) or decimal?(right, env) do
      [numeric(left, env), @operators[op] | numeric(right, env)]
    else
      {left, right} = same_format(left, right, env)
      [operand(left, env), @operators[op] | operand(right, env)]
    end
  end

  for {op, text} <- @operators, op not in @comparisons do
    def expr({unquote(op), _, [left, right]}, env),
      do: [operand(left, env), unquote(text) | operand(right, env)]
  end

  ## Functions

  def expr({:json_extract_path, _, [value, path]}, env), do: Json.extract(value, path, env)

  def expr({:datetime_add, _, [datetime, count, unit]}, env) do
    type = Type.of(datetime, env)
    Interval.datetime(operand(datetime, env), count(count, env), unit, type)
  end

  def expr({:date_add, _, [date, count, unit]}, env),
    do: Interval.date(expr(date, env), count(count, env), unit)

  def expr({:filter, _, [aggregate, filter]}, env),
    do: [expr(aggregate, env), " FILTER (WHERE ", expr(filter, env), ?)]

  def expr({:over, _, [function, window]}, env),
    do: [expr(function, env) | Window.over(window, env)]

  def expr({:{}, _, elements}, env), do: [?(, list(elements, env), ?)]
  def expr({:count, _, []}, _env), do: "count(*)"

  def expr({:count, _, [arg, :distinct]}, env), do: ["count(DISTINCT ", expr(arg, env), ?)]

  @functions [:count, :sum, :avg, :min, :max, :coalesce] ++
               [:row_number, :rank, :dense_rank, :percent_rank, :cume_dist, :ntile] ++
               [:first_value, :last_value, :nth_value, :lag, :lead]

  def expr({function, _, [arg]}, env) when function in [:min, :max],
    do: [Atom.to_string(function), ?(, sortable(arg, env), ?)]

  def expr({function, _, args}, env) when function in @functions,
    do: [Atom.to_string(function), ?(, list(args, env), ?)]

  def expr(expr, env), do: Env.error!(env, "SQLite has nothing for #{Macro.to_string(expr)}")

  ## What the clauses above need

  @doc "Refuses a value whose form the connection decides."
  def interpolate!(value, env) do
    Env.error!(
      env,
      "#{inspect(value)} must be interpolated (using ^), for not all Repos store it alike"
    )
  end

  defp parameter(index), do: [?? | Integer.to_string(index + 1)]

  @doc "An expression that is compared with others of its kind, as ORDER BY, min and max do."
  def sortable(expr, env),
    do: if(decimal?(expr, env), do: numeric(expr, env), else: expr(expr, env))

  # Decimals may be stored as text, which keeps all their digits and compares letter by letter.
  defp decimal?(expr, env), do: Type.of(expr, env) == :decimal

  defp numerics(exprs, env), do: Sql.intersperse_map(exprs, ", ", &numeric(&1, env))

  defp numeric(expr, _env) when is_number(expr), do: to_string(expr)
  defp numeric(%Tagged{value: {:^, _, _} = value, type: :decimal}, env), do: numeric(value, env)
  defp numeric(%Tagged{type: :decimal} = expr, env), do: expr(expr, env)
  defp numeric({aggregate, _, [_]} = expr, env) when aggregate in [:min, :max], do: expr(expr, env)
  defp numeric(expr, env), do: ["CAST(", expr(expr, env), " AS NUMERIC)"]

  defp parameters(_index, 0), do: []

  defp parameters(index, count),
    do: Sql.intersperse_map(Enum.to_list(index..(index + count - 1)), ", ", &parameter/1)

  defp column(:returning, column, _env), do: Sql.quote_name(column)

  defp column(:unseen, column, env) do
    Env.error!(
      env,
      "RETURNING sees only the table that is written, so `#{column}` of a join cannot be selected: " <>
        "select it in a query of its own"
    )
  end

  defp column(name, column, _env), do: [name, ?. | Sql.quote_name(column)]

  # Without its table's name, a column would be taken for one of the subquery's.
  defp outer_column(name, column, env) when name in [:returning, :unseen] do
    Env.error!(env, "in RETURNING, a subquery cannot see `#{column}` of the written table")
  end

  defp outer_column(name, column, env), do: column(name, column, env)

  defp whole_source(index) do
    "the columns of source #{index} are not known: give it a schema, or select fields by name"
  end

  # A literal has to be text of the engine's; whatever else a binary holds goes in as bytes.
  defp text(literal, _env) do
    if String.valid?(literal) and :binary.match(literal, <<0>>) == :nomatch,
      do: Sql.quote_string(literal),
      else: ["CAST(", Sql.quote_blob(literal), " AS TEXT)"]
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

  defp count(count, _env) when is_number(count), do: count
  defp count(%Tagged{value: count}, env), do: count(count, env)
  defp count(%Decimal{} = count, env), do: expr(count, env)
  defp count(count, env), do: operand(count, env)

  # Texts compare as times only if both are written alike: a moment that was counted from a parameter
  # takes the form of what it is compared with.
  defp same_format({:datetime_add, _, _} = left, right, env), do: {typed(left, right, env), right}
  defp same_format(left, {:datetime_add, _, _} = right, env), do: {left, typed(right, left, env)}
  defp same_format(left, right, _env), do: {left, right}

  @doc "A time counted from a parameter, in the form that `other` is stored in."
  def typed(expr, other, env)

  def typed({:datetime_add, meta, [datetime, count, unit]} = expr, other, env) do
    type = Type.of(other, env)

    if type in @datetimes and Type.of(datetime, env) not in @datetimes,
      do: {:datetime_add, meta, [%Tagged{value: datetime, type: type, tag: type}, count, unit]},
      else: expr
  end

  def typed(expr, _other, _env), do: expr

  defp flip(:<), do: :>
  defp flip(:>), do: :<
  defp flip(:<=), do: :>=
  defp flip(:>=), do: :<=
  defp flip(op), do: op
end
