defmodule Ecto.Adapters.LibSql.ISO8601 do
  @moduledoc false
  # Dates and times from the text that we store them as, faster than Elixir's own
  # functions; those read whatever else there is. Reading is most of what a row with timestamps costs.

  defguardp digits(a, b) when a in ?0..?9 and b in ?0..?9

  defguardp date(y1, y2, y3, y4, m1, m2, d1, d2)
            when digits(y1, y2) and digits(y3, y4) and digits(m1, m2) and digits(d1, d2)

  defguardp time(h1, h2, i1, i2, s1, s2)
            when digits(h1, h2) and digits(i1, i2) and digits(s1, s2)

  @doc "A NaiveDateTime, an offset passed over; or `:error`."
  @spec naive(String.t()) :: {:ok, NaiveDateTime.t()} | :error
  def naive(text) do
    case moment(text) do
      fields when is_tuple(fields) -> {:ok, naive_of(fields)}
      :other -> other(NaiveDateTime, text)
    end
  end

  @doc "A DateTime in UTC, an offset reckoned with, none taken for UTC's; or `:error`."
  @spec utc(String.t()) :: {:ok, DateTime.t()} | :error
  def utc(text) do
    case moment(text) do
      fields when is_tuple(fields) -> {:ok, utc_of(fields)}
      :other -> other_utc(text)
    end
  end

  @doc "A Date, or `:error`."
  @spec date(String.t()) :: {:ok, Date.t()} | :error
  def date(<<y1, y2, y3, y4, ?-, m1, m2, ?-, d1, d2>> = text)
      when date(y1, y2, y3, y4, m1, m2, d1, d2) do
    {year, month, day} = {year(y1, y2, y3, y4), two(m1, m2), two(d1, d2)}

    if date?(year, month, day),
      do: {:ok, %Date{year: year, month: month, day: day}},
      else: other(Date, text)
  end

  def date(text), do: other(Date, text)

  @doc "A Time, or `:error`."
  @spec time(String.t()) :: {:ok, Time.t()} | :error
  def time(<<h1, h2, ?:, i1, i2, ?:, s1, s2, rest::binary>> = text)
      when time(h1, h2, i1, i2, s1, s2) do
    {hour, minute, second} = {two(h1, h2), two(i1, i2), two(s1, s2)}

    case fraction(rest) do
      {microsecond, false} when hour < 24 and minute < 60 and second < 60 ->
        {:ok, %Time{hour: hour, minute: minute, second: second, microsecond: microsecond}}

      _other ->
        other(Time, text)
    end
  end

  def time(text), do: other(Time, text)

  # The fields, or :other: not of our form.
  defp moment(
         <<y1, y2, y3, y4, ?-, m1, m2, ?-, d1, d2, t, h1, h2, ?:, i1, i2, ?:, s1, s2, rest::binary>>
       )
       when date(y1, y2, y3, y4, m1, m2, d1, d2) and t in [?T, ?\s] and
              time(h1, h2, i1, i2, s1, s2) do
    {year, month, day} = {year(y1, y2, y3, y4), two(m1, m2), two(d1, d2)}
    {hour, minute, second} = {two(h1, h2), two(i1, i2), two(s1, s2)}

    with {microsecond, _utc?} <- fraction(rest),
         true <- hour < 24 and minute < 60 and second < 60 and date?(year, month, day) do
      {year, month, day, hour, minute, second, microsecond}
    else
      _other -> :other
    end
  end

  defp moment(_text), do: :other

  defp fraction(""), do: {{0, 0}, false}
  defp fraction("Z"), do: {{0, 0}, true}

  defp fraction(<<?., a, b, c, d, e, f, rest::binary>>)
       when digits(a, b) and digits(c, d) and digits(e, f) and rest in ["", "Z"],
       do: {{two(a, b) * 10_000 + two(c, d) * 100 + two(e, f), 6}, rest == "Z"}

  defp fraction(_other), do: :other

  defp year(a, b, c, d), do: two(a, b) * 100 + two(c, d)
  defp two(a, b), do: (a - ?0) * 10 + b - ?0

  defp date?(_year, month, day) when month in 1..12 and day in 1..28, do: true
  defp date?(year, month, day), do: Calendar.ISO.valid_date?(year, month, day)

  defp naive_of({year, month, day, hour, minute, second, microsecond}) do
    %NaiveDateTime{
      year: year,
      month: month,
      day: day,
      hour: hour,
      minute: minute,
      second: second,
      microsecond: microsecond
    }
  end

  defp utc_of({year, month, day, hour, minute, second, microsecond}) do
    %DateTime{
      year: year,
      month: month,
      day: day,
      hour: hour,
      minute: minute,
      second: second,
      microsecond: microsecond,
      std_offset: 0,
      utc_offset: 0,
      zone_abbr: "UTC",
      time_zone: "Etc/UTC"
    }
  end

  ## What is written otherwise

  defp other(module, text) do
    with {:error, _reason} <- module.from_iso8601(text), do: :error
  end

  defp other_utc(text) do
    case DateTime.from_iso8601(text) do
      {:ok, datetime, _offset} -> {:ok, datetime}
      {:error, :missing_offset} -> naive_as_utc(text)
      {:error, _reason} -> :error
    end
  end

  defp naive_as_utc(text) do
    with {:ok, naive} <- other(NaiveDateTime, text), do: DateTime.from_naive(naive, "Etc/UTC")
  end
end
