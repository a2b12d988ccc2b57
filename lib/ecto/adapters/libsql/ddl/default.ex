defmodule Ecto.Adapters.LibSql.DDL.Default do
  @moduledoc false
  # DEFAULT: the value as the dumpers and the connection would store it.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql, Types}
  alias Ecto.Adapters.LibSql.DDL.Moment
  alias EctoLibSql.{Encoder, Forms}

  @doc "` DEFAULT ...`, or nothing. `nil` is the default that every column has."
  def text(type, opts, settings) do
    case Keyword.fetch(opts, :default) do
      {:ok, value} when value not in [nil, :null] -> [" DEFAULT ", literal(value, type, settings)]
      _none -> []
    end
  end

  @doc "The default as an SQL expression."
  def literal(nil, _type, _settings), do: "NULL"

  def literal({:fragment, sql}, type, settings) when is_binary(sql) do
    case ColumnType.moment(type) do
      nil -> [?(, sql, ?)]
      moment -> Moment.expression(sql, moment, forms(type, settings).datetime)
    end
  end

  def literal(true, _type, _settings), do: "1"
  def literal(false, _type, _settings), do: "0"

  def literal(value, type, settings) do
    with stored when stored != :none <- stored(value, type, settings),
         sql when sql != nil <- stored |> Encoder.value(forms(type, settings)) |> sql() do
      sql
    else
      _none -> refuse(value, type)
    end
  end

  # Forms are of the column's type, not of the value's.
  defp forms(type, settings) do
    forms = Forms.of(settings)
    if ColumnType.datetime?(type), do: forms, else: %{forms | datetime: :text}
  end

  # As text in a TEXT column; elsewhere the number.
  defp sql(number) when is_integer(number), do: Integer.to_string(number)
  defp sql(number) when is_float(number), do: Float.to_string(number)
  defp sql(text) when is_binary(text), do: Sql.quote_string(text)
  defp sql({:blob, bytes}) when is_binary(bytes), do: Sql.quote_blob(bytes)
  defp sql(_other), do: nil

  ## What a value is, to the encoder

  defp stored(value, type, settings) do
    case ColumnType.moment(type) do
      nil -> stored(value, type)
      _moment when is_integer(value) -> microseconds(value, type, settings)
      moment -> Moment.value(value, moment)
    end
  end

  # As the column has it, if it is of integers.
  defp microseconds(value, type, settings),
    do: if(forms(type, settings).datetime == :integer, do: value, else: :none)

  defp stored(bits, :bitstring) when is_bitstring(bits), do: {:blob, Types.pack_bits(bits)}
  defp stored(bytes, :binary) when is_binary(bytes), do: {:blob, bytes}
  defp stored(id, type) when type in [:uuid, :binary_id], do: {{:form, type}, id}

  defp stored(text, type) when type in [:duration, :interval] and is_binary(text),
    do: duration(text)

  defp stored(text, _type) when is_binary(text), do: text
  defp stored(number, _type) when is_number(number), do: number

  defp stored(%module{} = time, _type) when module in [Date, Time, NaiveDateTime, DateTime],
    do: Moment.value(time, nil)

  defp stored(%{__struct__: module} = value, _type) when module in [Decimal, Duration],
    do: value

  defp stored(value, type) when is_map(value) or is_list(value),
    do: if(json?(type), do: {{:form, :json}, value}, else: Encoder.json(value))

  defp stored(_other, _type), do: :none

  defp json?({kind, _of}), do: kind in [:map, :array]
  defp json?(type), do: type in [:map, :json, :jsonb]

  defp refuse(value, type) do
    raise ArgumentError,
          "#{inspect(value)} cannot be the default of a column of type #{inspect(type)}; " <>
            "{:fragment, sql} takes any expression"
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
