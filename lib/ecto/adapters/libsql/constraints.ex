defmodule Ecto.Adapters.LibSql.Constraints do
  @moduledoc false
  # What the driver says of a violated constraint, as Ecto names it. By the error's fields alone: its
  # text is for people.

  alias EctoLibSql.Error

  @doc """
  `[unique: name]`, `[check: name]`, `[foreign_key: name]`, or `[]` for what changesets have no word for.

  The engine does not say which foreign key failed. `opts[:foreign_key]` is its name where somebody has
  found out (`Ecto.Adapters.LibSql.ForeignKeys`).
  """
  def to_constraints(%Error{constraint: %{kind: kind} = constraint}, opts) do
    case kind do
      :unique -> [unique: index(constraint)]
      :primary_key -> [unique: primary_key(constraint)]
      :check -> check(constraint)
      :foreign_key -> foreign_key(opts)
      _not_null_or_other -> []
    end
  end

  def to_constraints(_error, _opts), do: []

  # An inline UNIQUE makes an index whose name nobody chose.
  defp index(%{name: "sqlite_autoindex_" <> _} = constraint), do: index(%{constraint | name: nil})
  defp index(%{name: name}) when is_binary(name), do: name
  defp index(%{table: table, columns: columns}), do: default([table | columns], "index")

  defp primary_key(%{name: "sqlite_autoindex_" <> _} = constraint),
    do: primary_key(%{constraint | name: nil})

  defp primary_key(%{name: name}) when is_binary(name), do: name
  defp primary_key(%{table: table}), do: default([table], "pkey")

  defp check(%{name: nil}), do: []
  defp check(%{name: name}), do: [check: name]

  defp foreign_key(opts) do
    case Keyword.get(opts, :foreign_key) do
      nil -> []
      name -> [foreign_key: name]
    end
  end

  @doc "The name that a changeset expects by default: the parts, joined."
  def default(parts, suffix), do: Enum.join(Enum.reject(parts, &is_nil/1) ++ [suffix], "_")
end
