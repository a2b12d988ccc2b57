defmodule Ecto.Adapters.LibSql.Violations do
  @moduledoc false
  # The names of violated constraints. Most are in the driver's error (`Constraints`); which foreign key it
  # was (`ForeignKeys`), and which of several indexes (`UniqueIndexes`), is found out by asking the database.

  alias Ecto.Adapters.LibSql.{Constraints, ForeignKeys, UniqueIndexes}
  alias EctoLibSql.Error

  # A statement that touches many rows is not run twice to say in its error's words what it violated.
  @longest 1_000

  @doc """
  As `Constraints`, with the error itself where a name has to be found. This module stands where
  Ecto.Adapters.SQL wants a connection's, which has no way to ask.
  """
  def to_constraints(%Error{constraint: %{kind: :foreign_key}} = error, _opts),
    do: [foreign_key: error]

  def to_constraints(%Error{constraint: %{kind: :unique, name: nil}} = error, _opts),
    do: [unique: error]

  def to_constraints(error, opts), do: Constraints.to_constraints(error, opts)

  @doc """
  The name of what a statement violated, with that error, as a changeset expects it; `nil` if it is not known.

  The statement is `{target, events, sql, params}`: its table, as `{prefix, name}`, and what is done to rows
  there: `:insert`, `:update`, `:delete`.
  """
  def name(error, meta, statement, opts) do
    case find(error, meta, statement, opts) do
      nil -> default(error)
      constraint -> constraint.name
    end
  end

  defp default(error), do: error |> Constraints.to_constraints([]) |> Keyword.get(:unique)

  @doc "The error of a statement that began at that time (`now/0`), with the name in its `constraint`."
  def explain(error, began, meta, {target, _, _, _} = statement, opts) do
    constraint =
      if target != nil and now() - began < @longest, do: find(error, meta, statement, opts)

    if constraint, do: put(error, constraint), else: error
  end

  def now, do: System.monotonic_time(:millisecond)

  defp find(%Error{constraint: %{kind: :foreign_key}} = error, meta, statement, opts),
    do: ForeignKeys.find(error, meta, statement, opts)

  defp find(%Error{constraint: %{kind: :unique, name: nil}} = error, meta, statement, opts),
    do: UniqueIndexes.find(error, meta, statement, opts)

  defp find(%Error{constraint: %{kind: :primary_key, name: nil} = key}, _meta, _statement, _opts),
    do: %{key | name: "#{key.table}_pkey"}

  defp find(_error, _meta, _statement, _opts), do: nil

  # The engine's words have its table and columns, but nothing of a foreign key.
  defp put(%{constraint: %{kind: :foreign_key}} = error, constraint),
    do: %{error | constraint: constraint, message: "#{error.message}: #{constraint.name}"}

  defp put(error, constraint), do: %{error | constraint: constraint}
end
