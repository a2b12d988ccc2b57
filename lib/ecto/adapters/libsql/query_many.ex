defmodule Ecto.Adapters.LibSql.QueryMany do
  @moduledoc false
  # A text of several statements with one list of parameters: which statement gets which of them.
  #
  # `?3` and `$3` are the third one, in any statement. A `?` is the next one: in the text or, where a
  # statement has as many as were given, in the statement.

  alias Ecto.Adapters.LibSql.Statements
  alias EctoLibSql.Error

  @doc "`{:ok, [{statement, its parameters}]}`; an error if a parameter is left over."
  def plan(sql, params) do
    statements = Statements.split(sql)

    # By name, each takes what it has.
    if params == [] or not is_list(params) or EctoLibSql.Encoder.named?(params),
      do: {:ok, Enum.map(statements, &{&1, params})},
      else: distribute(statements, List.to_tuple(params))
  end

  defp distribute(statements, params) do
    {plan, _next} = Enum.map_reduce(statements, 1, &statement(&1, &2, params))
    most = plan |> Enum.flat_map(&elem(&1, 1)) |> Enum.max(fn -> 0 end)

    if most >= tuple_size(params),
      do: {:ok, for({sql, used} <- plan, do: {sql, pick(used, params)})},
      else: {:error, left_over(most, tuple_size(params))}
  end

  defp left_over(most, given) do
    parameters = if most == 1, do: "parameter", else: "parameters"
    Error.new(:parameters, "the text has #{most} #{parameters}, and #{given} were given")
  end

  # {text, the parameters that it has, by their numbers in all of the text}
  defp statement(sql, next, params) do
    tokens = Statements.tokens(sql)
    next = if count(tokens, 0) == tuple_size(params), do: 1, else: next
    {sql, used, next} = renumber(tokens, next, [], [])
    {{sql, used}, next}
  end

  defp count([{:text, "?"}, {:word, <<digit, _::binary>>} | rest], count) when digit in ?0..?9,
    do: count(rest, count)

  defp count([{:text, "?"} | rest], count), do: count(rest, count + 1)
  defp count([_token | rest], count), do: count(rest, count)
  defp count([], count), do: count

  # The statement's own numbers begin with 1; `used` has those of the text, the last one first.
  defp renumber([{:text, "?"}, {:word, <<digit, _::binary>> = word} | rest], next, used, sql)
       when digit in ?0..?9 do
    case number(word) do
      nil -> renumber(rest, next, used, ["?" <> word | sql])
      number -> refer(number, rest, max(next, number + 1), used, sql)
    end
  end

  defp renumber([{:text, "?"} | rest], next, used, sql),
    do: refer(next, rest, next + 1, used, sql)

  defp renumber([{:word, "$" <> digits} = token | rest], next, used, sql) do
    case number(digits) do
      nil -> renumber(rest, next, used, [Statements.source(token) | sql])
      number -> refer(number, rest, max(next, number + 1), used, sql)
    end
  end

  defp renumber([token | rest], next, used, sql),
    do: renumber(rest, next, used, [Statements.source(token) | sql])

  defp renumber([], next, used, sql),
    do: {sql |> Enum.reverse() |> IO.iodata_to_binary(), Enum.reverse(used), next}

  defp refer(number, rest, next, used, sql) do
    used = if number in used, do: used, else: [number | used]
    place = length(used) - Enum.find_index(used, &(&1 == number))
    renumber(rest, next, used, ["?#{place}" | sql])
  end

  defp number(digits) do
    case Integer.parse(digits) do
      {number, ""} when number > 0 -> number
      _other -> nil
    end
  end

  # Too few are the driver's to say.
  defp pick(used, params),
    do: for(number <- used, number <= tuple_size(params), do: elem(params, number - 1))
end
