defmodule Ecto.Adapters.LibSql.DDL.Default do
  @moduledoc false
  # DEFAULT: the value as the dumpers would store it.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}

  @doc "` DEFAULT ...`, or nothing. `nil` is the default that every column has."
  def text(type, opts, settings) do
    case Keyword.fetch(opts, :default) do
      {:ok, value} when value not in [nil, :null] -> [" DEFAULT ", literal(value, type, settings)]
      _none -> []
    end
  end

  @doc "The default as an SQL expression."
  def literal(nil, _type, _settings), do: "NULL"

  def literal({:fragment, sql}, _type, _settings) when is_binary(sql), do: [?(, sql, ?)]
  def literal(true, _type, _settings), do: "1"
  def literal(false, _type, _settings), do: "0"

  def literal(bits, :bitstring, _settings) when is_bitstring(bits),
    do: bits |> pack_bits() |> Sql.quote_blob()

  def literal(bytes, :binary, _settings) when is_binary(bytes), do: Sql.quote_blob(bytes)

  def literal(uuid, :uuid, settings) when is_binary(uuid),
    do: uuid(uuid, settings[:uuid_type] || :blob)

  def literal(id, :binary_id, settings) when is_binary(id) do
    if settings[:binary_id_type] == :blob, do: uuid(id, :blob), else: Sql.quote_string(id)
  end

  def literal(text, type, _settings) when type in [:duration, :interval] and is_binary(text),
    do: text |> duration() |> Sql.quote_string()

  def literal(text, _type, _settings) when is_binary(text), do: Sql.quote_string(text)
  # As text in a TEXT column; elsewhere the number.
  def literal(number, _type, _settings) when is_integer(number), do: Integer.to_string(number)
  def literal(number, _type, _settings) when is_float(number), do: Float.to_string(number)

  def literal(%{__struct__: Decimal} = decimal, _type, _settings),
    do: decimal |> Decimal.to_string(:normal) |> Sql.quote_string()

  def literal(%{__struct__: Duration} = duration, _type, _settings),
    do: Duration |> apply(:to_iso8601, [duration]) |> Sql.quote_string()

  def literal(%module{} = time, type, settings)
      when module in [Date, Time, NaiveDateTime, DateTime],
      do: moment(time, ColumnType.moment(type), settings)

  def literal(value, type, settings) when is_map(value) or is_list(value) do
    text = value |> EctoLibSql.Encoder.json() |> Sql.quote_string()
    if settings[:json_type] == :jsonb and json?(type), do: ["(jsonb(", text, "))"], else: text
  end

  def literal(value, type, _settings) do
    raise ArgumentError,
          "#{inspect(value)} cannot be the default of a column of type #{inspect(type)}; " <>
            "{:fragment, sql} takes any expression"
  end

  ## Dates and times, in the form of the column's type

  defp moment(%DateTime{} = time, type, settings)
       when type in [:naive_datetime, :naive_datetime_usec],
       do: time |> utc() |> DateTime.to_naive() |> moment(type, settings)

  defp moment(%NaiveDateTime{} = time, type, settings)
       when type in [:utc_datetime, :utc_datetime_usec],
       do: time |> DateTime.from_naive!("Etc/UTC") |> moment(type, settings)

  defp moment(%module{} = time, type, settings) do
    time = time |> utc() |> digits(type)

    if settings[:datetime_type] == :integer and module in [NaiveDateTime, DateTime] and type != nil,
      do: time |> microseconds() |> Integer.to_string(),
      else: time |> module.to_iso8601() |> Sql.quote_string()
  end

  defp utc(%DateTime{} = time), do: DateTime.shift_zone!(time, "Etc/UTC")
  defp utc(time), do: time

  defp digits(time, type) when type in [:time_usec, :naive_datetime_usec, :utc_datetime_usec] do
    {microseconds, _digits} = time.microsecond
    %{time | microsecond: {microseconds, 6}}
  end

  defp digits(%module{} = time, type) when type in [:time, :naive_datetime, :utc_datetime],
    do: module.truncate(time, :second)

  defp digits(time, _date), do: time

  defp microseconds(%DateTime{} = time), do: DateTime.to_unix(time, :microsecond)

  defp microseconds(%NaiveDateTime{} = time),
    do: NaiveDateTime.diff(time, ~N[1970-01-01 00:00:00], :microsecond)

  ## JSON and UUIDs

  defp json?({kind, _of}), do: kind in [:map, :array]
  defp json?(type), do: type in [:map, :json, :jsonb]

  defp uuid(<<_::16-binary>> = bytes, :blob), do: Sql.quote_blob(bytes)
  defp uuid(<<_::16-binary>> = bytes, :text), do: bytes |> Ecto.UUID.load!() |> Sql.quote_string()
  defp uuid(text, :blob), do: text |> Ecto.UUID.dump!() |> Sql.quote_blob()
  defp uuid(text, :text), do: text |> Ecto.UUID.cast!() |> Sql.quote_string()

  # As Ecto.Adapters.LibSql.Types.pack_bits/1.
  defp pack_bits(bits) do
    padding = rem(8 - rem(bit_size(bits), 8), 8)
    <<padding, bits::bitstring, 0::size(padding)>>
  end

  ## "10 MONTH", as SQL writes intervals, is stored as ISO 8601: "P10M"

  @date %{"YEAR" => "Y", "MONTH" => "M", "WEEK" => "W", "DAY" => "D"}
  @time %{"HOUR" => "H", "MINUTE" => "M", "SECOND" => "S"}

  defp duration("P" <> _ = iso), do: iso
  defp duration("-P" <> _ = iso), do: iso

  defp duration(text) do
    parts = Regex.scan(~r/([+-]?\d+(?:\.\d+)?)\s+([A-Za-z]+?)S?(?=[\s,]|$)/i, text)
    given = Enum.map(parts, fn [_, number, unit] -> {number, String.upcase(unit)} end)
    known? = Enum.all?(given, fn {_, unit} -> @date[unit] || @time[unit] end)

    if given == [] or not known?,
      do: raise(ArgumentError, "a duration is like \"10 MONTH\" or \"P10M\", not #{inspect(text)}")

    IO.iodata_to_binary([?P, units(given, @date), time(units(given, @time))])
  end

  defp units(given, names), do: for({number, unit} <- given, names[unit], do: [number, names[unit]])

  defp time([]), do: []
  defp time(units), do: [?T, units]
end
