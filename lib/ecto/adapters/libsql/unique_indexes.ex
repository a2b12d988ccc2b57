defmodule Ecto.Adapters.LibSql.UniqueIndexes do
  @moduledoc false
  # Which unique index a statement violated, where the engine's table and columns leave it open. They may be
  # those of several indexes, of tables in several databases, or of a UNIQUE that only the table's text names.
  #
  # Which of several it was shows a second run, undone: a trigger compares each new row with those
  # that are there, as each index would, and refuses it in the name of the first that has one.

  alias Ecto.Adapters.LibSql.{Constraints, ForeignKeys, Rerun, Sql, Statements}
  alias Ecto.Adapters.LibSql.DDL.{Definition, Tokens}
  alias EctoLibSql.Error

  @new "ecto_libsql_new"
  @refused "ecto_libsql_index "

  @doc "The constraint with its name, as `Ecto.Adapters.LibSql.Violations` has it, or `nil`."
  def find(%Error{constraint: constraint}, meta, {target, _events, sql, params}, opts) do
    case Rerun.look(meta, opts, &candidates(&1, target, constraint)) do
      {table, [one]} ->
        named(one, table, constraint)

      {table, [first | _] = many} ->
        table = Map.put(table, :notes, Rerun.notes(meta))
        again = &violated(&1, table, many, fn -> &1.(sql, params) end)
        named(Rerun.ask(meta, opts, again) || first, table, constraint)

      _none ->
        nil
    end
  end

  # The table, and its unique indexes over these columns.
  defp candidates(query, {prefix, target}, constraint) do
    table = %{database: Rerun.database(query, prefix, target), name: constraint.table}
    table = Map.put(table, :definition, definition(query, table))

    with [] <- indexes(query, table, constraint.columns),
         do: {table, primary_key(query, table, constraint.columns)},
         else: (indexes -> {table, indexes})
  end

  # To a server, a primary key is a unique constraint like others.
  defp primary_key(query, table, columns) do
    sql = "SELECT name FROM pragma_table_info(?1, ?2) WHERE pk > 0 ORDER BY pk"
    names = query |> Rerun.rows(sql, [table.name, table.database]) |> List.flatten()

    if names != [] and Enum.join(names, ", ") == Enum.join(columns, ", "),
      do: [%{kind: :primary_key, name: "#{table.name}_pkey", columns: names}],
      else: []
  end

  defp definition(query, table) do
    sql = ["SELECT sql FROM ", Rerun.master(table.database), " WHERE type = 'table' AND name = ?1"]

    with [[sql]] <- Rerun.rows(query, sql, [table.name]),
         do: Definition.parse(sql),
         else: (_none -> nil)
  end

  # In the order in which the engine looks at them.
  defp indexes(query, table, columns) do
    sql = """
    SELECT list.name, list.origin, part.name, part.coll
    FROM pragma_index_list(?1, ?2) AS list, pragma_index_xinfo(list.name, ?2) AS part
    WHERE list."unique" AND list.origin <> 'pk' AND part.key ORDER BY list.seq, part.seqno
    """

    for [[name, origin | _] | _] = rows <-
          query |> Rerun.rows(sql, [table.name, table.database]) |> Enum.chunk_by(&hd/1),
        names = Enum.map(rows, &Enum.at(&1, 2)),
        # The engine's words are a list of names, and names may have commas.
        Enum.join(names, ", ") == Enum.join(columns, ", "),
        do: %{
          name: if(origin == "c", do: name),
          columns: names,
          collations: Enum.map(rows, &List.last/1),
          condition: condition(query, table, name)
        }
  end

  # What is behind the WHERE of a partial index.
  defp condition(query, table, index) do
    sql = ["SELECT sql FROM ", Rerun.master(table.database), " WHERE type = 'index' AND name = ?1"]

    with [[sql]] when is_binary(sql) <- Rerun.rows(query, sql, [index]),
         [_where | condition] <-
           sql |> Statements.tokens() |> Tokens.group() |> Enum.drop_while(&(not where?(&1))) do
      Tokens.text(condition)
    else
      _whole -> nil
    end
  end

  defp where?({:word, word}), do: String.upcase(word) == "WHERE"
  defp where?(_token), do: false

  ## The name of one

  defp named(index, table, constraint) do
    name = index.name || text_name(table.definition, index.columns)
    name = name || Constraints.default([table.name | index.columns], "index")
    kind = Map.get(index, :kind, constraint.kind)
    %{constraint | kind: kind, name: name, columns: index.columns}
  end

  # Of an index that the engine made for a UNIQUE.
  defp text_name(definition, columns) do
    of_table =
      for %{name: name} = item when name != nil <- Definition.constraints(definition),
          Definition.kind(item) == :unique,
          same?(Definition.of_columns(item), columns),
          do: name

    List.first(of_table ++ of_column(definition, columns))
  end

  defp of_column(definition, [column]) do
    for {:unique, sql} <-
          definition |> Definition.column(column) |> Definition.column_constraints(),
        name = sql |> Tokens.read() |> Tokens.constraint_name(),
        do: name
  end

  defp of_column(_definition, _columns), do: []

  defp same?(columns, others) do
    length(columns) == length(others) and
      columns |> Enum.zip(others) |> Enum.all?(fn {one, other} -> Tokens.same?(one, other) end)
  end

  ## Which of several

  # A row that ON CONFLICT turns into an update need not be new: updates are looked at first.
  defp violated(query, table, indexes, run) do
    updates = Enum.map(indexes, &{&1, other_row(query, table)})
    inserts = Enum.map(indexes, &{&1, []})

    try_trigger("UPDATE", updates, query, table, run) ||
      try_trigger("INSERT", inserts, query, table, run)
  end

  defp try_trigger(event, indexes, query, table, run) do
    columns = Definition.columns(table.definition)

    Rerun.undone(query, table.notes, fn ->
      Rerun.rows(query, ["CREATE TABLE ", table.notes, ?., @new, " (", declared(columns, table), ?)])

      Rerun.rows(query, trigger(event, table, columns, indexes))

      with {:error, %Error{message: @refused <> number}} <- run.() do
        {index, _condition} = Enum.at(indexes, String.to_integer(number))
        index
      else
        _other -> nil
      end
    end)
  end

  # Conditions are asked of the new row in a table that has it alone, with the columns' own types and
  # collations.
  defp declared(columns, table), do: Sql.intersperse_map(columns, ", ", &column(&1, table))

  defp column(column, table) do
    collation = for {:collate, sql} <- Definition.column_constraints(column), do: [?\s, sql]
    [Sql.quote_name(column.name), ?\s, type(column, table), collation]
  end

  # ANY means that values stay as they are, but in STRICT tables only.
  defp type(column, table) do
    type = Definition.declared_type(column)

    if String.upcase(type) == "ANY" and Definition.option?(table.definition, "STRICT"),
      do: "BLOB",
      else: type
  end

  defp trigger(event, table, columns, indexes) do
    new = Sql.intersperse_map(columns, ", ", &new(&1.name))

    [
      [
        "CREATE TRIGGER ",
        table.notes,
        ?.,
        @new,
        "_",
        event,
        " BEFORE ",
        event,
        " ON ",
        quoted(table),
        " BEGIN "
      ],
      ["DELETE FROM ", @new, "; INSERT INTO ", @new, " VALUES (", new, "); "],
      indexes |> Enum.with_index() |> Enum.map(&[refuse(&1, table), "; "]),
      "END"
    ]
  end

  defp refuse({{index, condition}, number}, table) do
    pairs = Enum.zip(index.columns, index.collations)

    same = fn {name, collation} ->
      [there(table, name), " = ", new(name), " COLLATE ", Sql.quote_name(collation)]
    end

    [
      ["SELECT RAISE(ABORT, '", @refused, "#{number}') FROM ", quoted(table), " WHERE "],
      [Sql.intersperse_map(pairs, " AND ", same), condition],
      if(index.condition, do: partial(index.condition, table), else: [])
    ]
  end

  # The line breaks end comments.
  defp partial(condition, table) do
    [
      [" AND (", condition, "\n) AND EXISTS (SELECT 1 FROM ", table.notes, ?., @new, " AS "],
      [Sql.quote_name(table.name), " WHERE (", condition, "\n))"]
    ]
  end

  defp other_row(query, table) do
    key = ForeignKeys.Schema.identity(query, table.database, table.name)
    same = &[there(table, &1), " IS OLD.", Sql.quote_name(&1)]
    [" AND NOT (", Sql.intersperse_map(key, " AND ", same), ?)]
  end

  defp quoted(table), do: Sql.quote_table(table.database, table.name)
  defp there(table, name), do: [Sql.quote_name(table.name), ?., Sql.quote_name(name)]
  defp new(name), do: ["NEW.", Sql.quote_name(name)]
end
