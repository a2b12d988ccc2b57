defmodule Ecto.Adapters.LibSql.DDL.TableOptions do
  @moduledoc false
  # `options:` of a table: text that goes behind it as it is, or a keyword list of what is known here.

  @known [strict: "STRICT", without_rowid: "WITHOUT ROWID", random_rowid: "RANDOM ROWID"]
  @virtual [:rtree, :fts5]
  @names @virtual ++ Keyword.keys(@known)

  @doc """
  The options as a keyword list; text comes as `[text: text]`. `settings` are the Repo's: `:strict_tables`
  says whether tables are STRICT where the options do not.
  """
  def parse(options, settings \\ [], prefix \\ nil)

  def parse(nil, settings, prefix), do: [strict: strict?(settings[:strict_tables], prefix)]

  def parse(text, settings, prefix) when is_binary(text) do
    said? = text =~ ~r/\bSTRICT\b/i
    strict? = said? or strict?(settings[:strict_tables], prefix)
    [text: if(strict? and not said?, do: text <> ", STRICT", else: text), strict: strict?]
  end

  def parse(options, settings, prefix) do
    if Keyword.keyword?(options) and Enum.all?(options, &known?/1),
      do: options |> check() |> put_strict(settings[:strict_tables], prefix),
      else: refuse(options)
  end

  defp put_strict(options, tables, prefix) do
    if Enum.any?(@virtual, &options[&1]),
      do: options,
      else: Keyword.put_new(options, :strict, strict?(tables, prefix))
  end

  defp strict?(tables, _prefix) when tables in [nil, false], do: false
  defp strict?(true, _prefix), do: true

  defp strict?(databases, prefix) when is_list(databases),
    do: to_string(prefix || "main") in Enum.map(databases, &to_string/1)

  defp strict?(other, _prefix) do
    raise ArgumentError,
          "strict_tables: is true, false, or a list of databases (\"main\", or the names of attached " <>
            "ones), not #{inspect(other)}"
  end

  defp known?({:rtree, value}), do: is_boolean(value) or value == :i32
  defp known?({:fts5, value}), do: is_boolean(value) or Keyword.keyword?(value)
  defp known?({name, value}), do: name in @names and is_boolean(value)

  defp refuse(options) do
    raise ArgumentError,
          "SQLite does not support keyword lists in :options other than " <>
            Enum.map_join(@names, ", ", &"#{&1}: true") <> ": #{inspect(options)}"
  end

  defp check(options) do
    if options[:random_rowid] && options[:without_rowid],
      do: raise(ArgumentError, "random_rowid and without_rowid exclude each other")

    for module <- @virtual,
        options[module],
        do: check_alone(module, Keyword.delete(options, module))

    options
  end

  defp check_alone(_module, []), do: :ok

  defp check_alone(module, others) do
    raise ArgumentError,
          "#{module} tables are virtual and do not support standard table options. " <>
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
