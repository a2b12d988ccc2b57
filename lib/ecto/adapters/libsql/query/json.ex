defmodule Ecto.Adapters.LibSql.Query.Json do
  @moduledoc false
  # Paths into JSON, and arrays, which are stored as JSON.

  alias Ecto.Adapters.LibSql.Query.Expr
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
      ["replace(replace(", value, ", '\\', '\\\\'), '\"', '\\\"') || '\"' END"]
  end

  @doc "The elements of an array, as the right side of IN. `type`: what they are, nil: not known."
  def elements(expr, type, env) do
    from = [" FROM json_each(", Expr.expr(expr, env), ?)]
    ["(SELECT ", element(type), from, more(type, from), ?)]
  end

  # Columns and parameters hold ids as text or as bytes, JSON the text.
  defp more(type, from) when type in [:uuid, :binary_id],
    do: [" UNION ALL SELECT unhex(replace(value, '-', ''))", from]

  defp more(_type, _from), do: []

  # JSON holds bytes that are UTF-8 as text; others: Types.
  defp element(:decimal), do: "CAST(value AS NUMERIC)"

  defp element(type) when type in [:binary, :bitstring],
    do: "CASE type WHEN 'object' THEN unhex(value ->> 'x') ELSE CAST(value AS BLOB) END"

  defp element(_type), do: "value"

  @doc "A term as JSON text."
  def literal(term), do: term |> EctoLibSql.Encoder.json() |> Sql.quote_string()

  @doc "The same, in the form that `other` is stored in."
  def literal(term, other) do
    text = literal(term)
    ["CASE typeof(", other, ") WHEN 'blob' THEN jsonb(", text, ") ELSE ", text, " END"]
  end

  @doc "An array of expressions."
  def array(exprs, env),
    do: ["json_array(", Sql.intersperse_map(exprs, ", ", &item(&1, env)), ?)]

  defp item(value, _env) when is_boolean(value), do: ["json('", to_string(value), "')"]
  defp item(value, env) when is_list(value), do: array(value, env)
  defp item(value, env), do: Expr.expr(value, env)

  @doc "A column's array with one more element at its end; `null` counts as an empty array."
  def push(column, value, type) do
    ["json_insert(coalesce(", column, ", '[]'), '$[#]', ", inner(value, type), ?)]
  end

  @doc "A column's array without an element. The others are taken as JSON, so that they stay as they are."
  def pull(column, value, type) do
    ["CASE WHEN ", column, " IS NOT NULL THEN (SELECT json_group_array(json(", column] ++
      [" -> e.fullkey)) FROM json_each(", column, ") AS e WHERE e.value IS NOT "] ++
      [compared(value, type), ") END"]
  end

  # Objects and arrays are bound as JSON text, booleans as 1 and 0.
  defp inner(value, {:array, {tag, _}}) when tag in [:map, :array], do: ["json(", value, ?)]
  defp inner(value, {:array, :map}), do: ["json(", value, ?)]

  defp inner(value, {:array, :boolean}),
    do: ["json(CASE ", value, " WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"]

  defp inner(value, {:array, :uuid}), do: uuid(value)
  defp inner(value, _type), do: value

  defp compared(value, {:array, {tag, _}}) when tag in [:map, :array], do: ["json(", value, ?)]
  defp compared(value, {:array, :map}), do: ["json(", value, ?)]
  defp compared(value, {:array, :uuid}), do: uuid(value)
  defp compared(value, _type), do: value

  defp uuid(value) do
    parts =
      Sql.intersperse_map([{1, 8}, {9, 4}, {13, 4}, {17, 4}, {21, 12}], " || '-' || ", fn part ->
        {from, length} = part
        ["substr(hex(", value, "), #{from}, #{length})"]
      end)

    ["lower(", parts, ?)]
  end
end
