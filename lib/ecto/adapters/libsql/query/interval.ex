defmodule Ecto.Adapters.LibSql.Query.Interval do
  @moduledoc false
  # datetime_add and date_add over the texts that dates and times are stored as:
  # YYYY-MM-DDTHH:MM:SS[.ffffff][Z].

  @doc "A date plus an interval, as a date. `count` is a number or SQL."
  def date(date, count, unit),
    do: ["strftime('%Y-%m-%d', ", date, ", ", modifier(count, unit), ?)]

  @doc """
  A time plus an interval, written as its type is; nil: as its own text is.

  Months that are too short end on their last day. The engine counts no finer than milliseconds and
  rounds to them, so it is given whole seconds, and a fraction is added as an integer.
  """
  def datetime(text, count, unit, type) when type in [:utc_datetime, :naive_datetime] do
    if fine?(unit),
      do: exact(text, count, unit, whole(type)),
      else: ["strftime('", format(type), "', ", seconds(text), ", ", modifier(count, unit), ?)]
  end

  def datetime(text, count, unit, type)
      when type in [:utc_datetime_usec, :naive_datetime_usec] do
    exact(text, count, unit, [whole(:naive_datetime), " || ", fraction() | zone(type)])
  end

  def datetime(text, count, unit, _type) do
    exact(text, count, unit, [
      whole(:naive_datetime),
      [" || CASE WHEN ", text, " LIKE '%.%' OR t % 1000000 <> 0 THEN ", fraction()],
      [" ELSE '' END || CASE WHEN ", text, " LIKE '%Z' THEN 'Z' ELSE '' END"]
    ])
  end

  @month_units ["year", "month"]
  @fine_units ["millisecond", "microsecond"]

  defp fine?(unit), do: unit in @fine_units

  # t: microseconds since the beginning of the year 0, for what % and / do to negative numbers.
  defp exact(text, count, unit, result) do
    ["(SELECT ", result, " FROM (SELECT ", microseconds(text, count, unit), " AS t))"]
  end

  defp microseconds(text, count, unit) when unit in @month_units,
    do: base([seconds(text), ", ", modifier(count, unit)], text)

  defp microseconds(text, count, unit),
    do: [base(seconds(text), text), " + ", scaled(count, unit)]

  defp base(args, text) do
    ["(unixepoch(", args, ") + 62167219200) * 1000000 + "] ++
      ["CAST(substr(rtrim(", text, ", 'Z') || '000000', 21, 6) AS INTEGER)"]
  end

  defp scaled(count, unit) when is_integer(count),
    do: Integer.to_string(count * microseconds_in(unit))

  defp scaled(count, unit) do
    ["CAST(round(", number(count), " * ", Integer.to_string(microseconds_in(unit))] ++
      [") AS INTEGER)"]
  end

  defp whole(type), do: ["strftime('", format(type), "', t / 1000000 - 62167219200, 'unixepoch')"]
  defp fraction, do: "printf('.%06d', t % 1000000)"
  defp seconds(text), do: ["substr(", text, ", 1, 19)"]

  defp format(:utc_datetime), do: "%Y-%m-%dT%H:%M:%SZ"
  defp format(:naive_datetime), do: "%Y-%m-%dT%H:%M:%S"

  defp zone(:utc_datetime_usec), do: " || 'Z'"
  defp zone(:naive_datetime_usec), do: []

  defp microseconds_in("week"), do: 604_800_000_000
  defp microseconds_in("day"), do: 86_400_000_000
  defp microseconds_in("hour"), do: 3_600_000_000
  defp microseconds_in("minute"), do: 60_000_000
  defp microseconds_in("second"), do: 1_000_000
  defp microseconds_in("millisecond"), do: 1000
  defp microseconds_in("microsecond"), do: 1

  # The engine knows years to seconds; what else Ecto has is counted in them.
  defp modifier(count, unit) when unit in @month_units,
    do: [modifier_text(count, unit), ", 'floor'"]

  defp modifier(count, "week"), do: count |> times(7) |> modifier_text("day")
  defp modifier(count, "millisecond"), do: count |> times(0.001) |> modifier_text("second")
  defp modifier(count, "microsecond"), do: count |> times(0.000001) |> modifier_text("second")
  defp modifier(count, unit), do: modifier_text(count, unit)

  defp times(count, factor) when is_number(count), do: count * factor
  defp times(count, factor), do: [?(, number(count), " * ", to_string(factor), ?)]

  defp modifier_text(count, unit) when is_number(count), do: [?', sign(count), ?\s, unit, ?']
  defp modifier_text(count, unit), do: [number(count), " || ' ", unit, ?']

  defp sign(count) when count >= 0, do: [?+ | to_string(count)]
  defp sign(count), do: to_string(count)

  # A decimal is bound as text; adding 0 makes a number of it in the engine's own form.
  defp number(count) when is_number(count), do: to_string(count)
  defp number(count), do: [?(, count, " + 0)"]
end
