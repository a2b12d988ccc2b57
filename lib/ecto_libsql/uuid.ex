defmodule EctoLibSql.UUID do
  @moduledoc false
  # UUIDs between their 16 bytes and their 36 characters.

  @doc "The text of 16 bytes."
  def text(<<a::4-binary, b::2-binary, c::2-binary, d::2-binary, e::6-binary>>),
    do: hex(a) <> "-" <> hex(b) <> "-" <> hex(c) <> "-" <> hex(d) <> "-" <> hex(e)

  defp hex(bytes), do: Base.encode16(bytes, case: :lower)

  @doc "The bytes of a UUID as text, with or without hyphens, or as bytes: `{:ok, bytes}` or `:error`."
  def bytes(<<a::8-binary, ?-, b::4-binary, ?-, c::4-binary, ?-, d::4-binary, ?-, e::12-binary>>),
    do: unhex(a <> b <> c <> d <> e)

  def bytes(<<digits::32-binary>>), do: unhex(digits)
  def bytes(<<bytes::16-binary>>), do: {:ok, bytes}
  def bytes(_other), do: :error

  defp unhex(digits), do: Base.decode16(digits, case: :mixed)

  @doc """
  Whether 16 bytes are those of a UUID rather than an id of 16 characters: version and variant of RFC 9562
  put a byte into the middle that no ASCII text has; of other bytes, what cannot be printed is no id.
  """
  def bytes?(<<_::48, version::4, _::12, 2::2, _::62>>) when version in 1..8, do: true
  def bytes?(<<bytes::16-binary>>), do: not String.printable?(bytes)
  def bytes?(_other), do: false
end
