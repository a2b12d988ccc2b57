Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.SelectTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  test "fields, maps, structs, nothing", %{db: db} do
    assert run(
             db,
             from(a in Author, select: a),
             ~s{SELECT a0."id", a0."name", a0."boss_id" FROM "authors" AS a0}
           ) == [[1, "Ann", nil], [2, "Bob", 1], [3, "Cid", 2]]

    assert run(
             db,
             from(a in Author, select: %{n: a.name}),
             ~s{SELECT a0."name" FROM "authors" AS a0}
           )
           |> length() == 3

    assert run(db, from(a in "authors", select: 7), ~s{SELECT 1 FROM "authors" AS a0}) |> length() ==
             3

    assert run(db, from(a in "authors", select: [:id]), ~s{SELECT a0."id" FROM "authors" AS a0})
           |> length() == 3
  end

  test "where joins conditions in their order", %{db: db} do
    query =
      from(p in Post, where: p.id == 1, where: p.visits > 1, or_where: p.id == 3, select: p.id)

    assert run(
             db,
             query,
             ~s{SELECT p0."id" FROM "posts" AS p0 WHERE ((p0."id" = 1) AND (p0."visits" > 1)) } <>
               ~s{OR (p0."id" = 3)}
           ) == [[1], [3]]

    query =
      from(p in Post, where: p.id == 1, or_where: p.id == 3, where: p.visits > 10, select: p.id)

    assert rows(db, query) == [[3]]

    assert rows(db, from(p in Post, where: ^dynamic([p], p.id > ^1 and p.id < 3), select: p.id)) ==
             [[2]]
  end

  test "group by, having, selected_as", %{db: db} do
    query =
      from(p in Post,
        group_by: p.visits,
        having: count() > 1,
        or_having: p.visits == ^10,
        order_by: p.visits,
        select: {p.visits, count()}
      )

    assert run(
             db,
             query,
             ~s{SELECT p0."visits", count(*) FROM "posts" AS p0 GROUP BY p0."visits" } <>
               ~s{HAVING (count(*) > 1) OR (p0."visits" = ?1) ORDER BY p0."visits"}
           ) == [[10, 1], [20, 2]]

    # A column has the name of the alias: it is the alias that is meant.
    query =
      from(p in Post,
        select: %{v: selected_as(p.visits / 20, :visits), n: selected_as(count(), :n)},
        group_by: selected_as(:visits),
        having: selected_as(:n) > 0,
        order_by: [desc: selected_as(:visits)]
      )

    assert run(
             db,
             query,
             ~s{SELECT p0."visits" / 20 AS "visits", count(*) AS "n" FROM "posts" AS p0 } <>
               ~s{GROUP BY (p0."visits" / 20) HAVING ((count(*)) > 0) ORDER BY "visits" DESC}
           ) == [[1, 2], [0, 1]]

    query =
      from(p in Post, select: selected_as(p.visits, :v), order_by: [desc: selected_as(:v) + p.id])

    assert rows(db, query) == [[20], [20], [10]]
  end

  test "order, limit, offset", %{db: db} do
    for {direction, sql, first} <- [
          {:asc, "", 3},
          {:desc, " DESC", 2},
          {:asc_nulls_first, " ASC NULLS FIRST", 3},
          {:asc_nulls_last, " ASC NULLS LAST", 1},
          {:desc_nulls_first, " DESC NULLS FIRST", 3},
          {:desc_nulls_last, " DESC NULLS LAST", 2}
        ] do
      query = from(p in Post, order_by: [{^direction, p.score}], limit: 1, select: p.id)

      assert run(
               db,
               query,
               ~s{SELECT p0."id" FROM "posts" AS p0 ORDER BY p0."score"#{sql} LIMIT 1}
             ) == [[first]]
    end

    query = from(p in Post, order_by: p.id, limit: ^1, offset: ^1, select: p.id)

    assert run(
             db,
             query,
             ~s{SELECT p0."id" FROM "posts" AS p0 ORDER BY p0."id" LIMIT ?1 OFFSET ?2}
           ) == [[2]]

    query = from(p in Post, order_by: p.id, offset: 2, select: p.id)

    assert run(db, query, ~s{SELECT p0."id" FROM "posts" AS p0 ORDER BY p0."id" LIMIT -1 OFFSET 2}) ==
             [[3]]
  end

  # SQLite's ORDER BY does not see the query around.
  test "an order by what is outside", %{db: db} do
    nearest =
      from(a in Author,
        order_by: [desc: fragment("abs(? - ?)", a.id, parent_as(:p).author_id), asc: a.id],
        limit: 1,
        select: a.name
      )

    query = from(p in Post, as: :p, order_by: p.id, select: subquery(nearest))
    assert rows(db, query) == [["Cid"], ["Cid"], ["Ann"]]

    counts = from(a in Author, group_by: a.id > parent_as(:p).author_id, limit: 1, select: count())
    assert refused(from(p in Post, as: :p, select: subquery(counts))) =~ "GROUP BY"

    order =
      exclude(nearest, :order_by)
      |> order_by(fragment("?", exists(from(b in Author, where: b.id == parent_as(:p).id))))

    assert refused(from(p in Post, as: :p, select: subquery(order))) =~ "ORDER BY"
    assert refused(from(p in Post, as: :p, select: subquery(distinct(nearest, true)))) =~ "ORDER BY"
  end

  test "limit with ties", %{db: db} do
    query = from(p in Post, order_by: [desc: p.visits], limit: ^1, with_ties: true, select: p.id)

    assert run(
             db,
             query,
             ~s{SELECT "c0" FROM (SELECT p0."id" AS "c0", p0."visits" AS "o0", } <>
               ~s{rank() OVER (ORDER BY p0."visits" DESC) AS "nr" FROM "posts" AS p0) } <>
               ~s{WHERE "nr" <= ?1 ORDER BY "o0" DESC}
           )
           |> Enum.sort() == [[2], [3]]

    assert rows(db, offset(query, 1)) |> length() == 1
    assert rows(db, query |> exclude(:limit) |> limit(2) |> with_ties(true)) |> length() == 2
    assert rows(db, query |> exclude(:order_by) |> order_by(:id)) == [[1]]
    assert refused(exclude(query, :order_by)) =~ "order_by"
    assert refused(distinct(query, true)) =~ "distinct"
  end

  describe "distinct" do
    test "rows", %{db: db} do
      query = from(p in Post, distinct: true, select: p.visits)
      assert run(db, query, ~s{SELECT DISTINCT p0."visits" FROM "posts" AS p0}) == [[10], [20]]
      query = from(p in Post, distinct: false, select: p.visits)
      assert rows(db, query) |> length() == 3
    end

    test "on expressions keeps the first row of each group", %{db: db} do
      query =
        from(p in Post,
          distinct: p.visits,
          order_by: [desc: p.id],
          select: {p.visits, p.title},
          limit: 5
        )

      assert run(
               db,
               query,
               ~s{SELECT "c0", "c1" FROM (SELECT p0."visits" AS "c0", p0."title" AS "c1", } <>
                 ~s{p0."visits" AS "o0", p0."id" AS "o1", row_number() OVER } <>
                 ~s{(PARTITION BY p0."visits" ORDER BY p0."visits", p0."id" DESC) AS "nr" } <>
                 ~s{FROM "posts" AS p0) WHERE "nr" = 1 ORDER BY "o0", "o1" DESC LIMIT 5}
             ) == [[10, "One"], [20, "Three"]]
    end

    test "on several, in both directions, in a subquery, with groups", %{db: db} do
      query = from(p in Post, distinct: [desc: p.visits, asc: p.author_id], select: %{id: p.id})
      assert rows(db, query) == [[2], [3], [1]]

      outer = from(s in subquery(query), order_by: s.id, select: s.id)
      assert rows(db, outer) == [[1], [2], [3]]

      query =
        from(p in Post,
          distinct: p.author_id,
          group_by: [p.author_id, p.visits],
          select: {p.author_id, sum(p.visits)}
        )

      assert rows(db, query) |> length() == 2
      sub = from(x in Post, where: x.visits > parent_as(:p).visits)

      query =
        from(p in Post, as: :p, distinct: exists(sub), order_by: [asc: :title], select: p.title)

      assert rows(db, query) == [["Three"], ["One"]]
    end
  end

  test "windows", %{db: db} do
    query =
      from(p in Post,
        windows: [w: [partition_by: p.visits, order_by: [desc: p.id]]],
        select: {p.id, over(row_number(), :w), over(sum(p.visits), partition_by: p.author_id)},
        order_by: p.id
      )

    assert run(
             db,
             query,
             ~s{SELECT p0."id", row_number() OVER "w", sum(p0."visits") OVER } <>
               ~s{(PARTITION BY p0."author_id") FROM "posts" AS p0 } <>
               ~s{WINDOW "w" AS (PARTITION BY p0."visits" ORDER BY p0."id" DESC) ORDER BY p0."id"}
           ) == [[1, 1, 30], [2, 2, 30], [3, 1, 20]]

    query =
      from(p in Post,
        windows: [w: [order_by: p.id, frame: fragment("ROWS BETWEEN 1 PRECEDING AND CURRENT ROW")]],
        select:
          {over(sum(p.visits), :w), over(lag(p.id, 1, 0), :w), over(filter(count(), p.id > 1), :w)}
      )

    assert rows(db, query) == [[10, 0, 0], [30, 1, 1], [40, 2, 2]]

    query =
      from(p in Post,
        windows: [w: [order_by: p.id]],
        select: [
          over(rank(), :w),
          over(dense_rank(), :w),
          over(percent_rank(), :w),
          over(cume_dist(), :w),
          over(ntile(2), :w),
          over(first_value(p.id), :w),
          over(last_value(p.id), :w),
          over(nth_value(p.id, 2), :w),
          over(lead(p.id), :w),
          over(count(), [])
        ],
        limit: 1
      )

    assert [[1, 1, 0.0, _, 1, 1, 1, nil, 2, 3]] = rows(db, query)
  end
end
