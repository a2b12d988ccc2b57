defmodule Ecto.Adapters.LibSql.DDL.Virtual do
  @moduledoc false
  # CREATE VIRTUAL TABLE: `options: [rtree: ...]`, an index of boxes; `options: [fts5: ...]`, see FTS5.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}
  alias Ecto.Adapters.LibSql.DDL.Comment

  @doc "`CREATE VIRTUAL TABLE name USING module(arguments)`."
  def create(table, module, arguments, if_not_exists?) do
    [
      if(if_not_exists?, do: "CREATE VIRTUAL TABLE IF NOT EXISTS ", else: "CREATE VIRTUAL TABLE "),
      Sql.quote_table(table.prefix, table.name),
      Comment.text(table.comment),
      [" USING ", module, ?(, Enum.intersperse(arguments, ", "), ?)]
    ]
  end

  @doc """
  An rtree: an id, the least and the greatest value of one to five dimensions, and columns that are kept
  with them (`auxiliary: true`). Of 32-bit floats, or of integers (`:i32`).
  """
  def rtree(table, columns, kind, if_not_exists?) do
    {auxiliary, indexed} =
      Enum.split_with(columns, fn {_add, _name, _type, opts} -> opts[:auxiliary] == true end)

    check_rtree(columns, for({_add, name, _type, _opts} <- indexed, do: name))
    module = if kind == :i32, do: "rtree_i32", else: "rtree"

    create(
      table,
      module,
      Enum.map(indexed, &name/1) ++ Enum.map(auxiliary, &auxiliary/1),
      if_not_exists?
    )
  end

  defp name({_add, name, _type, _opts}), do: Sql.quote_name(name)

  defp auxiliary({_add, name, type, opts}),
    do: [?+, Sql.quote_name(name), ?\s, ColumnType.declare(type, opts)]

  defp check_rtree(columns, names) do
    count = length(names)

    cond do
      count < 3 -> refuse("need at least 3 columns (id, min, max), but #{count} were given")
      count > 11 -> refuse("take a maximum 11 columns (id and 5 dimensions), not #{count}")
      rem(count, 2) == 0 -> refuse("need an odd number of columns (id and pairs), not #{count}")
      to_string(hd(names)) != "id" -> refuse("must have 'id' as the first column")
      not last?(columns) -> refuse("have auxiliary columns behind the others")
      true -> :ok
    end
  end

  defp last?(columns) do
    columns
    |> Enum.drop_while(fn {_add, _name, _type, opts} -> opts[:auxiliary] != true end)
    |> Enum.all?(fn {_add, _name, _type, opts} -> opts[:auxiliary] == true end)
  end

  defp refuse(why), do: raise(ArgumentError, "rtree tables " <> why)
end
