Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.CteTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  test "queries and hints", %{db: db} do
    popular = from(p in Post, where: p.visits > ^10, select: %{id: p.id, twice: p.visits * 2})

    for {query, hint} <- [
          {with_cte("popular", "popular", as: ^popular), ""},
          {with_cte("popular", "popular", as: ^popular, materialized: true), "MATERIALIZED "},
          {with_cte("popular", "popular", as: ^popular, materialized: false), "NOT MATERIALIZED "}
        ] do
      query = query |> where([c], c.id > ^2) |> select([c], {c.id, c.twice})

      assert run(
               db,
               query,
               ~s{WITH "popular" AS #{hint}(SELECT sp0."id" AS "id", sp0."visits" * 2 AS "twice" } <>
                 ~s{FROM "posts" AS sp0 WHERE (sp0."visits" > ?1)) } <>
                 ~s{SELECT p0."id", p0."twice" FROM "popular" AS p0 WHERE (p0."id" > ?2)}
             ) == [[3, 40]]
    end
  end

  test "recursion", %{db: db} do
    first = from(a in Author, where: is_nil(a.boss_id), select: %{id: a.id, depth: 1})

    more =
      from(a in Author,
        join: t in "tree",
        on: t.id == a.boss_id,
        select: %{id: a.id, depth: t.depth + 1}
      )

    query =
      "tree"
      |> recursive_ctes(true)
      |> with_cte("tree", as: ^union_all(first, ^more))
      |> order_by([t], t.depth)
      |> select([t], {t.id, t.depth})

    assert run(
             db,
             query,
             ~s{WITH RECURSIVE "tree" AS (SELECT sa0."id" AS "id", 1 AS "depth" FROM "authors" AS sa0 } <>
               ~s{WHERE (sa0."boss_id" IS NULL) UNION ALL SELECT sa0."id", st1."depth" + 1 } <>
               ~s{FROM "authors" AS sa0 INNER JOIN "tree" AS st1 ON st1."id" = sa0."boss_id") } <>
               ~s{SELECT t0."id", t0."depth" FROM "tree" AS t0 ORDER BY t0."depth"}
           ) == [[1, 1], [2, 2], [3, 3]]
  end

  test "fragments, with parentheses or without", %{db: db} do
    expected = ~s{WITH "c" AS (SELECT 1 AS x) SELECT c0."x" FROM "c" AS c0}
    query = "c" |> with_cte("c", as: fragment("SELECT 1 AS x")) |> select([c], c.x)
    assert run(db, query, expected) == [[1]]
    query = "c" |> with_cte("c", as: fragment("(SELECT 1 AS x)")) |> select([c], c.x)
    assert run(db, query, expected) == [[1]]
    query = "c" |> with_cte("c", as: fragment("SELECT ? AS x", ^5)) |> select([c], c.x)
    assert rows(db, query) == [[5]]
  end

  test "with writes, combinations and subqueries", %{db: db} do
    cte = from(p in Post, where: p.visits == 20, select: %{id: p.id})
    query = Post |> with_cte("c", as: ^cte) |> join(:inner, [p], c in "c", on: c.id == p.id)

    run(db, update(query, set: [visits: 21]), nil, :update_all)
    assert raw(db, "SELECT count(*) FROM posts WHERE visits = 21") == [[2]]

    cte = from(p in Post, where: p.visits == 21, select: %{id: p.id})
    query = Post |> with_cte("c", as: ^cte) |> join(:inner, [p], c in "c", on: c.id == p.id)

    run(
      db,
      query,
      ~s{/*rows "posts"*/ WITH "c" AS (SELECT sp0."id" AS "id" FROM "posts" AS sp0 } <>
        ~s{WHERE (sp0."visits" = 21)) DELETE FROM "posts" WHERE _ROWID_ IN (SELECT p0._ROWID_ FROM "posts" AS p0 } <>
        ~s{INNER JOIN "c" AS c1 ON c1."id" = p0."id")},
      :delete_all
    )

    assert raw(db, "SELECT id FROM posts") == [[1]]

    cte = from(p in Post, select: %{id: p.id})
    part = "c" |> with_cte("c", as: ^cte) |> select([c], c.id)
    assert rows(db, from(p in Post, select: p.id) |> union_all(^part)) == [[1], [1]]
    sub = "c" |> with_cte("c", as: ^cte) |> select([c], %{id: c.id})
    assert rows(db, from(s in subquery(sub), select: s.id)) == [[1]]
  end

  test "writes in WITH are refused" do
    cte = from(p in Post, select: p)
    query = "c" |> with_cte("c", as: ^cte, operation: :delete_all) |> select([c], c.id)
    assert refused(query) =~ "WITH"
  end
end
