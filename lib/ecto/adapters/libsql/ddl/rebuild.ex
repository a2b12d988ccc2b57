defmodule Ecto.Adapters.LibSql.DDL.Rebuild do
  @moduledoc false
  # A table built anew under another definition, for what ALTER TABLE cannot do. In the migration's own
  # transaction, so that whatever ends it leaves the old table.
  #
  # The old table is put aside under another name, the new one takes its place, and the rows are copied,
  # under their rowids. Then come indexes and triggers, by the texts that the schema had.
  #
  #   * Foreign keys are not enforced meanwhile: DROP TABLE would delete the rows of children. PRAGMA
  #     foreign_keys does nothing inside a transaction, so the driver switches it. See Orphans for what is
  #     checked in its stead.
  #   * With legacy_alter_table, and keys not enforced, RENAME changes the table's own text and no other:
  #     views, other tables' triggers and foreign keys go on to speak of the table by its name.
  #   * A CHECK may qualify columns by the table's name (`t.a > 0`), and then the table cannot have
  #     another: its rows are put aside in a copy.
  #
  # Of this a server can switch nothing (`plan.server?`): foreign keys are enforced, and RENAME would change views.
  # So the rows are put aside in a copy, and no table may refer to this one.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}
  alias Ecto.Adapters.LibSql.DDL.{Catalog, Definition, Orphans, Rowid, Tokens}

  @aside "ecto_libsql_rebuild"
  @savepoint "ecto_libsql_rebuild"

  @doc """
  The step that gives a table another definition. `plan`: `without_indexes`, those that do not come back;
  `removed?`, whether a column goes; `unchecked_keys`, columns whose new foreign keys old rows need not
  keep to; `unchecked?: true`, the same for all CHECKs.
  """
  def step(catalog, definition, plan) do
    refuse_virtual(catalog)
    refuse_keyless(catalog, definition)
    {:run, &run(&1, catalog, definition, plan), offline(catalog.table)}
  end

  @doc "Why there is no SQL for it without a database."
  def offline(table) do
    "this change builds table #{inspect(table.name)} anew, which depends on what the database holds: " <>
      "run the migration"
  end

  defp refuse_virtual(%{definition: %{head: head}, table: table}) do
    if head =~ ~r/\ACREATE\s+VIRTUAL/i do
      raise ArgumentError,
            "the virtual table #{inspect(table.name)} cannot be altered: drop it and create another"
    end
  end

  defp refuse_keyless(%{table: table}, definition) do
    if Definition.option?(definition, "WITHOUT ROWID") and Definition.primary_key(definition) == [],
      do:
        raise(
          ArgumentError,
          "table #{inspect(table.name)} is WITHOUT ROWID: it needs a primary key"
        )
  end

  ## The steps, in a savepoint: who rescues an error finds the old table too

  defp run(query, catalog, definition, plan) do
    savepoint(query, fn ->
      without_foreign_keys(query, catalog, plan, fn server? ->
        plan = Map.put(plan, :server?, server?)
        orphans = Orphans.list(query, catalog)
        analyzed? = not server? and analyzed?(query, catalog)
        plan = Map.put(plan, :rowids_kept?, Rowid.kept?(query, catalog, definition))

        build(query, catalog, definition, plan)
        Orphans.refuse_new(query, catalog, orphans, plan)
        if analyzed?, do: query.(["ANALYZE ", name(catalog)])
      end)
    end)
  end

  defp build(query, catalog, definition, plan) do
    {columns, values} = query |> copied(catalog, definition, plan) |> Enum.unzip()
    sequence = sequence(query, catalog)

    setting(query, "legacy_alter_table", "ON", plan, fn ->
      aside = put_aside(query, catalog, values, plan)
      query.(definition |> Definition.to_sql() |> Catalog.with_schema(catalog.schema))
      copy(query, catalog, columns, aside, plan)
      query.(["DROP TABLE ", aside.name])
      put_sequence(query, catalog, definition, sequence)
      for sql <- belongings(query, catalog, plan), do: query.(sql)
    end)

    if plan[:removed?], do: check_schema(query, catalog)
  end

  defp belongings(query, catalog, plan) do
    dropped = Map.get(plan, :without_indexes, [])
    # A temporary trigger may be of another database's table of that name.
    left = Enum.concat(query.("SELECT name FROM sqlite_temp_schema WHERE type = 'trigger'"))

    indexes = for {name, sql} <- catalog.indexes, name not in dropped, do: {catalog.schema, sql}

    triggers =
      for {schema, name, sql} <- catalog.triggers,
          not (schema == "temp" and name in left),
          do: {schema, sql}

    Enum.map(indexes ++ triggers, fn {schema, sql} -> Catalog.with_schema(sql, schema) end)
  end

  ## Rows

  # What goes into the new table's columns, as expressions of the old one's.
  defp copied(query, catalog, definition, plan) do
    pairs =
      for column <- Definition.columns(definition),
          column.source != nil and not Definition.has?(column, :generated),
          do: {Sql.quote_name(column.name), value(catalog.definition, column, plan)}

    case Rowid.copied(query, catalog, definition) ++ pairs do
      [] -> raise ArgumentError, "no column of table #{inspect(catalog.table.name)} would be left"
      pairs -> pairs
    end
  end

  defp value(old, column, plan) do
    declared = old |> Definition.column(column.source) |> Definition.declared_type()
    type = Definition.declared_type(column)
    settings = if plan.server?, do: [uri: :server], else: []
    ColumnType.converted(Sql.quote_name(column.source), declared, type, settings)
  end

  defp put_aside(query, catalog, values, plan) do
    aside = [Sql.quote_name(catalog.schema), ?., Sql.quote_name(@aside)]

    if plan.server? or qualified?(catalog) do
      names = for place <- 1..length(values)//1, do: Sql.quote_name("c#{place}")

      selected =
        values |> Enum.zip(names) |> Enum.map(fn {value, name} -> [value, " AS ", name] end)

      query.(["CREATE TABLE ", aside, " AS SELECT ", list(selected), " FROM ", name(catalog)])
      query.(["DROP TABLE ", name(catalog)])
      %{name: aside, values: names}
    else
      query.(["ALTER TABLE ", name(catalog), " RENAME TO ", Sql.quote_name(@aside)])
      %{name: aside, values: values}
    end
  end

  defp qualified?(%{definition: definition, table: table}),
    do: definition |> Definition.to_sql() |> Tokens.qualifies?(table.name)

  # ABORT goes before what the table says of conflicts: a row must not be left out.
  defp copy(query, catalog, columns, aside, plan) do
    checks = if plan[:unchecked?], do: "ON", else: "OFF"

    setting(query, "ignore_check_constraints", checks, plan, fn ->
      query.([
        ["INSERT OR ABORT INTO ", name(catalog), " (", list(columns), ") SELECT "],
        [list(aside.values), " FROM ", aside.name]
      ])
    end)
  end

  defp list(parts), do: Enum.intersperse(parts, ", ")
  defp name(catalog), do: [Sql.quote_name(catalog.schema), ?., Sql.quote_name(catalog.table.name)]

  ## AUTOINCREMENT counts on

  defp sequence(query, catalog) do
    if autoincrement?(catalog.definition) do
      case query.(["SELECT seq FROM ", sequences(catalog), " WHERE ", of_table(catalog)]) do
        [[number]] -> number
        [] -> nil
      end
    end
  end

  defp put_sequence(query, catalog, definition, number) do
    if number != nil and autoincrement?(definition) do
      number = Integer.to_string(number)
      name = catalog.table.name |> to_string() |> Sql.quote_string()

      query.([
        "DELETE FROM ",
        sequences(catalog),
        " WHERE ",
        of_table(catalog),
        " AND seq <= ",
        number
      ])

      query.([
        ["INSERT INTO ", sequences(catalog), " (name, seq) SELECT ", name, ", ", number],
        [" WHERE NOT EXISTS (SELECT 1 FROM ", sequences(catalog), " WHERE ", of_table(catalog), ")"]
      ])
    end
  end

  defp autoincrement?(definition) do
    Enum.any?(Definition.columns(definition), fn column ->
      key = Definition.column_constraints(column)[:primary_key]
      key != nil and key =~ ~r/\bAUTOINCREMENT\b/i
    end)
  end

  defp sequences(catalog), do: [Sql.quote_name(catalog.schema), ".sqlite_sequence"]

  defp of_table(catalog),
    do: ["name = ", catalog.table.name |> to_string() |> Sql.quote_string(), " COLLATE NOCASE"]

  ## Statistics go with the old table

  defp analyzed?(query, catalog) do
    schema = Sql.quote_name(catalog.schema)
    table = catalog.table.name |> to_string() |> Sql.quote_string()

    query.(["SELECT 1 FROM ", schema, ".sqlite_schema WHERE name = 'sqlite_stat1'"]) != [] and
      query.([
        ["SELECT 1 FROM ", schema, ".sqlite_stat1 WHERE tbl = ", table],
        " COLLATE NOCASE LIMIT 1"
      ]) != []
  end

  ## Views and triggers that read a column which has gone

  # DROP COLUMN looks through the whole schema; a table of two columns is enough to have it done.
  defp check_schema(query, catalog) do
    scratch = [Sql.quote_name(catalog.schema), ?., Sql.quote_name(@aside)]
    query.(["CREATE TABLE ", scratch, " (a, b)"])
    query.(["ALTER TABLE ", scratch, " DROP COLUMN b"])
    query.(["DROP TABLE ", scratch])
  end

  ## Settings

  defp savepoint(query, fun) do
    query.("SAVEPOINT " <> @savepoint)

    restoring(fun, fn
      :done ->
        query.("RELEASE " <> @savepoint)

      :failed ->
        query.("ROLLBACK TO " <> @savepoint)
        query.("RELEASE " <> @savepoint)
    end)
  end

  # `fun` is given whether this is a server, where they stay.
  defp without_foreign_keys(query, catalog, plan, fun) do
    case switch(query) do
      [[1]] ->
        restoring(fn -> fun.(false) end, fn _how -> query.({:enforce_foreign_keys, true}) end)

      [[0]] ->
        fun.(false)

      :unsupported ->
        enforced(query, catalog, plan, fun)
    end
  end

  defp switch(query) do
    query.({:enforce_foreign_keys, false})
  rescue
    error in EctoLibSql.Error ->
      if error.code == :unsupported, do: :unsupported, else: reraise(error, __STACKTRACE__)
  end

  defp enforced(query, catalog, plan, fun) do
    cond do
      referred?(query, catalog) ->
        refuse(catalog, "rows of tables that refer to it would go with the old one")

      plan[:unchecked?] == true or Map.get(plan, :unchecked_keys, []) != [] ->
        refuse(catalog, "`validate: false` could not be kept to")

      true ->
        fun.(true)
    end
  end

  defp referred?(query, catalog) do
    sql = """
    SELECT 1 FROM pragma_table_list AS list, pragma_foreign_key_list(list.name) AS key
    WHERE list.type = 'table' AND key."table" = #{catalog.table.name |> to_string() |> Sql.quote_string()}
      COLLATE NOCASE LIMIT 1
    """

    query.(sql) != []
  end

  defp refuse(%{table: table}, reason) do
    raise ArgumentError, """
    this change builds table #{inspect(table.name)} anew, and on a server foreign keys cannot be switched off for \
    that: #{reason}. Use what ALTER TABLE ... ALTER COLUMN can do (modify without a change of keys), or write the \
    migration by hand.\
    """
  end

  # Those of a server are what they are by default, and can be no other.
  defp setting(_query, _pragma, _value, %{server?: true}, fun), do: fun.()

  defp setting(query, pragma, value, _plan, fun) do
    [[before]] = query.("PRAGMA " <> pragma)
    query.(["PRAGMA ", pragma, " = ", value])
    restoring(fun, fn _how -> query.(["PRAGMA ", pragma, " = #{before}"]) end)
  end

  # Where the connection is gone, its settings are too; the first error is the one to tell.
  defp restoring(fun, restore) do
    result = fun.()
    restore.(:done)
    result
  catch
    kind, reason ->
      try do
        restore.(:failed)
      catch
        _kind, _reason -> :ok
      end

      :erlang.raise(kind, reason, __STACKTRACE__)
  end
end
