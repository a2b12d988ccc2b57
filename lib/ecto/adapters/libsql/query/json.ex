defmodule Ecto.Adapters.LibSql.Query.Json do
  @moduledoc false
  # Paths into JSON, and arrays, which are stored as JSON, or as JSONB by the Repo's setting. The
  # functions of JSON read both.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_datetime: 1, is_id: 1, is_json: 1]
  alias Ecto.Adapters.LibSql.Query.{Expr, Ident, List, Moment, Type}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The value at a path."
  def extract(expr, path, env),
    do: ["json_extract(", Expr.expr(expr, env), ", ", path(path, env), ?)]

  @doc "The name of the type at a path."
  def type(expr, path, env), do: ["json_type(", Expr.expr(expr, env), ", ", path(path, env), ?)]

  defp path(steps, env) do
    if Enum.all?(steps, &(is_binary(&1) or is_integer(&1))),
      do: [?', Sql.json_path(steps), ?'],
      else: ["'$'" | Enum.map(steps, &[" || " | step(&1, env)])]
  end

  defp step(step, _env) when is_binary(step) or is_integer(step),
    do: Sql.quote_string(IO.iodata_to_binary(Sql.json_step(step)))

  # The row says whether it is an index or a key.
  defp step(step, env) do
    value = Expr.expr(step, env)

    ["CASE typeof(", value, ") WHEN 'integer' THEN '[' || ", value, " || ']' ELSE '.\"' || "] ++
      ["replace(replace(", value, ", '\\', '\\\\'), '\"', '\\u0022') || '\"' END"]
  end

  # Functions of JSON write 15 digits of a float, and 17 tell it from others.
  @atom "CASE typeof(atom) WHEN 'real' THEN printf('%!.17g', atom) ELSE atom END"

  @doc """
  A text that JSON values have in common if they are equal, however they are stored, spelled and
  whatever the order of their keys.
  """
  def canonical(json) do
    # Not ordered within the aggregate: the parser of servers does not know that.
    ["(SELECT group_concat(node) FROM (SELECT json_array(fullkey, type, ", @atom, ") AS node FROM "] ++
      ["json_tree(", json, ") ORDER BY fullkey))"]
  end

  @doc "An array of expressions."
  def array(exprs, env),
    do: ["json_array(", Sql.intersperse_map(exprs, ", ", &item(&1, env)), ?)]

  defp item(value, _env) when is_boolean(value), do: ["json('", to_string(value), "')"]
  defp item(value, _env) when is_float(value), do: ["json('", to_string(value), "')"]
  defp item(value, env) when is_list(value), do: array(value, env)

  defp item(value, env) do
    case Type.of(value, env) do
      :float -> Expr.once(value, env, &float/1)
      nil -> if Type.plain?(value), do: float(Expr.expr(value, env)), else: Expr.expr(value, env)
      _type -> Expr.expr(value, env)
    end
  end

  # All digits of a float, as JSON; of others nothing is changed.
  defp float(value) do
    digits = ["decimal(", value, ?)]

    ["CASE typeof(", value, ") WHEN 'real' THEN json(CASE instr(", digits, ", '.') WHEN 0 THEN "] ++
      [digits, " || '.0' ELSE ", digits, " END) ELSE ", value, " END"]
  end

  @doc "A column's array with one more element at its end; `null` counts as an empty array."
  def push(column, value, type) do
    inserted = ["_insert(coalesce(", column, ", '[]'), '$[#]', ", inner(value, type), ?)]
    alike(column, ["jsonb" | inserted], ["json" | inserted])
  end

  @doc "A column's array without an element. The others are taken as JSON, so that they stay as they are."
  def pull(column, value, type) do
    rest = [
      ["_group_array(json(", column, " -> e.fullkey)) FROM json_each(", column, ") AS e WHERE "],
      [differs(column, value, type), ?)]
    ]

    ["CASE WHEN ", column, " IS NOT NULL THEN "] ++
      [alike(column, ["(SELECT jsonb" | rest], ["(SELECT json" | rest]), " END"]
  end

  defp alike(column, jsonb, json),
    do: ["CASE typeof(", column, ") WHEN 'blob' THEN ", jsonb, " ELSE ", json, " END"]

  # As an element of JSON: objects and arrays are bound as JSON, booleans as 1 and 0, and ids and times
  # in the form that columns have.
  defp inner(value, {:array, of}) when is_json(of), do: ["json(", value, ?)]

  defp inner(value, {:array, :boolean}),
    do: ["json(CASE ", value, " WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END)"]

  defp inner(value, {:array, of}) when of in [:float, nil], do: float(value)
  defp inner(value, {:array, of}), do: text(value, of)
  defp inner(value, _type), do: value

  defp differs(_column, value, {:array, of}) when is_json(of),
    do: [canonical("e.value"), " IS NOT " | canonical(value)]

  defp differs(_column, value, {:array, :decimal}),
    do: ["decimal(e.value) COLLATE decimal IS NOT " | value]

  defp differs(column, value, {:array, :float}),
    do: [List.float("e", column, value), " IS NOT " | value]

  defp differs(_column, value, {:array, of}), do: ["e.value IS NOT " | text(value, of)]
  defp differs(_column, value, _type), do: ["e.value IS NOT " | value]

  @doc "What is stored, as JSON has it."
  def text(value, type) when is_id(type), do: Ident.text(value)

  def text(value, type) when is_datetime(type), do: Moment.iso(value, type)
  def text(value, _type), do: value
end
