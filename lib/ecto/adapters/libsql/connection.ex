defmodule Ecto.Adapters.LibSql.Connection do
  @moduledoc false
  # What Ecto.Adapters.SQL asks of a database: connections, by DBConnection and EctoLibSql, and SQL text,
  # by the modules beside this one.

  @behaviour Ecto.Adapters.SQL.Connection

  alias Ecto.Adapters.LibSql.{Constraints, DDL, Declared, Explain, Lock, Params, QueryMany}
  alias Ecto.Adapters.LibSql.{RowKeys, Shared, Write}
  alias Ecto.Adapters.LibSql.Query, as: Sql
  alias EctoLibSql.{Deadline, Query}

  ## Calls

  # What may stand before a statement: white space, semicolons, comments.
  @before "(?:[\\s;]|--[^\\n]*(?:\\n|\\z)|/\\*.*?\\*/)*+"

  @impl true
  defdelegate child_spec(opts), to: Shared

  @impl true
  def prepare_execute(conn, name, sql, params, opts) do
    query = new(name, sql)
    call(conn, query, opts, &run(conn, &1, mark(params, opts), &2, :prepare_execute))
  end

  @impl true
  def execute(conn, %Query{} = query, params, opts),
    do: call(conn, query, opts, &run(conn, &1, mark(params, opts), &2, :execute))

  defp run(conn, query, params, opts, function) do
    with :pool <- Shared.execute(conn, query, params, opts),
         :ok <- no_transaction(conn, query.statement),
         do: apply(DBConnection, function, [conn, query, params, called(conn, opts)])
  end

  # For the event that tells how long it waited for a connection.
  defp called(pool, opts) when is_pid(pool), do: [{:called, System.monotonic_time()} | opts]
  defp called(_conn, opts), do: opts

  # On a connection that goes back to the pool at once it would stay there, with the turn to write. In the
  # sandbox, and with one connection, it is the process's own.
  defp no_transaction(pool, sql) when is_pid(pool) do
    if Shared.anybodys?(pool) and
         sql =~ ~r/\A#{@before}(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b/is do
      message =
        "transactions are begun and ended by Repo.transaction: on a connection of the pool it would be anybody's"

      {:error, EctoLibSql.Error.new(:misuse, message)}
    else
      :ok
    end
  end

  # Behind the back of Repo.transaction: it would say that it was rolled back, and what was written after this
  # would be stored.
  defp no_transaction(%DBConnection{conn_mode: :transaction}, <<first, _::binary>> = sql)
       when first in ~c"cCeErR \t\n\r\f;-/" do
    if sql =~ ~r/\A#{@before}(COMMIT|END|ROLLBACK(?!\s+(TRANSACTION\s+)?TO\b))\b/is do
      message = "Repo.transaction ends what it began: return, or call Repo.rollback/1"
      {:error, EctoLibSql.Error.new(:misuse, message)}
    else
      :ok
    end
  end

  defp no_transaction(_conn, _sql), do: :ok

  # What values are stored as is the connection's to say.
  defp new(name, sql),
    do: %Query{name: name, statement: IO.iodata_to_binary(sql), param_types: :forms}

  defp mark(params, opts), do: Params.mark(params, opts)

  # What the query's comment asks for is done before it, and what its columns ask for after it. How
  # columns are read comes with the options once, and is kept with the query that Ecto keeps.
  defp call(conn, query, opts, fun) do
    opts = Deadline.statement(opts)
    columns = query.prepared || Declared.columns(opts)
    sql = RowKeys.statement(query.statement, &ask(conn, &1, &2, opts))

    with :ok <- lock(conn, sql, opts),
         {:ok, _query, result} <- fun.(%{query | statement: sql}, Declared.ask(opts, columns)) do
      {:ok, %{query | prepared: columns}, Declared.read(result, columns)}
    end
  end

  defp ask(conn, sql, params, opts) do
    with {:ok, _query, result} <- silent(conn, sql, params, opts), do: {:ok, result.rows}
  end

  defp lock(conn, sql, opts) do
    with sql when is_binary(sql) <- Lock.statement(sql),
         {:ok, _query, _result} <- silent(conn, sql, [], opts) do
      :ok
    else
      nil -> :ok
      error -> error
    end
  end

  # Ours, and not for Ecto's log.
  defp silent(conn, sql, params, opts),
    do: DBConnection.execute(conn, %Query{statement: sql}, params, Keyword.delete(opts, :log))

  # The connection keeps what it compiled by the text itself: there is nothing to prepare here.
  @impl true
  def query(conn, {word, _argument} = no_sql, params, opts)
      when word in [:enforce_foreign_keys, :sync] do
    with {:ok, _query, result} <-
           DBConnection.execute(conn, %Query{statement: no_sql}, params, opts),
         do: {:ok, result}
  end

  def query(conn, sql, params, opts) do
    query = new(nil, sql)

    with {:ok, _query, result} <- execute(conn, query, params, opts), do: {:ok, result}
  end

  @impl true
  def query_many(conn, sql, params, opts) do
    opts = Deadline.statement(opts)

    with {:ok, statements} <- sql |> IO.iodata_to_binary() |> QueryMany.plan(params),
         do: DBConnection.run(conn, &each_statement(&1, statements, opts), opts)
  end

  defp each_statement(conn, statements, opts) do
    answer =
      Enum.reduce_while(statements, [], fn {sql, params}, results ->
        case query(conn, sql, params, opts) do
          {:ok, result} -> {:cont, [result | results]}
          error -> {:halt, error}
        end
      end)

    with results when is_list(results) <- answer, do: {:ok, Enum.reverse(results)}
  end

  @impl true
  def stream(conn, sql, params, opts) do
    query = new(nil, sql)
    columns = Declared.columns(opts)
    with {:error, error} <- lock(conn, query.statement, opts), do: raise(error)
    stream = DBConnection.stream(conn, query, mark(params, opts), Declared.ask(opts, columns))
    if columns, do: Stream.map(stream, &Declared.read(&1, columns)), else: stream
  end

  @impl true
  def to_constraints(error, opts), do: Constraints.to_constraints(error, opts)

  @impl true
  def explain_query(conn, sql, params, opts) do
    {prefix, format, opts} = Explain.options(opts)
    sql = sql |> IO.iodata_to_binary() |> RowKeys.statement(&ask(conn, &1, &2, opts))

    with {:ok, result} <- query(conn, [prefix, sql], params, opts),
         do: {:ok, Explain.format(result, format)}
  end

  ## SQL

  @impl true
  defdelegate all(query), to: Sql
  # A subquery's source names begin with what is given.
  defdelegate all(query, as_prefix), to: Sql
  @impl true
  defdelegate update_all(query), to: Sql
  @impl true
  defdelegate delete_all(query), to: Sql

  # ecto_sql 3.13 asks for insert/7, 3.14 for insert/8.
  @insert_arity Keyword.get(Ecto.Adapters.SQL.Connection.behaviour_info(:callbacks), :insert)

  if @insert_arity == 7, do: @impl(true)
  defdelegate insert(prefix, table, header, rows, on_conflict, returning, placeholders), to: Write

  if @insert_arity == 8, do: @impl(true)

  defdelegate insert(prefix, table, header, rows, on_conflict, returning, placeholders, opts),
    to: Write

  @impl true
  defdelegate update(prefix, table, fields, filters, returning), to: Write
  @impl true
  defdelegate delete(prefix, table, filters, returning), to: Write

  @impl true
  defdelegate execute_ddl(command), to: DDL

  # The engine has nothing to say of DDL that went well.
  @impl true
  def ddl_logs(_result), do: []

  @impl true
  def table_exists_query(table) do
    {"SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1 LIMIT 1", [table]}
  end
end
