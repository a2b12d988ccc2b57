Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.NumberTest do
  # Decimals as text with exact digits, and as the numbers that EctoLibSql 0.9 stored.
  use Ecto.Adapters.LibSql.QueryCase, async: true

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:price, :decimal)
      field(:cost, :decimal)
      field(:copies, :integer)
      field(:weight, :float)
    end
  end

  @rows [
    {"9.5", "1", 10, 9.5},
    {"10", "10.00", 10, 0.1},
    {"9.50", "0.1", 9, nil},
    {"100", nil, 100, 1.0e2},
    {"0.1", "0.1", 0, 0.1},
    {nil, "3", nil, 0.0}
  ]

  setup %{db: db} do
    raw(
      db,
      "CREATE TABLE items (id INTEGER PRIMARY KEY, price TEXT_DECIMAL, cost TEXT_DECIMAL, copies INTEGER, weight REAL)"
    )

    raw(
      db,
      "CREATE TABLE old (id INTEGER PRIMARY KEY, price DECIMAL, cost NUMERIC, copies INTEGER, weight REAL)"
    )

    for table <- ["items", "old"],
        {{price, cost, copies, weight}, id} <- Enum.with_index(@rows, 1) do
      {:ok, _, _, _} =
        EctoLibSql.query(db, "INSERT INTO #{table} VALUES (?1, ?2, ?3, ?4, ?5)", [
          id,
          price,
          cost,
          copies,
          weight
        ])
    end

    :ok
  end

  defp ids(db, query),
    do: db |> rows(from(i in query, select: i.id)) |> List.flatten() |> Enum.sort()

  # Both tables answer alike.
  defp both(db, fun) do
    [new, old] = for table <- ["items", "old"], do: fun.(db, from(i in {table, Item}))
    assert new == old
    new
  end

  defp where_ids(db, condition), do: both(db, fn db, items -> ids(db, where(items, ^condition)) end)

  test "comparisons with fields, parameters and literals of every kind", %{db: db} do
    assert where_ids(db, dynamic([i], i.price > 9)) == [1, 2, 3, 4]
    assert where_ids(db, dynamic([i], i.price >= 9.5)) == [1, 2, 3, 4]
    assert where_ids(db, dynamic([i], i.price == ^"9.500")) == [1, 3]
    assert where_ids(db, dynamic([i], i.price == ^Decimal.new("1E+2"))) == [4]
    assert where_ids(db, dynamic([i], 9.5 == i.price)) == [1, 3]
    assert where_ids(db, dynamic([i], i.price != i.cost)) == [1, 3]
    assert where_ids(db, dynamic([i], i.price == i.cost)) == [2, 5]
    assert where_ids(db, dynamic([i], i.price == i.copies)) == [2, 4]
    assert where_ids(db, dynamic([i], i.copies < i.price)) == [3, 5]
    assert where_ids(db, dynamic([i], i.price == i.weight)) == [1, 4, 5]
    assert where_ids(db, dynamic([i], i.price in [10, 9.5])) == [1, 2, 3]
    assert where_ids(db, dynamic([i], i.price in ^["10.0", 100])) == [2, 4]
    assert where_ids(db, dynamic([i], i.price not in ^["10.0", 100])) == [1, 3, 5]
    assert where_ids(db, dynamic([i], i.price in [i.cost, i.weight, 9.5])) == [1, 2, 3, 4, 5]
    assert where_ids(db, dynamic([i], i.copies in [i.price, i.cost])) == [2, 4]
    assert where_ids(db, dynamic([i], ^"10" in [i.price, i.cost])) == [2]
    assert where_ids(db, dynamic([i], type(i.copies, :decimal) == i.price)) == [2, 4]
    assert where_ids(db, dynamic([i], coalesce(i.cost, i.copies) == 100)) == [4]
    assert where_ids(db, dynamic([i], coalesce(i.price, 9.5) == ^Decimal.new("9.5"))) == [1, 3, 6]
    assert where_ids(db, dynamic([i], coalesce(i.price, ^9) == 9)) == [6]
    assert where_ids(db, dynamic([i], is_nil(i.price) or i.price < 1)) == [5, 6]
  end

  test "subqueries", %{db: db} do
    both(db, fn db, items ->
      assert ids(db, where(items, [i], i.price in subquery(select(items, [i], i.cost)))) == [2, 5]
      assert ids(db, where(items, [i], i.price in subquery(select(items, [i], i.copies)))) == [2, 4]

      assert ids(db, where(items, [i], i.copies in subquery(select(items, [i], i.price)))) == [
               1,
               2,
               4
             ]

      assert ids(db, where(items, [i], i.price == subquery(select(items, [i], max(i.price))))) == [
               4
             ]

      priced = where(items, [i], not is_nil(i.price))
      assert ids(db, where(items, [i], i.price >= all(select(priced, [i], i.price)))) == [4]

      assert ids(db, where(items, [i], i.price > any(select(items, [i], i.weight)))) == [
               1,
               2,
               3,
               4,
               5
             ]

      top = from(i in items, select: %{id: i.id, top: max(i.price)}, group_by: i.id)

      assert rows(db, from(s in subquery(top), where: s.top > 9.5, order_by: s.top, select: s.id)) ==
               [[2], [4]]

      cte = "top" |> with_cte("top", as: ^top) |> where([t], t.top == ^10) |> select([t], t.id)
      assert rows(db, cte) == [[2]]

      sum = from(i in items, select: %{sum: i.price + i.cost, id: i.id})

      assert rows(
               db,
               from(s in subquery(sum), where: s.sum > 9.6, order_by: [desc: s.sum], select: s.id)
             ) == [[2], [1]]
    end)
  end

  test "order, groups, distinct", %{db: db} do
    both(db, fn db, items ->
      assert rows(db, from(i in items, order_by: [desc: i.price, asc: i.id], select: i.id)) == [
               [4],
               [2],
               [1],
               [3],
               [5],
               [6]
             ]

      assert rows(db, from(i in items, group_by: i.price, order_by: i.price, select: count(i.id))) ==
               [[1], [1], [2], [1], [1]]

      assert rows(
               db,
               from(i in items,
                 group_by: i.price,
                 having: max(i.price) > 9.5,
                 order_by: i.price,
                 select: count(i.id)
               )
             ) == [[1], [1]]

      assert rows(db, from(i in items, distinct: true, select: i.price)) |> length() == 5

      assert rows(db, from(i in items, distinct: i.price, order_by: i.id, select: i.id)) == [
               [6],
               [5],
               [1],
               [2],
               [4]
             ]

      assert rows(db, from(i in items, select: count(i.price, :distinct))) == [[4]]

      assert rows(
               db,
               from(i in items,
                 order_by: selected_as(:p),
                 where: i.id in [1, 2, 5],
                 select: selected_as(i.price, :p)
               )
             )
             |> Enum.map(&dec/1) == ["0.1", "9.5", "10"]

      assert rows(
               db,
               from(i in items,
                 order_by: i.price,
                 limit: 2,
                 with_ties: true,
                 select: i.id,
                 where: i.id < 6 and i.id != 5
               )
             )
             |> Enum.sort() == [[1], [3]]
    end)
  end

  defp dec([value]), do: dec(value)
  defp dec(value) when is_binary(value), do: value |> Decimal.new() |> dec()
  defp dec(value) when is_float(value), do: value |> Decimal.from_float() |> dec()
  defp dec(value) when is_integer(value), do: value |> Decimal.new() |> dec()
  defp dec(%Decimal{} = value), do: value |> Decimal.normalize() |> Decimal.to_string(:normal)
  defp dec(nil), do: nil

  test "aggregates are exact", %{db: db} do
    both(db, fn db, items ->
      [row] =
        rows(
          db,
          from(i in items,
            select: [min(i.price), max(i.price), sum(i.price), avg(i.price), sum(i.cost * 3)]
          )
        )

      assert Enum.map(row, &dec/1) == ["0.1", "100", "129.1", "25.82", "42.6"]

      [row] =
        rows(
          db,
          from(i in items, where: i.id == 0, select: [min(i.price), sum(i.price), avg(i.price)])
        )

      assert row == [nil, nil, nil]

      assert rows(
               db,
               from(i in items, where: i.id in [1, 3], select: filter(sum(i.price), i.id == 1))
             )
             |> Enum.map(&dec/1) == ["9.5"]
    end)

    many = for id <- 10..109, do: "(#{id}, '0.1', NULL, NULL, NULL)"
    raw(db, "INSERT INTO items VALUES " <> Enum.join(many, ","))
    assert rows(db, from(i in Item, where: i.id >= 10, select: sum(i.price))) == [["10.0"]]

    assert rows(db, from(i in Item, where: i.id >= 10, having: sum(i.price) == 10, select: count())) ==
             [[100]]
  end

  test "arithmetic is exact", %{db: db} do
    for {expr, expected} <- [
          {dynamic([i], i.price + i.cost), "20.00"},
          {dynamic([i], i.price - i.cost), "0.00"},
          {dynamic([i], i.price * i.cost), "100.00"},
          {dynamic([i], i.price / 3), "3.333333333333333333333333333"},
          {dynamic([i], i.price * 0.1), "1.0"},
          {dynamic([i], 2 * i.price - i.copies), "10"},
          {dynamic([i], i.price * i.weight), "1.0"},
          {dynamic([i], -i.price), "-10"},
          {dynamic([i], i.price + ^1), "11"},
          {dynamic([i], i.price / 0), nil}
        ] do
      query = from(i in Item, where: i.id == 2, select: ^%{v: expr})
      assert {expr, rows(db, query)} == {expr, [[expected]]}
    end

    assert where_ids(db, dynamic([i], i.price + i.cost == 20)) == [2]
    assert where_ids(db, dynamic([i], i.price * 2 > i.copies * 1.5 and i.cost < 5)) == [1, 3, 5]
  end

  test "windows", %{db: db} do
    both(db, fn db, items ->
      query =
        from(i in items,
          windows: [w: [partition_by: i.price], o: [order_by: i.price]],
          order_by: i.id,
          select: [over(count(), :w), over(rank(), :o)]
        )

      assert rows(db, query) == [[2, 3], [1, 5], [2, 3], [1, 6], [1, 2], [1, 1]]

      query =
        from(i in items,
          windows: [o: [order_by: i.id]],
          order_by: i.id,
          select: over(sum(i.price), :o)
        )

      assert db |> rows(query) |> Enum.map(&dec/1) == ["9.5", "19.5", "29", "129", "129.1", "129.1"]

      query =
        from(i in items,
          windows: [o: [order_by: i.id]],
          where: i.id < 3,
          order_by: i.id,
          select: over(lag(i.price, 1, 0), :o)
        )

      assert db |> rows(query) |> Enum.map(&dec/1) == ["0", "9.5"]
    end)
  end

  test "combinations tell rows apart by value", %{db: db} do
    both(db, fn db, items ->
      prices = from(i in items, where: not is_nil(i.price), select: i.price)
      costs = from(i in items, where: not is_nil(i.cost), select: i.cost)
      values = fn query -> db |> rows(query) |> Enum.map(&dec/1) |> Enum.sort() end

      assert values.(union(prices, ^costs)) == ["0.1", "1", "10", "100", "3", "9.5"]
      assert values.(except(prices, ^costs)) == ["100", "9.5"]
      assert values.(intersect(prices, ^costs)) == ["0.1", "10"]
      assert values.(except_all(prices, ^costs)) == ["100", "9.5", "9.5"]

      assert values.(intersect_all(prices, ^union_all(prices, ^costs))) == [
               "0.1",
               "10",
               "100",
               "9.5",
               "9.5"
             ]

      # A subquery of a union keeps the collation.
      sub =
        from(i in items, select: %{v: i.price})
        |> union(^from(i in items, select: %{v: i.cost}))

      assert rows(db, from(s in subquery(sub), where: s.v > 9, select: count())) == [[3]]
    end)
  end

  # Numbers of 0.9's columns and texts are never equal.
  test "a column of numbers beside what is calculated, in a combination", %{db: db} do
    both(db, fn db, items ->
      query = from(i in items, where: i.id in [2, 5], select: i.price)
      calculated = from(i in items, where: i.id in [2, 5], select: i.price * 1)
      assert rows(db, except(query, ^calculated)) == []
      assert db |> rows(union(query, ^calculated)) |> length() == 2

      ordered = union_all(query, ^calculated)
      ordered = order_by(ordered, fragment("1 COLLATE decimal"))
      assert db |> rows(ordered) |> Enum.map(&dec/1) == ["0.1", "0.1", "10", "10"]
    end)
  end

  test "writes", %{db: db} do
    run(db, from(i in Item, where: i.id == 1, update: [inc: [price: 0.1]]), nil, :update_all)
    run(db, from(i in Item, where: i.id == 2, update: [inc: [price: ^"0.01"]]), nil, :update_all)

    run(
      db,
      from(i in Item, where: i.id == 3, update: [set: [price: i.copies, cost: i.weight]]),
      nil,
      :update_all
    )

    run(
      db,
      from(i in Item, where: i.id == 4, update: [set: [price: i.price * 3, cost: 1.5]]),
      nil,
      :update_all
    )

    assert raw(db, "SELECT price, cost FROM items WHERE id < 5") ==
             [["9.6", "1"], ["10.01", "10.00"], ["9", nil], ["300", "1.5"]]

    assert refused(from(i in Item, update: [set: [copies: i.price]]), :update_all) =~ "type/2"
  end

  test "casts", %{db: db} do
    one = fn expr ->
      db |> rows(from(i in Item, where: i.id == 1, select: ^%{v: expr})) |> hd() |> hd()
    end

    assert one.(dynamic([i], type(i.weight, :decimal))) == "9.5"
    assert one.(dynamic([i], type(i.copies, :decimal))) == "10"
    assert one.(dynamic([i], type(i.price, :string))) == "9.5"
    assert one.(dynamic([i], type(i.price, :float))) == 9.5
    assert one.(dynamic([i], type(i.price, :integer))) == 9
    assert one.(dynamic([i], type(^"1.50", :decimal))) == "1.50"
    assert one.(dynamic([i], type(fragment("? || '1'", i.price), :decimal))) == "9.51"
    assert refused(from(i in Item, select: type(i.price, :date))) =~ "fragment"
  end

  test "an index with the collation serves", %{db: db} do
    raw(db, "CREATE INDEX items_price ON items (price COLLATE decimal)")

    for query <- [
          from(i in Item, where: i.price == ^1, select: i.id),
          from(i in Item, where: i.price > 9.5, select: i.id),
          from(i in Item, where: i.price in ^[1, 2], select: i.id),
          from(i in Item, order_by: i.price, limit: 1, select: i.id),
          from(i in Item, join: j in Item, on: i.price == j.cost, select: i.id)
        ] do
      {sql, params} = sql(query)
      {:ok, _, %{rows: rows}, _} = EctoLibSql.query(db, "EXPLAIN QUERY PLAN " <> sql, params)
      assert Enum.any?(rows, &(List.last(&1) =~ "INDEX items_price")), inspect({sql, rows})
    end
  end
end
