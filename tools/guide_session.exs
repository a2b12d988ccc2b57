# Runs the blocks of Elixir that tools/guide.exs took from the text, one after another, as one types them into
# iex, and compares what they give with what the text says.

defmodule Guide.Session do
  @kept ".session-kept"

  # The file of blocks, and the text that they are of, whose name their environment has.
  def main([path, text]) do
    session = path |> File.read!() |> :erlang.binary_to_term()
    {binding, env} = Enum.reduce(session, restored(text), &block/2)
    kept = Enum.reject(binding, fn {_name, value} -> is_function(value) end)
    File.write!(@kept, :erlang.term_to_binary({kept, %{env | lexical_tracker: nil}}))
  end

  # The session goes on where it was left for a command: variables, imports and aliases.
  defp restored(text) do
    case File.read(@kept) do
      {:ok, kept} -> :erlang.binary_to_term(kept)
      {:error, :enoent} -> {[], Code.env_for_eval(file: text)}
    end
  end

  defp block({line, code}, {binding, env}) do
    {:ok, ast, comments} = Code.string_to_quoted_with_comments(code, line: line, file: env.file)

    expressions = expressions(ast)
    ends = Enum.map(tl(expressions), &line/1) ++ [:infinity]

    expressions
    |> Enum.zip(ends)
    |> Enum.reduce({binding, env}, fn {expression, next}, state ->
      evaluate(expression, expected(comments, line(expression), next), state)
    end)
  end

  defp expressions({:__block__, _, expressions}), do: expressions
  defp expressions(expression), do: [expression]

  defp line(ast) do
    {_ast, lines} =
      Macro.prewalk(ast, [], fn
        {_, meta, _} = node, lines ->
          {node, if(meta[:line], do: [meta[:line] | lines], else: lines)}

        node, lines ->
          {node, lines}
      end)

    Enum.min(lines)
  end

  # The comment that follows an expression, and comes before the next.
  defp expected(comments, from, to) do
    Enum.find_value(comments, fn %{line: line, text: text} ->
      if line >= from and line < to,
        do: with("#=> " <> value <- text, do: {line, value}, else: (_ -> nil))
    end)
  end

  defp evaluate(expression, nil, state), do: elem(value(expression, state), 1)

  defp evaluate(expression, {line, "** (" <> error}, {_binding, env} = state) do
    module = error |> String.trim_trailing(")") |> String.split(".") |> Module.concat()

    try do
      value(expression, state)
    rescue
      raised ->
        if raised.__struct__ == module, do: state, else: wrong(env, line, raised, "** (" <> error)
    else
      {got, _state} -> wrong(env, line, got, "** (" <> error)
    end
  end

  defp evaluate(expression, {line, text}, state) do
    {got, {binding, env}} = value(expression, state)

    if same?(got, Code.string_to_quoted!(text), binding, env),
      do: {binding, env},
      else: wrong(env, line, got, text)
  end

  # As a pattern, where the text is one, so that it may leave out what does not matter.
  defp same?(got, expected, binding, env) do
    match = quote(do: match?(unquote(expected), unquote(Macro.escape(got))))
    {same?, _, _} = Code.eval_quoted_with_env(match, binding, env)
    same?
  rescue
    CompileError -> got == elem(Code.eval_quoted_with_env(expected, binding, env), 0)
  end

  defp value(expression, {binding, env}) do
    {value, binding, env} = Code.eval_quoted_with_env(expression, binding, env)
    {value, {binding, env}}
  end

  defp wrong(env, line, got, expected) do
    IO.puts("#{env.file}:#{line}: #{inspect(got, pretty: true)}\nwhere the text says #{expected}")
    System.halt(1)
  end
end

Guide.Session.main(System.argv())
