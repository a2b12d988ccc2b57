defmodule Ecto.Adapters.LibSql.DDL.TableOptions do
  @moduledoc false
  # `options:` of a table: text that goes behind it as it is, or a keyword list of what is known here.

  @known [strict: "STRICT", without_rowid: "WITHOUT ROWID", random_rowid: "RANDOM ROWID"]
  @names [:rtree | Keyword.keys(@known)]

  @doc "The options as a keyword list; text comes as `[text: text]`."
  def parse(nil), do: []
  def parse(text) when is_binary(text), do: [text: text, strict: text =~ ~r/\bSTRICT\b/i]

  def parse(options) do
    if Keyword.keyword?(options) and Enum.all?(options, &known?/1),
      do: check(options),
      else: refuse(options)
  end

  defp known?({name, value}), do: name in @names and is_boolean(value)

  defp refuse(options) do
    raise ArgumentError,
          "SQLite does not support keyword lists in :options other than " <>
            Enum.map_join(@names, ", ", &"#{&1}: true") <> ": #{inspect(options)}"
  end

  defp check(options) do
    if options[:random_rowid] && options[:without_rowid],
      do: raise(ArgumentError, "random_rowid and without_rowid exclude each other")

    if options[:rtree], do: check_alone(Keyword.delete(options, :rtree))
    options
  end

  defp check_alone([]), do: :ok

  defp check_alone(others) do
    raise ArgumentError,
          "rtree tables are virtual and do not support standard table options. " <>
            "Found incompatible options: #{Enum.map_join(others, ", ", &"#{elem(&1, 0)}")}"
  end

  @doc "AUTOINCREMENT counts up, RANDOM ROWID does not."
  def check_autoincrement(options, columns) do
    if options[:random_rowid] && Enum.any?(columns, &auto?/1),
      do: raise(ArgumentError, "random_rowid and a column with autoincrement exclude each other")
  end

  defp auto?({_add, _name, _type, opts}), do: opts[:autoincrement] == true
  defp auto?(_change), do: false

  @doc "What stands behind the parenthesis."
  def text(options) do
    case options[:text] do
      nil -> for({name, sql} <- @known, options[name], do: sql) |> join()
      text -> [?\s, text]
    end
  end

  defp join([]), do: []
  defp join(words), do: [?\s, Enum.intersperse(words, ", ")]
end
