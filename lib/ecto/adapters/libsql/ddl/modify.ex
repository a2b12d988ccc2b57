defmodule Ecto.Adapters.LibSql.DDL.Modify do
  @moduledoc false
  # `modify` by libSQL's ALTER TABLE ... ALTER COLUMN c TO definition.
  #
  # The statement changes the schema's text and nothing else, so two things are added to it. What the
  # migration does not speak of (NOT NULL, DEFAULT, CHECK, COLLATE, REFERENCES) is read from the table's
  # text and said again. And what is stored is made to fit: after a change of affinity or collation the
  # indexes are out of order, which the engine finds out too late ("malformed"), and '9' would not be
  # found as 9. REINDEX comes first, for UPDATE goes by the indexes; the UPDATE writes every value anew,
  # under the new affinity and the new constraints. Triggers of the table see it as an update.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}
  alias Ecto.Adapters.LibSql.DDL.{Column, Definition}
  alias Ecto.Migration.Reference

  @doc "A step: the change depends on how the column was declared."
  def step(table, {:modify, name, type, opts} = modify, settings) do
    refuse_generated(name, opts[:generated])
    offline = [alter(table, modify, [], settings), reindex(table), rewrite(table, name)]

    next = fn
      [[text, declared, key]] -> change(table, modify, {text, declared, key > 0}, settings)
      [] -> [alter(table, {:modify, name, type, opts}, [], settings)]
    end

    {:ask, question(table, name), next, offline}
  end

  defp question(table, name) do
    schema = to_string(table.prefix || "main")

    [
      ["SELECT s.sql, c.type, c.pk FROM ", Sql.quote_table(schema, "sqlite_schema"), " AS s, "],
      ["pragma_table_xinfo(s.name, ", Sql.quote_string(schema), ") AS c WHERE s.type = 'table' "],
      ["AND s.name = ", quote_text(table.name), " COLLATE NOCASE "],
      ["AND c.name = ", quote_text(name), " COLLATE NOCASE"]
    ]
  end

  defp quote_text(text), do: text |> to_string() |> Sql.quote_string()

  defp change(table, {:modify, name, type, opts} = modify, {text, declared, key?}, settings) do
    constraints = Definition.constraints(text, to_string(name))
    refuse_generated(name, constraints[:generated])
    new = type |> Column.declare(opts, settings) |> IO.iodata_to_binary()
    converted? = ColumnType.affinity(new) != ColumnType.affinity(declared)
    reordered? = converted? or Keyword.has_key?(opts, :collate)

    if key? and (reordered? or rowid?(new) != rowid?(declared)), do: refuse_key(table, name)
    kept = for {kind, sql} <- constraints, keep?(kind, type, opts), do: [?\s, sql]

    [alter(table, modify, kept, settings)] ++
      if(reordered?, do: [reindex(table)], else: []) ++
      if(converted? or constrained?(type, opts), do: [rewrite(table, name)], else: [])
  end

  defp rowid?(declared), do: String.upcase(declared) == "INTEGER"

  defp alter(table, {:modify, name, type, opts}, kept, settings) do
    [
      ["ALTER TABLE ", Sql.quote_table(table.prefix, table.name)],
      [" ALTER COLUMN ", Sql.quote_name(name), " TO "],
      Column.define(table, {:add, name, type, opts}, settings),
      kept
    ]
  end

  defp reindex(table), do: ["REINDEX ", Sql.quote_table(table.prefix, table.name)]

  defp rewrite(table, name) do
    column = Sql.quote_name(name)
    ["UPDATE ", Sql.quote_table(table.prefix, table.name), " SET ", column, " = ", column]
  end

  # Rows that are there must keep to a new constraint, unless the migration says otherwise.
  defp constrained?(%Reference{validate: true}, _opts), do: true
  defp constrained?(_type, opts), do: opts[:null] == false or opts[:check] != nil

  ## What stays

  defp keep?(:not_null, _type, opts), do: not Keyword.has_key?(opts, :null)
  defp keep?(:default, _type, opts), do: not Keyword.has_key?(opts, :default)
  defp keep?(:check, _type, opts), do: not Keyword.has_key?(opts, :check)
  defp keep?(:collate, _type, opts), do: not Keyword.has_key?(opts, :collate)

  defp keep?(kind, type, opts) when kind in [:references, :deferrable],
    do: not reference?(type) and not reference?(opts[:from])

  # PRIMARY KEY and UNIQUE: the engine takes them when they are what they were.
  defp keep?(_other, _type, _opts), do: true

  defp reference?(%Reference{}), do: true
  defp reference?({%Reference{}, _opts}), do: true
  defp reference?(_type), do: false

  ## What needs more

  defp refuse_generated(_name, nil), do: :ok

  defp refuse_generated(name, _sql) do
    raise ArgumentError,
          "generated column #{inspect(name)} cannot be modified; remove it and add it anew"
  end

  defp refuse_key(table, name) do
    raise ArgumentError, """
    SQLite cannot change the type of a primary key (column #{inspect(name)}). Write by hand: \
    create a new table with the key, execute "INSERT INTO new (...) SELECT ... FROM #{table.name}", \
    drop #{table.name}, rename the new table.\
    """
  end
end
