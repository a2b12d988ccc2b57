defmodule EctoLibSql.ISO8601 do
  @moduledoc false
  # Dates and times as text: what Elixir's own functions write, for the forms that we store in a fraction of
  # their time, which is much of what a row with timestamps costs to write.

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
end
