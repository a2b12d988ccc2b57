defmodule Ecto.Adapters.LibSql.DDL.Definition do
  @moduledoc false
  # Reads a column's constraints out of the text of CREATE TABLE, as the schema keeps it: PRAGMAs do not
  # show CHECK, COLLATE nor the names of constraints.

  # A token: a comment, a blob, something in quotes, a parenthesis, a comma, or a run of anything else.
  @token ~r/--[^\n]*|\/\*.*?\*\/|x'[^']*'|"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]|[(),]|(?:[^\s(),"'`\[\/-]|-(?!-)|\/(?!\*))+/si

  @doc "`[{kind, sql}]` of the column's constraints, in their order; `[]` for a column that is not there."
  def constraints(create_table, column) do
    create_table
    |> columns()
    |> Enum.find([], &named?(&1, column))
    |> segments()
  end

  ## Columns: lists of tokens, what stands in parentheses being one of them

  defp columns(sql) do
    tokens =
      for [token] <- Regex.scan(@token, sql),
          not String.starts_with?(token, ["--", "/*"]),
          do: token

    {before, _open_and_rest} = Enum.split_while(tokens, &(&1 != "("))
    tokens |> Enum.drop(length(before) + 1) |> split([], [])
  end

  defp split([], column, columns), do: finish(column, columns)
  defp split([")" | _options], column, columns), do: finish(column, columns)
  defp split(["," | rest], column, columns), do: split(rest, [], [Enum.reverse(column) | columns])

  defp split(["(" | rest], column, columns) do
    {group, rest} = group(rest, ["("], 1)
    split(rest, [group | column], columns)
  end

  defp split([token | rest], column, columns), do: split(rest, [token | column], columns)

  defp finish(column, columns), do: Enum.reverse([Enum.reverse(column) | columns])

  defp group(rest, group, 0), do: {join(Enum.reverse(group)), rest}
  defp group([], group, _depth), do: group([], group, 0)
  defp group(["(" | rest], group, depth), do: group(rest, ["(" | group], depth + 1)
  defp group([")" | rest], group, depth), do: group(rest, [")" | group], depth - 1)
  defp group([token | rest], group, depth), do: group(rest, [token | group], depth)

  defp join(tokens), do: tokens |> Enum.intersperse(" ") |> IO.iodata_to_binary()

  defp named?([name | _definition], column),
    do: String.downcase(unquoted(name)) == String.downcase(column)

  defp named?([], _column), do: false

  defp unquoted(<<quote, rest::binary>>) when quote in [?", ?', ?`] do
    rest |> String.slice(0..-2//1) |> String.replace(<<quote, quote>>, <<quote>>)
  end

  defp unquoted("[" <> rest), do: String.trim_trailing(rest, "]")
  defp unquoted(name), do: name

  ## Constraints: each begins at a word, or at CONSTRAINT and its name before it

  defp segments([]), do: []

  defp segments([_name | definition]) do
    definition
    |> Enum.chunk_while([], &chunk/2, &{:cont, Enum.reverse(&1), []})
    |> Enum.flat_map(&segment/1)
  end

  defp chunk(token, tokens) do
    if begins?(String.upcase(token), upcase(tokens)),
      do: {:cont, Enum.reverse(tokens), [token]},
      else: {:cont, [token | tokens]}
  end

  defp upcase(tokens), do: Enum.map(tokens, &String.upcase/1)

  defp begins?(_word, [_name, "CONSTRAINT" | _]), do: false
  defp begins?(_word, ["CONSTRAINT"]), do: false
  defp begins?(_word, ["DEFAULT"]), do: false
  defp begins?(_word, ["DEFAULT", _name, "CONSTRAINT"]), do: false
  defp begins?(word, ["SET" | _]) when word in ["NULL", "DEFAULT"], do: false
  defp begins?("NULL", ["NOT" | _]), do: false
  defp begins?("DEFERRABLE", _tokens), do: false
  defp begins?("AS", ["ALWAYS" | _]), do: false
  # NOT of NOT DEFERRABLE is told from that of NOT NULL by what follows: see segment/1.
  defp begins?(word, _tokens),
    do: word in ~w(CONSTRAINT PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE REFERENCES GENERATED AS)

  defp segment([]), do: []

  defp segment(tokens) do
    case tokens |> upcase() |> without_name() do
      ["NOT", "NULL" | _] -> [{:not_null, join(tokens)}]
      ["NOT" | _] -> [{:deferrable, join(tokens)}]
      ["DEFAULT" | _] -> [{:default, join(tokens)}]
      ["CHECK" | _] -> [{:check, join(tokens)}]
      ["COLLATE" | _] -> [{:collate, join(tokens)}]
      ["REFERENCES" | _] -> [{:references, join(tokens)}]
      ["PRIMARY" | _] -> [{:primary_key, join(tokens)}]
      ["UNIQUE" | _] -> [{:unique, join(tokens)}]
      [word | _] when word in ["GENERATED", "AS"] -> [{:generated, join(tokens)}]
      _type_or_null -> []
    end
  end

  defp without_name(["CONSTRAINT", _name | rest]), do: rest
  defp without_name(tokens), do: tokens
end
