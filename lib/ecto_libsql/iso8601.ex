defmodule EctoLibSql.ISO8601 do
  @moduledoc false
  # Dates and times as text, and back: the answers of Elixir's own functions, for the forms that we store in
  # a fraction of their time, which is much of what a row with timestamps costs. What else there is goes to
  # those.

  ## Writing

  defmacrop tens(number), do: quote(do: div(unquote(number), 10) + ?0)
  defmacrop ones(number), do: quote(do: rem(unquote(number), 10) + ?0)

  defguardp is_usual(value)
            when value.calendar == Calendar.ISO and value.year >= 0 and value.year <= 9999

  defguardp is_utc(value)
            when value.time_zone == "Etc/UTC" and value.utc_offset == 0 and value.std_offset == 0

  # Six digits of a second or none, as `{fraction, precision}`.
  defguardp is_stored(microsecond) when elem(microsecond, 1) == 0 or elem(microsecond, 1) == 6

  @doc "The text of a Date, Time, NaiveDateTime or DateTime: what the `to_iso8601/1` of its module gives."
  def text(%DateTime{microsecond: part} = at)
      when is_usual(at) and is_utc(at) and is_stored(part),
      do: <<moment(at)::binary, ?Z>>

  def text(%NaiveDateTime{microsecond: part} = at) when is_usual(at) and is_stored(part),
    do: moment(at)

  def text(%Date{} = date) when is_usual(date) do
    %{year: year, month: month, day: day} = date
    {century, year} = {div(year, 100), rem(year, 100)}

    <<tens(century), ones(century), tens(year), ones(year), ?-, tens(month), ones(month), ?-,
      tens(day), ones(day)>>
  end

  def text(%module{} = value), do: module.to_iso8601(value)

  defp moment(%{year: year, month: month, day: day, microsecond: {fraction, precision}} = at) do
    %{hour: hour, minute: minute, second: second} = at
    {century, year} = {div(year, 100), rem(year, 100)}

    moment =
      <<tens(century), ones(century), tens(year), ones(year), ?-, tens(month), ones(month), ?-,
        tens(day), ones(day), ?T, tens(hour), ones(hour), ?:, tens(minute), ones(minute), ?:,
        tens(second), ones(second)>>

    if precision == 0, do: moment, else: <<moment::binary, fraction(fraction)::binary>>
  end

  defp fraction(fraction) do
    {first, middle, last} =
      {div(fraction, 10_000), rem(div(fraction, 100), 100), rem(fraction, 100)}

    <<?., tens(first), ones(first), tens(middle), ones(middle), tens(last), ones(last)>>
  end

  ## Reading

  defguardp is_digits(a, b) when a in ?0..?9 and b in ?0..?9

  defguardp is_date(y1, y2, y3, y4, m1, m2, d1, d2)
            when is_digits(y1, y2) and is_digits(y3, y4) and is_digits(m1, m2) and is_digits(d1, d2)

  defguardp is_time(h1, h2, i1, i2, s1, s2)
            when is_digits(h1, h2) and is_digits(i1, i2) and is_digits(s1, s2)

  @doc "A NaiveDateTime, an offset passed over; or `:error`."
  @spec naive(String.t()) :: {:ok, NaiveDateTime.t()} | :error
  def naive(text) do
    case parse_moment(text) do
      fields when is_tuple(fields) -> {:ok, naive_of(fields)}
      :other -> other(NaiveDateTime, text)
    end
  end

  @doc "A DateTime in UTC, an offset reckoned with, none taken for UTC's; or `:error`."
  @spec utc(String.t()) :: {:ok, DateTime.t()} | :error
  def utc(text) do
    case parse_moment(text) do
      fields when is_tuple(fields) -> {:ok, utc_of(fields)}
      :other -> other_utc(text)
    end
  end

  @doc "A Date, or `:error`."
  @spec date(String.t()) :: {:ok, Date.t()} | :error
  def date(<<y1, y2, y3, y4, ?-, m1, m2, ?-, d1, d2>> = text)
      when is_date(y1, y2, y3, y4, m1, m2, d1, d2) do
    {year, month, day} = {year(y1, y2, y3, y4), two(m1, m2), two(d1, d2)}

    if date?(year, month, day),
      do: {:ok, %Date{year: year, month: month, day: day}},
      else: other(Date, text)
  end

  def date(text), do: other(Date, text)

  @doc "A Time, or `:error`."
  @spec time(String.t()) :: {:ok, Time.t()} | :error
  def time(<<h1, h2, ?:, i1, i2, ?:, s1, s2, rest::binary>> = text)
      when is_time(h1, h2, i1, i2, s1, s2) do
    {hour, minute, second} = {two(h1, h2), two(i1, i2), two(s1, s2)}

    case parse_fraction(rest) do
      {microsecond, false} when hour < 24 and minute < 60 and second < 60 ->
        {:ok, %Time{hour: hour, minute: minute, second: second, microsecond: microsecond}}

      _other ->
        other(Time, text)
    end
  end

  def time(text), do: other(Time, text)

  # The fields, or :other: not of our form.
  defp parse_moment(
         <<y1, y2, y3, y4, ?-, m1, m2, ?-, d1, d2, t, h1, h2, ?:, i1, i2, ?:, s1, s2, rest::binary>>
       )
       when is_date(y1, y2, y3, y4, m1, m2, d1, d2) and t in [?T, ?\s] and
              is_time(h1, h2, i1, i2, s1, s2) do
    {year, month, day} = {year(y1, y2, y3, y4), two(m1, m2), two(d1, d2)}
    {hour, minute, second} = {two(h1, h2), two(i1, i2), two(s1, s2)}

    with {microsecond, _utc?} <- parse_fraction(rest),
         true <- hour < 24 and minute < 60 and second < 60 and date?(year, month, day) do
      {year, month, day, hour, minute, second, microsecond}
    else
      _other -> :other
    end
  end

  defp parse_moment(_text), do: :other

  defp parse_fraction(""), do: {{0, 0}, false}
  defp parse_fraction("Z"), do: {{0, 0}, true}

  defp parse_fraction(<<?., a, b, c, d, e, f, rest::binary>>)
       when is_digits(a, b) and is_digits(c, d) and is_digits(e, f) and rest in ["", "Z"],
       do: {{two(a, b) * 10_000 + two(c, d) * 100 + two(e, f), 6}, rest == "Z"}

  defp parse_fraction(_other), do: :other

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

  # What is written otherwise.
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
