defmodule Ecto.Adapters.LibSql.Types do
  @moduledoc false
  # Between Ecto's types and what SQLite stores.
  #
  # Neither dumpers nor loaders know the Repo. So dumpers give values that every Repo stores alike, and
  # leave the others to the connection, which knows its forms (EctoLibSql.Encoder): dates and times,
  # decimals and durations as they are, UUIDs, ids and JSON marked as {{:form, kind}, value}. Loaders accept
  # every form that we, and EctoLibSql 0.9, ever stored.

  alias Ecto.Adapters.LibSql.{Durations, Moments, Query}
  alias EctoLibSql.{Encoder, JSONB, UUID}

  # Characters of a decimal's text, which has 999 digits on a side of the point at most; and its exponent.
  @max_decimal 2010

  # A key of the process dictionary.
  @ids_are_bytes :ecto_libsql_ids_are_bytes

  ## Dumpers

  def dumpers(:boolean, type), do: [type, &dump_boolean/1]
  def dumpers(:decimal, type), do: [type, &dump_decimal/1]
  def dumpers(:uuid, type), do: [type, &dump_uuid/1]
  def dumpers(:binary_id, type), do: [type, &dump_binary_id/1]
  def dumpers(:binary, type), do: [type, &dump_blob/1]
  def dumpers(:bitstring, type), do: [type, &dump_bitstring/1]
  def dumpers(:map, type), do: [type, &dump_json/1]

  # As in ecto_sql's other adapters: elements of maps are what JSON shows of them, elements of arrays what
  # the database would hold, so that `^element in field` finds them.
  def dumpers({:map, _}, type), do: [&Ecto.Type.embedded_dump(type, &1, :json), &dump_json/1]
  def dumpers({:array, of}, type), do: [type, &dump_array(&1, of)]

  # One parameter, whatever the length of the list.
  def dumpers({:in, _}, {:in, of}),
    do: [{:array, of}, &Query.List.dump(&1, Query.Type.base(of))]

  def dumpers(:any, type), do: [type, &{:ok, untyped(&1)}]

  def dumpers(_base, type), do: [type]

  @doc """
  A value of which nobody says the type. A list is an array, as it is elsewhere with Ecto and as it would be
  read again; to the driver it would be bytes.
  """
  def untyped(list) when is_list(list), do: {{:form, :json}, element(list, {:array, :any})}
  def untyped(value), do: value

  defp dump_boolean(true), do: {:ok, 1}
  defp dump_boolean(false), do: {:ok, 0}
  defp dump_boolean(other), do: {:ok, other}

  # NaN and infinity are no numbers to compare with.
  defp dump_decimal(%Decimal{coef: coef}) when not is_integer(coef), do: :error
  defp dump_decimal(other), do: {:ok, other}

  defp dump_uuid(nil), do: {:ok, nil}

  defp dump_uuid(uuid) do
    with {:ok, bytes} <- UUID.bytes(uuid), do: {:ok, {{:form, :uuid}, bytes}}
  end

  defp dump_binary_id(id) when is_binary(id), do: {:ok, {{:form, :binary_id}, id}}
  defp dump_binary_id(other), do: {:ok, other}

  @doc """
  The fields of an INSERT, with an id that `c:Ecto.Adapter.Schema.autogenerate/1` gave, and that no
  dumper saw, marked as one.
  """
  def mark_id(fields, %{autogenerate_id: {_field, source, type}}) when type != :id do
    with :binary_id <- Ecto.Type.type(type),
         {_source, id} when is_binary(id) <- List.keyfind(fields, source, 0) do
      List.keyreplace(fields, source, 0, {source, {{:form, :binary_id}, id}})
    else
      _other_type_or_marked -> fields
    end
  end

  def mark_id(fields, _schema), do: fields

  @doc "The same for the rows of insert_all, which may be a query."
  def mark_ids(rows, %{autogenerate_id: {_field, _source, type}} = schema)
      when is_list(rows) and type != :id,
      do: Enum.map(rows, &mark_id(&1, schema))

  # No dumper sees a value that is written without a schema.
  def mark_ids(rows, %{schema: nil}) when is_list(rows),
    do: for(row <- rows, do: for({column, value} <- row, do: {column, untyped(value)}))

  def mark_ids(rows_or_query, _schema), do: rows_or_query

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

  defp dump_json(nil), do: {:ok, nil}
  defp dump_json(value), do: {:ok, {{:form, :json}, value}}

  defp dump_array(nil, _of), do: {:ok, nil}
  defp dump_array(list, of), do: {:ok, {{:form, :json}, element(list, {:array, of})}}

  ## Elements of arrays: what stands in JSON for a value of the database

  defp element(nil, _type), do: nil
  defp element(list, {:array, of}) when is_list(list), do: Enum.map(list, &element(&1, of))
  defp element(1, :boolean), do: true
  defp element(0, :boolean), do: false
  defp element({{:form, :uuid}, bytes}, _type), do: UUID.text(bytes)
  defp element({{:form, _kind}, value}, _type), do: value
  defp element({:blob, bytes}, _type), do: bytes(bytes)
  defp element(<<bytes::16-binary>>, :uuid), do: UUID.text(bytes)
  defp element(value, :binary) when is_binary(value), do: bytes(value)

  defp element(%module{} = value, _type) when module in [DateTime, NaiveDateTime, Date, Time],
    do: value |> Encoder.canonical() |> Encoder.value()

  defp element(%module{} = value, _type) when module in [Decimal, Duration],
    do: Encoder.value(value)

  defp element(value, _type), do: value

  # JSON has text alone; SQL reads both by CASE type WHEN 'object' THEN unhex(value ->> 'x') ELSE
  # CAST(value AS BLOB) END.
  defp bytes(bytes),
    do: if(String.valid?(bytes), do: bytes, else: %{"x" => Base.encode16(bytes)})

  ## Loaders

  # What is of a field's own type when we have read it, Ecto need not look at again: half the time of a
  # date-time.
  def loaders(:boolean, :boolean), do: [&boolean/1]
  def loaders(:naive_datetime, :naive_datetime), do: [&Moments.naive_datetime/1]
  def loaders(:naive_datetime_usec, :naive_datetime_usec), do: [&Moments.naive_datetime_usec/1]
  def loaders(:utc_datetime, :utc_datetime), do: [&Moments.utc_datetime/1]
  def loaders(:utc_datetime_usec, :utc_datetime_usec), do: [&Moments.utc_datetime_usec/1]

  def loaders(:boolean, type), do: [&load_boolean/1, type]
  def loaders(:decimal, type), do: [&load_decimal/1, type]
  def loaders(:uuid, type), do: [&load_uuid/1, type]
  def loaders(:binary_id, type), do: [&load_binary_id/1, type]
  def loaders(:binary, type), do: [&load_bytes/1, type]
  def loaders(:bitstring, type), do: [&load_bitstring/1, type]
  def loaders(:duration, type), do: [&load_duration/1, type]
  def loaders(:map, type), do: [&load_json/1, type]
  def loaders({:map, _}, type), do: [&load_json/1, &Ecto.Type.embedded_load(type, &1, :json)]
  def loaders({:array, _}, type), do: [&load_array/1, type]
  def loaders(:date, type), do: [&Moments.date/1, type]
  def loaders(:time, type), do: [&Moments.time/1, type]
  def loaders(:time_usec, type), do: [&Moments.time/1, type]
  def loaders(:naive_datetime, type), do: [&Moments.naive/1, type]
  def loaders(:naive_datetime_usec, type), do: [&Moments.naive/1, type]
  def loaders(:utc_datetime, type), do: [&Moments.utc/1, type]
  def loaders(:utc_datetime_usec, type), do: [&Moments.utc/1, type]
  def loaders(_base, type), do: [type]

  defp load_boolean(0), do: {:ok, false}
  defp load_boolean(1), do: {:ok, true}
  defp load_boolean(other), do: {:ok, other}

  defp boolean(0), do: {:ok, false}
  defp boolean(1), do: {:ok, true}
  defp boolean(other), do: Ecto.Type.load(:boolean, other)

  defp load_decimal(value) when is_integer(value), do: {:ok, Decimal.new(value)}
  defp load_decimal(value) when is_float(value), do: {:ok, Decimal.from_float(value)}

  defp load_decimal(value) when is_binary(value) and byte_size(value) <= @max_decimal do
    case parse_decimal(value) do
      {%Decimal{coef: coef, exp: exp} = decimal, ""}
      when is_integer(coef) and abs(exp) <= @max_decimal ->
        {:ok, decimal}

      _nan_or_no_number ->
        :error
    end
  end

  defp load_decimal(value) when is_binary(value), do: :error

  defp load_decimal(other), do: {:ok, other}

  # Ecto.UUID raises for what is no UUID.
  defp load_uuid(nil), do: {:ok, nil}
  defp load_uuid(uuid), do: UUID.bytes(uuid)

  # Sixteen characters may be an id of the application's own, or the bytes of a UUID that happen to be
  # printable (22222222-2222-2222-2222-222222222222). Which, the Repo says that was asked last: a row is
  # loaded by the process that asked, right after the answer.
  defp load_binary_id(<<id::16-binary>>) do
    if UUID.bytes?(id) or Process.get(@ids_are_bytes) == true,
      do: {:ok, UUID.text(id)},
      else: {:ok, id}
  end

  defp load_binary_id(other), do: {:ok, other}

  @doc "To be called before rows of a Repo are loaded; `meta` is the adapter's."
  def loading(%{ids_are_bytes: true}), do: Process.put(@ids_are_bytes, true)

  def loading(_meta),
    do: if(Process.get(@ids_are_bytes), do: Process.delete(@ids_are_bytes))

  # What is no text stands like that in arrays.
  defp load_bytes(%{"x" => digits}) when is_binary(digits),
    do: Base.decode16(digits, case: :mixed)

  defp load_bytes(other), do: {:ok, other}

  # From Decimal 2.4 on, what is parsed has 34 digits at most unless it is said otherwise.
  if Code.ensure_loaded?(Decimal) and function_exported?(Decimal, :parse, 2) do
    @any_decimal [max_digits: @max_decimal, max_exponent: @max_decimal]
    defp parse_decimal(text), do: Decimal.parse(text, @any_decimal)
  else
    defp parse_decimal(text), do: Decimal.parse(text)
  end

  defp load_bitstring(<<padding, bytes::binary>>)
       when padding < 8 and bit_size(bytes) >= padding do
    size = bit_size(bytes) - padding
    <<bits::bitstring-size(size), _::bitstring>> = bytes
    {:ok, bits}
  end

  defp load_bitstring(%{"x" => _} = object) do
    with {:ok, bytes} when is_binary(bytes) <- load_bytes(object), do: load_bitstring(bytes)
  end

  defp load_bitstring(other), do: if(other == nil, do: {:ok, nil}, else: :error)

  defp load_duration(text) when is_binary(text), do: Durations.load(text, [])
  defp load_duration(other), do: {:ok, other}

  ## JSON

  # In 0.9 an empty text was an empty array.
  defp load_array(""), do: {:ok, []}
  defp load_array(other), do: load_json(other)

  defp load_json(json) when is_binary(json), do: json_decode(json)
  defp load_json(other), do: {:ok, other}

  @doc "The term of a JSON text or JSONB: `{:ok, term}` or `:error`."
  def json_decode(<<first, _::binary>> = json)
      when first in [?{, ?[, ?", ?-, ?t, ?f, ?n, ?\s, ?\t, ?\n, ?\r] or first in ?0..?9 do
    # An array of JSONB may begin so too.
    with :error <- decode_text(json), do: decode_blob(json)
  end

  def json_decode(json), do: decode_blob(json)

  defp decode_blob(blob) do
    with {:ok, text} <- JSONB.to_json(blob), do: decode_text(text)
  end

  defp decode_text(text) do
    with {:error, _reason} <- json_library().decode(text), do: :error
  end

  defp json_library do
    configured = Application.get_env(:ecto_libsql, :json_library)

    Enum.find([configured, Jason, JSON], &decodes?/1) ||
      raise "JSON cannot be read: add {:jason, \"~> 1.4\"} to the dependencies"
  end

  defp decodes?(nil), do: false
  defp decodes?(module), do: Code.ensure_loaded?(module) and function_exported?(module, :decode, 1)
end
