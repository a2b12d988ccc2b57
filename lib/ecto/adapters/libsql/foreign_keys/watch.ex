defmodule Ecto.Adapters.LibSql.ForeignKeys.Watch do
  @moduledoc false
  # Triggers that note each row whose foreign key a statement may have broken: a row that it
  # inserts, or whose key it sets; and the children of a row that it deletes, or whose key it changes. A
  # cascade fires them too. Afterwards, a noted row without its parent is what the engine found fault with:
  # it was in order before, or the engine would not have asked.

  import Ecto.Adapters.LibSql.ForeignKeys.Rows
  alias Ecto.Adapters.LibSql.Sql

  @touched "ecto_libsql_touched"

  @doc """
  What is to be watched of a statement that does `events` to rows of `table`. `keys` are the foreign keys
  that it can violate; in `notes` (`Rerun.notes/1`) is created what watches them.
  """
  def new(schema, table, events, notes) do
    reached = reach(schema.keys, Enum.map(events, &{fold(table), &1}), MapSet.new())
    triggers? = Enum.any?(reached, fn {table, _} -> among?(table, schema.with_triggers) end)
    reached = if triggers?, do: everything(schema), else: reached
    reached = Enum.sort(reached)

    keys = Enum.filter(schema.keys, &watched?(&1, reached))
    %{database: schema.database, notes: notes, reached: reached, keys: keys, identities: %{}}
  end

  defp among?(table, tables), do: Enum.any?(tables, &(fold(&1) == table))

  @doc "The tables whose rows are noted, and for each of them, what tells its rows apart."
  def identify(watch, identity) do
    tables = watch.keys |> Enum.map(& &1.table) |> Enum.uniq()
    %{watch | identities: Map.new(tables, &{&1, identity.(&1)})}
  end

  # What foreign keys do to other tables' rows, and these to others'.
  defp reach(_keys, [], reached), do: reached

  defp reach(keys, [event | rest], reached) do
    if event in reached,
      do: reach(keys, rest, reached),
      else: reach(keys, consequences(keys, event) ++ rest, MapSet.put(reached, event))
  end

  defp consequences(keys, {table, event}) do
    for key <- keys, child?(key, table), next = consequence(key, event), do: {fold(key.table), next}
  end

  defp consequence(%{on_delete: "CASCADE"}, :delete), do: :delete
  defp consequence(%{on_delete: "SET" <> _}, :delete), do: :update
  defp consequence(%{on_update: "CASCADE"}, :update), do: :update
  defp consequence(%{on_update: "SET" <> _}, :update), do: :update
  defp consequence(_key, _event), do: nil

  # What a trigger does is not known.
  defp everything(schema) do
    for key <- schema.keys,
        table <- [fold(key.table), fold(key.parent)],
        event <- [:insert, :update, :delete],
        uniq: true,
        do: {table, event}
  end

  defp watched?(key, reached) do
    Enum.any?(reached, fn {table, event} ->
      (event != :delete and fold(key.table) == table) or (event != :insert and child?(key, table))
    end)
  end

  defp itself?(key), do: child?(key, fold(key.table))

  ## Before the statement

  @doc "The table of notes, and the triggers that write into it."
  def statements(watch) do
    triggers = Enum.flat_map(watch.reached, &triggers(watch, &1))
    [notes(watch) | triggers |> Enum.with_index() |> Enum.map(&create(&1, watch))]
  end

  defp notes(watch) do
    most = watch.keys |> Enum.map(&length(identity(watch, &1))) |> Enum.max()
    ["CREATE TABLE ", watch.notes, ?., @touched, " (key, ", Enum.intersperse(marks(most), ", "), ?)]
  end

  # What tells the row of a note.
  defp marks(count), do: for(n <- 1..count, do: "mark#{n}")

  defp create({{timing, table, body}, number}, watch) do
    [
      ["CREATE TRIGGER ", watch.notes, ?., @touched, "_#{number} ", timing, " ON "],
      [Sql.quote_table(watch.database, table), body]
    ]
  end

  # {event, table, condition and body}.
  defp triggers(watch, {table, :insert}) do
    case own(watch, table) do
      [] -> []
      keys -> [{"AFTER INSERT", table, body(Enum.map(keys, &note_row(watch, &1)))}]
    end
  end

  defp triggers(watch, {table, :delete}) do
    case referring(watch, table) do
      [] -> []
      keys -> [{"BEFORE DELETE", table, body(Enum.map(keys, &children(watch, &1)))}]
    end
  end

  defp triggers(watch, {table, :update}) do
    own = own(watch, table)

    Enum.map(own, &set(watch, &1)) ++
      Enum.map(referring(watch, table), &changed(watch, &1)) ++
      if(own == [], do: [], else: [renamed(watch, own)])
  end

  defp set(watch, key) do
    event = ["AFTER UPDATE OF ", Sql.quote_names(checked(watch, key))]
    {event, key.table, body([note_row(watch, key)])}
  end

  # The columns that make the engine check the key when they are set. It checks a key within one table
  # together with all others of that table.
  defp checked(watch, key) do
    if itself?(key) do
      own = for key <- own(watch, fold(key.table)), do: key.columns
      referring = for key <- referring(watch, fold(key.table)), do: key.to
      Enum.uniq(Enum.concat(own ++ referring))
    else
      key.columns
    end
  end

  defp changed(watch, key) do
    body = [" WHEN ", differ(key.to), body([children(watch, key)])]
    {["BEFORE UPDATE OF ", Sql.quote_names(key.to)], key.parent, body}
  end

  # A row that was noted, and gets another rowid or primary key.
  defp renamed(watch, [%{table: table} = key | _] = keys) do
    columns = identity(watch, key)
    marks = Enum.zip(marks(length(columns)), columns)
    numbers = Enum.map_join(keys, ", ", &Integer.to_string(&1.number))

    note = [
      [note(columns), " SELECT key, ", columns("NEW", columns), " FROM ", @touched],
      [" WHERE key IN (", numbers, ") AND "],
      Sql.intersperse_map(marks, " AND ", fn {mark, name} -> [mark, " = ", column("OLD", name)] end)
    ]

    {"AFTER UPDATE", table, [" WHEN ", differ(columns), body([note])]}
  end

  defp own(watch, table), do: Enum.filter(watch.keys, &(fold(&1.table) == table))
  defp referring(watch, table), do: Enum.filter(watch.keys, &child?(&1, table))

  defp note_row(watch, key) do
    columns = identity(watch, key)
    [note(columns), " VALUES (#{key.number}, ", columns("NEW", columns), ?)]
  end

  defp children(watch, key) do
    columns = identity(watch, key)
    select = [" SELECT #{key.number}, ", columns("child", columns)]
    [note(columns), select, from_children(watch.database, key)]
  end

  defp note(columns) do
    marks = columns |> length() |> marks() |> Enum.intersperse(", ")
    ["INSERT INTO ", @touched, " (key, ", marks, ?)]
  end

  defp identity(watch, key), do: Map.fetch!(watch.identities, key.table)

  ## After it

  @doc "A query of the numbers of the keys with notes, in the order of these."
  def touched(watch),
    do: ["SELECT key FROM ", watch.notes, ?., @touched, " GROUP BY key ORDER BY min(rowid)"]

  @doc "A query that has a row if a row that was noted for this key lacks its parent."
  def orphan(watch, number) do
    key = key(watch, number)
    columns = identity(watch, key)
    marks = Enum.zip(columns, marks(length(columns)))
    child = fn {column, mark} -> [column("child", column), " = touched.", mark] end

    [
      ["SELECT 1 FROM ", watch.notes, ?., @touched, " AS touched CROSS JOIN "],
      [Sql.quote_table(watch.database, key.table), " AS child ON "],
      Sql.intersperse_map(marks, " AND ", child),
      " WHERE touched.key = #{number} AND ",
      Sql.intersperse_map(key.columns, " AND ", &[column("child", &1), " IS NOT NULL"]),
      [" AND NOT EXISTS (", parent(watch, key), ") LIMIT 1"]
    ]
  end

  # The plus takes the child's affinity away: its value is compared with the parent's.
  defp parent(watch, key) do
    pairs = Enum.zip(key.to, key.columns)
    same = fn {to, from} -> [column("parent", to), " = +", column("child", from)] end

    [
      ["SELECT 1 FROM ", Sql.quote_table(watch.database, key.parent), " AS parent WHERE "],
      Sql.intersperse_map(pairs, " AND ", same)
    ]
  end

  @doc "The key of a number."
  def key(watch, number), do: Enum.find(watch.keys, &(&1.number == number))
end
