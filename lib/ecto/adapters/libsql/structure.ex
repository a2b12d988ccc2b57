defmodule Ecto.Adapters.LibSql.Structure do
  @moduledoc false
  # mix ecto.dump and ecto.load: the schema's own texts, and which migrations have run. The order depends
  # on names alone, so that a dump differs from the last one only where the schema does.
  #
  # `:dump_prefixes` (mix ecto.dump --prefix) names databases to dump: attached ones, or "main". They have
  # to be attached where it is loaded, too.

  @behaviour Ecto.Adapter.Structure

  alias Ecto.Adapters.LibSql.DDL.Catalog
  alias Ecto.Adapters.LibSql.{DatabaseFile, Sql}
  alias EctoLibSql.Native

  # Not the engine's own tables, nor those that virtual tables and vector indexes keep for themselves:
  # they come with their owners. Nor the table of our own migration lock.
  defp objects(database) do
    schema = Sql.quote_table(database, "sqlite_schema")
    name = Sql.quote_string(database)

    """
    SELECT sql FROM #{schema}
    WHERE sql IS NOT NULL
      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
      AND tbl_name NOT IN
        (SELECT name FROM pragma_table_list WHERE schema = #{name} AND type = 'shadow')
      AND tbl_name NOT IN ('libsql_vector_meta_shadow', 'ecto_libsql_migration_lease')
      AND tbl_name NOT IN
        (SELECT name || '_shadow' FROM #{schema}
         WHERE type = 'index' AND sql LIKE '%libsql_vector_idx%')
    ORDER BY
      CASE type WHEN 'table' THEN sql LIKE 'CREATE VIRTUAL%'
        WHEN 'view' THEN 2 WHEN 'index' THEN 3 ELSE 4 END,
      name
    """
  end

  @impl true
  def structure_dump(default, config) do
    path = path(default, config)

    with {:ok, text} <- dump(config),
         :ok <- write(path, text) do
      {:ok, path}
    end
  end

  @impl true
  def structure_load(default, config) do
    path = path(default, config)

    with {:ok, text} <- read(path),
         {:ok, _results} <- with_connection(config, [], &load(&1, text)) do
      {:ok, path}
    end
  end

  @doc """
  There is no program to run: the answer is what `structure_dump/2` would write, and 0; or why not, and 1.
  """
  @impl true
  def dump_cmd([], opts, config) do
    {text, status} =
      case dump(config) do
        {:ok, text} -> {text, 0}
        {:error, message} -> {message, 1}
      end

    {Enum.into([text], Keyword.get(opts, :into, "")), status}
  end

  def dump_cmd(args, _opts, _config) do
    raise ArgumentError,
          "the structure is dumped by the driver, not by a program: there are no arguments like " <>
            inspect(args)
  end

  defp path(default, config), do: config[:dump_path] || Path.join(default, "structure.sql")

  defp write(path, text) do
    File.mkdir_p(Path.dirname(path))

    with {:error, reason} <- File.write(path, text),
         do: {:error, "cannot write #{path}: #{:file.format_error(reason)}"}
  end

  defp read(path) do
    with {:error, reason} <- File.read(path),
         do: {:error, "cannot read #{path}: #{:file.format_error(reason)}"}
  end

  # As one transaction: a structure that does not load leaves nothing.
  defp load(state, text), do: Native.execute_transactional_batch_sql(state, text)

  ## Dump

  defp dump(config) do
    source = to_string(config[:migration_source] || "schema_migrations")
    databases = config[:dump_prefixes] || ["main"]

    # Within one transaction, or a migration could run between the schema and its versions.
    with_connection(config, [create: false], fn state ->
      with {:ok, state} <- Native.begin(state), do: dump(state, databases, source)
    end)
  end

  defp dump(state, databases, source) do
    Enum.reduce_while(databases, {:ok, ""}, fn database, {:ok, text} ->
      case dump_database(state, to_string(database), source) do
        {:ok, more} -> {:cont, {:ok, IO.iodata_to_binary([text | more])}}
        error -> {:halt, error}
      end
    end)
  end

  defp dump_database(state, database, source) do
    prefix = if database != "main", do: database

    with {:ok, objects} <- rows(state, objects(database)),
         {:ok, versions} <- versions(state, prefix, source) do
      {:ok, [Enum.map(objects, &object(&1, prefix)), versions]}
    end
  end

  defp object([sql], prefix) when prefix != nil,
    do: object([sql |> Catalog.with_schema(prefix) |> IO.iodata_to_binary()], nil)

  defp object([sql], nil) do
    sql = String.trim_trailing(sql)
    # A comment at the end of the last line would swallow the semicolon.
    last_line = sql |> String.split("\n") |> List.last()
    [sql, if(String.contains?(last_line, "--"), do: "\n;\n", else: ";\n")]
  end

  defp versions(state, prefix, source) do
    arguments = [Sql.quote_string(source), ", ", Sql.quote_string(prefix || "main")]
    table = Sql.quote_table(prefix, source)

    with {:ok, [_ | _] = columns} <-
           rows(state, ["SELECT name FROM pragma_table_info(", arguments, ") ORDER BY cid"]),
         {:ok, rows} <- rows(state, select(table, columns)) do
      {:ok, Enum.map(rows, &insert(table, columns, &1))}
    end
  end

  # quote() writes any value as a literal.
  defp select(table, columns) do
    values =
      Sql.intersperse_map(columns, ", ", fn [name] -> ["quote(", Sql.quote_name(name), ?)] end)

    ["SELECT ", values, " FROM ", table, " ORDER BY ", Sql.quote_name(hd(hd(columns)))]
  end

  defp insert(table, columns, values) do
    [
      ["INSERT INTO ", table, " (", Sql.quote_names(Enum.concat(columns)), ") VALUES ("],
      [Enum.intersperse(values, ", "), ");\n"]
    ]
  end

  ## A connection for the length of a call

  defp with_connection(config, opts, fun) do
    opts = config |> DatabaseFile.driver_options() |> Keyword.merge(opts)

    with {:ok, _located} <- located(config),
         {:ok, state} <- EctoLibSql.connect(opts) do
      try do
        fun.(state)
      after
        EctoLibSql.close(state)
      end
    end
    |> with_message()
  end

  defp located(config) do
    with {:error, message} <- DatabaseFile.locate(config),
         do: {:error, message},
         else: (other -> {:ok, other})
  end

  defp with_message({:error, %{__exception__: true} = error}),
    do: {:error, Exception.message(error)}

  defp with_message(answer), do: answer

  defp rows(state, sql) do
    case EctoLibSql.query(state, sql) do
      {:ok, _query, result, _state} -> {:ok, result.rows}
      {:error, error, _state} -> {:error, error}
    end
  end
end
