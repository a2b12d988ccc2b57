defmodule Ecto.Adapters.LibSql.Durations do
  @moduledoc false
  # Durations are ISO 8601 text. A column may be declared with the fields and the precision that its
  # values have: they are cut to them when they are read, as PostgreSQL does when it stores them. Months
  # stay months, 13 of them too.

  @units ~w(YEAR MONTH DAY HOUR MINUTE SECOND)

  @second 1_000_000
  @minute 60 * @second
  @hour 60 * @minute

  @doc "The duration of a text, cut as `details` of `ColumnType.to_ecto/1` say: `{:ok, _}` or `:error`."
  def load(text, details) when is_binary(text) do
    with true <- Code.ensure_loaded?(Duration),
         {:ok, duration} <- apply(Duration, :from_iso8601, [text]) do
      {:ok, duration |> keep(lowest(details[:fields])) |> round_to(details[:numbers])}
    else
      _not_one -> :error
    end
  end

  def load(_other, _details), do: :error

  # HOUR_TO_SECOND keeps what is larger than hours too.
  defp lowest(nil), do: "SECOND"

  defp lowest(fields) do
    unit = fields |> String.split("_") |> List.last()
    if unit in @units, do: unit, else: "SECOND"
  end

  defp keep(duration, "SECOND"), do: duration

  defp keep(%{month: month} = duration, "YEAR"),
    do: keep(%{duration | month: month - rem(month, 12)}, "MONTH")

  defp keep(duration, "MONTH"), do: keep(%{duration | week: 0, day: 0}, "DAY")

  defp keep(duration, "DAY"),
    do: %{duration | hour: 0, minute: 0, second: 0, microsecond: {0, 6}}

  # Ninety minutes are an hour of whole hours.
  defp keep(duration, "HOUR"),
    do: %{keep(duration, "DAY") | hour: div(time(duration), @hour)}

  defp keep(%{hour: hour} = duration, "MINUTE") do
    minutes = div(time(duration) - hour * @hour, @minute)
    %{keep(duration, "DAY") | hour: hour, minute: minutes}
  end

  defp time(%{hour: hour, minute: minute, second: second, microsecond: {fraction, _}}),
    do: hour * @hour + minute * @minute + second * @second + fraction

  defp round_to(%{second: second, microsecond: {fraction, _}} = duration, [precision | _])
       when precision < 6 do
    unit = Integer.pow(10, 6 - precision)
    time = second * @second + fraction
    rounded = div(time + div(unit, 2) * sign(time), unit) * unit

    %{
      duration
      | second: div(rounded, @second),
        microsecond: {rem(rounded, @second), precision}
    }
  end

  defp round_to(%{microsecond: {fraction, _}} = duration, _numbers),
    do: %{duration | microsecond: {fraction, 6}}

  defp sign(time) when time < 0, do: -1
  defp sign(_time), do: 1
end
