defmodule EctoLibSql.URL do
  @moduledoc false
  # One text, as environments have it, to the options :database, or :uri and :auth_token.

  @servers ~w(libsql https http wss ws)

  @doc "See `EctoLibSql.config!/1`."
  def options!(url) when is_binary(url) and url != "" do
    case scheme(url) do
      nil -> [database: url]
      "file" -> [database: file!(url, URI.parse(url))]
      scheme when scheme in @servers -> server!(URI.parse(url))
      scheme -> refuse("there is no scheme #{inspect(scheme)}" <> known())
    end
  end

  def options!(other),
    do: refuse("a text is needed, that is not empty: not #{inspect(other)}")

  # A path has none; one letter and a colon would be a drive.
  defp scheme(url) do
    case Regex.run(~r/\A([a-z][a-z0-9+.\-]*):/i, url) do
      [_, scheme] -> String.downcase(scheme)
      nil -> nil
    end
  end

  defp known do
    "; there are #{Enum.map_join(@servers, ", ", &(&1 <> ":"))} and file:, and a path without one (a " <>
      "file's name that begins so is written ./NAME)"
  end

  defp file!(url, %{host: host}) when host in [nil, "", "localhost"], do: url

  defp file!(_url, %{host: host}) do
    refuse(
      "a file: URI has no host (#{inspect(host)} stands where one would be): file:NAME, or file:///PATH"
    )
  end

  defp server!(%{host: host}) when host in [nil, ""],
    do: refuse("the address names no host: libsql://HOST?authToken=TOKEN")

  defp server!(%{userinfo: info}) when info != nil,
    do: refuse("a user and a password are not used; a token is given as ?authToken=TOKEN")

  defp server!(%{fragment: fragment}) when fragment != nil,
    do: refuse("what stands after # is not used")

  defp server!(uri) do
    {token, query} = (uri.query || "") |> URI.decode_query() |> Map.pop("authToken")
    query = if query == %{}, do: nil, else: URI.encode_query(query)
    address = URI.to_string(%{uri | query: query, scheme: String.downcase(uri.scheme)})
    [{:uri, address} | token(token)]
  end

  defp token(nil), do: []
  defp token(""), do: refuse("authToken is empty")
  defp token(token), do: [auth_token: token]

  defp refuse(why), do: raise(ArgumentError, "EctoLibSql.config!/1: " <> why)
end
