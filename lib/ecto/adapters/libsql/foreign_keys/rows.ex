defmodule Ecto.Adapters.LibSql.ForeignKeys.Rows do
  @moduledoc false
  # SQL about the rows of a foreign key, as triggers of its parent see them.

  alias Ecto.Adapters.LibSql.Sql

  @doc "A table's name as the engine compares it."
  def fold(name), do: String.downcase(name, :ascii)

  @doc "Whether a key refers to the table of that name, folded."
  def child?(key, table), do: fold(key.parent) == table

  @doc """
  `FROM` the children of the row `OLD`, as `child`. The parent's column stands on the left: its affinity and
  collation count, as for the engine.
  """
  def from_children(database, key) do
    pairs = Enum.zip(key.to, key.columns)
    same = fn {to, from} -> [column("OLD", to), " = ", column("child", from)] end

    [
      [" FROM ", Sql.quote_table(database, key.table), " AS child WHERE "],
      Sql.intersperse_map(pairs, " AND ", same)
    ]
  end

  @doc "Whether a row is another in one of the columns than it was."
  def differ(columns),
    do: Sql.intersperse_map(columns, " OR ", &[column("OLD", &1), " IS NOT ", column("NEW", &1)])

  @doc "The body of a trigger."
  def body(statements), do: [" BEGIN ", Enum.map(statements, &[&1, "; "]), "END"]

  def columns(table, names), do: Sql.intersperse_map(names, ", ", &column(table, &1))
  def column(table, name), do: [table, ?., Sql.quote_name(name)]
end
