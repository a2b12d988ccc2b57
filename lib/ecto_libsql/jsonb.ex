defmodule EctoLibSql.JSONB do
  @moduledoc false
  # SQLite's JSONB, to and from JSON text.
  #
  # An element is a header and a payload. The low half of the header's first byte is the element's type;
  # the high half is the payload's size, or says how many bytes after it hold the size. Numbers and
  # strings are the text that JSON has for them, so nothing is lost on the way; an array's payload is its
  # elements, an object's its keys and values in turn. https://sqlite.org/jsonb.html

  @null 0
  @true_ 1
  @false_ 2
  @int 3
  @int5 4
  @float 5
  @float5 6
  @text 7
  @textj 8
  @text5 9
  @textraw 10
  @array 11
  @object 12

  @texts [@text, @textj, @text5, @textraw]

  # The engine's own limit.
  @max_depth 1000

  @whitespace [?\s, ?\t, ?\n, ?\r]
  @escapes [?", ?\\, ?/, ?b, ?f, ?n, ?r, ?t]

  defguardp is_digit(char) when char in ?0..?9
  defguardp is_hex(char) when char in ?0..?9 or char in ?a..?f or char in ?A..?F

  ## From JSON

  @doc "The JSONB of a JSON text, byte for byte what the engine's `jsonb()` gives, but for short scalars."
  @spec from_json(String.t()) :: {:ok, binary()} | :error
  def from_json(text) when is_binary(text) do
    {element, rest} = text |> skip() |> read(0)
    if skip(rest) == "", do: {:ok, IO.iodata_to_binary(top(element))}, else: :error
  catch
    :bad -> :error
  end

  @doc "The same; raises `ArgumentError`."
  def from_json!(text) do
    case from_json(text) do
      {:ok, blob} ->
        blob

      :error ->
        raise ArgumentError,
              "this is no JSON, or nested deeper than #{@max_depth} levels, so JSONB cannot hold it"
    end
  end

  # A scalar of three bytes would begin with a digit: "3111" is the integer 111 as JSONB and another as
  # text. With its size in a byte of its own, no JSONB is valid JSON text.
  defp top({type, 3, payload}) when type not in [@array, @object],
    do: [<<12::4, type::4, 3>>, payload]

  defp top(element), do: write(element)

  defp write({type, size, payload}), do: [header(type, size) | payload]

  defp header(type, size) when size < 12, do: <<size::4, type::4>>
  defp header(type, size) when size < 0x100, do: <<12::4, type::4, size>>
  defp header(type, size) when size < 0x10000, do: <<13::4, type::4, size::16>>
  defp header(type, size), do: <<14::4, type::4, size::32>>

  # -> {{type, size, payload}, the text behind it}
  defp read("null" <> rest, _depth), do: {{@null, 0, []}, rest}
  defp read("true" <> rest, _depth), do: {{@true_, 0, []}, rest}
  defp read("false" <> rest, _depth), do: {{@false_, 0, []}, rest}
  defp read("\"" <> rest, _depth), do: string(rest)
  defp read("[" <> rest, depth) when depth < @max_depth, do: rest |> skip() |> array(depth + 1)
  defp read("{" <> rest, depth) when depth < @max_depth, do: rest |> skip() |> object(depth + 1)

  defp read(text, _depth) do
    {length, type} = number(text)
    <<digits::binary-size(length), rest::binary>> = text
    {{type, length, digits}, rest}
  end

  defp skip(<<char, rest::binary>>) when char in @whitespace, do: skip(rest)
  defp skip(text), do: text

  defp array("]" <> rest, _depth), do: {{@array, 0, []}, rest}
  defp array(text, depth), do: items(text, depth, [], 0)

  defp items(text, depth, written, size) do
    {element, rest} = read(text, depth)
    written = [written | write(element)]
    size = size + size(element)

    case skip(rest) do
      "," <> rest -> rest |> skip() |> items(depth, written, size)
      "]" <> rest -> {{@array, size, written}, rest}
      _other -> throw(:bad)
    end
  end

  defp object("}" <> rest, _depth), do: {{@object, 0, []}, rest}
  defp object(text, depth), do: pairs(text, depth, [], 0)

  defp pairs("\"" <> text, depth, written, size) do
    {key, rest} = string(text)

    case skip(rest) do
      ":" <> rest -> rest |> skip() |> pair(key, depth, written, size)
      _other -> throw(:bad)
    end
  end

  defp pairs(_text, _depth, _written, _size), do: throw(:bad)

  defp pair(text, key, depth, written, size) do
    {element, rest} = read(text, depth)
    written = [written, write(key) | write(element)]
    size = size + size(key) + size(element)

    case skip(rest) do
      "," <> rest -> rest |> skip() |> pairs(depth, written, size)
      "}" <> rest -> {{@object, size, written}, rest}
      _other -> throw(:bad)
    end
  end

  defp size({type, size, _payload}), do: byte_size(header(type, size)) + size

  defp string(text) do
    {length, type} = plain(text, 0)
    <<payload::binary-size(length), ?", rest::binary>> = text
    {{type, length, payload}, rest}
  end

  defp plain("\"" <> _, length), do: {length, @text}
  defp plain("\\" <> _ = text, length), do: {escaped(text, length), @textj}
  defp plain(<<char, rest::binary>>, length) when char >= 0x20, do: plain(rest, length + 1)
  defp plain(_text, _length), do: throw(:bad)

  # -> where the closing quote is
  defp escaped("\"" <> _, length), do: length

  defp escaped(<<?\\, char, rest::binary>>, length) when char in @escapes,
    do: escaped(rest, length + 2)

  defp escaped(<<"\\u", a, b, c, d, rest::binary>>, length)
       when is_hex(a) and is_hex(b) and is_hex(c) and is_hex(d),
       do: escaped(rest, length + 6)

  defp escaped(<<char, rest::binary>>, length) when char >= 0x20 and char != ?\\,
    do: escaped(rest, length + 1)

  defp escaped(_text, _length), do: throw(:bad)

  # -> {length, type} of the number at the beginning
  defp number("-" <> text), do: whole(text, 1)
  defp number(text), do: whole(text, 0)

  defp whole(<<?0, rest::binary>>, length), do: fraction(rest, length + 1)

  defp whole(<<digit, _::binary>> = text, length) when is_digit(digit) do
    {rest, length} = digits(text, length)
    fraction(rest, length)
  end

  defp whole(_text, _length), do: throw(:bad)

  defp fraction(<<?., digit, _::binary>> = text, length) when is_digit(digit) do
    <<?., rest::binary>> = text
    {rest, length} = digits(rest, length + 1)
    exponent(rest, length, @float)
  end

  defp fraction(text, length), do: exponent(text, length, @int)

  defp exponent(<<e, sign, digit, _::binary>> = text, length, _type)
       when e in [?e, ?E] and sign in [?+, ?-] and is_digit(digit) do
    <<_, _, rest::binary>> = text
    {_rest, length} = digits(rest, length + 2)
    {length, @float}
  end

  defp exponent(<<e, digit, _::binary>> = text, length, _type)
       when e in [?e, ?E] and is_digit(digit) do
    <<_, rest::binary>> = text
    {_rest, length} = digits(rest, length + 1)
    {length, @float}
  end

  defp exponent(_text, length, type), do: {length, type}

  defp digits(<<digit, rest::binary>>, length) when is_digit(digit), do: digits(rest, length + 1)
  defp digits(rest, length), do: {rest, length}

  ## To JSON

  @doc "The JSON text of a JSONB; `:error` for any other bytes. JSON5, which JSONB may hold, becomes JSON."
  @spec to_json(binary()) :: {:ok, String.t()} | :error
  def to_json(blob) when is_binary(blob) do
    with {text, ""} <- element(blob, 0),
         text = IO.iodata_to_binary(text),
         true <- String.valid?(text) do
      {:ok, text}
    else
      _more_or_not_text -> :error
    end
  catch
    :bad -> :error
  end

  defp element(blob, depth) do
    {type, payload, rest} = split(blob)
    {text(type, payload, depth), rest}
  end

  defp split(<<size::4, type::4, payload::binary-size(size), rest::binary>>) when size < 12,
    do: {type, payload, rest}

  defp split(<<12::4, type::4, size, payload::binary-size(size), rest::binary>>),
    do: {type, payload, rest}

  defp split(<<13::4, type::4, size::16, payload::binary-size(size), rest::binary>>),
    do: {type, payload, rest}

  defp split(<<14::4, type::4, size::32, payload::binary-size(size), rest::binary>>),
    do: {type, payload, rest}

  # No blob has as many bytes as four cannot count.
  defp split(<<15::4, type::4, 0::32, size::32, payload::binary-size(size), rest::binary>>),
    do: {type, payload, rest}

  defp split(_blob), do: throw(:bad)

  defp text(@null, "", _depth), do: "null"
  defp text(@true_, "", _depth), do: "true"
  defp text(@false_, "", _depth), do: "false"

  defp text(type, payload, _depth) when type in [@int, @float],
    do: if(number(payload) == {byte_size(payload), type}, do: payload, else: throw(:bad))

  defp text(@int5, payload, _depth), do: signed(payload, &hexadecimal/1)
  defp text(@float5, payload, _depth), do: signed(payload, &loose/1)

  defp text(@text, payload, _depth) do
    if plain(payload <> "\"", 0) == {byte_size(payload), @text},
      do: [?", payload, ?"],
      else: throw(:bad)
  end

  defp text(@textj, payload, _depth) do
    if escaped(payload <> "\"", 0) == byte_size(payload),
      do: [?", payload, ?"],
      else: throw(:bad)
  end

  defp text(@text5, payload, _depth), do: [?", json5(payload, []), ?"]
  defp text(@textraw, payload, _depth), do: [?", raw(payload, []), ?"]

  defp text(@array, payload, depth) when depth < @max_depth,
    do: [?[, elements(payload, depth + 1, []), ?]]

  defp text(@object, payload, depth) when depth < @max_depth,
    do: [?{, members(payload, depth + 1, []), ?}]

  defp text(_type, _payload, _depth), do: throw(:bad)

  defp elements("", _depth, written), do: written

  defp elements(payload, depth, written) do
    case element(payload, depth) do
      {text, ""} -> [written | text]
      {text, rest} -> elements(rest, depth, [written, text | ","])
    end
  end

  defp members("", _depth, written), do: written

  defp members(payload, depth, written) do
    {type, key, rest} = split(payload)
    if type not in @texts, do: throw(:bad)
    {value, rest} = element(rest, depth)
    written = [written, text(type, key, depth), ?: | value]
    if rest == "", do: written, else: members(rest, depth, [written | ","])
  end

  ## JSON5

  defp signed("-" <> payload, fun), do: [?- | fun.(payload)]
  defp signed("+" <> payload, fun), do: fun.(payload)
  defp signed(payload, fun), do: fun.(payload)

  defp hexadecimal(<<?0, x, digits::binary>>) when x in [?x, ?X] and digits != "" do
    if hex?(digits),
      do: digits |> String.to_integer(16) |> Integer.to_string(),
      else: throw(:bad)
  end

  defp hexadecimal(_payload), do: throw(:bad)

  defp hex?(<<char, rest::binary>>) when is_hex(char), do: hex?(rest)
  defp hex?(rest), do: rest == ""

  # JSON wants digits on both sides of the point.
  defp loose("." <> _ = payload), do: loose("0" <> payload)

  defp loose(payload) do
    number = Regex.replace(~r/\.(?!\d)/, payload, ".0")
    if number(number) == {byte_size(number), @float}, do: number, else: throw(:bad)
  end

  defp json5("", written), do: written

  defp json5(<<?\\, char, rest::binary>>, written) when char in @escapes,
    do: json5(rest, [written, ?\\, char])

  defp json5(<<"\\u", a, b, c, d, rest::binary>>, written)
       when is_hex(a) and is_hex(b) and is_hex(c) and is_hex(d),
       do: json5(rest, [written, "\\u", a, b, c, d])

  defp json5(<<"\\x", a, b, rest::binary>>, written) when is_hex(a) and is_hex(b),
    do: json5(rest, [written, "\\u00", a, b])

  defp json5("\\'" <> rest, written), do: json5(rest, [written | "'"])
  defp json5("\\v" <> rest, written), do: json5(rest, [written | "\\u000b"])
  defp json5("\\0" <> rest, written), do: json5(rest, [written | "\\u0000"])
  # A backslash at the end of a line: the text goes on in the next.
  defp json5("\\\r\n" <> rest, written), do: json5(rest, written)
  defp json5(<<?\\, char, rest::binary>>, written) when char in [?\r, ?\n], do: json5(rest, written)
  defp json5("\\\u2028" <> rest, written), do: json5(rest, written)
  defp json5("\\\u2029" <> rest, written), do: json5(rest, written)
  defp json5("\\" <> _rest, _written), do: throw(:bad)
  defp json5(<<char, rest::binary>>, written), do: json5(rest, [written | escape(char)])

  defp raw("", written), do: written
  defp raw(<<char, rest::binary>>, written), do: raw(rest, [written | escape(char)])

  defp escape(?"), do: "\\\""
  defp escape(?\\), do: "\\\\"
  defp escape(char) when char < 0x20, do: "\\u00" <> Base.encode16(<<char>>, case: :lower)
  defp escape(char), do: [char]
end
