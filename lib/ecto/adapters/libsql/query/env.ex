defmodule Ecto.Adapters.LibSql.Query.Env do
  @moduledoc false
  # What an expression is written in: the query, the names of its sources, and the query around it.

  alias Ecto.Adapters.LibSql.Sql

  @enforce_keys [:query, :sources, :prefix]
  defstruct [:query, :sources, :prefix, :parent, :beside, hidden: false, blind: false, depth: 0]

  @doc "The environment of a query. `prefix` goes before the names of its sources, as iodata."
  def new(query, prefix, parent \\ nil) do
    %__MODULE__{
      query: query,
      sources: names(query.sources, prefix),
      prefix: prefix,
      parent: parent,
      depth: if(parent, do: parent.depth + 1, else: 0)
    }
  end

  @doc "What goes before the names in a query inside this one, so that no name hides another."
  def inner_prefix(env), do: [env.prefix, ?s]

  @doc "The environment of a query inside this one."
  def inner(query, env), do: new(query, inner_prefix(env), env)

  @doc "The environment of a query that is combined with this one: it sees the same CTEs."
  def beside(query, env), do: %{new(query, env.prefix, env.parent) | beside: env}

  @doc "The name of a source."
  def name(env, index), do: elem(env.sources, index)

  @doc "The environment of RETURNING, which knows the written table alone, by its name and not its alias."
  def returning(env) do
    {table, _schema, _prefix} = elem(env.query.sources, 0)

    alias?(table) &&
      error!(env, "in RETURNING, the table's name #{table} would be that of an alias")

    others = List.duplicate(:unseen, tuple_size(env.sources) - 1)
    %{env | sources: List.to_tuple([Sql.quote_name(table) | others])}
  end

  # As names/2 makes them for queries inside.
  defp alias?(table), do: table =~ ~r/\As+[a-z]\d+\z/i

  @doc "A source as FROM or a join has it; a subquery then knows its fields."
  def source(%{query: query}, index) do
    case elem(query.sources, index) do
      %Ecto.SubQuery{} when index == 0 -> query.from.source
      %Ecto.SubQuery{} -> Enum.find(query.joins, &(&1.ix == index)).source
      source -> source
    end
  end

  @doc "The CTE of a name that is seen from here, in its environment; nil: there is none."
  def cte(env, name) do
    case env.query.with_ctes && List.keyfind(env.query.with_ctes.queries, name, 0) do
      {_name, _opts, %Ecto.Query{} = query} -> inner(query, hide(env))
      {_name, _opts, _fragment} -> nil
      nil -> around(env.beside, name) || around(env.parent, name)
    end
  end

  defp around(nil, _name), do: nil
  defp around(env, name), do: cte(env, name)

  @doc "The query around this one that has the binding, and the binding's index there."
  def parent(%{parent: nil} = env, as) do
    error!(env, "there is no binding parent_as(#{inspect(as)}) that SQL can see from here")
  end

  def parent(%{blind: true} = env, as) do
    error!(
      env,
      "SQLite's ORDER BY and GROUP BY see their own query alone, and not parent_as(#{inspect(as)}): " <>
        "select the expression in a subquery, and order or group that"
    )
  end

  def parent(%{parent: parent} = env, as) do
    case parent.query.aliases do
      %{^as => _index} when parent.hidden -> error!(env, lateral(as))
      %{^as => index} -> {parent, index}
      _none -> parent(parent, as)
    end
  end

  @doc "This environment, for what stands in ORDER BY or GROUP BY: it does not see the queries around."
  def blind(env), do: %{env | blind: true}

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
  defp letter({{:fragment, _, _}, _schema, _prefix}), do: ?f
  defp letter({:values, _, _}), do: ?v

  defp letter({<<first, _::binary>>, _schema, _prefix}) when first in ?a..?z or first in ?A..?Z,
    do: first

  defp letter({_table, _schema, _prefix}), do: ?t
  defp letter(%Ecto.SubQuery{}), do: ?s
end
