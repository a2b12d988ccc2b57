defmodule Ecto.Adapters.LibSql.Types do
  @moduledoc false
  # Between Ecto's types and what SQLite stores. Dumpers give the one form that we write; loaders accept
  # every form that we, and EctoLibSql 0.9, ever stored.

  ## Dumpers

  def dumpers(:boolean, type), do: [type, &dump_boolean/1]
  def dumpers(:decimal, type), do: [type, &dump_decimal/1]
  def dumpers(:uuid, type), do: [type, &dump_blob/1]
  def dumpers(:binary, type), do: [type, &dump_blob/1]
  def dumpers(:bitstring, type), do: [type, &dump_bitstring/1]
  def dumpers(:duration, type), do: [type, &dump_duration/1]
  def dumpers(:map, type), do: [type, &dump_json/1]
  def dumpers({:map, _}, type), do: [&Ecto.Type.embedded_dump(type, &1, :json), &dump_json/1]

  # An embedded schema dumps itself; a list of anything else is written as JSON would show it.
  def dumpers({:array, _}, {:parameterized, _} = type), do: [type, &dump_json/1]
  def dumpers({:array, _}, type), do: [&Ecto.Type.embedded_dump(type, &1, :json), &dump_json/1]

  def dumpers(time, type)
      when time in [:utc_datetime, :utc_datetime_usec, :naive_datetime, :naive_datetime_usec] or
             time in [:date, :time, :time_usec],
      do: [type, &dump_time/1]

  def dumpers(_base, type), do: [type]

  defp dump_boolean(true), do: {:ok, 1}
  defp dump_boolean(false), do: {:ok, 0}
  defp dump_boolean(other), do: {:ok, other}

  defp dump_decimal(nil), do: {:ok, nil}
  defp dump_decimal(%{__struct__: Decimal} = value), do: {:ok, Decimal.to_string(value, :normal)}

  # Tagged, or bytes that happen to be UTF-8 would be stored as text.
  defp dump_blob(value) when is_binary(value), do: {:ok, {:blob, value}}
  defp dump_blob(other), do: {:ok, other}

  defp dump_bitstring(value) when is_bitstring(value), do: {:ok, {:blob, pack_bits(value)}}
  defp dump_bitstring(other), do: {:ok, other}

  @doc "Bits as bytes: how many bits of the last byte are padding, then the bits, then zeros."
  def pack_bits(bits) do
    padding = rem(8 - rem(bit_size(bits), 8), 8)
    <<padding, bits::bitstring, 0::size(padding)>>
  end

  defp dump_duration(nil), do: {:ok, nil}
  defp dump_duration(text) when is_binary(text), do: {:ok, text}
  defp dump_duration(duration), do: {:ok, apply(Duration, :to_iso8601, [duration])}

  # Ecto has brought fractions to the length of the type: six digits, or none.
  defp dump_time(%module{} = value), do: {:ok, module.to_iso8601(value)}
  defp dump_time(other), do: {:ok, other}

  defp dump_json(nil), do: {:ok, nil}
  defp dump_json(value), do: {:ok, EctoLibSql.Encoder.json(value)}

  ## Loaders

  def loaders(:boolean, type), do: [&load_boolean/1, type]
  def loaders(:decimal, type), do: [&load_decimal/1, type]
  def loaders(:uuid, type), do: [&load_uuid/1, type]
  def loaders(:binary_id, type), do: [&load_binary_id/1, type]
  def loaders(:bitstring, type), do: [&load_bitstring/1, type]
  def loaders(:duration, type), do: [&load_duration/1, type]
  def loaders(:map, type), do: [&load_json/1, type]
  def loaders({:map, _}, type), do: [&load_json/1, &Ecto.Type.embedded_load(type, &1, :json)]
  def loaders({:array, _}, {:parameterized, _} = type), do: [&load_json/1, type]
  def loaders({:array, _}, type), do: [&load_json/1, &Ecto.Type.embedded_load(type, &1, :json)]
  def loaders(:date, type), do: [&load_time(&1, Date), type]
  def loaders(:time, type), do: [&load_time(&1, Time), type]
  def loaders(:time_usec, type), do: [&load_time(&1, Time), type]
  def loaders(:naive_datetime, type), do: [&load_time(&1, NaiveDateTime), type]
  def loaders(:naive_datetime_usec, type), do: [&load_time(&1, NaiveDateTime), type]
  def loaders(:utc_datetime, type), do: [&load_utc/1, type]
  def loaders(:utc_datetime_usec, type), do: [&load_utc/1, type]
  def loaders(_base, type), do: [type]

  defp load_boolean(0), do: {:ok, false}
  defp load_boolean(1), do: {:ok, true}
  defp load_boolean(other), do: {:ok, other}

  defp load_decimal(value) when is_integer(value), do: {:ok, Decimal.new(value)}
  defp load_decimal(value) when is_float(value), do: {:ok, Decimal.from_float(value)}

  defp load_decimal(value) when is_binary(value) do
    case Decimal.parse(value) do
      {decimal, ""} -> {:ok, decimal}
      _other -> :error
    end
  end

  defp load_decimal(other), do: {:ok, other}

  defp load_uuid(<<_::16-binary>> = bytes), do: {:ok, bytes}
  defp load_uuid(<<_::36-binary>> = text), do: Ecto.UUID.dump(text)
  defp load_uuid(other), do: {:ok, other}

  # Sixteen characters can be an id of the application's own; the bytes of a UUID are never printable
  # but by chance.
  defp load_binary_id(<<_::16-binary>> = id),
    do: if(String.printable?(id), do: {:ok, id}, else: Ecto.UUID.load(id))

  defp load_binary_id(other), do: {:ok, other}

  defp load_bitstring(nil), do: {:ok, nil}

  defp load_bitstring(<<padding, bytes::binary>>)
       when padding < 8 and bit_size(bytes) >= padding do
    size = bit_size(bytes) - padding
    <<bits::bitstring-size(size), _::bitstring>> = bytes
    {:ok, bits}
  end

  defp load_bitstring(_other), do: :error

  defp load_duration(text) when is_binary(text) do
    with {:error, _reason} <- apply(Duration, :from_iso8601, [text]), do: :error
  end

  defp load_duration(other), do: {:ok, other}

  defp load_json(text) when is_binary(text) do
    case json_decode(text) do
      {:ok, value} -> {:ok, value}
      {:error, _reason} -> :error
    end
  end

  defp load_json(other), do: {:ok, other}

  @doc "The term of a JSON text."
  def json_decode(text), do: json_library().decode(text)

  defp json_library do
    configured = Application.get_env(:ecto_libsql, :json_library)

    Enum.find([configured, Jason, JSON], &decodes?/1) ||
      raise "JSON cannot be read: add {:jason, \"~> 1.4\"} to the dependencies"
  end

  defp decodes?(nil), do: false
  defp decodes?(module), do: Code.ensure_loaded?(module) and function_exported?(module, :decode, 1)

  defp load_time(text, module) when is_binary(text) do
    with {:error, _reason} <- module.from_iso8601(text), do: :error
  end

  defp load_time(other, _module), do: {:ok, other}

  # An offset is reckoned with; where there is none, the text is UTC.
  defp load_utc(text) when is_binary(text) do
    case DateTime.from_iso8601(text) do
      {:ok, datetime, _offset} -> {:ok, datetime}
      {:error, :missing_offset} -> load_time(text, NaiveDateTime)
      {:error, _reason} -> :error
    end
  end

  defp load_utc(other), do: {:ok, other}
end
