Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.SourceTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  test "all kinds of joins", %{db: db} do
    for {qual, sql, n} <- [
          {:inner, "INNER", 3},
          {:left, "LEFT OUTER", 3},
          {:right, "RIGHT OUTER", 4},
          {:full, "FULL OUTER", 4}
        ] do
      query = from(p in Post, join: a in Author, on: true, select: {p.id, a.id})
      query = %{query | joins: [%{hd(query.joins) | qual: qual, on: on()}]}

      rows =
        run(
          db,
          query,
          ~s{SELECT p0."id", a1."id" FROM "posts" AS p0 #{sql} JOIN "authors" AS a1 } <>
            ~s{ON a1."id" = p0."author_id"}
        )

      assert length(rows) == n
    end

    query = from(p in Post, cross_join: a in Author, select: count())

    assert run(db, query, ~s{SELECT count(*) FROM "posts" AS p0 CROSS JOIN "authors" AS a1}) == [
             [9]
           ]

    query = from(p in Post, join: a in Author, on: true, select: count())

    assert run(db, query, ~s{SELECT count(*) FROM "posts" AS p0 INNER JOIN "authors" AS a1 ON 1}) ==
             [[9]]
  end

  defp on do
    query = from(p in Post, join: a in Author, on: a.id == p.author_id)
    hd(query.joins).on
  end

  test "ON of Ecto's main branch, a BooleanExpr", %{db: db} do
    query = from(p in Post, join: a in Author, on: a.id == p.author_id, select: {p.id, a.id})
    {planned, _cast, _params} = Ecto.Adapter.Queryable.plan_query(:all, __MODULE__.Plain, query)
    [join] = planned.joins
    boolean = struct(Ecto.Query.BooleanExpr, expr: join.on.expr, op: :and, params: [])
    planned = %{planned | joins: [%{join | on: boolean}]}

    assert IO.iodata_to_binary(Ecto.Adapters.LibSql.Query.all(planned)) ==
             elem(sql(query), 0)

    assert rows(db, query) |> length() == 3
  end

  defmodule Plain do
    def loaders(_base, type), do: [type]
    def dumpers(_base, type), do: [type]
  end

  test "LATERAL is refused, but for table-valued functions", %{db: db} do
    query =
      from(p in Post,
        inner_lateral_join: t in fragment("json_each(?)", p.tags),
        on: true,
        select: {p.id, t.value}
      )

    named = exclude(query, :select) |> select([p, t], {p.id, fragment("?.value", t)})
    assert rows(db, named) == rows(db, query)

    assert run(
             db,
             query,
             ~s{SELECT p0."id", f1."value" FROM "posts" AS p0 } <>
               ~s{INNER JOIN json_each(p0."tags") AS f1 ON 1}
           ) == [[1, "x"], [1, "y"], [2, "y"]]

    sub = from(a in Author, where: a.id == parent_as(:p).author_id, select: a.id)
    query = from(p in Post, as: :p, inner_lateral_join: a in subquery(sub), on: true, select: p.id)
    assert refused(query) =~ "LATERAL"
    query = from(p in Post, as: :p, join: a in subquery(sub), on: true, select: p.id)
    assert refused(query) =~ "LATERAL"
  end

  test "subqueries", %{db: db} do
    sub = from(p in Post, where: p.visits > ^10, select: %{who: p.author_id, v: p.visits + ^1})
    query = from(s in subquery(sub), join: a in Author, on: a.id == s.who, select: {a.name, s.v})

    assert run(
             db,
             query,
             ~s{SELECT a1."name", s0."v" FROM (SELECT sp0."author_id" AS "who", } <>
               ~s{sp0."visits" + ?1 AS "v" FROM "posts" AS sp0 WHERE (sp0."visits" > ?2)) AS s0 } <>
               ~s{INNER JOIN "authors" AS a1 ON a1."id" = s0."who"}
           ) == [["Ann", 21], ["Bob", 21]]

    query = from(p in subquery(Post), select: count(p.id))
    assert rows(db, query) == [[3]]
  end

  test "fragments", %{db: db} do
    query = from(f in fragment("json_each(?)", ^"[1,2]"), select: f.value)
    assert run(db, query, ~s{SELECT f0."value" FROM json_each(?1) AS f0}) == [[1], [2]]

    query = from(f in fragment("SELECT 1 AS x"), select: f.x)
    assert run(db, query, ~s{SELECT f0."x" FROM (SELECT 1 AS x) AS f0}) == [[1]]

    query =
      from(p in Post,
        join: f in fragment("json_each(?)", ^"[1,2]"),
        on: f.value == p.id,
        select: p.id
      )

    assert rows(db, query) == [[1], [2]]
  end

  test "values", %{db: db} do
    types = %{id: :integer, name: :string}
    list = [%{id: 1, name: "x"}, %{id: 2, name: "y"}]
    query = from(v in values(list, types), select: {v.id, v.name})

    assert run(
             db,
             query,
             ~s{SELECT v0."id", v0."name" FROM (SELECT column1 AS "id", column2 AS "name" FROM } <>
               ~s{(VALUES (CAST(?1 AS INTEGER), CAST(?2 AS TEXT)), } <>
               ~s{(CAST(?3 AS INTEGER), CAST(?4 AS TEXT)))) AS v0}
           ) == [[1, "x"], [2, "y"]]

    query =
      from(p in Post, join: v in values(list, types), on: v.id == p.id, select: {p.title, v.name})

    assert rows(db, query) == [["One", "x"], ["Two", "y"]]

    many = for i <- 1..3000, do: %{id: i, name: "n"}
    assert rows(db, from(v in values(many, types), select: count(v.id))) == [[3000]]
  end

  test "prefixes are attached databases", %{db: db} do
    query = from(p in Post, prefix: "other", select: p.title)
    assert run(db, query, ~s{SELECT p0."title" FROM "other"."posts" AS p0}) == [["there"]]

    query =
      from(p in Post, join: o in Post, prefix: "other", on: o.id == p.id, select: {p.title, o.title})

    assert rows(db, query) == [["One", "there"]]

    query = Post |> select([p], p.title) |> Ecto.Query.put_query_prefix("other")
    assert rows(db, query) == [["there"]]
  end

  test "hints", %{db: db} do
    query = from(p in Post, hints: ["INDEXED BY posts_visits"], where: p.visits > 10, select: p.id)

    assert run(
             db,
             query,
             ~s{SELECT p0."id" FROM "posts" AS p0 INDEXED BY posts_visits WHERE (p0."visits" > 10)}
           ) == [[2], [3]]

    query =
      from(a in Author, join: p in Post, hints: "NOT INDEXED", on: p.visits == a.id, select: p.id)

    assert run(
             db,
             query,
             ~s{SELECT p1."id" FROM "authors" AS a0 INNER JOIN "posts" AS p1 NOT INDEXED } <>
               ~s{ON p1."visits" = a0."id"}
           ) == []

    assert refused(from(p in Post, hints: ["FORCE INDEX (x)"])) =~ "INDEXED BY"
    assert refused(from(p in subquery(Post), hints: ["NOT INDEXED"], select: p.id)) =~ "INDEXED BY"
  end
end
