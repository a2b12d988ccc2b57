defmodule Ecto.Adapters.LibSql.Query do
  @moduledoc false
  # Ecto's queries as SQL. Each clause has a module in query/; what SQLite cannot express raises
  # Ecto.QueryError here, when the query is planned, and is never left out.

  alias Ecto.Adapters.LibSql.Query.{Cast, Cte, Env, Order, Select, Write}

  @doc "SELECT. `as_prefix` goes before the names of the query's sources."
  def all(query, as_prefix \\ []), do: query |> Env.new(as_prefix) |> select()

  @doc "UPDATE of what a query finds."
  def update_all(query, as_prefix \\ []) do
    env = Env.new(query, as_prefix)
    only_table!(env)
    Write.update(env)
  end

  @doc "DELETE of what a query finds."
  def delete_all(query) do
    env = Env.new(query, [])
    only_table!(env)
    Write.delete(env)
  end

  @doc "UPDATE SET and WHERE of an upsert, whose table goes by the name that `all/1` would give it."
  def on_conflict(query) do
    env = Env.new(query, [])
    ["UPDATE SET ", Write.sets(env) | Select.where(env)]
  end

  @doc "The query with its fields as columns of these types hold them; nil: as they are."
  def into(query, types), do: query |> Env.new([]) |> into_types(types)

  defp into_types(env, types) do
    query = Order.by_number(env)
    fields = query.select.fields |> Enum.zip(types) |> Enum.map(&field_into(&1, env))

    combinations =
      for {op, part} <- query.combinations, do: {op, part |> Env.beside(env) |> into_types(types)}

    %{query | select: %{query.select | fields: fields}, combinations: combinations}
  end

  defp field_into({{name, expr}, type}, env) when is_atom(name),
    do: {name, field_into({expr, type}, env)}

  defp field_into({expr, type}, env), do: {:sql, type, Cast.value(expr, type, nil, env)}

  @doc "The name of a query's first source."
  def source_name(query), do: query |> Env.new([]) |> Env.name(0)

  @doc "A query inside another."
  def nested(query, env), do: query |> Env.inner(env) |> select()

  @doc "A query beside another."
  def combined(query, env), do: query |> Env.beside(env) |> select()

  defp select(env), do: [Cte.clause(env) | Select.text(env)]

  defp only_table!(%{query: query} = env) do
    case query.from.source do
      {table, _schema} when is_binary(table) -> :ok
      _other -> Env.error!(env, "only rows of a table can be written")
    end

    if query.lock, do: Env.error!(env, "SQLite has no row locks: use `mode: :immediate`")
  end
end
