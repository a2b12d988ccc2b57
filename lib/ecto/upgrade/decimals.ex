defmodule EctoLibSql.Upgrade.Decimals do
  @moduledoc false
  # Decimals in columns of NUMERIC affinity: whatever is written there becomes a float or an integer.

  alias Ecto.Adapters.LibSql.{DDL, Sql}
  alias EctoLibSql.Native
  alias EctoLibSql.Upgrade.DB

  @doc "Such columns, also without values: what will be written is to keep its digits."
  def find(work) do
    for table <- work.columns,
        %{kind: :decimal, affinity: :numeric} = column <- table.columns,
        do: finding(work.db, table, column)
  end

  defp finding(db, table, column) do
    name = Sql.quote_name(column.name)
    sql = ["SELECT count(", name, ") FROM ", Sql.quote_name(table.name)]

    %{
      table: table.name,
      columns: [column.name],
      kind: :decimal,
      count: DB.one(db, sql),
      what: "decimals as numbers, in a column declared #{column.type}",
      status: :found,
      message: nil,
      decimal: column
    }
  end

  @doc "Mends those of a table, in the open transaction."
  def mend(db, table, findings, opts) do
    for %{decimal: column} <- findings, do: mend_column(db, table, column, opts)
  end

  # The exact digits of what is stored: modify sees to it.
  defp mend_column(db, table, column, opts) do
    collation = if opts[:collation], do: [], else: [collate: :binary]
    change = {:modify, column.name, :decimal, collation ++ digits(column.type)}
    DDL.run({:alter, %Ecto.Migration.Table{name: table}, [change]}, [], &query(db, &1))
  end

  defp digits(type) do
    case Regex.scan(~r/\d+/, type) do
      [[precision]] ->
        [precision: String.to_integer(precision)]

      [[precision], [scale]] ->
        [precision: String.to_integer(precision), scale: String.to_integer(scale)]

      _none ->
        []
    end
  end

  defp query(db, {:enforce_foreign_keys, on?}) do
    {:ok, before?} = Native.enforce_foreign_keys(db, on?)
    [[if(before?, do: 1, else: 0)]]
  end

  defp query(db, sql), do: DB.rows(db, sql)
end
