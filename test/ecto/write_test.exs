defmodule Ecto.Adapters.LibSql.WriteTest do
  # Each statement is compared as text, and run.
  use EctoLibSql.Case, async: true

  import Ecto.Query

  alias Ecto.Adapters.LibSql.{InsertAll, Write}

  @raise {:raise, [], []}

  setup do
    db = connect(database: ":memory:")

    execute!(db, """
    CREATE TABLE item (
      id INTEGER PRIMARY KEY, name TEXT DEFAULT 'unnamed', price INTEGER DEFAULT 7, sort TEXT
    )
    """)

    execute!(db, "CREATE UNIQUE INDEX item_name ON item (name)")
    execute!(db, "CREATE UNIQUE INDEX item_dear ON item (sort) WHERE price > 100")
    execute!(db, "CREATE TABLE other (x, y)")
    execute!(db, "INSERT INTO other VALUES ('o1', 1), ('o2', 2)")
    {:ok, db: db}
  end

  defp text(sql), do: IO.iodata_to_binary(sql)

  defp insert(header, rows, on_conflict \\ @raise, returning \\ [], placeholders \\ []),
    do: text(Write.insert(nil, "item", header, rows, on_conflict, returning, placeholders))

  defp items(db), do: rows!(db, "SELECT name, price FROM item ORDER BY id")

  # As Ecto does before it calls an adapter.
  defp plan(query, operation, first \\ 0) do
    {query, params, _key} = Ecto.Query.Planner.plan(query, operation, Ecto.Adapters.LibSql)
    {query, _select} = Ecto.Query.Planner.normalize(query, operation, Ecto.Adapters.LibSql, first)
    {query, for({_cast, dumped} <- params, do: dumped)}
  end

  describe "insert" do
    test "rows", %{db: db} do
      sql = insert([:name, :price], [[:name, :price], [:name, :price]])
      assert sql == ~s{INSERT INTO "item" ("name", "price") VALUES (?,?),(?,?)}
      execute!(db, sql, ["a", 1, "b", 2])
      assert items(db) == [["a", 1], ["b", 2]]
    end

    test "with a prefix and RETURNING", %{db: db} do
      sql = text(Write.insert("main", "item", [:name], [[:name]], @raise, [:id, :price], []))

      assert sql ==
               ~s{INSERT INTO "main"."item" ("name") VALUES (?1) RETURNING "id", "price"}

      assert rows!(db, sql, ["a"]) == [[1, 7]]
    end

    test "a column that no row has keeps its default", %{db: db} do
      sql = insert([:name, :price], [[:name, nil], [:name, nil]])
      assert sql == ~s{INSERT INTO "item" ("name") VALUES (?1),(?2)}
      execute!(db, sql, ["a", "b"])
      assert items(db) == [["a", 7], ["b", 7]]
    end

    test "rows that leave out different columns are not for one statement" do
      assert_raise ArgumentError, ~r/same columns/, fn ->
        insert([:name, :price], [[:name, nil], [nil, :price]])
      end
    end

    test "a row of nothing", %{db: db} do
      assert insert([], [[]]) == ~s{INSERT INTO "item" DEFAULT VALUES}
      execute!(db, insert([], [[]]))
      assert items(db) == [["unnamed", 7]]

      sql = insert([:name], [[nil]], {:nothing, [], []})
      assert sql == ~s{INSERT INTO "item" (_rowid_) VALUES (NULL) ON CONFLICT DO NOTHING}
      execute!(db, sql)
      assert items(db) == [["unnamed", 7]]
    end

    test "placeholders come first", %{db: db} do
      sql =
        insert(
          [:name, :price],
          [[:name, {:placeholder, "1"}], [:name, {:placeholder, "1"}]],
          @raise,
          [],
          [9]
        )

      assert sql == ~s{INSERT INTO "item" ("name", "price") VALUES (?2,?1),(?3,?1)}
      execute!(db, sql, [9, "a", "b"])
      assert items(db) == [["a", 9], ["b", 9]]
    end

    test "a query as a cell", %{db: db} do
      {query, params} = plan(from(o in "other", where: o.x == ^"o2", select: o.y), :all, 1)
      sql = insert([:name, :price], [[:name, {query, 1}], [:name, :price]])

      assert sql ==
               ~s{INSERT INTO "item" ("name", "price") VALUES } <>
                 ~s{(?1,(SELECT o0."y" FROM "other" AS o0 WHERE (o0."x" = ?2))),(?3,?4)}

      execute!(db, sql, ["a"] ++ params ++ ["b", 5])
      assert items(db) == [["a", 2], ["b", 5]]
    end

    test "what a query gives", %{db: db} do
      {query, []} = plan(from(o in "other", select: %{name: o.x, price: o.y}), :insert_all)
      sql = insert([:name, :price], query)

      assert sql ==
               ~s{INSERT INTO "item" ("name", "price") SELECT o0."x", o0."y" FROM "other" AS o0}

      execute!(db, sql)
      assert items(db) == [["o1", 1], ["o2", 2]]
    end
  end

  describe "on_conflict" do
    setup %{db: db} do
      execute!(db, "INSERT INTO item (name, price, sort) VALUES ('a', 1, 's')")
      :ok
    end

    test "nothing", %{db: db} do
      for {targets, clause} <- [{[], ""}, {[:name], ~s{ ("name")}}] do
        sql = insert([:name], [[:name]], {:nothing, [], targets})

        assert sql ==
                 ~s{INSERT INTO "item" ("name") VALUES (?1) ON CONFLICT#{clause} DO NOTHING}

        execute!(db, sql, ["a"])
      end

      assert items(db) == [["a", 1]]
    end

    test "replaced fields", %{db: db} do
      sql = insert([:name, :price], [[:name, :price]], {[:name, :price], [], [:name]}, [:id])

      assert sql ==
               ~s{INSERT INTO "item" ("name", "price") VALUES (?1,?2) ON CONFLICT ("name") } <>
                 ~s{DO UPDATE SET "name" = excluded."name", "price" = excluded."price" } <>
                 ~s{RETURNING "id"}

      assert rows!(db, sql, ["a", 2]) == [[1]]
      assert items(db) == [["a", 2]]
    end

    test "replaced fields without a target", %{db: db} do
      sql = insert([:name, :price], [[:name, :price]], {[:price], [], []})
      assert sql =~ ~s{ ON CONFLICT DO UPDATE SET "price" = excluded."price"}
      execute!(db, sql, ["a", 3])
      assert items(db) == [["a", 3]]
    end

    test "several columns as the target", %{db: db} do
      execute!(db, "CREATE UNIQUE INDEX two ON item (price, sort)")
      sql = insert([:price, :sort], [[:price, :sort]], {[:sort], [], [:price, :sort]})
      assert sql =~ ~s{ ON CONFLICT ("price", "sort") DO UPDATE SET "sort" = excluded."sort"}
      execute!(db, sql, [1, "s"])
      assert items(db) == [["a", 1]]
    end

    test "a fragment as the target: a partial index", %{db: db} do
      execute!(db, "UPDATE item SET price = 200")
      target = {:unsafe_fragment, "(sort) WHERE price > 100"}
      sql = insert([:name, :price, :sort], [[:name, :price, :sort]], {[:name], [], target})

      assert sql =~
               ~s{ ON CONFLICT (sort) WHERE price > 100 DO UPDATE SET "name" = excluded."name"}

      execute!(db, sql, ["b", 300, "s"])
      assert items(db) == [["b", 200]]
    end

    test "a query that updates", %{db: db} do
      query = from(i in "item", update: [inc: [price: ^10]], where: i.price < ^100)
      {query, params} = plan(query, :update_all, 1)
      sql = insert([:name], [[:name]], {query, params, [:name]})

      assert sql =~ ~s{INSERT INTO "item" AS i0 ("name") VALUES (?1) ON CONFLICT ("name") DO UPDATE}
      execute!(db, sql, ["a" | params])
      assert items(db) == [["a", 11]]
      execute!(db, sql, ["a", 200, 100])
      execute!(db, sql, ["a", 200, 100])
      assert items(db) == [["a", 211]]
    end

    test "after a SELECT, ON CONFLICT is not the ON of a join", %{db: db} do
      queries = [
        from(o in "other", select: %{name: o.x}),
        from(o in "other", join: p in "other", on: o.x == p.x, select: %{name: o.x}),
        from(o in "other", cross_join: p in "item", select: %{name: o.x}),
        from(o in "other", where: o.y > 0, select: %{name: o.x}),
        from(o in "other", order_by: o.y, limit: 5, select: %{name: o.x}),
        from(o in "other",
          select: %{name: o.x},
          union_all: ^from(i in "item", select: %{name: i.name})
        )
      ]

      for query <- queries do
        execute!(db, "DELETE FROM item WHERE name <> 'a'")
        {query, []} = plan(query, :insert_all)
        execute!(db, insert([:name], query, {:nothing, [], [:name]}))
        assert rows!(db, "SELECT name FROM item ORDER BY name") == [["a"], ["o1"], ["o2"]]
      end
    end
  end

  describe "update and delete" do
    setup %{db: db} do
      execute!(db, "INSERT INTO item (name, price) VALUES ('a', 1), ('b', NULL)")
      :ok
    end

    test "update", %{db: db} do
      sql = text(Write.update(nil, "item", [:name, :price], [id: 1], [:id]))

      assert sql ==
               ~s{UPDATE "item" SET "name" = ?1, "price" = ?2 WHERE "id" = ?3 RETURNING "id"}

      assert rows!(db, sql, ["x", 5, 1]) == [[1]]
      assert items(db) == [["x", 5], ["b", nil]]
    end

    test "a filter of nil is IS, and has its parameter", %{db: db} do
      sql = text(Write.update("main", "item", [:name], [price: nil, id: 2], []))

      assert sql ==
               ~s{UPDATE "main"."item" SET "name" = ?1 WHERE "price" IS ?2 AND "id" = ?3}

      execute!(db, sql, ["x", nil, 2])
      assert items(db) == [["a", 1], ["x", nil]]
    end

    test "delete", %{db: db} do
      sql = text(Write.delete(nil, "item", [id: 1, price: 1], [:name]))
      assert sql == ~s{DELETE FROM "item" WHERE "id" = ?1 AND "price" = ?2 RETURNING "name"}
      assert rows!(db, sql, [1, 1]) == [["a"]]
      execute!(db, text(Write.delete(nil, "item", [price: nil], [])), [nil])
      assert items(db) == []
    end
  end

  describe "insert_all's plan" do
    defp plans(header, rows, on_conflict \\ @raise, placeholders \\ 0) do
      for {rows, params, _on_conflict} <- InsertAll.plan(header, rows, on_conflict, placeholders),
          do: {length(rows), params}
    end

    test "neighbours with the same columns go together" do
      rows = [[a: 1, b: 2], [b: 3, a: 4], [a: 5], [a: 6], [a: 7, b: 8]]

      assert plans([:a, :b], rows) ==
               [{2, [1, 2, 4, 3]}, {2, [5, 6]}, {1, [7, 8]}]
    end

    test "rows of nothing stand alone" do
      assert plans([], [[], []]) == [{1, []}, {1, []}]
      assert plans([:a], [[], [a: 1], []]) == [{1, []}, {1, [1]}, {1, []}]
    end

    # Of Ecto 3.13, for a placeholder that stands in columns of two types: the second value is in ?2, and what
    # is no placeholder comes behind the one value that there is.
    test "a placeholder without a value is refused" do
      rows = [[a: {:placeholder, 1}, b: {:placeholder, 2}, c: "x"]]

      assert_raise ArgumentError, ~r/columns of the same type/, fn ->
        plans([:a, :b, :c], rows, @raise, 1)
      end

      assert [{1, ["x"]}] = plans([:a, :b, :c], rows, @raise, 2)
    end

    test "nothing is nothing" do
      assert plans([:a], []) == []
    end

    test "no statement has more parameters than the engine takes" do
      rows = for n <- 1..20_000, do: [a: n, b: n, c: {:placeholder, 1}]
      plans = plans([:a, :b, :c], rows, {[:a], [0, 0], [:b]}, 1)
      assert Enum.map(plans, &elem(&1, 0)) == [16_381, 3_619]
      assert Enum.all?(plans, fn {_rows, params} -> length(params) + 3 <= 32_766 end)
      assert plans |> Enum.flat_map(&elem(&1, 1)) |> Enum.take_every(2) == Enum.to_list(1..20_000)
    end

    test "queries are numbered anew in the second statement", %{db: db} do
      {cell, cell_params} = plan(from(o in "other", where: o.x == ^"o2", select: o.y), :all, 2)
      upsert = from(i in "item", update: [set: [price: ^50]])
      {upsert, upsert_params} = plan(upsert, :update_all, 3)
      rows = [[name: "a", price: 1], [price: {cell, cell_params}]]

      plans = InsertAll.plan([:name, :price], rows, {upsert, upsert_params, [:name]}, 0)
      assert [{_, ["a", 1], _}, {_, ["o2"], _}] = plans

      for _twice <- 1..2, {rows, params, on_conflict} <- plans do
        sql = insert([:name, :price], rows, on_conflict)
        execute!(db, sql, params ++ elem(on_conflict, 1))
        # The first time there is nothing to conflict with.
        if hd(params) == "o2",
          do: assert(rows!(db, "SELECT price FROM item WHERE name = 'unnamed'") in [[[2]], [[50]]])
      end

      assert items(db) == [["a", 50], ["unnamed", 50]]
    end
  end
end
