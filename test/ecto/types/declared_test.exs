Code.require_file("types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Types.DeclaredTest do
  # Queries without a schema: values are read by the types that tables declare.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  import ExUnit.CaptureLog
  import Ecto.Adapters.LibSql.TypesCase
  alias Ecto.Adapters.LibSql.TypesCase.{Repo, Thing}

  # Ids without a schema are what is stored; what else is not here has a storage class that says it all.
  @fields [
            :decimal,
            :bitstring,
            :date,
            :time,
            :time_usec,
            :naive,
            :naive_usec,
            :utc,
            :utc_usec,
            :map
          ] ++
            [:integers, :strings, :booleans]

  for forms <- all_forms() do
    test "columns of each type: #{inspect(forms)}" do
      start_repo(unquote(forms))

      for thing <- for(_ <- 1..30, do: random_thing()) do
        %{id: id} = Repo.insert!(thing)
        query = from(t in "things", where: t.id == ^id, select: map(t, ^@fields))
        assert Repo.all(query) == [Map.take(thing, @fields)]
      end
    end
  end

  describe "one table" do
    setup do
      start_repo([])

      thing = %Thing{
        decimal: Decimal.new("1.50"),
        map: %{"a" => [true]},
        utc: ~U[2024-05-06 07:08:09Z],
        integer: 7
      }

      Repo.insert!(thing)
      :ok
    end

    @price Decimal.new("1.50")

    test "through subqueries, CTEs, views, combinations, RETURNING, joins, fragments" do
      Repo.query!("CREATE VIEW shown AS SELECT decimal AS price, id FROM things")
      things = from(t in "things", select: %{price: t.decimal, id: t.id})

      for query <- [
            from(s in subquery(things), select: s.price),
            from(s in subquery(from(s in subquery(things), select: %{price: s.price})),
              select: s.price
            ),
            from(s in subquery(from(t in "things", select: %{price: t.decimal}, distinct: true)),
              select: s.price
            ),
            "sold" |> with_cte("sold", as: ^things) |> select([s], s.price),
            from(s in "shown", select: s.price),
            from(t in "things", join: s in subquery(things), on: s.id == t.id, select: s.price),
            from(t in "things", left_join: s in "shown", on: s.id == t.id, select: s.price),
            from(t in Thing, join: s in "things", on: s.id == t.id, select: s.decimal),
            from(t in fragment("SELECT decimal AS price FROM things"), select: t.price),
            union_all(
              from(t in "things", where: false, select: t.decimal),
              ^from(t in "things", select: t.decimal)
            ),
            from(t in Thing,
              as: :t,
              select:
                subquery(from(s in "things", where: s.id == parent_as(:t).id, select: s.decimal))
            )
          ] do
        assert {query, [@price]} == {query, Repo.all(query)}
      end

      assert {1, [%{decimal: @price, map: %{"a" => [true]}}]} =
               Repo.update_all(from(t in "things", select: map(t, [:decimal, :map])),
                 set: [integer: 8]
               )

      assert {1, [@price]} = Repo.delete_all(from(t in "things", select: t.decimal))
    end

    test "the second time, and streamed before and after" do
      query = from(t in "things", select: {t.decimal, t.map})
      stream = fn -> Repo.transaction(fn -> query |> Repo.stream() |> Enum.to_list() end) end
      row = {@price, %{"a" => [true]}}
      assert stream.() == {:ok, [row]}
      assert Repo.all(query) == [row]
      assert Repo.all(query) == [row]
      assert stream.() == {:ok, [row]}
    end

    test "a table that changes is read as it then is" do
      query = from(t in "things", select: t.decimal)
      assert Repo.all(query) == [@price]
      Repo.query!("ALTER TABLE things DROP COLUMN decimal")
      Repo.query!("ALTER TABLE things ADD COLUMN decimal TEXT_JSON DEFAULT '[1.50]'")
      assert Repo.all(query) == [[1.5]]
    end

    test "fields of schemas and SQL by hand stay as they were" do
      assert [%{decimal: @price}] = Repo.all(from(t in Thing, select: map(t, [:decimal])))
      assert %{rows: [["1.50"]]} = Repo.query!("SELECT decimal FROM things")
      assert %{rows: [["1.50"]]} = Repo.query!("/*read 0:decimal*/ SELECT decimal FROM things")

      assert {:ok, [%{rows: [["1.50"]]}]} =
               Repo.transaction(fn ->
                 Ecto.Adapters.SQL.stream(
                   Repo.get_dynamic_repo(),
                   "/*read 0:decimal*/ SELECT decimal FROM things"
                 )
                 |> Enum.to_list()
               end)
    end

    test "what is not of its declared type stays as it is" do
      Repo.query!("UPDATE things SET decimal = 'much', map = x'0d', utc = 'now'")
      query = from(t in "things", select: {t.decimal, t.map, t.utc})
      assert Repo.all(query) == [{"much", <<0x0D>>, "now"}]
    end

    test "neither the database nor logs see how columns are read" do
      query = from(t in "things", select: {t.decimal, t.map["a"]})

      for _ <- 1..2 do
        log = capture_log(fn -> assert [{@price, [true]}] = Repo.all(query, log: :info) end)
        assert log =~ "SELECT"
        refute log =~ "/*"
      end
    end

    test "JSON paths, with other columns around them" do
      Repo.update_all(Thing, set: [map: %{"on" => true, "m" => %{"k" => 1}, "s" => "x"}])

      query =
        from(t in "things",
          select: [
            t.integer,
            t.map["on"],
            t.decimal,
            t.map["m"],
            t.map["s"],
            t.map["m"]["k"],
            t.map["no"]
          ]
        )

      assert Repo.all(query) == [[7, true, @price, %{"k" => 1}, "x", 1, nil]]
    end
  end

  test "what 0.9 declared: times with a fraction and a zone, and without" do
    start_repo([])
    Repo.query!("CREATE TABLE old (price DECIMAL, at DATETIME, day DATE, time TIME, ok BOOLEAN)")

    Repo.query!("""
    INSERT INTO old VALUES ('12.50', '2024-05-06T07:08:09.123456Z', '2024-05-06', '07:08:09.123456', 1),
      (7, '2024-05-06T07:08:09', NULL, '07:08:09', 0), ('NaN', '2024-05-06 07:08:09Z', 'x', 'x', 'x')
    """)

    assert Repo.all(from(o in "old", select: {o.price, o.at, o.day, o.time, o.ok})) == [
             {Decimal.new("12.5"), ~U[2024-05-06 07:08:09.123456Z], ~D[2024-05-06],
              ~T[07:08:09.123456], true},
             {Decimal.new(7), ~N[2024-05-06 07:08:09], nil, ~T[07:08:09], false},
             {"NaN", ~U[2024-05-06 07:08:09Z], "x", "x", "x"}
           ]
  end

  test "columns of STRICT tables say no more than their storage class" do
    start_repo([], strict: true)
    Repo.insert!(%Thing{decimal: Decimal.new("1.50"), utc: ~U[2024-05-06 07:08:09Z]})

    assert Repo.all(from(t in "things", select: {t.decimal, t.utc})) == [
             {"1.50", "2024-05-06T07:08:09Z"}
           ]

    assert [%{decimal: decimal}] = Repo.all(Thing)
    assert decimal == Decimal.new("1.50")
  end
end
