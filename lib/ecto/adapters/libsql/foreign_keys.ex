defmodule Ecto.Adapters.LibSql.ForeignKeys do
  @moduledoc false
  # Which foreign key a statement violated. The engine counts violations and does not say which key they
  # are of. So the statement is run once more, with its keys deferred and its rows watched (`Watch`), and
  # undone; of the rows that it touched, and of no others, it is looked up which one lacks its parent.
  #
  # That holds whatever the statement is: cascades, triggers, upserts and composite keys change nothing.
  # It costs some ten statements, but only where a statement has failed.

  alias Ecto.Adapters.LibSql.{Constraints, Rerun, Statements}
  alias Ecto.Adapters.LibSql.ForeignKeys.{Restrict, Schema, Watch}
  alias EctoLibSql.Error

  # SQLITE_CONSTRAINT_TRIGGER.
  @trigger 1811

  @doc """
  The constraint that a statement violated, with its table, columns and name: where the table gives it none,
  the one that a changeset expects by default. `nil` if it is not found.

  The statement is that of `Ecto.Adapters.LibSql.Violations`.
  """
  def find(error, meta, {{prefix, table}, events, sql, params}, opts) do
    Rerun.ask(meta, opts, fn query ->
      database = Rerun.database(query, prefix, table)
      watch = query |> Schema.read(database) |> Watch.new(table, events, Rerun.notes(meta))
      watch = Watch.identify(watch, &Schema.identity(query, database, &1))
      run = fn -> query.(sql, params) end

      again = &Rerun.undone(query, watch.notes, fn -> &1.(query, watch, run) end)
      key = if watch.keys != [], do: error |> ways(watch) |> Enum.find_value(again)

      key && constraint(key, key_name(key, query, database))
    end)
  end

  defp constraint(key, name),
    do: %{kind: :foreign_key, table: key.table, columns: key.columns, name: name}

  # How it is looked for, one after the other. Servers say no more than that a constraint failed.
  defp ways(error, watch) do
    refused = [&refused(&1, &2, &3, :after), &refused(&1, &2, &3, :before)]

    cond do
      refused?(error) -> refused
      watch.notes == "temp" or not Restrict.any?(watch) -> [&broken/3]
      true -> [hd(refused), (&broken/3) | tl(refused)]
    end
  end

  # RESTRICT is a trigger of the engine's own.
  defp refused?(%Error{engine_code: code}), do: code == @trigger

  defp refused(query, watch, run, timing) do
    for statement <- Restrict.statements(watch, timing), do: Rerun.rows(query, statement)

    with {:error, %Error{message: message}} <- run.(),
         number when number != nil <- Restrict.number(message) do
      Watch.key(watch, number)
    else
      _other -> nil
    end
  end

  defp broken(query, watch, run) do
    for statement <- Watch.statements(watch), do: Rerun.rows(query, statement)

    # A trigger's error comes again.
    with {:ok, _} <- run.(), do: orphaned(query, watch), else: (_error -> nil)
  end

  defp orphaned(query, watch) do
    query
    |> Rerun.rows(Watch.touched(watch))
    |> Enum.find_value(fn [number] ->
      if Rerun.rows(query, Watch.orphan(watch, number)) != [], do: Watch.key(watch, number)
    end)
  end

  ## Names

  defp key_name(key, query, database) do
    with sql when is_binary(sql) <- Schema.definition(query, database, key.table),
         name when is_binary(name) <- sql |> names() |> Enum.at(key.id) do
      name
    else
      _none -> Constraints.default([key.table, hd(key.columns)], "fkey")
    end
  end

  @doc """
  The names of the foreign keys in the text of a table, `nil` where one has none, in the order in which the
  engine counts them: from the last one.
  """
  def names(sql) do
    sql
    |> Statements.tokens()
    |> Enum.reject(&match?({:blank, _}, &1))
    |> names(0, nil, [])
  end

  # A CONSTRAINT gives its name to what follows, up to the next constraint. Those of a table stand in its
  # first pair of parentheses; what is deeper are expressions and lists of columns.
  @others ~w(PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE GENERATED AS)

  defp names([{:text, "("} | rest], depth, name, found), do: names(rest, depth + 1, name, found)
  defp names([{:text, ")"} | rest], depth, name, found), do: names(rest, depth - 1, name, found)

  defp names([{:word, word}, next | rest], 1, name, found) do
    case String.upcase(word) do
      "CONSTRAINT" -> names(rest, 1, unquoted(next), found)
      "REFERENCES" -> names(rest, 1, nil, [name | found])
      word when word in @others -> names([next | rest], 1, nil, found)
      _other -> names([next | rest], 1, name, found)
    end
  end

  defp names([{:text, ","} | rest], 1, _name, found), do: names(rest, 1, nil, found)
  defp names([_token | rest], depth, name, found), do: names(rest, depth, name, found)
  defp names([], _depth, _name, found), do: found

  defp unquoted({:text, <<quote, _::binary>> = text}) when quote in [?", ?`, ?'] do
    text |> String.slice(1..-2//1) |> String.replace(<<quote, quote>>, <<quote>>)
  end

  defp unquoted({:text, "[" <> _ = text}), do: String.slice(text, 1..-2//1)
  defp unquoted({_kind, text}), do: text
end
