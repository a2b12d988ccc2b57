Code.require_file("types_case.exs", __DIR__)

if Code.ensure_loaded?(Duration) do
  defmodule Ecto.Adapters.LibSql.Types.DurationTest do
    use EctoLibSql.Case, async: true

    import Ecto.Query
    import Ecto.Adapters.LibSql.TypesCase
    alias Ecto.Adapters.LibSql.Durations
    alias Ecto.Adapters.LibSql.TypesCase.Repo

    defmodule Stay do
      use Ecto.Schema

      schema "stays" do
        field(:length, :duration)
        field(:months, :duration)
        field(:hours, :duration)
        field(:lengths, {:array, :duration})
      end
    end

    defp new(units), do: Duration.new!(units)

    defp start do
      start_repo([])

      create("stays",
        length: "TEXT_DURATION",
        months: "TEXT_DURATION_MONTH",
        hours: "TEXT_DURATION_DAY_TO_SECOND(1)",
        lengths: "TEXT_ARRAY"
      )
    end

    test "are ISO 8601 text, and come back cut as their column says" do
      start()
      given = new(month: 13, hour: 30, second: 1, microsecond: {950_000, 6})
      Repo.insert!(%Stay{length: given, months: given, hours: given, lengths: [given, nil]})
      assert %{rows: [["P13MT30H1.950000S"]]} = Repo.query!("SELECT length FROM stays")

      for source <- [Stay, "stays"] do
        query = from(s in source, select: {s.length, s.months, s.hours})

        assert [{^given, months, hours}] = Repo.all(query)
        assert months == new(month: 13, microsecond: {0, 6})
        assert hours == new(month: 13, hour: 30, second: 2, microsecond: {0, 1})

        assert {:ok, [{^given, ^months, ^hours}]} =
                 Repo.transaction(fn -> query |> Repo.stream() |> Enum.to_list() end)
      end

      assert [%{months: months, lengths: [^given, nil]}] = Repo.all(Stay)
      assert months == new(month: 13, microsecond: {0, 6})
      assert [^months] = Repo.all(from(s in subquery(Stay), select: s.months))
      assert [_] = Repo.all(from(s in Stay, where: s.length == ^given))
      # The same length is the same text, whatever its digits.
      assert {1, nil} = Repo.update_all(Stay, set: [length: new(second: 1, microsecond: {0, 3})])
      assert [_] = Repo.all(from(s in Stay, where: s.length == ^new(second: 1)))
    end

    test "random ones come back as they were" do
      start()
      integer = fn -> :rand.uniform(2000) - 1000 end

      durations =
        for _ <- 1..300 do
          new(
            [microsecond: {integer.(), 6}] ++
              for(
                unit <- [:year, :month, :week, :day, :hour, :minute],
                :rand.uniform(2) == 1,
                do: {unit, integer.()}
              )
          )
        end

      for duration <- durations, do: Repo.insert!(%Stay{length: duration})
      assert Repo.all(from(s in Stay, order_by: s.id, select: s.length)) == durations
    end

    test "what a column cuts" do
      full =
        new(
          year: 1,
          month: 14,
          week: 1,
          day: 2,
          hour: 3,
          minute: 90,
          second: 59,
          microsecond: {999_999, 6}
        )

      cut = fn fields ->
        Durations.load(Duration.to_iso8601(full), fields: fields, numbers: []) |> elem(1)
      end

      none = {0, 6}

      assert cut.("YEAR") == new(year: 1, month: 12, microsecond: none)
      assert cut.("YEAR_TO_MONTH") == new(year: 1, month: 14, microsecond: none)
      assert cut.("DAY") == new(year: 1, month: 14, week: 1, day: 2, microsecond: none)

      assert cut.("DAY_TO_HOUR") ==
               new(year: 1, month: 14, week: 1, day: 2, hour: 4, microsecond: none)

      assert cut.("MINUTE") ==
               new(year: 1, month: 14, week: 1, day: 2, hour: 3, minute: 90, microsecond: none)

      assert cut.("SECOND") == full
      assert cut.("FORTNIGHT") == full
      assert cut.(nil) == full

      rounded = fn text, digits -> Durations.load(text, numbers: [digits]) |> elem(1) end
      assert rounded.("PT1.5S", 0) == new(second: 2, microsecond: {0, 0})
      assert rounded.("PT-1.5S", 0) == new(second: -2, microsecond: {0, 0})
      assert rounded.("PT0.00015S", 4) == new(microsecond: {200, 4})
    end

    test "what is none is refused" do
      start()

      for stored <- ["'P'", "'13 months'", "7", "x'ff'"] do
        Repo.query!("INSERT INTO stays (length) VALUES (#{stored})")
        assert_raise ArgumentError, ~r/cannot load/, fn -> Repo.all(Stay) end
        Repo.delete_all(Stay)
      end
    end
  end
else
  defmodule Ecto.Adapters.LibSql.Types.DurationTest do
    use ExUnit.Case

    @tag skip: "Elixir has durations from 1.17 on"
    test "durations", do: :ok
  end
end
