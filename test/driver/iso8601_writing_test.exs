defmodule EctoLibSql.Driver.ISO8601WritingTest do
  use ExUnit.Case, async: true

  alias EctoLibSql.ISO8601

  defp same(%module{} = value), do: assert(ISO8601.text(value) == module.to_iso8601(value))

  test "the text is that of Elixir's own functions" do
    for at <- [
          ~N[0000-01-01 00:00:00],
          ~N[0009-10-09 01:10:09.000000],
          ~N[1999-12-31 23:59:59.999999],
          ~N[9999-12-31 23:59:59.000001],
          ~N[2024-02-29 07:08:09.120]
        ] do
      same(at)
      same(NaiveDateTime.to_date(at))
      same(DateTime.from_naive!(at, "Etc/UTC"))
    end

    # What is not stored so is left to them.
    same(~N[-0001-01-01 00:00:00])
    same(~D[-9999-01-01])

    same(%{
      ~U[2024-05-06 07:08:09Z]
      | time_zone: "Europe/Zurich",
        zone_abbr: "CET",
        utc_offset: 3600
    })
  end

  test "of moments chosen at random" do
    for _ <- 1..1000 do
      seconds = :rand.uniform(315_569_520_000) - 1
      at = NaiveDateTime.add(~N[0000-01-01 00:00:00], seconds)
      same(at)
      same(%{at | microsecond: {:rand.uniform(1_000_000) - 1, 6}})
    end
  end
end
