defmodule Ecto.Adapters.LibSql.Query.Env do
  @moduledoc false
  # What an expression is written in: the query, the names of its sources, and the query around it.

  @enforce_keys [:query, :sources, :prefix]
  defstruct [:query, :sources, :prefix, :parent, hidden: false]

  @doc "The environment of a query. `prefix` goes before the names of its sources, as iodata."
  def new(query, prefix, parent \\ nil) do
    %__MODULE__{query: query, sources: names(query.sources, prefix), prefix: prefix, parent: parent}
  end

  @doc "What goes before the names in a query inside this one, so that no name hides another."
  def inner_prefix(env), do: [env.prefix, ?s]

  @doc "The name of a source."
  def name(env, index), do: elem(env.sources, index)

  @doc "The environment of RETURNING, which knows the columns of the written table, without its alias."
  def returning(env) do
    others = List.duplicate(:unseen, tuple_size(env.sources) - 1)
    %{env | sources: List.to_tuple([:returning | others])}
  end

  @doc "The schema of a source, or nil."
  def schema(env, index) do
    case elem(env.query.sources, index) do
      {_table, schema, _prefix} when is_atom(schema) -> schema
      _other -> nil
    end
  end

  @doc "The query around this one that has the binding, and the binding's index there."
  def parent(%{parent: nil} = env, as) do
    error!(env, "there is no binding parent_as(#{inspect(as)}) that SQL can see from here")
  end

  def parent(%{parent: parent} = env, as) do
    case parent.query.aliases do
      %{^as => _index} when parent.hidden -> error!(env, lateral(as))
      %{^as => index} -> {parent, index}
      _none -> parent(parent, as)
    end
  end

  @doc "This environment, for what stands in FROM or WITH: it sees the queries around, not this one."
  def hide(env), do: %{env | hidden: true}

  defp lateral(as) do
    "SQLite has no LATERAL: a subquery or CTE that is a source cannot see parent_as(#{inspect(as)}); " <>
      "put the condition into the join's on, or the subquery into select or where"
  end

  @doc "Refuses the query."
  @spec error!(%__MODULE__{} | Ecto.Query.t(), String.t()) :: no_return()
  def error!(%__MODULE__{query: query}, message), do: error!(query, message)
  def error!(query, message), do: raise(Ecto.QueryError, query: query, message: message)

  defp names(sources, prefix) do
    sources
    |> Tuple.to_list()
    |> Enum.with_index(fn source, index ->
      [prefix, letter(source) | Integer.to_string(index)]
    end)
    |> List.to_tuple()
  end

  defp letter({:fragment, _, _}), do: ?f
  defp letter({:values, _, _}), do: ?v

  defp letter({<<first, _::binary>>, _schema, _prefix}) when first in ?a..?z or first in ?A..?Z,
    do: first

  defp letter({_table, _schema, _prefix}), do: ?t
  defp letter(%Ecto.SubQuery{}), do: ?s
end
