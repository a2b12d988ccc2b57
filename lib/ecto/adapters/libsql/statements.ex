defmodule Ecto.Adapters.LibSql.Statements do
  @moduledoc false
  # A text of several statements as a list of statements.

  @doc """
  The statements of a text, without the semicolons between them. What is in quotes or comments is passed
  over; a trigger ends with its END.
  """
  def split(sql), do: sql |> tokens() |> statements([], [])

  @doc """
  The tokens of a text: `:semicolon`, `{:word, text}`, `{:text, text}` (in quotes, or one character) and
  `{:blank, text}` (comments too).
  """
  def tokens(sql), do: tokens(sql, [])

  defp tokens("", acc), do: Enum.reverse(acc)
  defp tokens(";" <> rest, acc), do: tokens(rest, [:semicolon | acc])

  defp tokens(sql, acc) do
    {token, rest} = token(sql)
    tokens(rest, [token | acc])
  end

  defp token("--" <> _ = sql), do: comment(sql, ~r/\A--[^\n]*\n?/)
  defp token("/*" <> _ = sql), do: comment(sql, ~r/\A\/\*.*?(\*\/|\z)/s)
  defp token("'" <> _ = sql), do: text(sql, ~r/\A'(?:[^']|'')*'?/)
  defp token("\"" <> _ = sql), do: text(sql, ~r/\A"(?:[^"]|"")*"?/)
  defp token("`" <> _ = sql), do: text(sql, ~r/\A`(?:[^`]|``)*`?/)
  defp token("[" <> _ = sql), do: text(sql, ~r/\A\[[^\]]*\]?/)

  defp token(<<byte, _::binary>> = sql)
       when byte in ?a..?z or byte in ?A..?Z or byte in [?_, ?$] or byte in ?0..?9 or byte > 127,
       do: word(sql)

  defp token(<<byte, rest::binary>>) when byte in [?\s, ?\t, ?\n, ?\f, ?\r],
    do: {{:blank, <<byte>>}, rest}

  defp token(<<byte, rest::binary>>), do: {{:text, <<byte>>}, rest}

  defp comment(sql, regex), do: cut(sql, regex, :blank)
  defp text(sql, regex), do: cut(sql, regex, :text)
  defp word(sql), do: cut(sql, ~r/\A[a-zA-Z0-9_$\x80-\xFF]+/, :word)

  defp cut(sql, regex, kind) do
    [{0, size} | _] = Regex.run(regex, sql, return: :index)
    <<token::binary-size(size), rest::binary>> = sql
    {{kind, token}, rest}
  end

  defp statements([], current, done), do: done |> add(current) |> Enum.reverse()

  defp statements([:semicolon | rest], current, done) do
    if inside_trigger?(current),
      do: statements(rest, [:semicolon | current], done),
      else: statements(rest, [], add(done, current))
  end

  defp statements([token | rest], current, done), do: statements(rest, [token | current], done)

  defp add(done, current) do
    if Enum.all?(current, &match?({:blank, _}, &1)),
      do: done,
      else: [current |> Enum.reverse() |> Enum.map_join(&source/1) |> String.trim() | done]
  end

  @doc "The text of a token."
  def source(:semicolon), do: ";"
  def source({_kind, text}), do: text

  # END may also close a CASE; that of a trigger comes after a semicolon.
  defp inside_trigger?(current), do: trigger?(Enum.reverse(current)) and not ended?(current)

  defp trigger?(tokens) do
    case tokens |> words() |> Enum.take(3) do
      ["CREATE", "TRIGGER" | _] -> true
      ["CREATE", temp, "TRIGGER"] -> temp in ["TEMP", "TEMPORARY"]
      _other -> false
    end
  end

  defp words(tokens), do: for({:word, word} <- tokens, do: String.upcase(word))

  defp ended?(current) do
    case Enum.reject(current, &match?({:blank, _}, &1)) do
      [{:word, word}, :semicolon | _] -> String.upcase(word) == "END"
      _other -> false
    end
  end
end
