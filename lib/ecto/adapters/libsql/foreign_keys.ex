defmodule Ecto.Adapters.LibSql.ForeignKeys do
  @moduledoc false
  # Which foreign key a statement violated. The engine counts violations and does not say which key they
  # are of. So the statement is run once more, with its keys deferred and its rows watched (`Watch`), and
  # undone; of the rows that it touched, and of no others, it is looked up which one lacks its parent.
  #
  # That holds whatever the statement is: cascades, triggers, upserts and composite keys change nothing.
  # It costs some ten statements, but only where a statement has failed.

  alias Ecto.Adapters.LibSql.{Constraints, Statements}
  alias Ecto.Adapters.LibSql.ForeignKeys.{Restrict, Schema, Watch}
  alias EctoLibSql.Error

  @savepoint "ecto_libsql_foreign_key"
  # SQLITE_CONSTRAINT_TRIGGER.
  @trigger 1811

  # A statement that touches many rows is not run twice to say in its error's words which key it was.
  @longest 1_000

  @doc "As `Ecto.Adapters.LibSql.Constraints`, with the error itself where a name has to be found."
  def to_constraints(%Error{constraint: %{kind: :foreign_key}} = error, _opts),
    do: [foreign_key: error]

  def to_constraints(error, opts), do: Constraints.to_constraints(error, opts)

  @doc """
  The name of the foreign key that a statement violated, with that error: where the table gives it none,
  the one that a changeset expects by default. `nil` if it is none.

  The statement is `{target, events, sql, params}`: its table, as `{prefix, name}`, and what is done to rows
  there: `:insert`, `:update`, `:delete`.
  """
  def name(error, meta, statement, opts) do
    case find(error, meta, statement, opts) do
      nil -> nil
      key -> key.name
    end
  end

  @doc """
  The error of a statement that began at that time (`now/0`); where it is a foreign key's, with the key in
  its `constraint`, and at the end of its message.
  """
  def explain(%Error{constraint: %{kind: :foreign_key}} = error, began, meta, statement, opts)
      when elem(statement, 0) != nil do
    key = if now() - began < @longest, do: find(error, meta, statement, opts)
    if key, do: put_key(error, key), else: error
  end

  def explain(error, _began, _meta, _statement, _opts), do: error

  def now, do: System.monotonic_time(:millisecond)

  defp put_key(error, key) do
    constraint = %{kind: :foreign_key, table: key.table, columns: key.columns, name: key.name}
    %{error | constraint: constraint, message: "#{error.message}: #{key.name}"}
  end

  defp find(error, meta, {{prefix, table}, events, sql, params}, opts) do
    opts = [log: false, telemetry_event: nil] ++ Keyword.take(opts, [:timeout])
    query = &Ecto.Adapters.SQL.query(meta, IO.iodata_to_binary(&1), &2, opts)

    in_transaction(meta, opts, fn ->
      watch = query |> Schema.read(prefix) |> Watch.new(table, events)
      watch = Watch.identify(watch, &Schema.identity(query, prefix, &1))
      run = fn -> query.(sql, params) end

      key =
        if watch.keys != [],
          do: Enum.find_value(ways(error), &undone(query, fn -> &1.(query, watch, run) end))

      key && Map.put(key, :name, key_name(key, query, prefix))
    end)
  rescue
    # The first error says more.
    _error in [Error, DBConnection.ConnectionError] -> nil
  end

  # How it is looked for, one after the other.
  defp ways(error) do
    if refused?(error),
      do: [&refused(&1, &2, &3, :after), &refused(&1, &2, &3, :before)],
      else: [&broken/3]
  end

  # RESTRICT is a trigger of the engine's own.
  defp refused?(%Error{engine_code: code}), do: code == @trigger

  # Nobody else writes in between, and the lock for writing is taken before anything is read.
  defp in_transaction(meta, opts, fun) do
    if Ecto.Adapters.SQL.in_transaction?(meta) do
      fun.()
    else
      {:ok, key} = Ecto.Adapters.SQL.transaction(meta, [mode: :immediate] ++ opts, fun)
      key
    end
  end

  defp undone(query, fun) do
    [[deferred]] = rows(query, "PRAGMA defer_foreign_keys")
    rows(query, "SAVEPOINT " <> @savepoint)

    try do
      rows(query, "PRAGMA defer_foreign_keys = ON")
      fun.()
    after
      roll_back(query)
      # ROLLBACK TO does not set it back.
      query.("PRAGMA defer_foreign_keys = #{deferred}", [])
    end
  end

  # What was run twice must not stay: where the savepoint is lost, the transaction goes with it.
  defp roll_back(query) do
    with {:ok, _} <- query.("ROLLBACK TO " <> @savepoint, []),
         {:ok, _} <- query.("RELEASE " <> @savepoint, []) do
      :ok
    else
      _error -> query.("ROLLBACK", [])
    end
  end

  defp refused(query, watch, run, timing) do
    for statement <- Restrict.statements(watch, timing), do: rows(query, statement)

    with {:error, %Error{message: message}} <- run.(),
         number when number != nil <- Restrict.number(message) do
      Watch.key(watch, number)
    else
      _other -> nil
    end
  end

  defp broken(query, watch, run) do
    for statement <- Watch.statements(watch), do: rows(query, statement)

    # A trigger's error comes again.
    with {:ok, _} <- run.(), do: orphaned(query, watch), else: (_error -> nil)
  end

  defp orphaned(query, watch) do
    query
    |> rows(Watch.touched())
    |> Enum.find_value(fn [number] ->
      if rows(query, Watch.orphan(watch, number)) != [], do: Watch.key(watch, number)
    end)
  end

  defp rows(query, sql) do
    case query.(sql, []) do
      {:ok, result} -> result.rows
      {:error, error} -> raise error
    end
  end

  ## Names

  defp key_name(key, query, prefix) do
    with sql when is_binary(sql) <- Schema.definition(query, prefix, key.table),
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
