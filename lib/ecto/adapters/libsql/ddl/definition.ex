defmodule Ecto.Adapters.LibSql.DDL.Definition do
  @moduledoc false
  # The text of a CREATE TABLE, taken apart: its columns, its constraints, and what stands around them.
  # PRAGMAs do not show CHECK, COLLATE nor the names of constraints, and a table that is built anew keeps
  # them; so a part can be changed here, and all else stays as it was written, comments included.
  #
  # An item is a column or a constraint of the table. `before` and `after` are the blanks around its text,
  # `tail` is a comment behind its comma. `source` is the old column that a column's values come from.

  alias Ecto.Adapters.LibSql.DDL.Tokens

  defstruct [:head, :items, :options]

  @type item :: %{
          type: :column | :constraint,
          name: String.t() | nil,
          text: String.t(),
          source: String.t() | nil,
          before: String.t(),
          after: String.t(),
          tail: String.t()
        }
  @type t :: %__MODULE__{head: String.t(), items: [item()], options: String.t()}

  ## Reading

  @doc "The parts of a text, as the schema keeps it."
  @spec parse(String.t()) :: t()
  def parse(sql) do
    {head, rest} = sql |> Tokens.flat() |> Enum.split_while(&(&1 != {:text, "("}))
    {body, options} = rest |> Enum.drop(1) |> Tokens.inside(1, [])
    {body, closing} = Enum.split(body, -1)

    %__MODULE__{
      head: Tokens.text(head) <> "(",
      items: body |> Tokens.group() |> items([]),
      options: Tokens.text(closing ++ options)
    }
  end

  defp items(tokens, items) do
    case Enum.split_while(tokens, &(&1 != {:text, ","})) do
      {last, []} ->
        [item(last, "") | items] |> Enum.reverse() |> Enum.flat_map(&split_constraints/1)

      {tokens, [_comma | rest]} ->
        {tail, rest} = tail(rest)
        items(rest, [item(tokens, tail) | items])
    end
  end

  # A comment behind the comma, on its line, speaks of what stands before the comma.
  defp tail(tokens) do
    {line, rest} = Enum.split_while(tokens, &(Tokens.blank?(&1) and not line_end?(&1)))

    case rest do
      [{:blank, "--" <> _ = comment} | rest] ->
        {Tokens.text(line) <> String.trim_trailing(comment, "\n"), [{:blank, "\n"} | rest]}

      [{:blank, _newline} | _] ->
        if comment?(line), do: {Tokens.text(line), rest}, else: {"", tokens}

      _next_item ->
        {"", tokens}
    end
  end

  defp line_end?({:blank, text}), do: String.ends_with?(text, "\n")
  defp comment?(tokens), do: Enum.any?(tokens, &Tokens.comment?/1)

  defp item(tokens, tail) do
    {before, tokens, behind} = Tokens.blanks(tokens)
    {type, name} = type(tokens)

    %{
      type: type,
      name: name,
      text: Tokens.text(tokens),
      source: if(type == :column, do: name),
      before: Tokens.text(before),
      after: Tokens.text(behind),
      tail: tail
    }
  end

  defp type([]), do: {:column, nil}

  defp type([{_kind, name} | _] = tokens) do
    if Tokens.constraint?(tokens),
      do: {:constraint, Tokens.constraint_name(tokens)},
      else: {:column, Tokens.unquoted(name)}
  end

  # SQLite lets constraints of the table follow one another without a comma.
  defp split_constraints(%{type: :column} = item), do: [item]

  defp split_constraints(%{type: :constraint} = item) do
    case item.text |> Tokens.read() |> Tokens.split(:table) do
      {_nothing, [_one]} ->
        [item]

      {_nothing, many} ->
        separate(item, for({_kind, tokens} <- many, do: item(tokens, "")))
    end
  end

  defp separate(item, parts) do
    {last, parts} = parts |> Enum.map(&%{&1 | before: " ", after: ""}) |> List.pop_at(-1)
    [first | parts] = parts ++ [%{last | after: item.after, tail: item.tail}]
    [%{first | before: item.before} | parts]
  end

  ## Writing

  @doc "The text."
  def to_sql(definition),
    do: IO.iodata_to_binary([definition.head, write(definition.items), definition.options])

  defp write([]), do: []
  defp write([last]), do: [last.before, last.text, last.after, last.tail, line_end(last.tail)]

  defp write([item | rest]),
    do: [item.before, item.text, item.after, ?,, item.tail | write(rest)]

  # A comment would swallow the parenthesis.
  defp line_end(""), do: []
  defp line_end(_comment), do: "\n"

  ## Looking

  @doc "The columns."
  def columns(definition), do: Enum.filter(definition.items, &(&1.type == :column))

  @doc "The column of a name, or `nil`."
  def column(definition, name),
    do: definition |> columns() |> Enum.find(&Tokens.same?(&1.name, name))

  @doc "The constraints of the table."
  def constraints(definition), do: Enum.filter(definition.items, &(&1.type == :constraint))

  @doc "The declared type of a column."
  def declared_type(column) do
    {[_name | type], _constraints} = clauses(column)
    type |> Tokens.trim() |> Tokens.text()
  end

  @doc "`[{kind, sql}]` of a column's constraints, in their order; `[]` for none."
  def column_constraints(nil), do: []

  def column_constraints(column) do
    {_name_and_type, constraints} = clauses(column)
    for {kind, tokens} <- constraints, kind, do: {kind, tokens |> Tokens.text() |> String.trim()}
  end

  @doc "Whether a column has a constraint of a kind."
  def has?(column, kind), do: List.keymember?(column_constraints(column), kind, 0)

  # The name may be a word that constraints begin with, in quotes.
  defp clauses(%{text: text}) do
    [name | rest] = Tokens.read(text)
    {type, constraints} = Tokens.split(rest, :column)
    {[name | type], constraints}
  end

  @doc "The kind of a table's constraint."
  def kind(%{text: text}), do: text |> Tokens.read() |> Tokens.kind()

  @doc "The columns that a PRIMARY KEY, UNIQUE or FOREIGN KEY of the table is of."
  def of_columns(%{type: :constraint, text: text}) do
    case text |> Tokens.read() |> Enum.find(&match?({:group, _}, &1)) do
      {:group, group} -> group |> String.slice(1..-2//1) |> Tokens.read() |> items([]) |> names()
      nil -> []
    end
  end

  defp names(items), do: Enum.map(items, & &1.name)

  @doc "The columns of the primary key, in its order."
  def primary_key(definition) do
    case Enum.find(definition.items, &primary_key?/1) do
      nil -> []
      %{type: :column, name: name} -> [name]
      constraint -> of_columns(constraint)
    end
  end

  defp primary_key?(%{type: :column} = column), do: has?(column, :primary_key)
  defp primary_key?(constraint), do: kind(constraint) == :primary_key

  @doc "Whether the options behind the parenthesis have these words: `STRICT`, `WITHOUT ROWID`."
  def option?(definition, words) do
    given = for {:word, word} <- Tokens.flat(definition.options), do: String.upcase(word)
    String.contains?(" #{Enum.join(given, " ")} ", " #{words} ")
  end

  ## Changing

  @doc "The definition with one more column, behind the others."
  def append_column(definition, sql) do
    {columns, constraints} = Enum.split_while(definition.items, &(&1.type == :column))
    %{definition | items: push(columns, new_item(sql), constraints)}
  end

  @doc "The definition with one more constraint of the table, behind all."
  def append_constraint(definition, sql),
    do: %{definition | items: push(definition.items, new_item(sql), [])}

  defp new_item(sql), do: %{(sql |> Tokens.read() |> item("")) | source: nil}

  defp push([], item, rest), do: [item | rest]

  # On a line of its own where the one before it is.
  defp push(items, item, rest) do
    {last, items} = List.pop_at(items, -1)
    closing = if rest == [], do: closing(last.after), else: ""
    last = comma_behind(last)
    items ++ [last, %{item | before: space(last), after: item.after <> closing} | rest]
  end

  # The comma goes before a comment.
  defp comma_behind(last) do
    comment = String.trim_trailing(last.after)
    %{last | after: "", tail: if(comment == "", do: last.tail, else: comment)}
  end

  defp space(last) do
    case Regex.run(~r/\n[ \t]*/, last.before) do
      [newline] -> newline
      nil -> if last.tail =~ "--", do: "\n", else: " "
    end
  end

  defp closing(blanks), do: if(String.contains?(blanks, "\n"), do: "\n", else: "")

  @doc "The definition with a column declared anew. Its values stay, and its comment if there is no other."
  def replace_column(definition, name, sql) do
    new = new_item(sql)

    map_column(definition, name, fn old ->
      behind = if new.after == "", do: old.after, else: new.after <> closing(old.after)
      %{old | name: new.name, text: new.text, after: behind}
    end)
  end

  @doc "The definition without the constraints of a column for which `fun` of kind and name holds."
  def drop_column_constraints(definition, name, fun) do
    map_column(definition, name, fn column ->
      {name_and_type, constraints} = clauses(column)

      kept =
        for {kind, tokens} <- constraints,
            kind == nil or not fun.(kind, Tokens.constraint_name(tokens), Tokens.text(tokens)),
            do: tokens

      %{
        column
        | text: [name_and_type | kept] |> Enum.concat() |> Tokens.text() |> String.trim_trailing()
      }
    end)
  end

  defp map_column(definition, name, fun) do
    items =
      for item <- definition.items do
        if item.type == :column and Tokens.same?(item.name, name), do: fun.(item), else: item
      end

    %{definition | items: items}
  end

  @doc "The definition without the items for which `fun` holds."
  def reject(definition, fun) do
    [first | _] = definition.items
    last = List.last(definition.items)
    %{definition | items: definition.items |> Enum.reject(fun) |> open(first) |> close(last)}
  end

  defp open([], _first), do: []
  defp open([own | rest], first), do: [%{own | before: first.before} | rest]

  # Who is the last now has the line's end before the parenthesis.
  defp close([], _last), do: []

  defp close(items, last) do
    {own, others} = List.pop_at(items, -1)

    if %{own | before: ""} == %{last | before: ""} or own.tail != "",
      do: items,
      else: others ++ [%{own | after: own.after <> closing(last.after)}]
  end
end
