defimpl DBConnection.Query, for: EctoLibSql.Query do
  def parse(query, _opts), do: query
  def describe(query, _opts), do: query

  # In the client, before a connection is taken: what cannot be stored raises there. The adapter's
  # queries leave what depends on the connection's forms to the connection.
  def encode(%{param_types: :forms}, params, _opts), do: EctoLibSql.Encoder.client(params)
  def encode(_query, params, _opts), do: EctoLibSql.Encoder.params(params)
  def decode(_query, result, _opts), do: result
end
