defmodule Ecto.Adapters.LibSql.Sql do
  @moduledoc false
  # Names, string literals and lists as SQL text. Whatever writes SQL quotes through here.

  @doc "A name in double quotes. A double quote in it is doubled; SQLite has no way to write a NUL."
  def quote_name(name) when is_atom(name), do: name |> Atom.to_string() |> quote_name()

  def quote_name(name) when is_binary(name) do
    if plain?(name), do: [?", name, ?"], else: quote_odd(name)
  end

  defp quote_odd(name) do
    refuse_nul(name, "a name")
    [?", double(name, "\""), ?"]
  end

  # Nearly all names are. To search and to replace costs the scheduler's time a thousandfold.
  defp plain?(<<char, rest::binary>>) when char != ?" and char != 0, do: plain?(rest)
  defp plain?(rest), do: rest == ""

  @doc "A table's name, after the name of its attached database when there is a prefix."
  def quote_table(nil, name), do: quote_name(name)
  def quote_table(prefix, name), do: [quote_name(prefix), ?., quote_name(name)]

  @doc "Names in double quotes, with commas."
  def quote_names(names), do: intersperse_map(names, ", ", &quote_name/1)

  @doc "A string literal."
  def quote_string(value) do
    refuse_nul(value, "a string literal")
    [?', escape_string(value), ?']
  end

  @doc "Any binary as text. What the engine's text cannot hold goes in as bytes."
  def quote_text(value) do
    if String.valid?(value) and :binary.match(value, <<0>>) == :nomatch,
      do: quote_string(value),
      else: ["CAST(", quote_blob(value), " AS TEXT)"]
  end

  @doc "What stands between the quotes of a string literal."
  def escape_string(value) when is_binary(value), do: double(value, "'")

  @doc "A blob literal."
  def quote_blob(value) when is_binary(value), do: ["x'", Base.encode16(value, case: :lower), ?']

  @doc "A JSON path that picks keys and indexes, as it stands between the quotes of a string literal."
  def json_path(steps), do: escape_string(IO.iodata_to_binary([?$ | Enum.map(steps, &json_step/1)]))

  @doc "One step of a JSON path. SQLite compares the key as JSON would write it."
  def json_step(index) when is_integer(index) and index >= 0, do: [?[, Integer.to_string(index), ?]]
  def json_step(index) when is_integer(index), do: ["[#", Integer.to_string(index), ?]]
  def json_step(key) when is_binary(key), do: [".\"", escape_json(key), ?"]

  @doc "Maps a list and puts a separator between the results."
  def intersperse_map([], _separator, _fun), do: []
  def intersperse_map([item], _separator, fun), do: [fun.(item)]

  def intersperse_map([item | rest], separator, fun),
    do: [fun.(item), separator | intersperse_map(rest, separator, fun)]

  defp double(text, quote), do: :binary.replace(text, quote, quote <> quote, [:global])

  # Older engines, as those of servers, look for the end of a key at its first quote, whatever stands before.
  defp escape_json(key) do
    key
    |> :binary.replace("\\", "\\\\", [:global])
    |> :binary.replace("\"", "\\u0022", [:global])
  end

  # The engine reads its text up to the first NUL.
  defp refuse_nul(text, what) do
    if :binary.match(text, <<0>>) != :nomatch,
      do: raise(ArgumentError, "#{what} in SQL cannot hold a NUL: #{inspect(text)}")
  end
end
