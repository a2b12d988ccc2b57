Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.CombinationTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  defp ids(list), do: from(p in Post, where: p.id in ^list, select: p.id)
  defp visits(list), do: from(p in Post, where: p.id in ^list, select: p.visits)

  test "union, union all, except, intersect", %{db: db} do
    for {combine, sql, expected} <- [
          {&do_union/2, "UNION", [[1], [2], [3]]},
          {&do_union_all/2, "UNION ALL", [[1], [2], [2], [3]]},
          {&do_except/2, "EXCEPT", [[1]]},
          {&do_intersect/2, "INTERSECT", [[2]]}
        ] do
      query = combine.(ids([1, 2]), ids([2, 3]))

      assert run(
               db,
               query,
               ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (p0."id" IN (SELECT value FROM json_each(?1))) #{sql} } <>
                 ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (p0."id" IN (SELECT value FROM json_each(?2)))}
             )
             |> Enum.sort() == expected
    end
  end

  defp do_union(a, b), do: Ecto.Query.union(a, ^b)
  defp do_union_all(a, b), do: Ecto.Query.union_all(a, ^b)
  defp do_except(a, b), do: Ecto.Query.except(a, ^b)
  defp do_except_all(a, b), do: Ecto.Query.except_all(a, ^b)
  defp do_intersect(a, b), do: Ecto.Query.intersect(a, ^b)
  defp do_intersect_all(a, b), do: Ecto.Query.intersect_all(a, ^b)

  test "except all and intersect all count equal rows", %{db: db} do
    # visits: 10, 20, 20
    assert rows(db, do_except_all(visits([1, 2, 3]), visits([2]))) |> Enum.sort() == [[10], [20]]
    assert rows(db, do_intersect_all(visits([1, 2, 3]), visits([2, 3]))) == [[20], [20]]
    assert rows(db, do_intersect_all(visits([1, 2, 3]), visits([2]))) == [[20]]

    sub =
      from(p in Post, select: %{v: p.visits})
      |> do_except_all(from(p in Post, where: p.id == 3, select: %{v: p.visits}))

    assert rows(db, from(s in subquery(sub), order_by: s.v, select: s.v)) == [[10], [20]]
  end

  test "order and limit belong to the whole, or to a part", %{db: db} do
    query = ids([1, 2]) |> do_union_all(ids([2, 3])) |> order_by([p], desc: p.id) |> limit(2)

    assert run(
             db,
             query,
             ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (p0."id" IN (SELECT value FROM json_each(?1))) UNION ALL } <>
               ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (p0."id" IN (SELECT value FROM json_each(?2))) } <>
               ~s{ORDER BY 1 DESC LIMIT 2}
           ) == [[3], [2]]

    part = from(p in Post, order_by: [desc: p.id], limit: 1, select: p.id)
    query = ids([1]) |> do_union_all(part) |> order_by(fragment("1"))

    assert run(
             db,
             query,
             ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (p0."id" IN (SELECT value FROM json_each(?1))) UNION ALL } <>
               ~s{SELECT * FROM (SELECT p0."id" FROM "posts" AS p0 ORDER BY p0."id" DESC LIMIT 1) } <>
               ~s{ORDER BY 1}
           ) == [[1], [3]]

    query =
      from(p in Post, where: p.id < 3, select: selected_as(p.id, :n))
      |> do_union(ids([3]))
      |> order_by(desc: selected_as(:n))

    assert rows(db, query) == [[3], [2], [1]]
  end

  test "is ordered by what it selects, in whatever form it is there", %{db: db} do
    priced = fn list ->
      from(p in Post, where: p.id in ^list, select: %{v: p.visits, p: p.price})
    end

    for combine <- [&do_union/2, &do_union_all/2, &do_except/2, &do_except_all/2] do
      query = combine.(priced.([1, 2]), priced.([4]))
      ordered = order_by(query, [p], desc: p.price, asc: p.visits)
      prices = db |> rows(ordered) |> Enum.map(&List.last/1) |> Enum.reject(&is_nil/1)

      assert length(prices) == 2
      assert prices == Enum.sort_by(prices, &Decimal.new/1, {:desc, Decimal})
    end

    for combine <- [&do_intersect/2, &do_intersect_all/2] do
      query = combine.(ids([1, 2, 3]), ids([2, 3]))
      assert rows(db, order_by(query, [p], desc: p.id)) == [[3], [2]]
    end

    cast = from(p in Post, select: type(fragment("?", p.id), :integer))
    ordered = cast |> do_union(ids([1])) |> order_by([p], desc: type(fragment("?", p.id), :integer))
    assert [[first] | _] = rows(db, ordered)
    assert [first] in rows(db, from(p in Post, select: max(p.id)))

    counted = from(p in Post, having: count() > 1, select: count())
    assert rows(db, do_union(counted, ids([1])) |> order_by(desc: count())) == [[3], [1]]
  end

  test "cannot be ordered by what it does not select", %{db: db} do
    query = do_union(ids([1]), ids([2]))
    assert refused(order_by(query, [p], p.visits)) =~ "by what it selects only"
    assert refused(order_by(query, [p], p.id + 1)) =~ "by what it selects only"

    assert refused(
             from(p in Post, select: p.tags)
             |> do_union(from(p in Post, select: p.tags))
             |> order_by([p], p.tags)
           ) =~ "no order"

    assert rows(db, order_by(query, fragment("1 DESC"))) == [[2], [1]]
  end

  test "a part may be combined itself; INTERSECT binds first", %{db: db} do
    assert rows(db, do_except(ids([1, 2, 3]), do_union(ids([1]), ids([2])))) == [[3]]
    # 1 UNION (2,3 INTERSECT 3)
    assert rows(db, ids([1]) |> do_union(ids([2, 3])) |> do_intersect(ids([3]))) |> Enum.sort() == [
             [1],
             [3]
           ]

    assert rows(db, ids([1, 2]) |> do_intersect(ids([2])) |> do_union(ids([3]))) |> Enum.sort() == [
             [2],
             [3]
           ]
  end

  # The engine took it for one without aggregates where ORDER BY has a collation.
  test "HAVING without GROUP BY, in each part", %{db: db} do
    counted = from(p in Post, having: count() > 1, select: count())

    for query <- [do_union(ids([1]), counted), do_union(counted, ids([1]))] do
      assert rows(db, order_by(query, fragment("1 COLLATE NOCASE"))) == [[1], [3]]
    end
  end

  test "distinct on expressions cannot be combined, but be a part", %{db: db} do
    first = from(p in Post, distinct: p.visits, order_by: p.id, select: p.id)
    assert refused(do_union_all(first, ids([3]))) =~ "subquery"
    assert rows(db, do_union_all(ids([3]), first)) == [[3], [1], [2]]
  end
end
