defmodule EctoLibSql.Encoder do
  @moduledoc false
  # Elixir values to what the native functions store, and JSON text.
  #
  # What a connection's forms decide comes here as a struct or as {{:form, kind}, value}: :uuid (16 bytes),
  # :binary_id (text), :json (a term), :json_text (JSON text). So a value is encoded in two steps: all
  # that can be done without a connection, and all that can fail, is done by client/1 before one is
  # taken; params/2 does the rest.

  alias EctoLibSql.{Forms, ISO8601, JSONB, UUID}

  @min -0x8000000000000000
  @max 0x7FFFFFFFFFFFFFFF

  # On a side of a decimal's point: what the core's functions reckon with.
  @max_digits 999

  defguardp is_plain(value)
            when is_binary(value) or is_integer(value) or is_atom(value) or is_float(value)

  defguardp is_integer_64(value) when is_integer(value) and value >= @min and value <= @max

  defguardp is_ready(value)
            when is_binary(value) or is_integer_64(value) or is_float(value) or
                   value in [nil, true, false]

  ## Parameters

  @doc """
  Parameters: a list by position, a keyword list or a map by name.

  Plain values pass through. Dates and times become ISO 8601 text, decimals text, maps JSON text, lists
  of bytes blobs, or what else the forms say; `{:blob, bytes}` and `{:text, binary}` say which of the
  two a binary is. Raises `ArgumentError` for what cannot be stored.
  """
  def params(params, forms \\ %Forms{}) do
    cond do
      plain?(params) -> params
      pairs = pairs(params) -> named(pairs, &value(&1, forms))
      true -> list(params, forms)
    end
  end

  @doc "The same in the forms of a connection, which is asked for them where they matter."
  def stored(params, state),
    do: if(plain?(params), do: params, else: params(params, Forms.of(state)))

  @doc "The first step, for values whose connection is not known."
  def client(params) do
    cond do
      ready?(params) -> params
      pairs = pairs(params) -> named(pairs, &ready/1)
      true -> ready_list(params)
    end
  end

  # What most calls have is passed on as it is.
  defp plain?([head | tail]) when is_plain(head), do: plain?(tail)
  defp plain?(rest), do: rest == []

  defp ready?([head | tail]) when is_ready(head), do: ready?(tail)
  defp ready?(rest), do: rest == []

  defp pairs(params) when is_list(params), do: if(named?(params), do: params)
  defp pairs(params) when is_map(params) and not is_struct(params), do: Map.to_list(params)

  defp pairs(params) do
    raise ArgumentError,
          "parameters are a list, a keyword list or a map, but this was given: #{inspect(params)}"
  end

  @doc "Whether a list of parameters is one of names and values."
  def named?([{tag, _} | rest]) when tag in [:blob, :text], do: Enum.any?(rest, &name?/1)
  def named?([head | _]), do: name?(head)
  def named?([]), do: false

  # {:blob, _} and {:text, _} may also be parameters of that name; who has others has names.
  defp name?({tag, _}) when is_binary(tag), do: true
  defp name?({tag, _}) when is_atom(tag), do: tag not in [:blob, :text]
  defp name?(_value), do: false

  defp list([head | tail], forms) when is_plain(head), do: [head | list(tail, forms)]
  defp list([head | tail], forms), do: [value(head, forms) | list(tail, forms)]
  defp list([], _forms), do: []
  defp list(_tail, _forms), do: improper!()

  defp ready_list([head | tail]), do: [ready(head) | ready_list(tail)]
  defp ready_list([]), do: []
  defp ready_list(_tail), do: improper!()

  defp improper!, do: raise(ArgumentError, "the list of parameters is improper")

  # As texts: native code knows an atom's name only if it is Latin-1, and {:text, _} as a value.
  defp named(params, encode) do
    Enum.map(params, fn
      {name, value} when is_binary(name) -> {name, encode.(value)}
      {name, value} when is_atom(name) -> {Atom.to_string(name), encode.(value)}
      other -> raise ArgumentError, "a named parameter is {name, value}, not #{inspect(other)}"
    end)
  end

  ## One value

  defp ready(value) when is_ready(value), do: value
  defp ready(value) when value in [:null, :infinity, :neg_infinity], do: value
  defp ready({tag, _} = value) when tag in [:blob, :text], do: value
  defp ready({{:form, :json}, term}), do: {{:form, :json_text}, json(term)}
  defp ready({{:form, :uuid}, uuid}), do: {{:form, :uuid}, uuid!(uuid)}
  defp ready({{:form, :binary_id}, id}), do: {{:form, :binary_id}, id!(id)}
  defp ready({{:form, _kind}, _value} = value), do: value
  defp ready(%DateTime{} = value), do: canonical(value)
  defp ready(%NaiveDateTime{} = value), do: canonical(value)
  defp ready(%Date{} = value), do: value |> canonical() |> ISO8601.text()
  defp ready(%Time{} = value), do: value |> canonical() |> Time.to_iso8601()
  defp ready(%{} = map) when not is_struct(map), do: {{:form, :json_text}, json(map)}

  defp ready(value) when is_integer(value) do
    raise ArgumentError,
          "an integer of more than 64 bits cannot be stored: #{value}; a field of type :decimal can hold it"
  end

  defp ready(value) do
    case value(value) do
      ^value -> raise ArgumentError, "this cannot be stored: #{inspect(value)}"
      stored -> stored
    end
  end

  @doc "One value as it is stored."
  def value(value, forms \\ %Forms{})

  def value(value, _forms) when is_plain(value), do: value
  def value({:blob, _} = value, _forms), do: value
  def value({:text, _} = value, _forms), do: value
  def value({{:form, kind}, value}, forms), do: form(kind, value, forms)
  def value(%DateTime{} = value, forms), do: datetime(value, forms.datetime)
  def value(%NaiveDateTime{} = value, forms), do: datetime(value, forms.datetime)
  def value(%Date{} = value, _forms), do: ISO8601.text(value)
  def value(%Time{} = value, _forms), do: Time.to_iso8601(value)
  def value(%{__struct__: Decimal} = value, _forms), do: decimal(value)
  def value(%{__struct__: Duration} = value, _forms), do: duration(value)

  def value(value, forms) when is_map(value) and not is_struct(value),
    do: form(:json, value, forms)

  def value(value, _forms) when is_list(value), do: {:blob, value}
  def value(value, _forms), do: value

  defp form(:uuid, uuid, %{uuid: :blob}), do: {:blob, uuid!(uuid)}
  defp form(:uuid, uuid, %{uuid: :text}), do: uuid |> uuid!() |> UUID.text()
  defp form(:binary_id, id, %{binary_id: :text}), do: id!(id)
  defp form(:binary_id, id, %{binary_id: :blob}), do: {:blob, id |> id!() |> id_bytes!()}
  defp form(:json, term, forms), do: form(:json_text, json(term), forms)
  defp form(:json_text, text, %{json: :text}), do: text
  defp form(:json_text, text, %{json: :jsonb}), do: {:blob, JSONB.from_json!(text)}
  defp form(kind, value, _forms), do: {{:form, kind}, value}

  defp uuid!(uuid) do
    case UUID.bytes(uuid) do
      {:ok, bytes} -> bytes
      :error -> raise ArgumentError, "this is no UUID: #{inspect(uuid)}"
    end
  end

  # As text, an id is whatever the application makes up; its bytes are written as text too.
  defp id!(id) when is_binary(id) do
    cond do
      UUID.bytes?(id) -> UUID.text(id)
      String.valid?(id) -> id
      true -> raise ArgumentError, "a :binary_id is text or 16 bytes, not #{inspect(id)}"
    end
  end

  defp id!(id), do: raise(ArgumentError, "a :binary_id is text or 16 bytes, not #{inspect(id)}")

  # Any 16 bytes are read as a UUID where ids are bytes: 16 characters are none.
  defp id_bytes!(<<id::36-binary>>), do: uuid!(id)
  defp id_bytes!(id), do: raise(ArgumentError, "this is no UUID: #{inspect(id)}")

  ## Dates and times

  @doc """
  A date or time as it sorts as text: in UTC and ISO's calendar, of a year with four digits, with six
  digits of a second or none.
  """
  def canonical(%DateTime{time_zone: "Etc/UTC"} = value),
    do: value |> iso(DateTime) |> digits() |> year()

  def canonical(%DateTime{} = value),
    do: value |> iso(DateTime) |> DateTime.shift_zone!("Etc/UTC") |> digits() |> year()

  def canonical(%NaiveDateTime{} = value), do: value |> iso(NaiveDateTime) |> digits() |> year()
  def canonical(%Date{} = value), do: value |> iso(Date) |> year()
  def canonical(%Time{} = value), do: value |> iso(Time) |> digits()

  defp iso(%{calendar: Calendar.ISO} = value, _module), do: value
  defp iso(value, module), do: module.convert!(value, Calendar.ISO)

  defp digits(%{microsecond: {_, precision}} = value) when precision in [0, 6], do: value
  defp digits(%{microsecond: {fraction, _}} = value), do: %{value | microsecond: {fraction, 6}}

  defp year(%{year: year} = value) when year in 0..9999, do: value

  defp year(value) do
    raise ArgumentError,
          "dates are stored of the years 0 to 9999, so that they sort: not #{inspect(value)}"
  end

  defp datetime(value, :text), do: ISO8601.text(value)
  defp datetime(%DateTime{} = value, :integer), do: DateTime.to_unix(value, :microsecond)

  defp datetime(value, :integer),
    do: value |> DateTime.from_naive!("Etc/UTC") |> DateTime.to_unix(:microsecond)

  # Equal ones in one way.
  defp duration(%{microsecond: {fraction, _}} = value) do
    precision = if fraction == 0, do: 0, else: 6
    apply(Duration, :to_iso8601, [%{value | microsecond: {fraction, precision}}])
  end

  ## Decimals

  # Not a dependency of the driver: whoever gives one has the library.
  defp decimal(%{coef: coef}) when not is_integer(coef) do
    raise ArgumentError, "neither NaN nor infinity can be stored as a decimal"
  end

  defp decimal(%{coef: 0, exp: exp}) when exp > 0, do: "0"

  # The coefficient's digits are counted where it cannot be seen that they are few.
  defp decimal(%{coef: coef, exp: exp} = value) do
    if exp < -@max_digits or ((exp > 0 or coef > @max) and whole_digits(coef, exp) > @max_digits) do
      raise ArgumentError,
            "a decimal has at most #{@max_digits} digits on a side of the point, this one more: " <>
              "its exponent is #{exp}"
    end

    apply(Decimal, :to_string, [value, :normal])
  end

  defp whole_digits(_coef, exp) when exp > @max_digits, do: exp
  defp whole_digits(coef, exp), do: (coef |> Integer.digits() |> length()) + exp

  ## JSON

  @doc """
  JSON text, by Jason where it is loaded, by Elixir's JSON where that exists, else by the core. Raises
  `ArgumentError` for what JSON cannot hold.
  """
  def json(term) do
    case json_library() do
      EctoLibSql.NIF -> json_native(term)
      library -> json_with(library, term)
    end
  end

  # `config :ecto_libsql, :json_library, module` with encode!/1; EctoLibSql.NIF is the core's.
  defp json_library, do: Application.get_env(:ecto_libsql, :json_library) || found_library()

  # process-wide: looking for a module that is not there asks the code server for its files, which
  # takes milliseconds; what there is does not change.
  defp found_library do
    with nil <- :persistent_term.get({__MODULE__, :json_library}, nil) do
      module = Enum.find([Jason, JSON], EctoLibSql.NIF, &Code.ensure_loaded?/1)
      :persistent_term.put({__MODULE__, :json_library}, module)
      module
    end
  end

  defp json_with(library, term) do
    library |> apply(:encode!, [term]) |> IO.iodata_to_binary()
  rescue
    error in ArgumentError -> reraise error, __STACKTRACE__
    error -> reraise ArgumentError, json_refused(Exception.message(error)), __STACKTRACE__
  end

  defp json_native(term) do
    case EctoLibSql.NIF.json_encode(plain(term)) do
      {:ok, text} -> text
      {:error, native} -> raise ArgumentError, json_refused(elem(native, 2))
    end
  end

  defp json_refused(why), do: "a map cannot be written as JSON: " <> why

  # {pairs} for a map, in the order in which Elixir lists it.
  defp plain([head | tail]), do: [plain(head) | plain_tail(tail)]
  defp plain(%DateTime{} = term), do: DateTime.to_iso8601(term)
  defp plain(%NaiveDateTime{} = term), do: NaiveDateTime.to_iso8601(term)
  defp plain(%Date{} = term), do: Date.to_iso8601(term)
  defp plain(%Time{} = term), do: Time.to_iso8601(term)
  defp plain(%{__struct__: Decimal} = term), do: apply(Decimal, :to_string, [term])

  defp plain(%{__struct__: module}),
    do: raise(ArgumentError, json_refused("there is no rule for #{inspect(module)}"))

  defp plain(term) when is_map(term),
    do: {for({key, value} <- Map.to_list(term), do: {key(key), plain(value)})}

  defp plain(term) when is_integer(term) and not is_integer_64(term),
    do: {:digits, Integer.to_string(term)}

  defp plain(term), do: term

  defp plain_tail(tail) when is_list(tail), do: plain(tail)
  defp plain_tail(_tail), do: raise(ArgumentError, json_refused("a list is improper"))

  defp key(key) when is_binary(key), do: key
  defp key(key) when is_atom(key), do: Atom.to_string(key)
  defp key(key), do: to_string(key)
end
