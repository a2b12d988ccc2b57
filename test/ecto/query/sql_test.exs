Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.SqlTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  alias Ecto.Adapters.LibSql.{Query, Sql}

  defp text(iodata), do: IO.iodata_to_binary(iodata)

  test "names hold anything but a NUL", %{db: db} do
    for name <- ["a", "two words", "it's", ~s(a "quoted" name), "select", "ü"] do
      quoted = name |> Sql.quote_name() |> text()
      raw(db, "CREATE TABLE #{quoted} (#{quoted} INTEGER)")
      raw(db, "INSERT INTO #{text(Sql.quote_table("main", name))} (#{quoted}) VALUES (7)")
      assert raw(db, "SELECT #{quoted} FROM #{quoted}") == [[7]]
      raw(db, "DROP TABLE #{quoted}")
    end

    assert text(Sql.quote_table(nil, :posts)) == ~s("posts")
    assert text(Sql.quote_names([:a, "b"])) == ~s("a", "b")
    assert_raise ArgumentError, fn -> Sql.quote_name("a\0b") end
  end

  test "strings and blobs", %{db: db} do
    for value <- ["", "it's", "''", "a\nb", "ü"] do
      assert raw(db, "SELECT #{text(Sql.quote_string(value))}") == [[value]]
    end

    assert raw(db, "SELECT #{text(Sql.quote_blob(<<0, 255>>))}") == [[<<0, 255>>]]
    assert_raise ArgumentError, fn -> Sql.quote_string("a\0b") end
  end

  test "paths into JSON", %{db: db} do
    json = ~s({"a\\"b":{"c'd":[1,2]},"e\\\\f":3})

    for {steps, value} <- [
          {["a\"b", "c'd", 1], 2},
          {["a\"b", "c'd", -1], 2},
          {["e\\f"], 3},
          {["g"], nil}
        ] do
      sql = "SELECT json_extract(#{text(Sql.quote_string(json))}, '#{text(Sql.json_path(steps))}')"
      assert raw(db, sql) == [[value]]
    end
  end

  test "a name with a quote in a query", %{db: db} do
    raw(db, ~s{CREATE TABLE "we""ird" ("co""l" INTEGER)})
    query = from(w in ~s(we"ird), where: field(w, ^:"co\"l") > 0, select: field(w, ^:"co\"l"))
    assert run(db, query, ~s{SELECT w0."co""l" FROM "we""ird" AS w0 WHERE (w0."co""l" > 0)}) == []
  end

  test "upserts", %{db: db} do
    query =
      from(p in Post, where: p.visits < 100, update: [inc: [visits: 1], set: [title: "again"]])

    {planned, _cast, []} =
      Ecto.Adapter.Queryable.plan_query(:update_all, Ecto.Adapters.LibSql, query)

    update = planned |> Query.on_conflict() |> text()
    name = planned |> Query.source_name() |> text()

    raw(
      db,
      ~s{INSERT INTO posts AS #{name} (id, title) VALUES (1, 'x') ON CONFLICT (id) DO #{update}}
    )

    assert raw(db, "SELECT title, visits FROM posts WHERE id = 1") == [["again", 11]]
  end
end
