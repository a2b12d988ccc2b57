defmodule Ecto.Adapters.LibSql.DDL.Tokens do
  @moduledoc false
  # Parts of a CREATE TABLE as lists of tokens, whose texts put together are the text again.

  alias Ecto.Adapters.LibSql.Statements

  @type token :: {:word | :text | :blank | :group, String.t()}

  @doc "The tokens of a text. What stands in parentheses is one of them, a `:group`."
  @spec read(iodata()) :: [token()]
  def read(sql), do: sql |> flat() |> group()

  @doc "The tokens of a text, parentheses as they stand there."
  def flat(sql) do
    for token <- sql |> IO.iodata_to_binary() |> Statements.tokens(),
        do: if(token == :semicolon, do: {:text, ";"}, else: token)
  end

  @doc "Puts together what stands in parentheses."
  def group([{:text, "("} = open | rest]) do
    {inside, rest} = inside(rest, 1, [open])
    [{:group, text(inside)} | group(rest)]
  end

  def group([token | rest]), do: [token | group(rest)]
  def group([]), do: []

  @doc "Splits behind the parenthesis that closes the `depth`th; `taken` goes before."
  def inside(rest, 0, taken), do: {Enum.reverse(taken), rest}
  def inside([], _depth, taken), do: {Enum.reverse(taken), []}
  def inside([token | rest], depth, taken), do: inside(rest, depth + depth(token), [token | taken])

  defp depth({:text, "("}), do: 1
  defp depth({:text, ")"}), do: -1
  defp depth(_token), do: 0

  @doc "The text of tokens."
  def text(tokens), do: tokens |> Enum.map(&elem(&1, 1)) |> IO.iodata_to_binary()

  @doc "Whether a token is white space or a comment."
  def blank?({kind, _text}), do: kind == :blank

  @doc "Whether a token is a comment."
  def comment?({kind, text}), do: kind == :blank and String.starts_with?(text, ["--", "/*"])

  @doc "`{before, tokens, after}`: the blanks at both ends split off."
  def blanks(tokens) do
    {before, rest} = Enum.split_while(tokens, &blank?/1)
    {behind, rest} = rest |> Enum.reverse() |> Enum.split_while(&blank?/1)
    {before, Enum.reverse(rest), Enum.reverse(behind)}
  end

  @doc "The tokens without the blanks at both ends."
  def trim(tokens), do: tokens |> blanks() |> elem(1)

  @doc "A name without its quotes."
  def unquoted(<<quote, rest::binary>>) when quote in [?", ?', ?`],
    do: rest |> String.slice(0..-2//1) |> String.replace(<<quote, quote>>, <<quote>>)

  def unquoted("[" <> rest), do: String.trim_trailing(rest, "]")
  def unquoted(name), do: name

  @doc "Whether two names mean the same to SQLite."
  def same?(a, b), do: downcase(a) == downcase(b)

  defp downcase(name), do: name |> to_string() |> String.downcase(:ascii)

  @doc "Whether an SQL text speaks of a column: its name stands there, and is not a function's."
  def mentions?(sql, name) do
    tokens = sql |> flat() |> Enum.reject(&blank?/1)

    tokens
    |> Enum.zip(Enum.drop(tokens, 1) ++ [:end])
    |> Enum.any?(fn {token, next} -> named?(token, name) and next != {:text, "("} end)
  end

  @doc "Whether an SQL text has a name with a dot behind it, as in `table.column`."
  def qualifies?(sql, name) do
    tokens = sql |> flat() |> Enum.reject(&blank?/1)

    tokens
    |> Enum.zip(Enum.drop(tokens, 1))
    |> Enum.any?(fn {token, next} -> named?(token, name) and next == {:text, "."} end)
  end

  defp named?({:text, "'" <> _}, _name), do: false
  defp named?({_kind, text}, name), do: same?(unquoted(text), name)

  ## Constraints: each begins at a word, or at CONSTRAINT and its name before it

  @of_columns ~w(CONSTRAINT PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE REFERENCES GENERATED AS)
  @of_tables ~w(CONSTRAINT PRIMARY UNIQUE CHECK FOREIGN)

  @doc "Whether an item of a CREATE TABLE begins as a constraint, not as a column."
  def constraint?([{:word, word} | _]), do: String.upcase(word) in @of_tables
  def constraint?(_tokens), do: false

  @doc "The constraints in a list of tokens, of a `:column` or of a `:table`; before them, the rest."
  def split(tokens, :column), do: split(tokens, @of_columns, [], [])
  def split(tokens, :table), do: split(tokens, @of_tables, [], [])

  defp split([token | rest], words, current, done) do
    if begins?(token, words, significant(current)),
      do: split(rest, words, [token], [Enum.reverse(current) | done]),
      else: split(rest, words, [token | current], done)
  end

  defp split([], _words, current, done) do
    [first | constraints] = Enum.reverse([Enum.reverse(current) | done])
    {first, Enum.map(constraints, &{kind(&1), &1})}
  end

  defp significant(tokens), do: for({kind, text} <- tokens, kind != :blank, do: String.upcase(text))

  defp begins?({:word, word}, words, before) do
    word = String.upcase(word)
    word in words and not continues?(word, before)
  end

  defp begins?(_token, _words, _before), do: false

  # `before` is reversed. NOT of NOT DEFERRABLE begins a piece of its own: see kind/1.
  defp continues?(_word, ["CONSTRAINT" | _]), do: true
  defp continues?(_word, [_name, "CONSTRAINT"]), do: true
  defp continues?(word, ["SET" | _]), do: word in ["NULL", "DEFAULT"]
  defp continues?(_word, ["DEFAULT", "SET" | _]), do: false
  defp continues?(_word, ["DEFAULT" | _]), do: true
  defp continues?("NULL", ["NOT" | _]), do: true
  defp continues?("AS", ["ALWAYS" | _]), do: true
  defp continues?(_word, _before), do: false

  @doc "What kind of constraint the tokens are; `nil` for NULL, which is none."
  def kind(tokens) do
    case tokens |> Enum.reject(&blank?/1) |> Enum.map(&(&1 |> elem(1) |> String.upcase())) do
      ["CONSTRAINT", _name | words] -> word_kind(words)
      words -> word_kind(words)
    end
  end

  defp word_kind(["NOT", "NULL" | _]), do: :not_null
  defp word_kind(["NOT" | _]), do: :deferrable
  defp word_kind(["PRIMARY" | _]), do: :primary_key
  defp word_kind(["UNIQUE" | _]), do: :unique
  defp word_kind(["CHECK" | _]), do: :check
  defp word_kind(["FOREIGN" | _]), do: :foreign_key
  defp word_kind(["REFERENCES" | _]), do: :foreign_key
  defp word_kind(["DEFAULT" | _]), do: :default
  defp word_kind(["COLLATE" | _]), do: :collate
  defp word_kind([word | _]) when word in ["GENERATED", "AS"], do: :generated
  defp word_kind(_null), do: nil

  @doc "The name that CONSTRAINT gives, or `nil`."
  def constraint_name(tokens) do
    case Enum.reject(tokens, &blank?/1) do
      [{:word, word}, {_kind, name} | _] ->
        if String.upcase(word) == "CONSTRAINT", do: unquoted(name)

      _none ->
        nil
    end
  end
end
