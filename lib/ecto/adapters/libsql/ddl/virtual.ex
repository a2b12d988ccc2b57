defmodule Ecto.Adapters.LibSql.DDL.Virtual do
  @moduledoc false
  # CREATE VIRTUAL TABLE: `options: [rtree: true]`, an index of boxes. Other modules are written as SQL.

  alias Ecto.Adapters.LibSql.DDL.Comment
  alias Ecto.Adapters.LibSql.Sql

  @doc "An rtree: an id, and the least and the greatest value of one to five dimensions."
  def rtree(table, columns, if_not_exists?) do
    names = for change <- columns, do: elem(change, 1)
    check_rtree(names)

    [
      if(if_not_exists?, do: "CREATE VIRTUAL TABLE IF NOT EXISTS ", else: "CREATE VIRTUAL TABLE "),
      Sql.quote_table(table.prefix, table.name),
      Comment.text(table.comment),
      " USING rtree(",
      Sql.quote_names(names),
      ?)
    ]
  end

  defp check_rtree(names) do
    count = length(names)

    cond do
      count < 3 -> refuse("need at least 3 columns (id, min, max), but #{count} were given")
      count > 11 -> refuse("take a maximum 11 columns (id and 5 dimensions), not #{count}")
      rem(count, 2) == 0 -> refuse("need an odd number of columns (id and pairs), not #{count}")
      to_string(hd(names)) != "id" -> refuse("must have 'id' as the first column")
      true -> :ok
    end
  end

  defp refuse(why), do: raise(ArgumentError, "rtree tables " <> why)
end
