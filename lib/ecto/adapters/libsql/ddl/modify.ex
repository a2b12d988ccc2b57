defmodule Ecto.Adapters.LibSql.DDL.Modify do
  @moduledoc false
  # `modify` by libSQL's ALTER TABLE ... ALTER COLUMN c TO definition, where that serves.
  #
  # The statement changes the schema's text and nothing else, so two things are added to it. What the
  # migration does not speak of (NOT NULL, DEFAULT, CHECK, COLLATE, REFERENCES) is read from the table's
  # text and said again. And what is stored is made to fit: after a change of affinity or collation the
  # indexes are out of order, which the engine finds out too late ("malformed"), and '9' would not be
  # found as 9. REINDEX comes first, for UPDATE goes by the indexes; the UPDATE writes every value anew,
  # under the new affinity and the new constraints.
  #
  # It does not serve for keys, generated columns, definitions with a comma in them, and where that UPDATE
  # would fire triggers.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}
  alias Ecto.Adapters.LibSql.DDL.{Alter, Catalog, Column, Definition, Tokens}
  alias Ecto.Migration.Reference

  @doc "The statements, without a look at how the column was declared."
  def offline(table, {:modify, name, _type, opts} = modify, settings) do
    refuse_generated(name, opts)

    [
      alter(table, name, define(table, modify, settings)),
      reindex(table),
      rewrite(table, name, settings)
    ]
  end

  defp refuse_generated(name, opts) do
    if opts[:generated] do
      raise ArgumentError,
            "generated column #{inspect(name)} is modified by building the table anew: run the migration"
    end
  end

  @doc """
  What becomes of a column: its definition, the statements that make it so, and whether they serve
  (`:plain`) or the table has to be built anew (`:rebuild`).
  """
  def change(catalog, nil, {:modify, name, _type, _opts} = modify, settings) do
    # The engine says that there is none.
    definition = define(catalog.table, modify, settings)
    {definition, [alter(catalog.table, name, definition)], :plain}
  end

  def change(catalog, column, {:modify, name, type, opts}, settings) do
    constraints = Definition.column_constraints(column)

    opts =
      if keeps_key?(constraints, opts, settings), do: Keyword.delete(opts, :primary_key), else: opts

    new = type |> Column.declare(opts, settings) |> IO.iodata_to_binary()
    types = {Definition.declared_type(column), new}
    {before, opts} = collation(constraints, elem(types, 0), type, opts, settings)
    definition = definition(catalog, {:modify, name, type, opts}, constraints, types, settings)
    reordered? = converted?(types) or recollated?(before, Column.collation(type, opts, settings))
    rewritten? = converted?(types) or constrained?(type, opts)

    rebuild? =
      not alterable?(catalog.definition, column) or
        (key?(catalog.definition, name) and (reordered? or rowid_changes?(types))) or
        constraints[:generated] != nil or opts[:generated] != nil or
        (rewritten? and Catalog.update_trigger?(catalog))

    statements =
      [alter(catalog.table, name, definition)] ++
        if(reordered?, do: [reindex(catalog.table)], else: []) ++
        if(rewritten?, do: [rewrite(catalog.table, name, types, settings)], else: [])

    {definition, statements, if(rebuild?, do: :rebuild, else: :plain)}
  end

  # What the migration says, and what the table says of which it does not speak.
  defp definition(catalog, {:modify, name, type, opts} = modify, constraints, {old, new}, settings) do
    not_null? = not_null?(constraints, type, opts, settings)
    # NULL made a number of a rowid; elsewhere it would stay.
    needs_not_null? = key?(catalog.definition, name) and rowid?(old) and not rowid?(new)

    [
      define(catalog.table, modify, settings),
      for({kind, sql} <- constraints, keep?(kind, type, opts, settings), do: [?\s, sql]),
      if(needs_not_null? and not not_null?, do: " NOT NULL", else: [])
    ]
  end

  defp converted?({old, new}), do: ColumnType.affinity(new) != ColumnType.affinity(old)
  defp rowid_changes?({old, new}), do: rowid?(new) != rowid?(old)

  defp key?(definition, name),
    do: definition |> Definition.primary_key() |> Enum.any?(&Tokens.same?(&1, name))

  # PRIMARY KEY AUTOINCREMENT, with its ON CONFLICT and DESC, stays as it stands.
  defp keeps_key?(constraints, opts, settings),
    do:
      opts[:primary_key] == true and not settings[:composite_key] and
        constraints[:primary_key] != nil

  defp rowid?(declared), do: String.upcase(declared) == "INTEGER"

  defp not_null?(constraints, type, opts, settings) do
    Column.not_null?(type, opts, settings) or
      (constraints[:not_null] != nil and not Keyword.has_key?(opts, :null))
  end

  # Whether libSQL's ALTER COLUMN finds the end of a column's definition. It takes what comes before the next
  # comma, or the parenthesis that closes more than was opened, whatever they stand in: of `NUMERIC(5,2)` or
  # `/* a, b */` a piece would stay behind, as a column perhaps. And it puts the definition also where a
  # PRIMARY KEY of the table names the column.
  defp alterable?(definition, column) do
    [_name | rest] = Tokens.read(column.text)
    text = Tokens.text(rest) <> column.after

    not String.contains?(text, ",") and balanced?(text, 0) and
      (Definition.has?(column, :primary_key) or
         not key?(definition, column.name))
  end

  defp balanced?("", depth), do: depth == 0
  defp balanced?("(" <> rest, depth), do: balanced?(rest, depth + 1)
  defp balanced?(")" <> _rest, 0), do: false
  defp balanced?(")" <> rest, depth), do: balanced?(rest, depth - 1)
  defp balanced?(<<_, rest::binary>>, depth), do: balanced?(rest, depth)

  ## Collation

  # The one that the column has, and options with which the new definition gets its own. One that came with
  # the old type goes with it. Another stays, unless the new type comes with one of its own.
  defp collation(constraints, old, type, opts, settings) do
    before = constraints[:collate] && name_of(constraints[:collate])
    of_old = of_type(old, before, settings)
    of_new = Column.collation(type, [], settings)

    stays? =
      before not in [nil, of_old] and of_new in [nil, of_old] and Column.said_collation(opts) == nil

    {before, if(stays?, do: [{:collate, :none} | opts], else: opts)}
  end

  defp name_of(sql) do
    {_kind, name} = sql |> Tokens.flat() |> Enum.reject(&Tokens.blank?/1) |> List.last()
    name |> Tokens.unquoted() |> String.downcase()
  end

  # A STRICT table does not say that a TEXT is a decimal: only those are declared with these.
  defp of_type(old, before, settings) do
    if settings[:strict] && before in ["decimal", "binary"],
      do: "decimal",
      else: ColumnType.collation(old, settings)
  end

  defp recollated?(before, :none), do: before == nil
  defp recollated?(before, now), do: (before || "binary") != collation_name(now)

  defp collation_name(name), do: (name || "binary") |> to_string() |> String.downcase()

  ## Statements

  defp define(table, {:modify, name, type, opts}, settings),
    do: Column.define(table, {:add, name, type, opts}, settings)

  defp alter(table, name, definition),
    do: [Alter.alter_table(table), "ALTER COLUMN ", Sql.quote_name(name), " TO ", definition]

  defp reindex(table), do: ["REINDEX ", Sql.quote_table(table.prefix, table.name)]

  # A value that is written again takes the column's affinity.
  defp rewrite(table, name, {old, new} \\ {"", ""}, settings) do
    column = Sql.quote_name(name)
    value = ColumnType.converted(column, old, new, settings)
    ["UPDATE ", Sql.quote_table(table.prefix, table.name), " SET ", column, " = ", value]
  end

  # Rows that are there must keep to a new constraint, unless the migration says otherwise.
  defp constrained?(%Reference{validate: true}, _opts), do: true
  defp constrained?(_type, opts), do: opts[:null] == false or opts[:check] != nil

  ## What stays

  defp keep?(:not_null, type, opts, settings),
    do: not Keyword.has_key?(opts, :null) and not Column.not_null?(type, opts, settings)

  defp keep?(:default, _type, opts, _settings), do: not Keyword.has_key?(opts, :default)
  defp keep?(:check, _type, opts, _settings), do: not Keyword.has_key?(opts, :check)
  defp keep?(:collate, _type, opts, _settings), do: opts[:collate] == :none
  defp keep?(:generated, _type, opts, _settings), do: not Keyword.has_key?(opts, :generated)
  defp keep?(:primary_key, _type, opts, _settings), do: not Keyword.has_key?(opts, :primary_key)

  defp keep?(kind, type, opts, _settings) when kind in [:foreign_key, :deferrable],
    do: not reference?(type) and not reference?(opts[:from])

  # UNIQUE: the engine takes it when it is what it was.
  defp keep?(:unique, _type, _opts, _settings), do: true

  defp reference?(%Reference{}), do: true
  defp reference?({%Reference{}, _opts}), do: true
  defp reference?(_type), do: false
end
