defmodule Ecto.Adapters.LibSql.Query.Key do
  @moduledoc false
  # What rows are ordered by, and what they are told apart by, in ORDER BY, GROUP BY, PARTITION BY, DISTINCT
  # and the aggregates that compare.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_json: 1]
  alias Ecto.Adapters.LibSql.Query.{Env, Expr, Json, Number, Type}
  alias Ecto.Adapters.LibSql.Sql

  @doc "What rows are ordered by."
  def order(expr, env) do
    case Type.of(expr, env) do
      :decimal -> Number.collated(expr, env)
      type -> if ordered?(type), do: Expr.expr(expr, env), else: unordered!(type, env)
    end
  end

  @doc "What rows are told apart by."
  def group(expr, env) do
    case Type.of(expr, env) do
      :decimal -> Number.collated(expr, env)
      type when is_json(type) -> expr |> Expr.expr(env) |> Json.canonical()
      _type -> Expr.expr(expr, env)
    end
  end

  @doc "Expressions with commas, as `group/2` has them."
  def groups(exprs, env), do: Sql.intersperse_map(exprs, ", ", &group(&1, env))

  @doc """
  A field of rows that are told apart as they are selected. Where the primary key is selected, too, all fields of
  its row are: no decimal need be compared, which servers could not.
  """
  def field(expr, env) do
    if Number.decimal?(expr, env) and not with_its_key?(expr, env),
      do: Number.collated(expr, env),
      else: Expr.expr(expr, env)
  end

  defp with_its_key?({{:., _, [{:&, _, [index]}, column]}, _, []}, env) do
    case Env.source(env, index) do
      {table, schema, _prefix} when is_binary(table) and schema != nil ->
        key =
          for field <- schema.__schema__(:primary_key), do: schema.__schema__(:field_source, field)

        key != [] and column not in key and Env.cte(env, table) == nil and
          Enum.all?(key, &selected?(&1, index, env))

      _other ->
        false
    end
  end

  defp with_its_key?(_expr, _env), do: false

  defp selected?(column, index, %{query: %{select: %{fields: fields}}}) do
    Enum.any?(fields, &match?({{:., _, [{:&, _, [^index]}, ^column]}, _, []}, unnamed(&1)))
  end

  defp unnamed({name, expr}) when is_atom(name), do: expr
  defp unnamed(expr), do: expr

  @doc "Whether what is stored of a type sorts as its values do."
  def ordered?(type), do: type not in [:duration, :bitstring] and not is_json(type)

  @doc "Refuses an order of values that SQLite would sort by their spelling."
  def unordered!(type, env) do
    Env.error!(
      env,
      "SQLite has no order of #{inspect(type)}: order or compare what is in it, by a fragment"
    )
  end
end
