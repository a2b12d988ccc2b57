defmodule EctoLibSql.Native.Sql do
  @moduledoc false
  # The first word of SQL text. Nothing in the driver decides by it.

  @commands %{
    "select" => :select,
    "with" => :select,
    "insert" => :insert,
    "replace" => :insert,
    "update" => :update,
    "delete" => :delete,
    "begin" => :begin,
    "commit" => :commit,
    "end" => :commit,
    "rollback" => :rollback,
    "create" => :create,
    "drop" => :create,
    "alter" => :create,
    "pragma" => :pragma
  }

  def detect_command(sql) when is_binary(sql),
    do: Map.get(@commands, sql |> first_word() |> String.downcase(), :unknown)

  def detect_command(_other), do: :unknown

  @doc "The first word behind white space and comments."
  def first_word(<<c, rest::binary>>) when c in ~c( \t\r\n\f), do: first_word(rest)
  def first_word("--" <> rest), do: rest |> behind("\n") |> first_word()
  def first_word("/*" <> rest), do: rest |> behind("*/") |> first_word()
  def first_word(sql), do: hd(Regex.run(~r/\A[a-zA-Z]*/, sql))

  defp behind(text, mark) do
    case String.split(text, mark, parts: 2) do
      [_, rest] -> rest
      [_] -> ""
    end
  end
end
