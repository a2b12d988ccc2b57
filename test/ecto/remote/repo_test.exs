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
    start_supervised!({Repo, uri: sqld.url, pool_size: 3, log: false})
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
    assert Repo.exists?(from(i in Item, where: not is_nil(i.price)))
    Repo.update_all(Item, set: [price: Decimal.new("7.70")])
    assert Repo.one(from(i in Item, select: i.price)) == Decimal.new("7.70")
    Repo.update_all(Item, set: [price: nil])
    assert Repo.one(from(i in Item, select: coalesce(i.price, type(^price, :decimal)))) == price

    # A row is told from others by its key.
    assert [%Item{price: nil}] =
             Repo.all(from(i in Item, join: j in Item, on: true, distinct: true, select: i))
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

  test "what the server's parser does not know" do
    query = from(i in Item, having: count(i.id) > 0, select: count(i.id))
    assert_raise Error, ~r/HAVING/, fn -> Repo.one(query) end
    sub = from(i in Item, select: %{n: count(i.id)})
    assert Repo.one(from(s in subquery(sub), where: s.n == 0, select: s.n)) == 0
  end

  ## Many rows, transactions

  # Of 150 bytes and more each.
  @many 100_000

  defp fill(count) do
    Repo.query!(
      """
      WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
      INSERT INTO items (id, name) SELECT n, printf('%0150d', n) FROM n
      """,
      [count],
      timeout: 60_000
    )
  end

  test "a stream takes as much memory as it reads at once" do
    fill(@many)
    ours = fn -> :erlang.garbage_collect() && elem(Process.info(self(), :memory), 1) end
    before = ours.() + EctoLibSql.memory().bytes

    {:ok, {count, sum, seen}} =
      Repo.transaction(
        fn ->
          Item
          |> Repo.stream(max_rows: 500)
          |> Enum.reduce({0, 0, []}, fn item, {count, sum, seen} ->
            now = if rem(count, 5_000) == 0, do: [ours.() + EctoLibSql.memory().bytes], else: []
            {count + 1, sum + item.id, now ++ seen}
          end)
        end,
        mode: :read,
        timeout: :infinity
      )

    assert {count, sum} == {@many, div(@many * (@many + 1), 2)}

    # All rows would be 40 MB, half of them in the middle. Native memory is that of tests beside this one, too: for a
    # moment it may be anything.
    median = seen |> Enum.sort() |> Enum.at(div(length(seen), 2))
    assert median - before < 8_000_000
  end

  test "insert_all of more rows than one statement takes" do
    rows = for n <- 1..10_000, do: %{id: n, name: "n#{n}", count: n, weight: n / 2}
    assert Repo.insert_all(Item, rows) == {10_000, nil}
    assert Repo.aggregate(Item, :sum, :count) == div(10_000 * 10_001, 2)

    # All or none of it.
    rows = for n <- 20_000..10_000//-1, do: %{id: n, name: "m#{n}", count: n, weight: 1.0}
    error = assert_raise Error, fn -> Repo.insert_all(Item, rows) end
    assert error.constraint.name == "items_pkey"
    assert Repo.aggregate(Item, :count) == 10_000
  end

  test "upserts and what they return" do
    conflict = [on_conflict: [inc: [count: 1]], conflict_target: :name, returning: true]
    assert %{count: 1} = Repo.insert!(%Item{name: "a", count: 1}, conflict)
    assert %{count: 2, id: id} = Repo.insert!(%Item{name: "a", count: 1}, conflict)

    assert {1, [%{id: ^id, count: 7}]} =
             Repo.insert_all(Item, [%{name: "a", count: 7}],
               on_conflict: {:replace, [:count]},
               conflict_target: [:name],
               returning: [:id, :count]
             )

    assert {0, []} = Repo.insert_all(Item, [%{name: "a"}], on_conflict: :nothing, returning: [:id])
  end

  test "a Multi is done in whole or not at all" do
    multi =
      Ecto.Multi.new()
      |> Ecto.Multi.insert(:one, %Item{name: "one"})
      |> Ecto.Multi.run(:two, fn repo, %{one: one} -> {:ok, repo.get!(Item, one.id).name} end)

    failing =
      Ecto.Multi.insert(multi, :again, fn _done ->
        %Item{name: "one"} |> Ecto.Changeset.change() |> Ecto.Changeset.unique_constraint(:name)
      end)

    assert {:error, :again, %{errors: [name: _]}, %{two: "one"}} = Repo.transaction(failing)
    assert Repo.all(Item) == []
    assert {:ok, %{two: "one"}} = Repo.transaction(multi)
  end

  test "several statements, plans" do
    assert {:ok, [one, two]} =
             Repo.query_many(
               "INSERT INTO items (name) VALUES (?1); SELECT name FROM items WHERE name = ?1",
               ["x"]
             )

    assert {one.num_rows, two.rows} == {1, [["x"]]}
    query = from(i in Item, where: i.name == ^"x")

    assert Repo.explain(:all, query) =~
             "SEARCH i0 USING INDEX"

    maps = Repo.explain(:all, query, format: :map)
    assert [%{"detail" => "SEARCH" <> _}] = maps
    assert Repo.explain(:all, query, opcodes: true) =~ "Init"
  end

  test "a prefix is a database that a server does not have" do
    for fun <- [
          fn -> Repo.all(Item, prefix: "other") end,
          fn -> Repo.insert!(%Item{name: "a"}, prefix: "other") end,
          fn -> Repo.update_all(Item, [set: [name: "b"]], prefix: "other") end
        ] do
      assert_raise Error, ~r/no such table: other.items|unknown database/, fun
    end

    Process.flag(:trap_exit, true)
    opts = [uri: "http://localhost:1", attach: [other: "x.db"], name: :other]
    assert {:error, {%ArgumentError{message: message}, _stack}} = Repo.start_link(opts)
    assert message =~ "option :attach is for local files"
  end

  ## What comes of the server's five seconds

  test "a transaction that another ended leaves nothing, and is run again if that is wanted" do
    parent = self()
    runs = :counters.new(1, [])

    work = fn ->
      :counters.add(runs, 1, 1)
      # Of the first run, it would be there already.
      Repo.insert!(%Item{name: "mine"})
      send(parent, :written)
      if :counters.get(runs, 1) == 1, do: Process.sleep(6_000)
      Repo.insert!(%Item{name: "late"})
    end

    holder = Task.async(fn -> Repo.transaction(work, retry: 1) end)
    assert_receive :written, 5_000
    assert %{name: "other"} = Repo.insert!(%Item{name: "other"}, timeout: 15_000)
    assert {:ok, %{name: "late"}} = Task.await(holder, 20_000)
    assert :counters.get(runs, 1) == 2
    assert Repo.all(from(i in Item, order_by: i.id, select: i.name)) == ["other", "mine", "late"]
  end

  ## The sandbox

  defmodule Sandboxed do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  alias Ecto.Adapters.SQL.Sandbox

  # A test of its own: checks out, runs, checks in; told to begin, and when to end.
  defp in_test(fun) do
    Task.async(fn ->
      :ok = Sandbox.checkout(Sandboxed)
      result = fun.()
      Sandbox.checkin(Sandboxed)
      result
    end)
  end

  defp sandboxed_names, do: Sandboxed.all(from(i in Item, select: i.name, order_by: i.id))

  test "in the sandbox tests see what they wrote, and those that write take turns", %{sqld: sqld} do
    start_supervised!({Sandboxed, uri: sqld.url, pool: Sandbox, pool_size: 5, log: false})
    Sandbox.mode(Sandboxed, :manual)
    Repo.insert!(%Item{name: "there"})

    writers =
      for name <- ~w(a b c) do
        in_test(fn ->
          Sandboxed.insert!(%Item{name: name})
          Process.sleep(200)

          {:error, :undone} =
            Sandboxed.transaction(fn ->
              Sandboxed.insert!(%Item{name: name <> "2"})
              Sandboxed.rollback(:undone)
            end)

          # A statement that fails leaves the rest of the test's rows alone.
          assert_raise Ecto.ConstraintError, fn -> Sandboxed.insert!(%Item{name: name}) end
          sandboxed_names()
        end)
      end

    readers = for _ <- 1..2, do: in_test(&sandboxed_names/0)
    assert Task.await_many(writers, 30_000) == for(name <- ~w(a b c), do: ["there", name])
    assert Task.await_many(readers, 30_000) == [["there"], ["there"]]
    assert [%{name: "there"}] = Repo.all(Item)
  end

  test "a test that holds the turn for more than five seconds loses its rows, and is told so", %{
    sqld: sqld
  } do
    start_supervised!({Sandboxed, uri: sqld.url, pool: Sandbox, pool_size: 5, log: false})
    Sandbox.mode(Sandboxed, :manual)
    parent = self()

    slow =
      in_test(fn ->
        Sandboxed.insert!(%Item{name: "slow"})
        send(parent, :written)
        Process.sleep(6_000)
        {Sandboxed.query("SELECT name FROM items"), Sandboxed.query("SELECT 1")}
      end)

    assert_receive :written, 5_000
    quick = in_test(fn -> Sandboxed.insert!(%Item{name: "quick"}) && sandboxed_names() end)
    assert Task.await(quick, 15_000) == ["quick"]
    assert {{:error, %Error{code: :transaction_timeout}}, _second} = Task.await(slow, 15_000)
    # Nothing of either is stored.
    assert Repo.all(Item) == []
  end
end
