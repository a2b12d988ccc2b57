defmodule Ecto.Adapters.LibSql.ForeignKeys.Restrict do
  @moduledoc false
  # RESTRICT refuses in the middle of a statement: when a parent's row is gone or changed and its children
  # are still there, whatever the statement would do next. With deferred keys the engine does not; temporary
  # triggers do it in its place, and say for which key.
  #
  # The engine looks at the keys of a row one by one, and does what CASCADE and SET ask for meanwhile. A
  # trigger comes before all of that, or after: so it is looked after, and then, for children that went with
  # something else when they had been seen, before.

  alias Ecto.Adapters.LibSql.ForeignKeys.Rows
  alias Ecto.Adapters.LibSql.Sql

  @refused "ecto_libsql_refused "

  @doc "Whether any key that a statement reaches may refuse; of `Watch.new/4`."
  def any?(watch),
    do: Enum.any?(watch.reached, fn {table, event} -> refusing(watch, table, event) != [] end)

  @doc "The triggers; `timing` is `:after` or `:before`."
  def statements(watch, timing) do
    for {{table, event}, number} <- Enum.with_index(watch.reached),
        keys = refusing(watch, table, event),
        keys != [],
        do: [
          ["CREATE TRIGGER ", watch.notes, ".ecto_libsql_refuse_#{number} "],
          [name(timing), ?\s, name(event), " ON ", Sql.quote_table(watch.database, table)],
          Rows.body(Enum.map(keys, &refuse(watch, &1, timing, event)))
        ]
  end

  # In the engine's order.
  defp refusing(watch, table, event),
    do: Enum.filter(watch.keys, &(Rows.child?(&1, table) and action(&1, event) == "RESTRICT"))

  defp action(key, :delete), do: key.on_delete
  defp action(key, :update), do: key.on_update
  defp action(_key, :insert), do: nil

  defp name(word), do: word |> Atom.to_string() |> String.upcase()

  defp refuse(watch, key, timing, event) do
    [
      [
        "SELECT RAISE(ABORT, '",
        @refused,
        "#{key.number}')",
        Rows.from_children(watch.database, key)
      ],
      if(event == :update, do: [" AND (", Rows.differ(key.to), ?)], else: []),
      if(timing == :before, do: other_row(watch, key), else: [])
    ]
  end

  # A row that is its own child is gone, or changed, when the engine looks.
  defp other_row(watch, key) do
    if Rows.child?(key, Rows.fold(key.table)) do
      same = &[Rows.column("child", &1), " IS ", Rows.column("OLD", &1)]
      columns = Map.fetch!(watch.identities, key.table)
      [" AND NOT (", Sql.intersperse_map(columns, " AND ", same), ?)]
    else
      []
    end
  end

  @doc "The number of the key for which a statement was refused, of the error's message."
  def number(@refused <> number), do: String.to_integer(number)
  def number(_message), do: nil
end
