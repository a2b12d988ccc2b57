defmodule Ecto.Adapters.LibSql.ColumnType do
  @moduledoc false
  # The type that a column is declared with, and back. SQLite keeps the name as it was written and takes
  # the affinity from the words in it: the storage class comes first (TEXT_DECIMAL), so that no value is
  # made a number by accident, and the rest tells a query without a schema what the value is.
  #
  # Settings are the Repo's :uuid_type, :binary_id_type, :json_type and :datetime_type: as the connection
  # encodes values. STRICT tables know the storage classes alone.

  @defaults [uuid_type: :blob, binary_id_type: :text, json_type: :text, datetime_type: :text]

  @integers ~w(id serial bigserial smallserial identity integer int bigint smallint boolean)a

  @times %{
    date: "DATE",
    time: "TIME",
    time_usec: "TIME_USEC",
    naive_datetime: "DATETIME",
    naive_datetime_usec: "DATETIME_USEC",
    utc_datetime: "UTC_DATETIME",
    utc_datetime_usec: "UTC_DATETIME_USEC",
    datetime: "DATETIME",
    timestamp: "DATETIME",
    timestamptz: "UTC_DATETIME"
  }
  @datetimes Map.keys(@times) -- [:date, :time, :time_usec]

  @moments Map.new(@times, fn {type, name} -> {name, type} end)
           |> Map.merge(%{"DATETIME" => :naive_datetime, "UTC_DATETIME" => :utc_datetime})

  @strict ~w(INT INTEGER REAL TEXT BLOB ANY)
  @classes %{integer: "INTEGER", text: "TEXT", blob: "BLOB", real: "REAL", numeric: "ANY"}

  @doc "The declared type for a type of a migration, with the column's options."
  def declare(type, opts \\ [], settings \\ [])

  def declare(type, opts, settings) do
    settings = Keyword.merge(@defaults, settings)
    [name(type, opts, settings), arguments(type, opts)]
  end

  @doc """
  The same for a STRICT table: the storage class. For names that begin with none it is the one of their
  affinity, and ANY for numbers of both kinds, which changes no value.
  """
  def declare_strict(type, opts, settings \\ []) do
    settings = Keyword.merge(@defaults, settings)
    type |> name(opts, settings) |> IO.iodata_to_binary() |> storage()
  end

  @doc """
  The collation that a column of a type has where nothing else is said, or `nil`: decimals are text that
  means numbers, `:citext` is text of which the case does not count. A server (`uri:`) has no collation
  `decimal`.
  """
  def collation(type, settings \\ []) do
    declared = type |> name([], Keyword.merge(@defaults, settings)) |> IO.iodata_to_binary()

    cond do
      decimal?(declared) -> if settings[:uri] == nil, do: "decimal"
      declared =~ ~r/\ACITEXT\b/i -> "nocase"
      true -> nil
    end
  end

  defp decimal?(declared), do: declared |> String.upcase() |> String.starts_with?("TEXT_DECIMAL")

  @doc "What a type of a migration holds, where that is a date or a time: its name in Ecto, or `nil`."
  def moment(type), do: @times[type] && @moments[@times[type]]

  @doc "Whether a type of a migration holds date and time, for which there are two forms."
  def datetime?(type), do: type in @datetimes

  @doc "Whether a STRICT table takes this declared type."
  def strict?(declared), do: IO.iodata_to_binary(declared) in @strict

  @doc "SQLite's affinity of a declared type: what its words say, in this order."
  def affinity(declared) do
    name = declared |> IO.iodata_to_binary() |> String.upcase()

    cond do
      name =~ "INT" -> :integer
      String.contains?(name, ["CHAR", "CLOB", "TEXT"]) -> :text
      name == "" or name =~ "BLOB" -> :blob
      String.contains?(name, ["REAL", "FLOA", "DOUB"]) -> :real
      true -> :numeric
    end
  end

  @doc """
  The SQL for a value of a column that was declared `old` and is to be `new`: what the new affinity would
  make of a number is 15 of its digits, a decimal has all of them.
  """
  def converted(sql, old, new, settings) do
    cond do
      not (new |> IO.iodata_to_binary() |> decimal?()) -> sql
      affinity(old) not in [:numeric, :real, :integer] -> sql
      settings[:uri] == nil -> ["coalesce(decimal(", sql, "), ", sql, ")"]
      true -> digits(sql)
    end
  end

  # For servers, which have no decimal(): as few digits of a float as tell it from all others. The affinity writes
  # all of an integer.
  defp digits(sql) do
    few =
      for digits <- ["%!.15g", "%!.16g"],
          text = ["printf('", digits, "', ", sql, ?)],
          do: [" WHEN CAST(", text, " AS REAL) = ", sql, " THEN ", text]

    [
      "CASE WHEN typeof(",
      sql,
      ") <> 'real' THEN ",
      sql,
      few,
      " ELSE printf('%!.17g', ",
      sql,
      ") END"
    ]
  end

  defp storage(name) do
    case String.split(name, "_", parts: 2) do
      [class | _what] when class in @strict -> class
      _other -> @classes[affinity(name)]
    end
  end

  defp name(type, _opts, _settings) when type in @integers, do: "INTEGER"
  defp name(type, _opts, _settings) when type in [:string, :text], do: "TEXT"
  defp name(:binary, _opts, _settings), do: "BLOB"
  defp name(:bitstring, _opts, _settings), do: "BLOB_BITSTRING"
  defp name(type, _opts, _settings) when type in [:float, :double], do: "REAL"
  defp name(type, _opts, _settings) when type in [:decimal, :numeric], do: "TEXT_DECIMAL"
  defp name(:uuid, _opts, settings), do: uuid(settings[:uuid_type])
  # As text an id is the application's own: any text may stand there.
  defp name(:binary_id, _opts, settings),
    do: if(settings[:binary_id_type] == :text, do: "TEXT", else: "BLOB_UUID")

  defp name({:array, _of}, _opts, settings), do: array(settings[:json_type])
  defp name({:map, _of}, _opts, settings), do: json(settings[:json_type])

  defp name(type, _opts, settings) when type in [:map, :json, :jsonb],
    do: json(settings[:json_type])

  defp name(type, opts, _settings) when type in [:duration, :interval],
    do: ["TEXT_DURATION", fields(opts[:fields])]

  defp name(type, _opts, settings) when type in @datetimes,
    do: [if(settings[:datetime_type] == :integer, do: "INTEGER_", else: "TEXT_"), @times[type]]

  defp name(type, _opts, _settings) when is_map_key(@times, type), do: ["TEXT_", @times[type]]
  defp name(type, _opts, _settings) when is_binary(type), do: type

  defp name(type, _opts, _settings) when is_atom(type),
    do: type |> Atom.to_string() |> String.upcase()

  defp name(type, _opts, _settings),
    do: raise(ArgumentError, "a column cannot be declared with the type #{inspect(type)}")

  defp uuid(:blob), do: "BLOB_UUID"
  defp uuid(:text), do: "TEXT_UUID"
  defp json(:text), do: "TEXT_JSON"
  defp json(:jsonb), do: "BLOB_JSONB"
  defp array(:text), do: "TEXT_ARRAY"
  defp array(:jsonb), do: "BLOB_ARRAY"

  # In the name, since parentheses hold numbers alone: "HOUR TO SECOND" is HOUR_TO_SECOND.
  defp fields(nil), do: []
  defp fields(text), do: [?_, text |> String.upcase() |> String.replace(~r/[^A-Z]+/, "_")]

  ## What stands in parentheses

  defp arguments(type, opts) when type in [:string, :text, :binary, :bitstring],
    do: parentheses([opts[:size]])

  defp arguments(type, opts) when type in [:decimal, :numeric],
    do: parentheses([opts[:precision], opts[:scale]])

  defp arguments(type, opts) when type in [:duration, :interval],
    do: parentheses([opts[:precision]])

  defp arguments(_type, _opts), do: []

  defp parentheses([nil | _rest]), do: []

  defp parentheses(numbers) do
    numbers = Enum.reject(numbers, &is_nil/1)
    [?(, numbers |> Enum.map(&number/1) |> Enum.intersperse(?,), ?)]
  end

  defp number(number) when is_integer(number) and number >= 0, do: Integer.to_string(number)

  defp number(other),
    do: raise(ArgumentError, "size, precision and scale are numbers, not #{inspect(other)}")

  ## Back

  @ecto %{
    "TEXT_DECIMAL" => :decimal,
    "DECIMAL" => :decimal,
    "NUMERIC" => :decimal,
    "BLOB_UUID" => :uuid,
    "TEXT_UUID" => :uuid,
    "TEXT_JSON" => :map,
    "BLOB_JSONB" => :map,
    "TEXT_ARRAY" => {:array, :any},
    "BLOB_ARRAY" => {:array, :any},
    "BLOB_BITSTRING" => :bitstring,
    "BOOLEAN" => :boolean,
    "DATE" => :date,
    "TIME" => :time,
    "DATETIME" => :naive_datetime
  }

  @doc """
  What values of a declared type are, where the storage class does not say it: `{type, details}`, or
  `nil`. The details are the numbers in parentheses; for a duration also its fields.
  """
  def to_ecto(declared) when is_binary(declared) do
    {name, numbers} = split(declared)

    case name do
      "TEXT_DURATION" -> {:duration, numbers: numbers}
      "TEXT_DURATION_" <> fields -> {:duration, numbers: numbers, fields: fields}
      "TEXT_" <> moment when is_map_key(@moments, moment) -> {@moments[moment], []}
      "INTEGER_" <> moment when is_map_key(@moments, moment) -> {@moments[moment], []}
      name when is_map_key(@ecto, name) -> {@ecto[name], numbers: numbers}
      _other -> nil
    end
  end

  def to_ecto(nil), do: nil

  defp split(declared) do
    case String.split(declared, "(", parts: 2) do
      [name] -> {upcase(name), []}
      [name, numbers] -> {upcase(name), numbers(numbers)}
    end
  end

  defp upcase(name), do: name |> String.trim() |> String.upcase()

  defp numbers(text) do
    for [digits] <- Regex.scan(~r/\d+/, text), do: String.to_integer(digits)
  end
end
