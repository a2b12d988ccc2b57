defmodule EctoLibSql.Encoder do
  @moduledoc false
  # Elixir values to what the native functions store, and JSON text.

  @doc """
  Parameters: a list by position, a keyword list or a map by name.

  Plain values pass through. Dates and times become ISO 8601 text, decimals text, maps JSON text, lists
  of bytes blobs; `{:blob, bytes}` and `{:text, binary}` say which of the two a binary is.
  """
  def params(params) when is_list(params), do: list(params)
  def params(params) when is_map(params) and not is_struct(params), do: named(Map.to_list(params))

  def params(params) do
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

  defp list(params) do
    if named?(params), do: named(params), else: Enum.map(params, &value/1)
  end

  # As texts: native code knows an atom's name only if it is Latin-1, and {:text, _} as a value.
  defp named(params) do
    Enum.map(params, fn
      {name, value} when is_binary(name) -> {name, value(value)}
      {name, value} when is_atom(name) -> {Atom.to_string(name), value(value)}
      other -> raise ArgumentError, "a named parameter is {name, value}, not #{inspect(other)}"
    end)
  end

  @doc "One value."
  def value(value) when is_binary(value) or is_number(value) or is_atom(value), do: value
  def value({:blob, _} = value), do: value
  def value({:text, _} = value), do: value
  def value(%DateTime{} = value), do: DateTime.to_iso8601(value)
  def value(%NaiveDateTime{} = value), do: NaiveDateTime.to_iso8601(value)
  def value(%Date{} = value), do: Date.to_iso8601(value)
  def value(%Time{} = value), do: Time.to_iso8601(value)
  def value(%{__struct__: Decimal} = value), do: decimal(value)
  def value(value) when is_map(value) and not is_struct(value), do: json(value)
  def value(value) when is_list(value), do: {:blob, value}
  def value(value), do: value

  # Not a dependency of the driver: whoever gives one has the library.
  defp decimal(value), do: apply(Decimal, :to_string, [value])

  @doc """
  JSON text, by Jason where it is loaded, by Elixir's JSON where that exists, else by the core. Raises
  `ArgumentError` for what JSON cannot hold.
  """
  def json(term) do
    case json_library() do
      EctoLibSql.NIF -> json_native(term)
      Jason -> json_with(Jason, :encode!, term)
      JSON -> json_with(JSON, :encode!, term)
      other -> json_with(other, :encode!, term)
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

  defp json_with(module, function, term) do
    module |> apply(function, [term]) |> IO.iodata_to_binary()
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
  defp plain(%{__struct__: Decimal} = term), do: decimal(term)

  defp plain(%{__struct__: module}),
    do: raise(ArgumentError, json_refused("there is no rule for #{inspect(module)}"))

  defp plain(term) when is_map(term),
    do: {for({key, value} <- Map.to_list(term), do: {key(key), plain(value)})}

  defp plain(term) when is_integer(term) and term not in -0x8000000000000000..0x7FFFFFFFFFFFFFFF,
    do: {:digits, Integer.to_string(term)}

  defp plain(term), do: term

  defp plain_tail(tail) when is_list(tail), do: plain(tail)
  defp plain_tail(_tail), do: raise(ArgumentError, json_refused("a list is improper"))

  defp key(key) when is_binary(key), do: key
  defp key(key) when is_atom(key), do: Atom.to_string(key)
  defp key(key), do: to_string(key)
end
