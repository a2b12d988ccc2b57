defmodule Ecto.Adapters.LibSql.DDL do
  @moduledoc false
  # Commands of Ecto.Migration as SQL.
  #
  # Some of them depend on what the database holds (is the column there, what else was it declared
  # with): such a step is {:ask, sql, next, offline}. `next` makes steps of the rows of `sql`; `offline`
  # is for who has no database at hand: steps, or why there are none. {:run, fun, offline} does all of it
  # by itself. The adapter runs commands with run/3; execute_ddl/2 is the answer to
  # Ecto.Adapters.SQL.Connection.

  alias Ecto.Adapters.LibSql.DDL.{Alter, FTS5, Index, TableOptions, Virtual}
  alias Ecto.Adapters.LibSql.DDL.Constraint, as: ConstraintDDL
  alias Ecto.Adapters.LibSql.DDL.Table, as: TableDDL
  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.{Constraint, Table}

  @type step ::
          iodata()
          | {:ask, iodata(), ([[term()]] -> [step()]), offline()}
          | {:run, (query() -> term()), String.t()}

  @type offline :: [step()] | String.t() | (() -> [step()] | String.t())

  @typedoc """
  Takes SQL and answers rows, or `nil`; raises what the database refuses. `{:enforce_foreign_keys, boolean}`
  answers one row of what held before, `[1]` or `[0]`.
  """
  @type query :: (iodata() | {:enforce_foreign_keys, boolean()} -> [[term()]] | nil)

  @doc "The statements of a command. Raises for one that needs a look into the database."
  @spec execute_ddl(term(), keyword()) :: [iodata()]
  def execute_ddl(command, settings \\ []),
    do: command |> steps(settings) |> Enum.flat_map(&offline/1)

  @doc """
  Runs a command. What `query` answered for the statements, without the questions, is the result.
  """
  @spec run(term(), keyword(), query()) :: [term()]
  def run(command, settings \\ [], query), do: command |> steps(settings) |> run_steps(query)

  @doc "Runs steps, within a transaction if they are more than a single statement."
  @spec run_steps([step()], query()) :: [term()]
  def run_steps(steps, query), do: Enum.flat_map(steps, &run_step(&1, query))

  @doc "Whether steps are one statement, or none."
  @spec single?([step()]) :: boolean()
  def single?([]), do: true
  def single?([step]), do: not is_tuple(step)
  def single?(_steps), do: false

  defp offline({:ask, sql, next, answer}) when is_function(answer),
    do: offline({:ask, sql, next, answer.()})

  defp offline({:ask, _sql, _next, why}) when is_binary(why), do: raise(ArgumentError, why)
  defp offline({:ask, _sql, _next, steps}), do: Enum.flat_map(steps, &offline/1)
  defp offline({:run, _fun, why}), do: raise(ArgumentError, why)
  defp offline(sql), do: [sql]

  defp run_step({:ask, sql, next, _offline}, query),
    do: sql |> query.() |> next.() |> Enum.flat_map(&run_step(&1, query))

  defp run_step({:run, fun, _why}, query), do: [fun.(query)]
  defp run_step(sql, query), do: [query.(sql)]

  @doc "The steps of a command."
  @spec steps(term(), keyword()) :: [step()]
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
    options = TableOptions.parse(table.options, settings, table.prefix)

    case Enum.find([:rtree, :fts5], &options[&1]) do
      :rtree -> [Virtual.rtree(table, columns, options[:rtree], if_not_exists?)]
      :fts5 -> FTS5.create(table, columns, options[:fts5], if_not_exists?)
      nil -> TableDDL.create(table, columns, options, if_not_exists?, settings)
    end
  end

  def steps({:alter, %Table{} = table, changes}, settings),
    do: Alter.steps(table, changes, settings)

  def steps({drop, %Table{} = table, mode}, _settings) when drop in [:drop, :drop_if_exists] do
    refuse_cascade(mode, "DROP TABLE")
    TableDDL.drop(table, drop == :drop_if_exists)
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

  def steps({:create, %Constraint{} = constraint}, _settings), do: ConstraintDDL.create(constraint)

  def steps({drop, %Constraint{} = constraint, mode}, _settings)
      when drop in [:drop, :drop_if_exists] do
    refuse_cascade(mode, "DROP CONSTRAINT")
    ConstraintDDL.drop(constraint, drop == :drop_if_exists)
  end

  defp if_exists(:drop), do: []
  defp if_exists(:drop_if_exists), do: "IF EXISTS "

  defp refuse_cascade(:cascade, statement) do
    raise ArgumentError,
          "SQLite does not support #{statement} ... CASCADE: drop what depends on it first"
  end

  defp refuse_cascade(_restrict, _statement), do: :ok
end
