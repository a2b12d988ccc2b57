Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.ExprTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  # The text and the row of one selected expression of the first post.
  defmacrop one(db, binding, expr) do
    quote do
      query =
        from(unquote(binding) in Post, where: unquote(binding).id == 1, select: [unquote(expr)])

      {sql, _params} = sql(query)
      [[value]] = rows(unquote(db), query)
      [_, text, _] = Regex.run(~r/\ASELECT (.*) FROM ("posts" AS p0 WHERE .*)\z/s, sql)
      {text, value}
    end
  end

  test "columns and literals", %{db: db} do
    assert one(db, p, p.title) == {~s(p0."title"), "One"}
    assert one(db, p, p.utc) == {~s(p0."utc_at"), "2024-01-31T10:00:00Z"}
    assert one(db, p, fragment("?", 1)) == {"1", 1}
    assert one(db, p, fragment("?", 1.5)) == {"1.5", 1.5}
    assert one(db, p, fragment("?", true)) == {"1", 1}
    assert one(db, p, fragment("?", nil)) == {"NULL", nil}
    assert one(db, p, fragment("?", "it's")) == {"'it''s'", "it's"}
    assert one(db, p, fragment("?", "a\0b")) == {"CAST(x'610062' AS TEXT)", "a\0b"}
    assert one(db, p, fragment("hex(?)", ^<<1, 255>>)) |> elem(1) == "01FF"
    assert one(db, p, fragment("json(?)", [1, 2, true])) |> elem(1) == "[1,2,true]"
  end

  test "arithmetic keeps its parentheses", %{db: db} do
    assert one(db, p, (p.visits + 1) * 2 - 3) ==
             {~s{((p0."visits" + 1) * 2) - 3}, 19}

    assert one(db, p, p.visits - (1 - -2)) == {~s{p0."visits" - (1 - -2)}, 7}
    assert one(db, p, p.visits / 2) == {~s{p0."visits" / 2}, 5}
  end

  test "comparisons and logic", %{db: db} do
    assert one(db, p, p.visits >= 10 and not is_nil(p.title)) ==
             {~s{(p0."visits" >= 10) AND (NOT (p0."title" IS NULL))}, 1}

    assert one(db, p, p.public == true or p.visits != 10) ==
             {~s{(p0."public" = 1) OR (p0."visits" != 10)}, 1}

    assert one(db, p, is_nil(p.title == "x")) == {~s{(p0."title" = 'x') IS NULL}, 0}
  end

  test "in", %{db: db} do
    assert one(db, p, p.id in [1, 2]) ==
             {~s{p0."id" IN (1, 2)}, 1}

    assert one(db, p, p.id in [1, p.visits]) == {~s{p0."id" IN (1, p0."visits")}, 1}
    assert one(db, p, p.id in []) |> elem(1) == 0
    assert one(db, p, p.price in [1.25, 7.5]) |> elem(1) == 1
    assert one(db, p, p.score in [1.5]) |> elem(1) == 1
    ids = [2, 3]
    assert one(db, p, p.id in ^ids) == {~s{p0."id" IN (SELECT value FROM json_each(?1))}, 0}
    assert one(db, p, p.id in ^[]) |> elem(1) == 0
    assert one(db, p, p.id not in ^[]) |> elem(1) == 1

    assert one(db, p, "x" in p.tags) ==
             {~s{'x' IN (SELECT value FROM json_each(p0."tags"))}, 1}

    assert one(db, p, ^"y" in p.tags) |> elem(1) == 1

    assert one(db, p, fragment("?", {p.id, p.visits} in [{1, 10}, {2, 3}])) ==
             {~s{(p0."id", p0."visits") IN (VALUES (1, 10), (2, 3))}, 1}

    sub = from(a in Author, select: a.id)

    assert one(db, p, p.author_id in subquery(sub)) ==
             {~s{p0."author_id" IN (SELECT sa0."id" AS "id" FROM "authors" AS sa0)}, 1}
  end

  test "decimals that are stored as text compare as numbers", %{db: db} do
    raw(db, "CREATE TABLE money (id INTEGER PRIMARY KEY, price TEXT)")
    raw(db, "INSERT INTO money VALUES (1, '9.5'), (2, '10.0'), (3, '1')")
    money = from(p in {"money", Post})

    assert rows(db, from(p in money, where: p.price > 9, order_by: p.price, select: p.id)) == [
             [1],
             [2]
           ]

    assert rows(db, from(p in money, where: p.price == ^10, select: p.price)) == [["10.0"]]
    assert rows(db, from(p in money, where: p.price in [10, 1], select: p.id)) == [[2], [3]]
    assert rows(db, from(p in money, where: p.price in ^[10, 1], select: p.id)) == [[2], [3]]

    assert rows(db, from(p in money, select: {min(p.price), max(p.price), sum(p.price)})) == [
             ["1", "10.0", "20.5"]
           ]

    assert rows(db, from(p in money, distinct: p.price, select: p.id)) == [[3], [1], [2]]
  end

  test "like and ilike", %{db: db} do
    assert one(db, p, like(p.title, "O%")) == {~s{p0."title" LIKE 'O%'}, 1}
    assert one(db, p, ilike(p.title, "oN%")) == {~s{lower(p0."title") LIKE lower('oN%')}, 1}
    assert one(db, p, like(p.raw, "ab%")) == {~s{CAST(p0."raw" AS TEXT) LIKE 'ab%'}, 1}
    assert one(db, p, ilike(p.raw, "AB%")) |> elem(1) == 1
  end

  test "type", %{db: db} do
    assert one(db, p, type(^"7", :integer)) == {"?1", 7}
    assert one(db, p, type(p.visits, :float)) == {~s{CAST(p0."visits" AS REAL)}, 10.0}
    assert one(db, p, type(p.visits, :string)) == {~s{CAST(p0."visits" AS TEXT)}, "10"}
    assert one(db, p, type(^"1.5", :decimal)) == {"?1", "1.5"}
    assert one(db, p, type(^true, :boolean)) == {"?1", 1}
    assert one(db, p, type(^<<1, 2>>, :binary)) == {"?1", <<1, 2>>}
    assert one(db, p, type(^~D[2024-01-01], :date)) == {"?1", "2024-01-01"}
    assert one(db, p, type(^%{a: 1}, :map)) == {"?1", ~s({"a":1})}
    assert one(db, p, type(^1, p.visits)) == {"?1", 1}
  end

  test "aggregates, coalesce, filter", %{db: db} do
    query = from(p in Post, select: {count(), count(p.score), count(p.visits, :distinct)})

    assert run(
             db,
             query,
             ~s{SELECT count(*), count(p0."score"), count(DISTINCT p0."visits") FROM "posts" AS p0}
           ) == [[3, 2, 2]]

    query =
      from(p in Post,
        select:
          {sum(p.visits), avg(p.score), min(p.title), max(p.visits), coalesce(max(p.score), 0)}
      )

    assert run(
             db,
             query,
             ~s{SELECT sum(p0."visits"), avg(p0."score"), min(p0."title"), max(p0."visits"), } <>
               ~s{coalesce(max(p0."score"), 0) FROM "posts" AS p0}
           ) == [[50, 2.0, "One", 20, 2.5]]

    query = from(p in Post, select: filter(count(p.id), p.visits > 10))

    assert run(
             db,
             query,
             ~s{SELECT count(p0."id") FILTER (WHERE p0."visits" > 10) FROM "posts" AS p0}
           ) == [[2]]
  end

  test "fragments", %{db: db} do
    assert one(db, p, fragment("upper(?) || ?", p.title, ^"!")) |> elem(1) == "ONE!"

    assert one(db, p, fragment("?", identifier(^"title"))) == {~s("title"), "One"}
    assert one(db, p, fragment("?", constant(^5))) == {"5", 5}
    assert one(db, p, fragment("?", constant(^"it's"))) == {"'it''s'", "it's"}

    assert {~s{p0."id" IN (?1,} <> _rest, 1} =
             one(db, p, fragment("? IN (?)", p.id, splice(^[1, 2])))

    assert one(db, p, fragment("? IN (?)", p.id, splice(^[]))) == {~s{p0."id" IN ()}, 0}
    assert one(db, p, fragment("SELECT ?", p.id)) == {~s{(SELECT p0."id")}, 1}
    assert refused(from(p in Post, where: fragment(title: 1))) =~ "keyword fragments"
  end

  test "exists, parent_as and scalar subqueries", %{db: db} do
    sub = from(a in Author, where: a.id == parent_as(:post).author_id, select: 1)

    assert run(
             db,
             from(p in Post, as: :post, where: exists(sub), select: p.id),
             ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (EXISTS (SELECT 1 FROM "authors" AS sa0 } <>
               ~s{WHERE (sa0."id" = p0."author_id")))}
           ) == [[1], [2], [3]]

    sub = from(a in Author, where: a.id == parent_as(:post).author_id, select: a.name)
    query = from(p in Post, as: :post, select: {p.id, subquery(sub)}, order_by: p.id)
    assert rows(db, query) == [[1, "Ann"], [2, "Ann"], [3, "Bob"]]

    inner = from(b in Author, where: b.id == parent_as(:post).author_id, select: b.id)
    sub = from(a in Author, where: a.id in subquery(inner), select: a.name)
    query = from(p in Post, as: :post, where: p.id == 3, select: subquery(sub))
    assert rows(db, query) == [["Bob"]]
  end

  describe "any and all" do
    test "of equality are IN", %{db: db} do
      sub = from(a in Author, select: a.id)

      assert one(db, p, p.author_id == any(sub)) ==
               {~s{p0."author_id" IN (SELECT sa0."id" AS "id" FROM "authors" AS sa0)}, 1}

      assert one(db, p, p.author_id != all(sub)) |> elem(1) == 0
    end

    test "of other comparisons count what is true, false and unknown", %{db: db} do
      sub = from(a in Author, select: a.boss_id)
      {text, value} = one(db, p, p.author_id >= any(sub))

      assert text ==
               ~s{(SELECT CASE WHEN max(b) = 1 THEN 1 WHEN count(*) > count(b) THEN NULL ELSE 0 END } <>
                 ~s{FROM (SELECT p0."author_id" >= "value" AS b } <>
                 ~s{FROM (SELECT sa0."boss_id" AS "value" FROM "authors" AS sa0)))}

      assert value == 1
      assert one(db, p, p.author_id > any(sub)) |> elem(1) == nil
      assert one(db, p, p.author_id > all(sub)) |> elem(1) == 0
      assert one(db, p, p.author_id <= all(sub)) |> elem(1) == nil

      none = from(a in Author, where: a.id > 100, select: a.id)
      assert one(db, p, p.id > any(none)) |> elem(1) == 0
      assert one(db, p, p.id > all(none)) |> elem(1) == 1
      assert one(db, p, p.id != any(none)) |> elem(1) == 0
    end

    test "stand beside a comparison only" do
      sub = from(a in Author, select: a.id)
      assert refused(from(p in Post, where: fragment("?", any(sub)))) =~ "comparison"
    end
  end

  test "json_extract_path", %{db: db} do
    assert one(db, p, json_extract_path(p.meta, ["a"])) ==
             {~s{json_extract(p0."meta", '$."a"')}, 1}

    assert one(db, p, p.meta["l"][1]) == {~s{json_extract(p0."meta", '$."l"[1]')}, 8}
    assert one(db, p, p.meta["k\"q"]) |> elem(1) == 2
    assert one(db, p, p.meta["it's"]) |> elem(1) == nil

    assert one(db, p, p.meta["ok"] == true) ==
             {~s{json_type(p0."meta", '$."ok"') = 'true'}, 1}

    assert one(db, p, p.meta["a"] == true) |> elem(1) == 0
    assert one(db, p, p.meta["l"] == "[7,8]") |> elem(1) == 1

    query = from(p in Post, where: p.id == 1, select: p.meta["l"][p.author_id])
    assert rows(db, query) == [[8]]

    query =
      from(p in Post, join: a in Author, on: a.id == 1, where: p.id == 1, select: p.meta[a.name])

    assert rows(db, query) == [[nil]]
  end

  test "what has no SQL is refused" do
    assert refused(from(p in "posts", select: p)) =~ "schema"

    assert refused(from(p in Post, where: p.visits == fragment("?", 9_223_372_036_854_775_808))) =~
             "64 bits"

    assert refused(from(p in Post, lock: "FOR UPDATE")) =~ "mode: :immediate"
  end
end
