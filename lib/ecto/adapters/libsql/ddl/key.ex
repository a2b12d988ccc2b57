defmodule Ecto.Adapters.LibSql.DDL.Key do
  @moduledoc false
  # The primary key that a table has after an `alter`.

  alias Ecto.Adapters.LibSql.DDL.{Definition, Tokens}
  alias Ecto.Adapters.LibSql.Sql

  @doc "The key's columns after the changes. Raises where they do not say what becomes of the old key."
  def after_changes(definition, changes) do
    before = Definition.primary_key(definition)
    key = Enum.reduce(changes, before, &change(&1, &2, definition))
    if key -- before != [], do: refuse_silent(before, key, changes)
    key
  end

  defp change({:add_if_not_exists, name, type, opts}, key, definition) do
    if Definition.column(definition, name),
      do: key,
      else: change({:add, name, type, opts}, key, definition)
  end

  defp change({remove, name, _type, _opts}, key, _definition)
       when remove in [:remove, :remove_if_exists],
       do: without(key, name)

  defp change({_add_or_modify, name, _type, opts}, key, _definition) do
    case opts[:primary_key] do
      true -> if member?(key, name), do: key, else: key ++ [to_string(name)]
      false -> without(key, name)
      nil -> key
    end
  end

  defp without(key, name), do: Enum.reject(key, &Tokens.same?(&1, name))
  defp member?(key, name), do: Enum.any?(key, &Tokens.same?(&1, name))

  # A second key would be an error elsewhere; one of several columns has to be meant.
  defp refuse_silent(before, key, changes) do
    said = for {_change, name, _type, opts} <- changes, opts[:primary_key] == true, do: name

    case Enum.filter(before, &(member?(key, &1) and not member?(said, &1))) do
      [] ->
        :ok

      [column | _] ->
        raise ArgumentError,
              "the table has a primary key already. Say in the same alter what becomes of its column " <>
                "#{inspect(column)}: modify it with primary_key: true for a key of several columns, or " <>
                "with primary_key: false, or remove it"
    end
  end

  @doc "The definition with this key, and no other."
  def put(definition, key) do
    inline? = inline?(definition, key)

    definition
    |> without_inline(if(inline?, do: hd(key)))
    |> without_listed(if(inline?, do: [], else: key))
    |> list(key)
  end

  # A key of one column may stand in that column's definition.
  defp inline?(definition, [name]) do
    column = Definition.column(definition, name)
    column != nil and Definition.has?(column, :primary_key)
  end

  defp inline?(_definition, _key), do: false

  defp without_inline(definition, kept) do
    definition
    |> Definition.columns()
    |> Enum.reject(&(kept != nil and Tokens.same?(&1.name, kept)))
    |> Enum.filter(&Definition.has?(&1, :primary_key))
    |> Enum.reduce(definition, fn column, definition ->
      Definition.drop_column_constraints(definition, column.name, fn kind, _name, _sql ->
        kind == :primary_key
      end)
    end)
  end

  defp without_listed(definition, kept) do
    Definition.reject(definition, fn item ->
      item.type == :constraint and Definition.kind(item) == :primary_key and
        not same?(Definition.of_columns(item), kept)
    end)
  end

  defp same?(a, b),
    do: length(a) == length(b) and Enum.zip_with(a, b, &Tokens.same?/2) |> Enum.all?()

  defp list(definition, key) do
    if key == [] or Definition.primary_key(definition) != [],
      do: definition,
      else: Definition.append_constraint(definition, ["PRIMARY KEY (", Sql.quote_names(key), ?)])
  end
end
