defmodule Ecto.Adapters.LibSql.DDL.Moment do
  @moduledoc false
  # Defaults of dates and times, in the one form that the column's values have: they compare as text, and
  # '2024-05-06 23:00:00', which CURRENT_TIMESTAMP gives, is less than '2024-05-06T01:00:00'.

  alias Ecto.Adapters.LibSql.DDL.Tokens
  alias EctoLibSql.Encoder

  import Ecto.Adapters.LibSql.Query.Type, only: [is_datetime: 1, is_time: 1]

  ## Values

  @doc "The value with the digits of a type (of `ColumnType.moment/1`); `:none` where it is none."
  def value(text, type) when is_binary(text) do
    case parse(text, type) do
      {:ok, value} -> value(value, type)
      {:ok, value, _offset} -> value(value, type)
      {:error, _reason} -> :none
    end
  end

  def value(%module{} = value, nil) when module in [Date, Time, NaiveDateTime, DateTime],
    do: Encoder.canonical(value)

  def value(%Date{} = date, :date), do: Encoder.canonical(date)

  def value(%Time{} = time, type) when is_time(type),
    do: time |> digits(type) |> Encoder.canonical()

  def value(%DateTime{} = value, type) when is_datetime(type),
    do: value |> DateTime.shift_zone!("Etc/UTC") |> DateTime.to_naive() |> value(type)

  def value(%NaiveDateTime{} = value, type) when type in [:utc_datetime, :utc_datetime_usec],
    do: value |> DateTime.from_naive!("Etc/UTC") |> digits(type) |> Encoder.canonical()

  def value(%NaiveDateTime{} = value, type) when is_datetime(type),
    do: value |> digits(type) |> Encoder.canonical()

  def value(_other, _type), do: :none

  defp parse(text, :date), do: Date.from_iso8601(text)
  defp parse(text, type) when is_time(type), do: Time.from_iso8601(text)

  defp parse(text, _datetime) do
    with {:error, _reason} <- DateTime.from_iso8601(text), do: NaiveDateTime.from_iso8601(text)
  end

  defp digits(%{microsecond: {fraction, _}} = value, type)
       when type in [:time_usec, :naive_datetime_usec, :utc_datetime_usec],
       do: %{value | microsecond: {fraction, 6}}

  defp digits(%module{} = value, _type), do: module.truncate(value, :second)

  ## Expressions

  @kinds %{
    "CURRENT_TIMESTAMP" => :datetime,
    "CURRENT_DATE" => :date,
    "CURRENT_TIME" => :time,
    "NOW" => :datetime,
    "DATETIME" => :datetime,
    "DATE" => :date,
    "TIME" => :time
  }

  @formats %{
    date: "%Y-%m-%d",
    time: "%H:%M:%S",
    time_usec: "%H:%M:%f000",
    naive_datetime: "%Y-%m-%dT%H:%M:%S",
    naive_datetime_usec: "%Y-%m-%dT%H:%M:%f000",
    utc_datetime: "%Y-%m-%dT%H:%M:%SZ",
    utc_datetime_usec: "%Y-%m-%dT%H:%M:%f000Z"
  }

  @doc """
  An expression that gives the time by a function of SQLite's (`CURRENT_TIMESTAMP`, `datetime(…)`, `now()`
  of others), in the form of a column of a type; every other one as it is. `form`: `:text` or `:integer`.
  """
  def expression(sql, type, form) do
    case sql |> Tokens.read() |> called() do
      {kind, arguments} -> [?(, write(kind, arguments, type, form, sql), ?)]
      nil -> [?(, sql, ?)]
    end
  end

  defp called(tokens) do
    case Enum.reject(tokens, &Tokens.blank?/1) do
      [{:word, word}] -> called_as(word, nil)
      [{:word, word}, {:group, group}] -> called_as(word, inside(group))
      [{:group, group}] -> group |> inside() |> Tokens.read() |> called()
      _other -> nil
    end
  end

  defp called_as(word, arguments) do
    word = String.upcase(word)

    case {@kinds[word], arguments} do
      {nil, _} -> nil
      {kind, nil} -> if String.starts_with?(word, "CURRENT_"), do: {kind, "'now'"}
      {kind, ""} -> {kind, "'now'"}
      {kind, arguments} -> {kind, arguments}
    end
  end

  defp inside(group), do: group |> String.slice(1..-2//1) |> String.trim()

  defp write(:datetime, arguments, type, form, _sql), do: write(arguments, type, form)
  defp write(:date, arguments, :date, form, _sql), do: write(arguments, :date, form)

  defp write(:date, arguments, type, form, _sql) when is_datetime(type),
    do: write([arguments, ", 'start of day'"], type, form)

  defp write(:time, arguments, type, form, _sql) when is_time(type),
    do: write(arguments, type, form)

  defp write(kind, _arguments, type, _form, sql) do
    raise ArgumentError,
          "#{sql} is a #{kind}, and cannot be the default of a column of type #{inspect(type)}"
  end

  defp write(arguments, type, :integer) when type in [:naive_datetime, :utc_datetime],
    do: ["unixepoch(", arguments, ") * 1000000"]

  defp write(arguments, type, :integer)
       when type in [:naive_datetime_usec, :utc_datetime_usec],
       do: ["CAST(round(unixepoch(", arguments, ", 'subsec') * 1000) AS INTEGER) * 1000"]

  defp write(arguments, type, _form), do: ["strftime('", @formats[type], "', ", arguments, ?)]
end
