Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.PlanTest do
  # A plain query is plain SQL, and what has an index is found by it.
  use Ecto.Adapters.LibSql.QueryCase, async: true

  defmodule Token do
    use Ecto.Schema

    schema "tokens" do
      field(:uuid, Ecto.UUID)
      field(:code, :binary_id)
      field(:post_id, :integer)
    end
  end

  setup %{db: db} do
    raw(db, "CREATE INDEX posts_author ON posts (author_id)")
    raw(db, "CREATE INDEX posts_utc ON posts (utc_at)")

    raw(db, """
    CREATE TABLE tokens (id INTEGER PRIMARY KEY, uuid BLOB, code TEXT, post_id INTEGER)
    """)

    raw(db, "CREATE INDEX tokens_uuid ON tokens (uuid)")
    raw(db, "CREATE INDEX tokens_code ON tokens (code)")
    raw(db, "CREATE INDEX tokens_post ON tokens (post_id)")
    :ok
  end

  defp plan(db, query, operation \\ :all) do
    {sql, params} = sql(query, operation)

    {:ok, _, %{rows: rows}, _} = EctoLibSql.query(db, "EXPLAIN QUERY PLAN " <> sql, params)
    Enum.map_join(rows, "\n", &List.last/1)
  end

  test "by primary key", %{db: db} do
    query = from(a in Author, where: a.id == ^1)

    assert {~s{SELECT a0."id", a0."name", a0."boss_id" FROM "authors" AS a0 WHERE (a0."id" = ?1)},
            [1]} = sql(query)

    assert plan(db, query) == "SEARCH a0 USING INTEGER PRIMARY KEY (rowid=?)"
  end

  test "by a list", %{db: db} do
    assert plan(db, from(a in Author, where: a.id in ^[1, 2])) =~
             "SEARCH a0 USING INTEGER PRIMARY KEY"

    assert plan(db, from(a in Author, where: a.id in [1, 2])) ==
             "SEARCH a0 USING INTEGER PRIMARY KEY (rowid=?)"

    assert plan(db, from(p in Post, where: p.author_id in ^[1])) =~
             "SEARCH p0 USING INDEX posts_author"

    assert plan(db, from(p in Post, where: p.utc in ^[DateTime.utc_now()])) =~
             "SEARCH p0 USING INDEX posts_utc"

    uuid = Ecto.UUID.generate()

    assert plan(db, from(t in Token, where: t.uuid in ^[uuid])) =~
             "SEARCH t0 USING INDEX tokens_uuid"

    assert plan(db, from(t in Token, where: t.code in ^[uuid])) =~
             "SEARCH t0 USING INDEX tokens_code"

    # As preloads of many_to_many have it.
    query = from(t in "tokens", where: t.post_id in type(^[1], {:array, :id}), select: t.id)
    assert plan(db, query) =~ "SEARCH t0 USING COVERING INDEX tokens_post"
  end

  test "joins", %{db: db} do
    query =
      from(p in Post, join: a in Author, on: a.id == p.author_id, where: a.id == ^1, select: p.id)

    {sql, _params} = sql(query)

    assert sql ==
             ~s{SELECT p0."id" FROM "posts" AS p0 INNER JOIN "authors" AS a1 ON a1."id" = p0."author_id" } <>
               ~s{WHERE (a1."id" = ?1)}

    assert plan(db, query) =~ "SEARCH a1 USING INTEGER PRIMARY KEY"
    assert plan(db, query) =~ "SEARCH p0 USING COVERING INDEX posts_author"

    # Two kinds of ids: the left side is looked up.
    query = from(t in Token, join: u in Token, on: t.uuid == u.code, select: t.id)
    assert plan(db, query) =~ "SEARCH t0 USING COVERING INDEX tokens_uuid"
  end

  test "order", %{db: db} do
    query = from(p in Post, order_by: [desc: p.utc], limit: 10, select: p.title)
    assert plan(db, query) == "SCAN p0 USING INDEX posts_utc"
    assert plan(db, from(p in Post, group_by: p.author_id, select: count())) =~ "posts_author"
    assert plan(db, from(p in Post, select: max(p.utc))) =~ "posts_utc"
  end

  test "writes", %{db: db} do
    query = from(p in Post, where: p.author_id == ^1, update: [set: [title: "x"]])
    assert plan(db, query, :update_all) == "SEARCH p0 USING INDEX posts_author (author_id=?)"

    query = from(t in Token, join: p in Post, on: p.id == t.post_id, where: p.author_id == ^1)
    plan = plan(db, query, :delete_all)
    assert plan =~ "SEARCH tokens USING INTEGER PRIMARY KEY"
    assert plan =~ "posts_author"
    assert plan =~ "tokens_post"
  end
end
