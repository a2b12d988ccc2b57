defmodule Ecto.Adapters.LibSql.RemoteTest do
  # A Repo whose database is a server: what differs from a file, and what must not.
  use ExUnit.Case, async: true

  import Ecto.Query
  alias EctoLibSql.Error
  alias EctoLibSql.Test.Sqld

  @moduletag :sqld

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:name, :string)
      field(:count, :integer)
      field(:weight, :float)
      field(:price, :decimal)
      field(:meta, :map)
      field(:tags, {:array, :string})
      field(:day, :date)
      field(:at, :utc_datetime)
      field(:at_usec, :naive_datetime_usec)
    end
  end

  @items """
  CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE, count INTEGER, weight REAL, price TEXT_DECIMAL,
    meta TEXT_JSON, tags TEXT_JSON, day TEXT_DATE, at TEXT_DATETIME, at_usec TEXT_DATETIME)
  """

  setup_all do
    sqld = Sqld.start!()
    {:ok, sqld: sqld}
  end

  setup %{sqld: sqld} do
    repo = start_supervised!({Repo, uri: sqld.url, name: nil, pool_size: 3, log: false})
    Repo.put_dynamic_repo(repo)
    Repo.query!("DROP TABLE IF EXISTS items")
    Repo.query!(@items)
    :ok
  end

  ## Queries

  test "months and years end on the last day of a month that is too short" do
    dates = for day <- 28..31, month <- [1, 3, 12], do: Date.new!(2023, month, day)
    dates = [~D[2024-02-29], ~D[0002-01-31], ~D[9999-12-31] | dates]

    rows =
      for {day, id} <- Enum.with_index(dates),
          do: [id: id, day: day, at: DateTime.new!(day, ~T[10:11:12])]

    Repo.insert_all(Item, rows)

    for {count, unit} <- [
          {1, "month"},
          {-1, "month"},
          {2, "month"},
          {-11, "month"},
          {1, "year"},
          {-1, "year"},
          {0, "month"}
        ] do
      found =
        Repo.all(
          from(i in Item,
            order_by: i.id,
            select:
              {i.day, date_add(i.day, ^count, ^unit), date_add(i.day, -2, "month"),
               datetime_add(i.at, ^count, ^unit), datetime_add(i.at, ^(count * 1.0), ^unit)}
          )
        )

      for {day, added, two_less, moment, by_float} <- found do
        assert added == shift(day, count, unit), inspect({day, count, unit})
        assert two_less == shift(day, -2, "month")
        expected = added && DateTime.new!(added, ~T[10:11:12])
        assert moment == expected
        assert by_float == expected
      end
    end
  end

  # nil where the year is none that dates have.
  defp shift(day, count, "year"), do: shift(day, count * 12, "month")

  defp shift(%{year: year, month: month, day: day}, count, "month") do
    months = year * 12 + month - 1 + count

    if months in 0..(10_000 * 12 - 1) do
      first = Date.new!(div(months, 12), rem(months, 12) + 1, 1)
      %{first | day: min(day, Date.days_in_month(first))}
    end
  end

  test "fractions of months" do
    Repo.insert_all(Item, [[id: 1, day: ~D[2024-01-31], at_usec: ~N[2024-01-31 10:00:00.000001]]])

    assert Repo.one(
             from(i in Item,
               select: {date_add(i.day, 1.5, "month"), datetime_add(i.at_usec, ^1.5, "month")}
             )
           ) == {~D[2024-03-15], ~N[2024-03-15 10:00:00.000001]}
  end

  test "keys of JSON, lists, arrays and floats" do
    keys = ["plain", "double \"quoted\"", "back\\slash", "\\\"", "dot.ted", "ü", ""]
    meta = Map.new(keys, &{&1, String.length(&1)})
    floats = [1.0e300, -5.0e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 0.1, 1.0]
    Repo.insert!(%Item{name: "n", meta: meta, tags: ["a", "b"], weight: 1.0e300})

    for key <- keys do
      assert Repo.one(from(i in Item, select: i.meta[^key])) == String.length(key)
      assert Repo.one(from(i in Item, select: json_extract_path(i.meta, [^key]))) == meta[key]
    end

    assert Repo.exists?(from(i in Item, where: i.tags == ^["a", "b"]))
    refute Repo.exists?(from(i in Item, where: i.tags == ^["b", "a"]))
    assert Repo.exists?(from(i in Item, where: i.weight in ^floats))

    for float <- floats do
      Repo.update_all(Item, set: [weight: float])
      assert Repo.exists?(from(i in Item, where: i.weight in ^[float]))
    end

    Repo.update_all(Item, push: [tags: "c"])
    Repo.update_all(Item, pull: [tags: "a"])
    assert Repo.one(Item).tags == ["b", "c"]
  end

  ## Decimals

  @hint ~r/servers do not know decimals.*type\(x, :float\).*smallest unit/

  test "decimals are stored and read with all digits" do
    price = Decimal.new("12345678901234567890.1234567890")
    Repo.insert!(%Item{price: price})
    assert [%{price: ^price}] = Repo.all(Item)
    assert [%{price: ^price}] = Repo.all(from(i in "items", select: %{price: i.price}))
    assert Repo.one(from(i in Item, select: type(i.price, :float))) == 12_345_678_901_234_567_890.0
    assert Repo.exists?(from(i in Item, where: type(i.price, :float) > 10.5))
  end

  test "whatever would compare or calculate decimals says what to do instead" do
    Repo.insert!(%Item{price: Decimal.new("1.50")})
    price = Decimal.new("1.5")

    for query <- [
          from(i in Item, where: i.price == ^price),
          from(i in Item, where: i.price > 9),
          from(i in Item, where: i.price in ^[price]),
          from(i in Item, order_by: i.price),
          from(i in Item, group_by: i.price, select: count()),
          from(i in Item, distinct: true, select: i.price),
          from(i in Item, distinct: i.price),
          from(i in Item, select: sum(i.price)),
          from(i in Item, select: avg(i.price)),
          from(i in Item, select: max(i.price)),
          from(i in Item, select: count(i.price, :distinct)),
          from(i in Item, select: i.price * 2),
          from(i in Item, select: -i.price),
          from(i in Item, join: j in Item, on: i.price == j.price),
          from(i in Item, select: i.price, union: ^from(i in Item, select: i.price)),
          from(i in Item, windows: [w: [order_by: i.price]], select: over(row_number(), :w))
        ] do
      error = assert_raise Error, @hint, fn -> Repo.all(query) end
      assert error.code == :unsupported
    end

    assert_raise Error, @hint, fn -> Repo.update_all(Item, inc: [price: 1]) end
    query = from(i in Item, order_by: i.price)

    assert_raise Error, @hint, fn ->
      Repo.transaction(fn -> query |> Repo.stream() |> Enum.to_list() end)
    end
  end
end
