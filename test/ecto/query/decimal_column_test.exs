Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.DecimalColumnTest do
  # Queries over decimals as migrations declare them, and as tables have them that were made otherwise.
  use ExUnit.Case, async: true
  use Ecto.Adapters.LibSql.QueryCase

  alias Ecto.Adapters.LibSql.DDL
  alias Ecto.Migration.{Index, Table}

  defmodule Price do
    @moduledoc false
    use Ecto.Schema

    schema "prices" do
      field(:price, :decimal)
      field(:cost, :decimal)
    end
  end

  @prices ["9", "10", "10.00", "100", "9.50", "-3", "0.1", nil, "10.01", "20"]

  defp ddl(db, command, settings \\ []),
    do: DDL.run(command, settings, &raw(db, IO.iodata_to_binary(&1)))

  defp create(db, opts \\ []) do
    columns = [
      {:add, :id, :id, primary_key: true},
      {:add, :price, :decimal, opts},
      {:add, :cost, :decimal, opts}
    ]

    ddl(db, {:create, %Table{name: :prices}, columns})

    for {price, place} <- Enum.with_index(@prices) do
      cost = Enum.at(@prices, -place)
      raw(db, "INSERT INTO prices (price, cost) VALUES (#{quoted(price)}, #{quoted(cost)})")
    end

    ddl(db, {:create, %Index{table: :prices, name: :prices_price, columns: [:price]}})
  end

  defp quoted(nil), do: "NULL"
  defp quoted(text), do: "'#{text}'"

  defp plan(db, query) do
    {sql, params} = sql(query)
    {:ok, _, %{rows: rows}, _} = EctoLibSql.query(db, "EXPLAIN QUERY PLAN " <> sql, params)
    Enum.map(rows, &List.last/1)
  end

  defp queries do
    ten = Decimal.new("10.000")

    [
      from(p in Price, where: p.price == ^ten, select: p.id),
      from(p in Price, where: p.price > ^9, select: p.id),
      from(p in Price, where: p.price >= 9.5 and p.price < 10.01, select: p.id),
      from(p in Price, where: p.price in ^[10, 9], select: p.id),
      from(p in Price, where: p.price in [10, 9], select: p.id),
      from(p in Price, where: not is_nil(p.price), order_by: p.price, limit: 3, select: p.id),
      from(p in Price, where: p.price > 0, order_by: [desc: p.price, desc: p.id], select: p.id),
      from(p in Price, join: q in Price, on: p.price == q.cost, where: q.id == 1, select: p.id)
    ]
  end

  describe "a plain index on a decimal column" do
    setup %{db: db}, do: create(db) && :ok

    test "serves what queries compare and order", %{db: db} do
      for query <- queries() do
        assert Enum.any?(plan(db, query), &(&1 =~ "INDEX prices_price")), inspect(query)
      end

      sorted = from(p in Price, order_by: p.price, select: p.price)
      refute Enum.any?(plan(db, sorted), &(&1 =~ "TEMP B-TREE"))
    end

    test "serves tables without a schema, and fragments", %{db: db} do
      for query <- [
            from(p in "prices", where: p.price > 9, select: p.id),
            from(p in "prices", where: p.price == type(^"10.0", :decimal), select: p.id),
            from(p in Price, where: fragment("? BETWEEN ? AND ?", p.price, 9, 10), select: p.id)
          ] do
        assert Enum.any?(plan(db, query), &(&1 =~ "INDEX prices_price")), inspect(query)
      end
    end

    test "is unique by value where it is unique", %{db: db} do
      index = %Index{table: :prices, name: :prices_cost, columns: [:cost], unique: true}
      assert_raise MatchError, fn -> ddl(db, {:create, index}) end

      raw(db, "DELETE FROM prices WHERE id = (SELECT max(id) FROM prices WHERE cost = 10)")
      ddl(db, {:create, index})
    end
  end

  test "fragments, and queries of tables without a schema, compare numbers", %{db: db} do
    create(db)

    assert rows(
             db,
             from(p in Price, where: fragment("? > 9.5", p.price), select: p.price, order_by: p.id)
           ) ==
             [["10"], ["10.00"], ["100"], ["10.01"], ["20"]]

    over = 9.5
    query = from(p in "prices", where: p.price > ^over, select: p.price, order_by: [p.price, p.id])
    assert rows(db, query) == [["10"], ["10.00"], ["10.01"], ["20"], ["100"]]
    assert rows(db, from(p in "prices", select: {max(p.price), min(p.price)})) == [["100", "-3"]]
  end

  # What was made by others, or before migrations declared the collation.
  for {name, opts} <- [{"without the collation", [collate: :binary]}, {"with it", []}] do
    test "queries of a column #{name} answer the same", %{db: db} do
      create(db, unquote(opts))

      assert for(query <- queries(), do: db |> rows(order(query)) |> List.flatten()) == [
               [2, 3],
               [2, 3, 4, 5, 9, 10],
               [2, 3, 5],
               [1, 2, 3],
               [1, 2, 3],
               [6, 7, 1],
               [4, 10, 9, 3, 2, 5, 1, 7],
               [1]
             ]
    end
  end

  defp order(%{order_bys: []} = query), do: order_by(query, [p], p.id)
  defp order(query), do: query
end
