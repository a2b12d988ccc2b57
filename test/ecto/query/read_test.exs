defmodule Ecto.Adapters.LibSql.Query.ReadTest do
  # What is calculated comes back as what it is, though Ecto has no type for it.
  use EctoLibSql.Case, async: true

  import Ecto.Query

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Sale do
    use Ecto.Schema

    schema "sales" do
      field(:price, :decimal)
      field(:copies, :integer)
      field(:public, :boolean)
      field(:at, :utc_datetime_usec)
      field(:day, :date)
      field(:tags, {:array, :string})
      field(:meta, :map)
      field(:token, Ecto.UUID)
    end
  end

  @table "CREATE TABLE sales (id INTEGER PRIMARY KEY, price TEXT_DECIMAL, copies INTEGER, " <>
           "public INTEGER, at ANYTHING, day TEXT_DATE, tags BLOB, meta BLOB, token BLOB)"

  @settings [
    [],
    [uuid_type: :text, binary_id_type: :blob, json_type: :jsonb, datetime_type: :integer]
  ]

  for settings <- @settings do
    describe "with #{inspect(settings)}" do
      setup do
        start_supervised!(
          {Repo, [database: tmp_path(), pool_size: 1, log: false] ++ unquote(settings)}
        )

        Repo.query!(@table)

        Repo.insert!(%Sale{
          price: Decimal.new("1.50"),
          copies: 3,
          public: true,
          at: ~U[2024-01-31 10:00:00.500000Z],
          day: ~D[2024-01-31],
          tags: ["a", "b"],
          meta: %{"a" => [1, true]},
          token: "601d74e4-a8d3-4b6e-8365-eddb4c893327"
        })

        :ok
      end

      test "decimals" do
        assert one(dynamic([s], s.price * s.copies)) == Decimal.new("4.50")
        assert one(dynamic([s], -s.price)) == Decimal.new("-1.50")
        assert one(dynamic([s], coalesce(s.price, 0))) == Decimal.new("1.50")
        assert one(dynamic([s], sum(s.price * 2))) == Decimal.new("3.00")
        assert one(dynamic([s], avg(s.price))) == Decimal.new("1.50")
        assert one(dynamic([s], max(s.price + 1))) == Decimal.new("2.50")
        assert one(dynamic([s], over(sum(s.price - 1)))) == Decimal.new("0.50")
        assert one(dynamic([s], filter(sum(s.price * 2), s.copies > 100))) == nil
      end

      test "booleans" do
        assert one(dynamic([s], s.copies in [1, 2])) == false
        assert one(dynamic([s], s.copies in ^[3])) == true
        assert one(dynamic([s], coalesce(s.public, false))) == true
        assert Repo.one(from(s in Sale, select: exists(from(s in Sale)))) == true
        assert one(dynamic([s], s.price > 1 and "a" in s.tags)) == true
      end

      test "dates, times, JSON" do
        at = ~U[2024-01-31 10:00:00.500000Z]
        assert one(dynamic([s], coalesce(s.at, s.at))) == at
        assert one(dynamic([s], max(datetime_add(s.at, 1, "second")))) == DateTime.add(at, 1)
        assert one(dynamic([s], coalesce(s.day, s.day))) == ~D[2024-01-31]
        assert one(dynamic([s], coalesce(s.tags, s.tags))) == ["a", "b"]
        assert one(dynamic([s], coalesce(s.meta, s.meta))) == %{"a" => [1, true]}
        assert one(dynamic([s], s.meta["a"])) == [1, true]
      end

      test "scalar subqueries" do
        for {field, value} <- [
              price: Decimal.new("1.50"),
              public: true,
              at: ~U[2024-01-31 10:00:00.500000Z],
              day: ~D[2024-01-31],
              tags: ["a", "b"]
            ] do
          sub = from(s in Sale, select: field(s, ^field))
          assert Repo.one(from(s in Sale, select: subquery(sub))) == value
        end

        sub = from(s in Sale, select: sum(s.price * 2))
        assert Repo.one(from(s in Sale, select: subquery(sub))) == Decimal.new("3.00")
      end

      test "subqueries, CTEs and combinations as sources" do
        inner =
          from(s in Sale,
            select: %{
              sum: s.price * 2,
              in: s.copies in [3],
              at: coalesce(s.at, s.at),
              top: max(s.price),
              tags: s.tags
            },
            group_by: s.id
          )

        expected = %{
          sum: Decimal.new("3.00"),
          in: true,
          at: ~U[2024-01-31 10:00:00.500000Z],
          top: Decimal.new("1.50"),
          tags: ["a", "b"]
        }

        fields = Map.keys(expected)
        assert Repo.one(from(s in subquery(inner), select: map(s, ^fields))) == expected
        assert Repo.one(from(s in subquery(inner))) == expected
        cte = with_cte("c", "c", as: ^inner)
        assert Repo.one(select(cte, [c], map(c, ^fields))) == expected
        assert Repo.one(select(cte, [c], {max(c.sum), c.in})) == {Decimal.new("3.00"), true}
        both = union(inner, ^inner)
        assert Repo.one(both) == expected
      end

      test "the same through a stream, twice" do
        for _twice <- 1..2 do
          query = from(s in Sale, select: s.price * 2)
          {:ok, rows} = Repo.transaction(fn -> query |> Repo.stream() |> Enum.to_list() end)
          assert rows == [Decimal.new("3.00")]
        end
      end

      test "combinations of values that do not compare are refused" do
        query = from(s in Sale, select: s.price)

        assert_raise Ecto.QueryError, ~r/type\/2/, fn ->
          Repo.all(union(query, ^from(s in Sale, select: s.copies)))
        end

        same = from(s in Sale, select: type(s.copies, :decimal))
        assert Repo.all(union_all(query, ^same)) == [Decimal.new("1.50"), Decimal.new(3)]
      end
    end
  end

  defp one(expr), do: Repo.one(from(s in Sale, select: ^%{v: expr})).v
end
