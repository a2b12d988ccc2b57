defmodule Ecto.Adapters.LibSql.Query.Ident do
  @moduledoc false
  # UUIDs and binary ids, which are 16 bytes or text, each by a setting of the Repo that nothing here can
  # see. Where two kinds meet, SQL takes them as they come.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_id: 1]
  alias Ecto.Adapters.LibSql.Query.Type
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Query.Tagged

  @doc "Whether values of two types may be the same id in two forms."
  def differ?(left, right),
    do: left != right and (is_id(left) or is_id(right)) and text?(left) and text?(right)

  defp text?(type), do: is_id(type) or type == :string

  @doc "The type that says how an expression is stored: `type/2` changes no id."
  def form(%Tagged{value: value, type: type}, env) when is_id(type) do
    inner = Type.of(value, env)
    if text?(inner), do: inner, else: type
  end

  def form(expr, env), do: Type.of(expr, env)

  @doc "Both forms of an id, for IN: an index on what stands before it serves."
  def forms(sql), do: [?(, text(sql), ", ", bytes(sql), ?)]

  @doc "The text of an id. The SQL is written several times."
  def text(sql),
    do: ["CASE typeof(", sql, ") WHEN 'blob' THEN ", hyphenated(sql), " ELSE ", sql, " END"]

  @doc "The bytes of an id; a text that is no UUID stays. The SQL is written several times."
  def bytes(sql) do
    ["CASE WHEN typeof(", sql, ") = 'text' AND length(", sql, ") = 36 THEN ifnull(unhex(", sql] ++
      [", '-'), ", sql, ") ELSE ", sql, " END"]
  end

  @doc "The text of 16 bytes."
  def hyphenated(sql) do
    parts =
      Sql.intersperse_map([{1, 8}, {9, 4}, {13, 4}, {17, 4}, {21, 12}], " || '-' || ", fn part ->
        {from, length} = part
        ["substr(hex(", sql, "), #{from}, #{length})"]
      end)

    ["lower(", parts, ?)]
  end
end
