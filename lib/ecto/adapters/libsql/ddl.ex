defmodule Ecto.Adapters.LibSql.DDL do
  @moduledoc false
  # Commands of Ecto.Migration as SQL.
  #
  # Some of them depend on what the database holds (is the column there, what else was it declared
  # with): such a step is {:ask, sql, next, offline}. `next` makes steps of the rows of `sql`; `offline`
  # is for who has no database at hand: steps, or why there are none. The adapter runs commands with
  # run/3; execute_ddl/2 is the answer to Ecto.Adapters.SQL.Connection.

  alias Ecto.Adapters.LibSql.DDL.{Alter, Index, TableOptions, Trigger, Virtual}
  alias Ecto.Adapters.LibSql.DDL.Table, as: TableDDL
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.{Constraint, Table}

  @type step :: iodata() | {:ask, iodata(), ([[term()]] -> [step()]), [step()] | String.t()}

  @doc "The statements of a command. Raises for one that needs a look into the database."
  @spec execute_ddl(term(), keyword()) :: [iodata()]
  def execute_ddl(command, settings \\ []),
    do: command |> steps(settings) |> Enum.flat_map(&offline/1)

  @doc """
  Runs a command. `query` takes SQL and answers rows, or `nil`; it raises what the database refuses.
  What it answered for the statements, without the questions, is the result.
  """
  @spec run(term(), keyword(), (iodata() -> term())) :: [term()]
  def run(command, settings \\ [], query),
    do: command |> steps(settings) |> Enum.flat_map(&run_step(&1, query))

  defp offline({:ask, _sql, _next, why}) when is_binary(why), do: raise(ArgumentError, why)
  defp offline({:ask, _sql, _next, steps}), do: Enum.flat_map(steps, &offline/1)
  defp offline(sql), do: [sql]

  defp run_step({:ask, sql, next, _offline}, query),
    do: sql |> query.() |> next.() |> Enum.flat_map(&run_step(&1, query))

  defp run_step(sql, query), do: [query.(sql)]

  @doc false
  def steps(sql, _settings) when is_binary(sql), do: [sql]

  def steps(keyword, _settings) when is_list(keyword),
    do:
      raise(
        ArgumentError,
        "SQLite does not support keyword lists in execute; write the SQL as text"
      )

  def steps({create, %Table{} = table, columns}, settings)
      when create in [:create, :create_if_not_exists] do
    if_not_exists? = create == :create_if_not_exists
    options = TableOptions.parse(table.options)

    if options[:rtree],
      do: [Virtual.rtree(table, columns, if_not_exists?)],
      else: TableDDL.create(table, columns, options, if_not_exists?, settings)
  end

  def steps({:alter, %Table{} = table, changes}, settings),
    do: Alter.steps(table, changes, settings)

  def steps({drop, %Table{} = table, mode}, _settings) when drop in [:drop, :drop_if_exists] do
    refuse_cascade(mode, "DROP TABLE")
    sql = ["DROP TABLE ", if_exists(drop), Sql.quote_table(table.prefix, table.name)]
    [Trigger.drop_of_table(table), sql]
  end

  def steps({create, %Ecto.Migration.Index{} = index}, _settings)
      when create in [:create, :create_if_not_exists],
      do: [Index.create(index, create == :create_if_not_exists)]

  def steps({drop, %Ecto.Migration.Index{} = index, mode}, _settings)
      when drop in [:drop, :drop_if_exists] do
    refuse_cascade(mode, "DROP INDEX")
    [["DROP INDEX ", if_exists(drop), Sql.quote_table(index.prefix, index.name)]]
  end

  def steps({:rename, %Ecto.Migration.Index{} = index, new_name}, _settings),
    do: Index.rename(index, new_name)

  def steps({:rename, %Table{prefix: prefix} = from, %Table{prefix: prefix} = to}, _settings),
    do: [[Alter.alter_table(from), "RENAME TO ", Sql.quote_name(to.name)]]

  def steps({:rename, %Table{}, %Table{}}, _settings),
    do: raise(ArgumentError, "ALTER TABLE RENAME cannot move a table to another database (prefix)")

  def steps({:rename, %Table{} = table, from, to}, _settings) do
    [[Alter.alter_table(table), "RENAME COLUMN ", Sql.quote_name(from), " TO ", Sql.quote_name(to)]]
  end

  def steps({:create, %Constraint{} = constraint}, _settings), do: refuse_constraint(constraint)

  def steps({drop, %Constraint{name: name}, _mode}, _settings)
      when drop in [:drop, :drop_if_exists] do
    raise ArgumentError, """
    SQLite does not support ALTER TABLE DROP CONSTRAINT (constraint #{inspect(name)}). \
    Create a new table without it, copy the rows, drop the old table and rename the new one.\
    """
  end

  defp refuse_constraint(%Constraint{exclude: exclude} = constraint) when exclude != nil do
    raise ArgumentError,
          "SQLite does not support exclusion constraints (#{inspect(constraint.name)}); " <>
            "a trigger with RAISE(ABORT, ...) can refuse the rows"
  end

  defp refuse_constraint(constraint) do
    raise ArgumentError, """
    SQLite does not support ALTER TABLE ADD CONSTRAINT (constraint #{inspect(constraint.name)}). \
    Give the column its check where it is added: \
    add :price, :integer, check: %{name: #{inspect(to_string(constraint.name))}, \
    expr: #{inspect(constraint.check)}}.\
    """
  end

  defp if_exists(:drop), do: []
  defp if_exists(:drop_if_exists), do: "IF EXISTS "

  defp refuse_cascade(:cascade, statement) do
    raise ArgumentError,
          "SQLite does not support #{statement} ... CASCADE: drop what depends on it first"
  end

  defp refuse_cascade(_restrict, _statement), do: :ok
end
