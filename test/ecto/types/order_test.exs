Code.require_file("types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Types.OrderTest do
  # SQL's order is Elixir's: of random values of each type, in Repos of all forms. Bitstrings, durations and
  # JSON have no order in SQL that says anything.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  import Ecto.Adapters.LibSql.TypesCase
  alias Ecto.Adapters.LibSql.TypesCase.{Repo, Thing}

  @fields [:boolean, :integer, :float, :string, :binary, :uuid, :bid, :token, :date, :time] ++
            [:time_usec, :naive, :naive_usec, :utc, :utc_usec, :number_enum]
  @modules %{date: Date, time: Time, time_usec: Time, naive: NaiveDateTime}
           |> Map.merge(%{naive_usec: NaiveDateTime, utc: DateTime, utc_usec: DateTime})

  defp compare(:number_enum, a, b), do: compare(:integer, number(a), number(b))
  defp compare(:decimal, a, b), do: Decimal.compare(a, b)

  defp compare(field, a, b) when is_map_key(@modules, field), do: @modules[field].compare(a, b)
  defp compare(_field, a, b) when a < b, do: :lt
  defp compare(_field, a, b) when a > b, do: :gt
  defp compare(_field, _a, _b), do: :eq

  defp number(:one), do: 1
  defp number(:two), do: 2

  for forms <- all_forms(), strict? <- [false, true] do
    test "#{inspect(forms)}#{if strict?, do: ", STRICT"}" do
      start_repo(unquote(forms), strict: unquote(strict?))
      rows = for _ <- 1..300, do: Map.new(@fields, &{&1, random(&1)})
      assert {300, nil} = Repo.insert_all(Thing, rows)
      for field <- @fields, do: assert_order(field, Enum.map(rows, & &1[field]))
    end
  end

  defp assert_order(field, values) do
    sorted = Enum.sort(values, &(compare(field, &1, &2) != :gt))

    assert {field, Repo.all(from(t in Thing, order_by: field(t, ^field), select: field(t, ^field)))} ==
             {field, sorted}

    assert {field,
            Repo.one(from(t in Thing, select: {min(field(t, ^field)), max(field(t, ^field))}))} ==
             {field, {hd(sorted), List.last(sorted)}}

    for pivot <- Enum.take_random(values, 5) do
      less = Enum.count(values, &(compare(field, &1, pivot) == :lt))
      equal = Enum.count(values, &(compare(field, &1, pivot) == :eq))

      assert {field, pivot, count(where(Thing, [t], field(t, ^field) < ^pivot))} ==
               {field, pivot, less}

      assert {field, pivot, count(where(Thing, [t], field(t, ^field) == ^pivot))} ==
               {field, pivot, equal}

      assert {field, pivot, count(where(Thing, [t], field(t, ^field) >= ^pivot))} ==
               {field, pivot, length(values) - less}
    end
  end

  defp count(query), do: Repo.aggregate(query, :count)

  @tag timeout: 300_000
  test "100,000 decimals of up to 38 digits come back as they were, and in their order" do
    start_repo([])
    values = for _ <- 1..100_000, do: decimal(38)

    for chunk <- Enum.chunk_every(values, 10_000),
        do: Repo.insert_all(Thing, Enum.map(chunk, &[decimal: &1]))

    assert Repo.all(from(t in Thing, order_by: t.id, select: t.decimal)) == values

    # Equal ones (1.5 and 1.50) in the order in which they came.
    ordered = Repo.all(from(t in Thing, order_by: [t.decimal, t.id], select: t.decimal))
    sorted = Enum.sort(values, &(compare(:decimal, &1, &2) != :gt))
    assert ordered == sorted

    pivot = Enum.random(values)
    less = Enum.count(values, &(compare(:decimal, &1, pivot) == :lt))
    assert count(where(Thing, [t], t.decimal < ^pivot)) == less
    {least, most} = Repo.one(from(t in Thing, select: {min(t.decimal), max(t.decimal)}))
    assert Decimal.equal?(least, hd(sorted)) and Decimal.equal?(most, List.last(sorted))

    exact = %{Decimal.Context.get() | precision: 300}
    sum = Decimal.Context.with(exact, fn -> Enum.reduce(values, Decimal.new(0), &Decimal.add/2) end)
    assert Decimal.equal?(Repo.aggregate(Thing, :sum, :decimal), sum)
  end

  test "a moment without a fraction is before one with it, in fields of both kinds" do
    start_repo([])

    moments = [
      ~U[2024-01-01 00:00:00.000000Z],
      ~U[2024-01-01 00:00:00.000001Z],
      ~U[2024-01-01 00:00:01.000000Z]
    ]

    for moment <- Enum.reverse(moments), do: Repo.insert!(%Thing{utc_usec: moment})
    assert Repo.all(from(t in Thing, order_by: t.utc_usec, select: t.utc_usec)) == moments

    # A parameter that no field gives a type is written like those that have one.
    for {pivot, count} <- [
          {~U[2024-01-01 00:00:00.000000Z], 2},
          {~U[2024-01-01 00:00:00.0000Z], 2},
          {~U[2024-01-01 00:00:00.5Z], 1}
        ] do
      assert count(where(Thing, [t], fragment("? > ?", t.utc_usec, ^pivot))) == count
    end
  end
end
