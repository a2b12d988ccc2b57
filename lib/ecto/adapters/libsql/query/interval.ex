defmodule Ecto.Adapters.LibSql.Query.Interval do
  @moduledoc false
  # datetime_add and date_add. The engine counts no finer than milliseconds and rounds to them, so it is
  # given whole seconds, and a fraction is added as an integer. Months that are too short end on their
  # last day: the engine's modifier 'floor' says so, too, but is newer than the engine of servers.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_datetime: 1]
  alias Ecto.Adapters.LibSql.Query.Moment

  @month_units ["year", "month"]
  @fine_units ["millisecond", "microsecond"]

  # To the beginning of the year 0, as in Moment.
  @seconds "62167219200"

  @doc "A date plus an interval, as a date. `count` is a number or SQL."
  def date(date, count, unit) when unit in @month_units,
    do: ["(SELECT ", strftime("%Y-%m-%d", "d", count, unit), " FROM (SELECT ", date, " AS d))"]

  def date(date, count, unit), do: strftime("%Y-%m-%d", date, count, unit)

  defp strftime(format, moment, count, unit),
    do: ["strftime('", format, "', ", moment, ", ", modifiers(moment, count, unit), ?)]

  @doc """
  SQL of a form plus an interval, in a form (nil: as it is); see `Moment.convert/4`. The SQL is written
  several times.
  """
  def datetime(sql, count, unit, form, form, purpose)
      when form in [:naive_datetime, :utc_datetime] do
    if whole?(count, unit, purpose),
      do: seconds(sql, count, unit, form),
      else: exact(sql, count, unit, form, purpose)
  end

  def datetime(sql, count, unit, _from, to, purpose), do: exact(sql, count, unit, to, purpose)

  # To store, fractions of seconds are cut off; to compare, they count.
  defp whole?(count, unit, purpose),
    do: unit not in @fine_units and (purpose == :store or is_integer(count))

  defp seconds(sql, count, unit, form) do
    ["CASE typeof(", sql, ") WHEN 'integer' THEN "] ++
      [unixepoch([sql, " / 1000000"], count, unit), " * 1000000 ELSE "] ++
      [strftime(Moment.format(form), ["substr(", sql, ", 1, 19)"], count, unit), " END"]
  end

  defp unixepoch(seconds, count, unit) do
    moment = [seconds, ", 'unixepoch'"]
    ["unixepoch(", moment, ", ", modifiers(moment, count, unit), ?)]
  end

  defp exact(sql, count, unit, to, purpose),
    do: Moment.counted(sql, sql |> Moment.shifted() |> plus(count, unit), to(to), purpose)

  defp to(type) when is_datetime(type) or type == :date, do: type
  defp to(_unknown), do: nil

  defp plus(shifted, count, unit) when unit in @month_units do
    ["(SELECT (", unixepoch(["t / 1000000 - ", @seconds], count, unit), " + ", @seconds] ++
      [") * 1000000 + t % 1000000 FROM (SELECT ", shifted, " AS t))"]
  end

  defp plus(shifted, count, unit), do: [shifted, " + " | scaled(count, unit)]

  defp scaled(count, unit) when is_integer(count),
    do: Integer.to_string(count * microseconds_in(unit))

  defp scaled(count, unit) do
    ["CAST(round(", number(count), " * ", Integer.to_string(microseconds_in(unit))] ++
      [") AS INTEGER)"]
  end

  defp microseconds_in("week"), do: 604_800_000_000
  defp microseconds_in("day"), do: 86_400_000_000
  defp microseconds_in("hour"), do: 3_600_000_000
  defp microseconds_in("minute"), do: 60_000_000
  defp microseconds_in("second"), do: 1_000_000
  defp microseconds_in("millisecond"), do: 1000
  defp microseconds_in("microsecond"), do: 1

  # Behind the first arguments of a date function, which say which moment it is.
  defp modifiers(moment, count, unit) when unit in @month_units do
    {whole, rest} = parts(count)
    months = modifier_text(whole, unit)
    rest = if rest, do: [", " | modifier_text(rest, unit)], else: []
    [months, ", ", floor(moment, months), rest]
  end

  defp modifiers(_moment, count, unit), do: modifier(count, unit)

  # A day that the month does not have has become one of the next month: as many days behind the last one as
  # its number says.
  defp floor(moment, months) do
    moved = ["strftime('%d', ", moment, ", ", months, ?)]

    ["CASE WHEN ", moved, " < strftime('%d', ", moment, ") THEN '-' || ", moved] ++
      [" ELSE '0' END || ' days'"]
  end

  # Whole months or years, and what is counted in days; nil: nothing is.
  defp parts(count) when is_integer(count), do: {count, nil}
  defp parts(count) when is_number(count), do: {trunc(count), count - trunc(count)}

  defp parts(count) do
    whole = ["CAST(", number(count), " AS INTEGER)"]
    {whole, [?(, number(count), " - ", whole, ?)]}
  end

  # The engine knows years to seconds; what else Ecto has is counted in them.
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
