defmodule EctoLibSql.JSON do
  @moduledoc """
  The engine's JSON functions. Each takes a connection first and runs one SELECT; `json` is JSON text, or a
  blob of the engine's binary form; paths are the engine's (`"$.user.name"`, `"$[0]"`).

  Elixir values become what JSON has: maps and lists objects and arrays, `true`, `false` and `nil`
  themselves.
  """

  alias EctoLibSql.{Encoder, Error, State}

  @type json :: binary()
  @type answer(value) :: {:ok, value} | {:error, Error.t()}

  defp one(state, sql, args) do
    with {:ok, [value]} <- EctoLibSql.query_one(state, sql, args), do: {:ok, value}
  end

  # The engine's binary form may be UTF-8 by chance, and would then be bound as text. Its header says
  # how long it is; what can be text as well is text.
  defp json(value) when is_binary(value) do
    if binary_form?(value) and not text?(value), do: {:blob, value}, else: value
  end

  defp json(value), do: value

  defp binary_form?(<<0::4, type::4>>), do: type <= 12
  defp binary_form?(<<n::4, type::4, rest::binary>>) when type in 3..12, do: payload?(n, rest)
  defp binary_form?(_value), do: false

  defp payload?(12, <<n, rest::binary>>), do: byte_size(rest) == n
  defp payload?(13, <<n::16, rest::binary>>), do: byte_size(rest) == n
  defp payload?(14, <<n::32, rest::binary>>), do: byte_size(rest) == n
  defp payload?(15, <<n::64, rest::binary>>), do: byte_size(rest) == n
  defp payload?(n, rest), do: byte_size(rest) == n

  defp text?(<<first, _::binary>> = value) when first in [?{, ?[],
    do: :binary.last(value) in [?}, ?]]

  defp text?(<<first, _::binary>>), do: first in ~c("-0123456789tfn \t\r\n)

  defp all(state, sql, args) do
    case EctoLibSql.query(state, sql, args) do
      {:ok, _query, result, _state} -> {:ok, Enum.map(result.rows, &List.to_tuple/1)}
      {:error, error, _state} -> {:error, error}
    end
  end

  # An argument of a JSON function: what SQL has no value for goes in as JSON.
  defp argument(value, n) when is_boolean(value) or is_list(value),
    do: {"json(?#{n})", Encoder.json(value)}

  defp argument(value, n) when is_map(value) and not is_struct(value),
    do: {"json(?#{n})", Encoder.json(value)}

  defp argument(value, n), do: {"?#{n}", Encoder.value(value)}

  defp call(state, function, values) do
    {texts, args} =
      values |> Enum.with_index(1) |> Enum.map(fn {v, n} -> argument(v, n) end) |> Enum.unzip()

    one(state, "SELECT #{function}(#{Enum.join(texts, ", ")})", args)
  end

  @doc "The value at the path; objects and arrays as JSON text."
  @spec extract(State.t(), json(), String.t()) :: answer(term())
  def extract(state, json, path), do: one(state, "SELECT json_extract(?1, ?2)", [json(json), path])

  @doc ~s(The type at the path: "null", "true", "false", "integer", "real", "text", "array", "object".)
  @spec type(State.t(), json(), String.t()) :: answer(String.t() | nil)
  def type(state, json, path \\ "$"), do: one(state, "SELECT json_type(?1, ?2)", [json(json), path])

  @doc "Whether the text is JSON."
  @spec is_valid(State.t(), json()) :: answer(boolean())
  def is_valid(state, json) do
    with {:ok, value} <- one(state, "SELECT json_valid(?1)", [json]), do: {:ok, value == 1}
  end

  @doc "An array of the values."
  @spec array(State.t(), [term()]) :: answer(json())
  def array(state, values), do: call(state, "json_array", values)

  @doc "An object of a flat list of keys and values."
  @spec object(State.t(), [term()]) :: answer(json()) | {:error, {:invalid_arguments, String.t()}}
  def object(_state, pairs) when rem(length(pairs), 2) == 1,
    do: {:error, {:invalid_arguments, "an object is made of keys and values in turn"}}

  def object(state, pairs), do: call(state, "json_object", pairs)

  @doc "Key, value and type of each member."
  @spec each(State.t(), json(), String.t()) :: answer([{term(), term(), String.t()}])
  def each(state, json, path \\ "$"),
    do: all(state, "SELECT key, value, type FROM json_each(?1, ?2)", [json(json), path])

  @doc "Path, value (of what is neither object nor array) and type of everything inside."
  @spec tree(State.t(), json(), String.t()) :: answer([{String.t(), term(), String.t()}])
  def tree(state, json, path \\ "$"),
    do: all(state, "SELECT fullkey, atom, type FROM json_tree(?1, ?2)", [json(json), path])

  @doc "The JSON in its shortest text (`:json`) or in the engine's binary form (`:jsonb`)."
  @spec convert(State.t(), json(), :json | :jsonb) :: answer(binary())
  def convert(state, json, format \\ :json)
  def convert(state, json, :json), do: one(state, "SELECT json(?1)", [json(json)])
  def convert(state, json, :jsonb), do: one(state, "SELECT jsonb(?1)", [json(json)])

  def convert(_state, _json, format),
    do: raise(ArgumentError, "a format is :json or :jsonb, not #{inspect(format)}")

  @doc "A value as JSON text."
  @spec json_quote(State.t(), term()) :: answer(json())
  def json_quote(state, value), do: call(state, "json_quote", [value])

  @doc "Without what is at the path, or at each of the paths."
  @spec remove(State.t(), json(), String.t() | [String.t()]) :: answer(json())
  def remove(state, json, paths), do: call(state, "json_remove", [json(json) | List.wrap(paths)])

  @doc "With the value at the path, new or instead of another."
  @spec set(State.t(), json(), String.t(), term()) :: answer(json())
  def set(state, json, path, value), do: call(state, "json_set", [json(json), path, value])

  @doc "With the value at the path if there is one already."
  @spec replace(State.t(), json(), String.t(), term()) :: answer(json())
  def replace(state, json, path, value), do: call(state, "json_replace", [json(json), path, value])

  @doc "With the value at the path if there is none yet."
  @spec insert(State.t(), json(), String.t(), term()) :: answer(json())
  def insert(state, json, path, value), do: call(state, "json_insert", [json(json), path, value])

  @doc "Merged with a patch, by RFC 7396."
  @spec patch(State.t(), json(), json()) :: answer(json())
  def patch(state, json, patch),
    do: one(state, "SELECT json_patch(?1, ?2)", [json(json), json(patch)])

  @doc "How many members the array or object at the path has; `nil` if there is neither."
  @spec json_length(State.t(), json(), String.t()) :: answer(non_neg_integer() | nil)
  def json_length(state, json, path \\ "$") do
    one(
      state,
      "SELECT CASE WHEN json_type(?1, ?2) IN ('array', 'object') " <>
        "THEN (SELECT count(*) FROM json_each(?1, ?2)) END",
      [json(json), path]
    )
  end

  @doc "How deep it is nested: 1 for a plain value or an empty array or object."
  @spec depth(State.t(), json()) :: answer(pos_integer())
  def depth(state, json) do
    one(
      state,
      """
      WITH RECURSIVE level(id, depth) AS (
        SELECT id, 1 FROM json_tree(?1) WHERE parent IS NULL
        UNION ALL
        SELECT t.id, level.depth + 1 FROM json_tree(?1) t JOIN level ON t.parent = level.id
      )
      SELECT max(depth) FROM level
      """,
      [json(json)]
    )
  end

  @doc "The keys of the object at the path, as a JSON array; `nil` if there is none."
  @spec keys(State.t(), json(), String.t()) :: answer(json() | nil)
  def keys(state, json, path \\ "$") do
    one(
      state,
      "SELECT CASE WHEN json_type(?1, ?2) = 'object' " <>
        "THEN (SELECT json_group_array(key) FROM json_each(?1, ?2)) END",
      [json(json), path]
    )
  end

  @doc "SQL for `column -> key` (`:arrow`) or `column ->> key` (`:double_arrow`)."
  @spec arrow_fragment(String.t(), String.t() | integer(), :arrow | :double_arrow) :: String.t()
  def arrow_fragment(column, key, operator \\ :arrow) do
    unless Regex.match?(~r/\A[A-Za-z_][A-Za-z0-9_]*\z/, column),
      do: raise(ArgumentError, "not a column's name: #{inspect(column)}")

    "#{column} #{arrow(operator)} #{key(key)}"
  end

  defp arrow(:arrow), do: "->"
  defp arrow(:double_arrow), do: "->>"

  defp key(key) when is_integer(key), do: Integer.to_string(key)
  defp key(key) when is_binary(key), do: "'" <> String.replace(key, "'", "''") <> "'"
end
