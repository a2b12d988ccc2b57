Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.WriteTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  describe "update_all" do
    test "sets and increments", %{db: db} do
      query = from(p in Post, where: p.id == ^1, update: [set: [title: ^"New"], inc: [visits: -3]])

      run(
        db,
        query,
        ~s{UPDATE "posts" AS p0 SET "visits" = p0."visits" + -3, "title" = ?1 WHERE (p0."id" = ?2)},
        :update_all
      )

      assert raw(db, "SELECT title, visits FROM posts WHERE id < 3 ORDER BY id") == [
               ["New", 7],
               ["Two", 20]
             ]
    end

    test "returns what is selected", %{db: db} do
      query =
        from(p in Post,
          where: p.visits == 20,
          select: {p.id, p.visits + 1},
          update: [set: [utc: nil]]
        )

      assert run(
               db,
               query,
               ~s{UPDATE "posts" AS p0 SET "utc_at" = NULL WHERE (p0."visits" = 20) } <>
                 ~s{RETURNING "posts"."id", "posts"."visits" + 1},
               :update_all
             ) == [[2, 21], [3, 21]]
    end

    test "pushes and pulls", %{db: db} do
      run(
        db,
        from(p in Post, update: [push: [tags: "z"]]),
        ~s{UPDATE "posts" AS p0 SET "tags" = CASE typeof(p0."tags") WHEN 'blob' THEN } <>
          ~s{jsonb_insert(coalesce(p0."tags", '[]'), '$[#]', 'z') ELSE } <>
          ~s{json_insert(coalesce(p0."tags", '[]'), '$[#]', 'z') END},
        :update_all
      )

      assert raw(db, "SELECT tags FROM posts") == [
               [~s(["x","y","z"])],
               [~s(["y","z"])],
               [~s(["z"])]
             ]

      run(db, from(p in Post, update: [pull: [tags: ^"y"]]), nil, :update_all)
      assert raw(db, "SELECT tags FROM posts") == [[~s(["x","z"])], [~s(["z"])], [~s(["z"])]]

      one = from(p in Post, where: p.id == 1)
      run(db, update(one, push: [maps: ^%{"b" => 3}], push: [flags: true]), nil, :update_all)
      run(db, update(one, pull: [maps: ^%{"a" => 1}], pull: [flags: ^false]), nil, :update_all)

      assert raw(db, "SELECT maps, flags FROM posts WHERE id = 1") == [
               [~s([{"a":2},{"b":3}]), "[true,true]"]
             ]

      run(
        db,
        from(p in Post, where: p.id == 3, update: [pull: [maps: ^%{"a" => 1}]]),
        nil,
        :update_all
      )

      assert raw(db, "SELECT maps FROM posts WHERE id = 3") == [[nil]]
    end

    test "with inner joins", %{db: db} do
      query =
        from(p in Post,
          join: a in Author,
          on: a.id == p.author_id,
          where: a.name == "Ann",
          or_where: p.id == 100,
          update: [set: [title: fragment("? || ?", p.title, a.name)]]
        )

      run(
        db,
        query,
        ~s{UPDATE "posts" AS p0 SET "title" = p0."title" || a1."name" FROM "authors" AS a1 } <>
          ~s{WHERE (a1."id" = p0."author_id") AND ((a1."name" = 'Ann') OR (p0."id" = 100))},
        :update_all
      )

      assert raw(db, "SELECT title FROM posts") == [["OneAnn"], ["TwoAnn"], ["Three"]]
    end

    test "with other joins", %{db: db} do
      query =
        from(p in Post,
          left_join: a in Author,
          on: a.id == p.author_id and a.name == "Bob",
          where: is_nil(a.id),
          or_where: p.id == 100,
          select: p.id,
          update: [set: [title: coalesce(a.name, p.title)], inc: [visits: 1]]
        )

      assert run(
               db,
               query,
               ~s{/*rows "posts"*/ UPDATE "posts" AS target SET "title" = coalesce(a1."name", p0."title"), } <>
                 ~s{"visits" = p0."visits" + 1 FROM "posts" AS p0 LEFT OUTER JOIN "authors" AS a1 } <>
                 ~s{ON (a1."id" = p0."author_id") AND (a1."name" = 'Bob') } <>
                 ~s{WHERE (target._ROWID_) = (p0._ROWID_) AND ((a1."id" IS NULL) OR (p0."id" = 100)) RETURNING "posts"."id"},
               :update_all
             ) == [[1], [2]]

      query =
        from(p in Post,
          join: t in fragment("json_each(?)", p.tags),
          on: t.value == "x",
          update: [set: [title: "has x"]]
        )

      run(db, query, nil, :update_all)
      assert raw(db, "SELECT title FROM posts") == [["has x"], ["Two"], ["Three"]]
    end

    test "with values, subqueries and prefixes", %{db: db} do
      list = [%{id: 1, t: "a"}, %{id: 2, t: "b"}]

      query =
        from(p in Post,
          join: v in values(list, %{id: :integer, t: :string}),
          on: v.id == p.id,
          update: [set: [title: v.t]]
        )

      run(db, query, nil, :update_all)
      assert raw(db, "SELECT title FROM posts") == [["a"], ["b"], ["Three"]]

      query = from(p in Post, prefix: "other", update: [set: [title: "x"]])
      run(db, query, ~s{UPDATE "other"."posts" AS p0 SET "title" = 'x'}, :update_all)
    end

    test "RETURNING sees the written table only" do
      query =
        from(p in Post, join: a in Author, on: true, select: a.name, update: [set: [title: "x"]])

      assert refused(query, :update_all) =~ "RETURNING"
    end

    test "a subquery in RETURNING sees the written table by its name", %{db: db} do
      sub = from(a in Author, where: a.id == parent_as(:p).author_id, select: a.name)
      query = from(p in Post, as: :p, select: subquery(sub), update: [set: [title: "x"]])

      assert run(
               db,
               query,
               ~s{UPDATE "posts" AS p0 SET "title" = 'x' RETURNING (SELECT sa0."name" AS "name" } <>
                 ~s{FROM "authors" AS sa0 WHERE (sa0."id" = "posts"."author_id"))},
               :update_all
             ) == [["Ann"], ["Ann"], ["Bob"]]

      query = from(p in {"sa0", Post}, as: :p, select: subquery(sub), update: [set: [title: "x"]])
      assert refused(query, :update_all) =~ "alias"
    end
  end

  describe "delete_all" do
    test "deletes and returns", %{db: db} do
      query = from(p in Post, where: p.visits == 20, select: p.id)

      assert run(
               db,
               query,
               ~s{DELETE FROM "posts" AS p0 WHERE (p0."visits" = 20) RETURNING "posts"."id"},
               :delete_all
             ) == [[2], [3]]

      run(db, Post, ~s{DELETE FROM "posts" AS p0}, :delete_all)
      assert raw(db, "SELECT * FROM posts") == []
    end

    test "with joins", %{db: db} do
      query =
        from(p in Post,
          join: a in Author,
          on: a.id == p.author_id,
          where: a.name == "Ann",
          select: p.id
        )

      assert run(
               db,
               query,
               ~s{/*rows "posts"*/ DELETE FROM "posts" WHERE _ROWID_ IN (SELECT p0._ROWID_ FROM "posts" AS p0 } <>
                 ~s{INNER JOIN "authors" AS a1 ON a1."id" = p0."author_id" } <>
                 ~s{WHERE (a1."name" = 'Ann')) RETURNING "posts"."id"},
               :delete_all
             ) == [[1], [2]]

      query = from(p in Post, left_join: a in Author, on: a.id == p.id, where: is_nil(a.id))
      run(db, query, nil, :delete_all)
      assert raw(db, "SELECT id FROM posts") == [[3]]

      query = from(p in Post, prefix: "other", join: o in Post, on: true)
      run(db, query, nil, :delete_all)
      assert raw(db, "SELECT id FROM other.posts") == []
    end

    test "with order and limit, should Ecto let them through", %{db: db} do
      limited = from(p in Post, order_by: [desc: p.id], limit: 1)

      {planned, _cast, []} = Ecto.Adapter.Queryable.plan_query(:all, Ecto.Adapters.LibSql, limited)

      planned = %{planned | select: nil}
      sql = planned |> Ecto.Adapters.LibSql.Query.delete_all() |> IO.iodata_to_binary()

      assert sql ==
               ~s{/*rows "posts"*/ DELETE FROM "posts" WHERE _ROWID_ IN (SELECT p0._ROWID_ FROM "posts" AS p0 } <>
                 ~s{ORDER BY p0."id" DESC LIMIT 1)}

      raw(db, sql)
      assert raw(db, "SELECT id FROM posts") == [[1], [2]]
    end
  end

  test "subqueries and locks are refused" do
    assert refused(from(p in subquery(Post), update: [set: [title: "x"]]), :update_all) =~ ""
  end
end
