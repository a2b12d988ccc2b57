defmodule Ecto.Adapters.LibSql.DDL.Alter do
  @moduledoc false
  # ALTER TABLE: one statement for each change, in their order, where SQLite has one. Where it has none for
  # one of the changes, all of them are made by building the table anew, once: see Rebuild.

  alias Ecto.Adapters.LibSql.DDL.{Catalog, Column, Comment, Definition, Key, Modify}
  alias Ecto.Adapters.LibSql.DDL.{Rebuild, Reference, Remove, TableOptions, Tokens, Trigger}
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.Reference, as: Ref

  @doc "`ALTER TABLE name `."
  def alter_table(table), do: ["ALTER TABLE ", Sql.quote_table(table.prefix, table.name), ?\s]

  @doc "The steps of `alter`."
  def steps(table, changes, settings) do
    Comment.refuse(table.comment, "table #{inspect(table.name)}")
    changes = Enum.map(changes, &full/1)

    [
      {:ask, Catalog.question(table), &online(Catalog.new(table, &1), table, changes, settings),
       fn -> offline(table, changes, settings) end}
    ]
  end

  defp full({remove, name}), do: {remove, name, nil, []}
  defp full({:remove_if_exists, name, type}), do: {:remove_if_exists, name, type, []}
  defp full(change), do: change

  ## Without a database: what the migration says

  defp offline(table, changes, settings) do
    strict? = TableOptions.parse(table.options, settings, table.prefix)[:strict] == true
    settings = Keyword.put(settings, :strict, strict?)

    Enum.reduce_while(changes, [], fn change, steps ->
      case offline_change(table, change, settings) do
        why when is_binary(why) -> {:halt, why}
        more -> {:cont, steps ++ more}
      end
    end)
  end

  defp offline_change(table, {:add, _name, _type, _opts} = add, settings) do
    if rebuilds?(add), do: Rebuild.offline(table), else: plain_add(table, add, settings)
  end

  defp offline_change(table, {:modify, name, type, opts} = modify, settings) do
    if rebuilds?(modify) or opts[:primary_key] != nil,
      do: Rebuild.offline(table),
      else:
        Trigger.drop(table, name, opts[:from]) ++
          Modify.offline(table, modify, settings) ++
          Trigger.on_delete(table, [{:add, name, type, opts}], settings)
  end

  defp offline_change(table, {:remove, name, type, _opts}, _settings),
    do: Trigger.drop(table, name, type) ++ [Remove.statement(table, name)]

  defp offline_change(_table, {change, name, _type, _opts}, _settings),
    do: "#{change} of #{inspect(name)} looks into the database: run the migration to see its SQL"

  ## With one

  # The engine says that there is no such table.
  defp online(nil, table, changes, settings) do
    case offline(table, changes, settings) do
      steps when is_list(steps) -> steps
      _why -> raise ArgumentError, "there is no table #{inspect(table.name)} to alter"
    end
  end

  defp online(catalog, table, changes, settings) do
    if Enum.any?(changes, &only_for_empty?(&1, settings)),
      do: [{:ask, has_rows(table), &changed(catalog, changes, settings, &1 != []), []}],
      else: changed(catalog, changes, settings, false)
  end

  defp has_rows(table),
    do: ["SELECT 1 FROM ", Sql.quote_table(table.prefix, table.name), " LIMIT 1"]

  defp changed(catalog, changes, settings, rows?) do
    definition = catalog.definition
    key = Key.after_changes(definition, changes)

    settings =
      Keyword.merge(settings,
        strict: Definition.option?(definition, "STRICT"),
        composite_key: length(key) > 1
      )

    state = %{
      catalog: catalog,
      table: catalog.table,
      definition: definition,
      settings: settings,
      rows?: rows?,
      plain: [],
      before: [],
      behind: [],
      dropped_indexes: [],
      removed: [],
      rebuild?: key != Definition.primary_key(definition),
      unchecked: []
    }

    state = Enum.reduce(changes, state, &change/2)
    Remove.refuse_referenced(catalog, state.definition, state.removed)
    finish(state, key)
  end

  defp finish(%{rebuild?: false, plain: plain}, _key), do: Enum.reverse(plain)

  defp finish(state, key) do
    definition = Key.put(state.definition, key)

    plan = %{
      removed?: state.removed != [],
      unchecked_keys: state.unchecked,
      without_indexes: state.dropped_indexes
    }

    Enum.concat([
      Enum.reverse(state.before),
      [Rebuild.step(state.catalog, definition, plan)],
      Enum.reverse(state.behind)
    ])
  end

  ## Changes: what SQLite's own statement would be, and what the definition would say after it

  defp change({:add, name, _type, _opts} = add, state) do
    refuse_twice(state, name)
    %{table: table, settings: settings} = state

    state
    |> rebuild_if(rebuilds?(add) or (state.rows? and only_for_empty?(add, settings)))
    |> put_plain([add_column(table, add, settings) | triggers(state, add)])
    |> put_behind(triggers(state, add))
    |> define(&Definition.append_column(&1, Column.define(table, add, settings)))
    |> define_keys(add)
  end

  defp change({:add_if_not_exists, name, type, opts}, state) do
    if Definition.column(state.definition, name),
      do: state,
      else: change({:add, name, type, opts}, state)
  end

  defp change({:modify, name, type, opts} = modify, state) do
    %{table: table, settings: settings, catalog: catalog} = state
    column = Definition.column(state.definition, name)

    drops =
      if references?(type, opts),
        do: Trigger.drop(table, catalog.on_delete, name, opts[:from]),
        else: []

    {sql, statements, needs} = Modify.change(catalog, column, modify, settings)
    keys = if references?(type, opts), do: Reference.of_column(state.definition, name), else: []

    state
    |> rebuild_if(needs == :rebuild or rebuilds?(modify) or keys != [])
    |> put_plain(drops ++ statements ++ triggers(state, modify))
    |> put_before(drops)
    |> put_behind(triggers(state, modify))
    |> define(&Definition.reject(&1, fn item -> item in keys end))
    |> define(&if(column, do: Definition.replace_column(&1, name, sql), else: &1))
    |> define_keys(modify)
  end

  defp change({:remove, name, type, _opts}, state) do
    %{table: table, catalog: catalog, definition: definition} = state
    drops = Trigger.drop(table, catalog.on_delete, name, type)

    indexes =
      for {index, _sql} <- Catalog.indexes_of(catalog, name),
          index not in state.dropped_indexes,
          do: index

    statements = for index <- indexes, do: ["DROP INDEX ", Sql.quote_table(table.prefix, index)]

    %{state | removed: [name | state.removed], dropped_indexes: indexes ++ state.dropped_indexes}
    |> rebuild_if(Remove.bound?(definition, name))
    |> put_plain(drops ++ statements ++ [Remove.statement(table, name)])
    |> put_before(drops)
    |> define(&Remove.from(&1, name))
  end

  defp change({:remove_if_exists, name, type, opts}, state) do
    if Definition.column(state.definition, name),
      do: change({:remove, name, type, opts}, state),
      else: state
  end

  defp rebuild_if(state, condition), do: %{state | rebuild?: state.rebuild? or condition}
  defp put_plain(state, steps), do: %{state | plain: Enum.reverse(steps) ++ state.plain}
  defp put_before(state, steps), do: %{state | before: Enum.reverse(steps) ++ state.before}
  defp put_behind(state, steps), do: %{state | behind: Enum.reverse(steps) ++ state.behind}
  defp define(state, fun), do: %{state | definition: fun.(state.definition)}

  defp refuse_twice(state, name) do
    if Definition.column(state.definition, name),
      do:
        raise(
          ArgumentError,
          "table #{inspect(state.table.name)} already has a column #{inspect(name)}"
        )
  end

  # Foreign keys of several columns stand at the table's end.
  defp define_keys(state, {_change, name, type, opts}) do
    keys = Reference.table_level(state.table, [{:add, name, type, opts}])

    state =
      Enum.reduce(keys, state, fn sql, state ->
        define(state, &Definition.append_constraint(&1, sql))
      end)

    if match?(%Ref{validate: false}, type),
      do: %{state | unchecked: [name | state.unchecked]},
      else: state
  end

  defp plain_add(table, add, settings),
    do: [add_column(table, add, settings) | Trigger.on_delete(table, [add], settings)]

  defp add_column(table, add, settings),
    do: [alter_table(table), "ADD COLUMN ", Column.define(table, add, settings)]

  defp triggers(%{table: table, settings: settings} = state, {_change, name, type, opts}),
    do: Trigger.on_delete(table, [{:add, name, type, opts}], settings, default: &default(state, &1))

  # The default that the table declares for a column.
  defp default(state, name) do
    constraints = state.definition |> Definition.column(name) |> Definition.column_constraints()

    case constraints[:default] do
      nil -> "NULL"
      sql -> String.replace(sql, ~r/\A.*?\bDEFAULT\s+/is, "")
    end
  end

  defp references?(%Ref{}, _opts), do: true
  defp references?(_type, opts), do: match?(%Ref{}, opts[:from]) or match?({%Ref{}, _}, opts[:from])

  ## What SQLite has no statement for

  defp rebuilds?({_change, _name, %Ref{with: [_ | _]}, _opts}), do: true
  defp rebuilds?({:add, _name, _type, opts}), do: opts[:primary_key] == true
  defp rebuilds?(_change), do: false

  # ADD COLUMN takes these for a table without rows alone.
  defp only_for_empty?({add, _name, type, opts}, settings)
       when add in [:add, :add_if_not_exists] do
    default = type |> Column.default(opts, settings) |> IO.iodata_to_binary()

    (match?(%Ref{}, type) and default != "") or String.starts_with?(default, " DEFAULT (") or
      stored?(opts[:generated], opts[:stored])
  end

  defp only_for_empty?(_change, _settings), do: false

  defp stored?(nil, _stored), do: false
  defp stored?(sql, stored), do: stored == true or Tokens.mentions?(sql, "stored")
end
