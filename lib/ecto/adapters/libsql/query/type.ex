defmodule Ecto.Adapters.LibSql.Query.Type do
  @moduledoc false
  # What Ecto's types are in SQL.

  alias Ecto.Adapters.LibSql.Query.Env

  @doc """
  The name to CAST to, or nil where the value is stored as the dumper wrote it: a cast could only
  change it.
  """
  def cast(type) when type in [:id, :integer, :boolean], do: "INTEGER"
  def cast(:float), do: "REAL"
  def cast(:decimal), do: "NUMERIC"
  def cast(:binary), do: "BLOB"

  def cast(type)
      when type in [:string, :date, :time, :time_usec] or
             type in [:naive_datetime, :naive_datetime_usec, :utc_datetime, :utc_datetime_usec],
      do: "TEXT"

  def cast(_type), do: nil

  @doc "The database type of an expression, where the query says so; else nil."
  def of(%Ecto.Query.Tagged{type: type}, _env), do: type
  def of({{:., _, [{:&, _, [index]}, column]}, _, []}, env), do: column(env, index, column)

  def of({{:., _, [{:parent_as, _, [as]}, column]}, _, []}, env) do
    {parent, index} = Env.parent(env, as)
    column(parent, index, column)
  end

  def of({:datetime_add, _, [datetime | _]}, env), do: of(datetime, env)
  def of({:date_add, _, _}, _env), do: :date
  def of({agg, _, [arg | _]}, env) when agg in [:min, :max, :coalesce, :filter], do: of(arg, env)
  def of(_expr, _env), do: nil

  @doc "The database type of what `left in right` compares, where either says so; else nil."
  def element(left, right, env) do
    case of(right, env) do
      {:array, type} -> type
      _other -> of(left, env)
    end
  end

  @adapter Ecto.Adapters.LibSql

  @doc """
  Whether `in ^list` is bound as one parameter for each element, which the adapter's dumper decides;
  else the list is one parameter, a JSON array.
  """
  def spread? do
    not Code.ensure_loaded?(@adapter) or
      match?([{:in, _} | _], @adapter.dumpers({:in, :any}, {:in, :any}))
  end

  defp column(env, index, column) do
    with schema when schema != nil <- Env.schema(env, index),
         field when field != nil <- field(schema, column) do
      Ecto.Type.type(schema.__schema__(:type, field))
    end
  end

  # The planner has put the column's name where the field's was.
  defp field(schema, column) do
    Enum.find(schema.__schema__(:fields), &(schema.__schema__(:field_source, &1) == column))
  end
end
