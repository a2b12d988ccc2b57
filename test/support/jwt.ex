defmodule EctoLibSql.Test.Jwt do
  @moduledoc """
  Keys and tokens for a server with `--auth-jwt-key-file`: JWTs signed with Ed25519, by OTP's crypto alone.

      key = Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
      token = Jwt.token(key, a: "ro", exp: System.os_time(:second) + 60)

  Claims that the server knows: `a`, `"rw"` (or none) or `"ro"`; `exp`, seconds; `id`, the namespace; `p`, rights of
  namespaces: `%{rw: %{ns: ["name"]}, ro: %{ns: [...]}}`.
  """

  def new_key, do: :crypto.generate_key(:eddsa, :ed25519)

  @doc "What the server's key file holds: the public key's bytes, URL-safe base64. Several may be joined by new lines."
  def public_key({public, _private}), do: encode64(public)

  @doc "The public key as PEM, the file's other form."
  def public_pem({public, _private}) do
    # SubjectPublicKeyInfo of RFC 8410: a fixed head, then the 32 bytes.
    der = <<0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00>> <> public
    "-----BEGIN PUBLIC KEY-----\n#{Base.encode64(der)}\n-----END PUBLIC KEY-----\n"
  end

  @doc "A token with these claims."
  def token({_public, private}, claims \\ []) do
    signed = encode64(json(%{alg: "EdDSA", typ: "JWT"})) <> "." <> encode64(json(Map.new(claims)))
    signature = :crypto.sign(:eddsa, :none, signed, [private, :ed25519])
    signed <> "." <> encode64(signature)
  end

  @doc "One that ends in so many seconds from now (negative: has ended)."
  def expiring(key, seconds, claims \\ []),
    do: token(key, [exp: System.os_time(:second) + seconds] ++ claims)

  @doc "What Sqld's `:http_auth` takes, and the header that a client sends for it."
  def basic(user, password) do
    encoded = Base.encode64("#{user}:#{password}")
    {"basic:" <> encoded, "Basic " <> encoded}
  end

  defp encode64(bytes), do: Base.url_encode64(bytes, padding: false)

  # Claims are names, numbers, maps and lists; strings have nothing in them that JSON escapes.
  defp json(map) when is_map(map),
    do: "{" <> Enum.map_join(map, ",", fn {k, v} -> "\"#{k}\":#{json(v)}" end) <> "}"

  defp json(list) when is_list(list), do: "[" <> Enum.map_join(list, ",", &json/1) <> "]"
  defp json(number) when is_integer(number), do: Integer.to_string(number)
  defp json(text), do: "\"#{text}\""
end
