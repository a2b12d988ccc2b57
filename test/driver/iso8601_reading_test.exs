defmodule EctoLibSql.Driver.ISO8601ReadingTest do
  use ExUnit.Case, async: true

  alias EctoLibSql.ISO8601

  # What Elixir's own functions answer, in our terms.
  defp expected(module, text) do
    with {:error, _reason} <- module.from_iso8601(text), do: :error
  end

  defp expected_utc(text) do
    case DateTime.from_iso8601(text) do
      {:ok, datetime, _offset} ->
        {:ok, datetime}

      {:error, :missing_offset} ->
        text |> NaiveDateTime.from_iso8601!() |> DateTime.from_naive("Etc/UTC")

      {:error, _reason} ->
        :error
    end
  end

  defp check(text) do
    assert {text, ISO8601.naive(text)} == {text, expected(NaiveDateTime, text)}
    assert {text, ISO8601.utc(text)} == {text, expected_utc(text)}
    assert {text, ISO8601.date(text)} == {text, expected(Date, text)}
    assert {text, ISO8601.time(text)} == {text, expected(Time, text)}
  end

  test "reads what Elixir reads, and refuses what it refuses" do
    for text <-
          [
            "2024-02-29T00:00:00",
            "2023-02-29T00:00:00",
            "2024-00-01T00:00:00",
            "2024-13-01T00:00:00Z"
          ] ++
            [
              "2024-04-31 10:00:00",
              "2024-04-00T10:00:00",
              "2024-04-30T24:00:00",
              "2024-04-30T23:60:00"
            ] ++
            ["2024-04-30T23:59:60", "2024-04-30T23:59:59.123456Z", "2024-04-30 23:59:59.123456"] ++
            ["2024-04-30T23:59:59.1", "2024-04-30T23:59:59.1234567", "2024-04-30T23:59:59+02:00"] ++
            [
              "2024-04-30T23:59:59.5-11:30",
              "2024-04-30x23:59:59",
              "2024-04-30",
              "2023-02-29",
              "0000-01-01"
            ] ++
            [
              "9999-12-31T23:59:59.999999Z",
              "-0001-01-01",
              "10:11:12",
              "10:11:12.000001",
              "24:00:00"
            ] ++
            ["10:11:60", "10:11:12Z", "10:11", "", "tomorrow", "2024-04-3:", "2024-04-30T23:59:5/"],
        do: check(text)
  end

  test "random texts, some of them damaged" do
    seed = System.os_time()
    IO.puts("seed: #{seed}")
    :rand.seed(:exsss, seed)
    for _ <- 1..20_000, do: check(random())
  end

  defp random do
    text = Enum.random([&naive/0, &zoned/0, &date/0, &time/0]) |> then(& &1.())
    if :rand.uniform(4) == 1, do: damage(text), else: text
  end

  defp zoned, do: naive() <> Enum.random(["Z", "+00:00", "-03:15"])
  defp naive, do: date() <> Enum.random(["T", " "]) <> time()

  defp date do
    Date.from_gregorian_days(:rand.uniform(3_652_058)) |> Date.to_iso8601()
  end

  defp time do
    precision = Enum.random([0, 0, 3, 6])

    :rand.uniform(86_399)
    |> Time.from_seconds_after_midnight({:rand.uniform(999_999), precision})
    |> Time.to_iso8601()
  end

  defp damage(text) do
    place = :rand.uniform(byte_size(text)) - 1
    <<head::binary-size(place), _, tail::binary>> = text
    head <> Enum.random(["", "7", "9", ":", "-", "T", "Z", <<0>>]) <> tail
  end
end
