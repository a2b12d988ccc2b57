defmodule EctoLibSql.Upgrade do
  @moduledoc """
  Mends what EctoLibSql 0.9 stored in a way that queries cannot bridge.

  Everything that 0.9 stored is read as it is. But it bound bytes that happened to be UTF-8 as text, and it
  declared decimals `DECIMAL`, which SQLite makes floats of; so these are found:

    * values of `:binary` fields that are TEXT: they are neither equal to the BLOBs that are written now,
      nor sorted among them
    * the same of `Ecto.UUID`, and of `:binary_id` where the Repo's `:binary_id_type` is `:blob`: ids that
      are not in the form that the Repo stores
    * decimals in columns of NUMERIC affinity: the column becomes `TEXT_DECIMAL`, its values their exact
      digits, and it gets the collation `decimal`, so that CHECKs, indexes and SQL by hand go on comparing
      numbers
    * rows whose foreign key finds no parent, of the time when keys were not enforced

  In a release:

      {:ok, report} = EctoLibSql.Upgrade.run(MyApp.Repo, write: true)
      Logger.info(EctoLibSql.Upgrade.format(report))

  `mix ecto_libsql.upgrade` does it from a project. Make a copy of the database before; stop the application,
  or let nobody write meanwhile. The Repo need not run: one connection of its own is opened, and closed.

  ## Which columns

  What a column holds, the schemas of the Repo's application say (or `:schemas`), foreign keys and
  `many_to_many` for columns that refer to others, `:columns` for those that no schema has, and
  `DECIMAL` for itself. Columns that look as if they held such values, and that none of these names, are
  reported and left alone.

  ## Options

    * `:write` - changes the database; otherwise it only looks (default `false`)
    * `:orphans` - what becomes of rows without a parent: `:follow` (default) does what the foreign key's
      ON DELETE says, and leaves those of NO ACTION and RESTRICT; `:nilify` sets their keys to NULL where
      they may be, `:delete` deletes them, `:keep` leaves all of them
    * `:schemas` - modules to look at, instead of all of the application
    * `:apps` - applications to look for schemas in, instead of the Repo's `:otp_app`
    * `:columns` - `[{"table", "column", :uuid | :binary_id | :binary | :decimal}]`
    * `:collation` - `false` declares decimals without the collation `decimal`, for databases that a server
      opens too (default `true`)

  Each table is one transaction. What fails, fails for its table alone, is reported, and leaves the table as
  it was. Running it again goes on where it stopped.
  """

  alias Ecto.Adapters.LibSql.DatabaseFile
  alias EctoLibSql.{Error, Forms}
  alias EctoLibSql.Upgrade.{Columns, DB, Decimals, Orphans, Report, Values}

  defstruct [:database, written?: false, findings: []]

  @type kind :: :binary | :uuid | :binary_id | :decimal | :orphans | :unknown

  @typedoc """
  `status` is `:found` (it would be mended), `:mended`, `:left` (it takes a decision: `message` says
  which) or `:failed` (`message` says why).
  """
  @type finding :: %{
          table: String.t(),
          columns: [String.t()],
          kind: kind(),
          count: non_neg_integer(),
          what: String.t(),
          status: :found | :mended | :left | :failed,
          message: String.t() | nil
        }

  @type t :: %__MODULE__{database: String.t(), written?: boolean(), findings: [finding()]}

  @options [write: false, orphans: :follow, schemas: nil, apps: nil, columns: [], collation: true]

  @doc """
  Looks at the database of a Repo, or of a Repo's options, and mends it if `write: true` is given.

  Answers `{:ok, report}`, also where something failed (see `ok?/1`), or `{:error, message}` where the
  database could not be looked at.
  """
  @spec run(module() | keyword(), keyword()) :: {:ok, t()} | {:error, String.t()}
  def run(repo, opts \\ []) do
    opts = opts |> Keyword.validate!(@options) |> check!()
    config = if is_atom(repo), do: repo.config(), else: repo

    with {:ok, path} <- path(config),
         {:ok, db} <- open(config, opts) do
      try do
        columns = Columns.list(db, schemas(config, opts), opts[:columns])
        work = %{db: db, columns: columns, forms: Forms.of(config), opts: opts}
        findings = if opts[:write], do: mend(work), else: find(work)
        # What there was to be done is ours.
        findings = for finding <- findings, do: Map.drop(finding, [:mend, :decimal, :orphans])
        {:ok, %__MODULE__{database: path, written?: opts[:write], findings: findings}}
      rescue
        error in Error -> {:error, Exception.message(error)}
      after
        EctoLibSql.close(db)
      end
    end
  end

  @doc "Whether nothing failed."
  @spec ok?(t()) :: boolean()
  def ok?(report), do: not Enum.any?(report.findings, &(&1.status == :failed))

  @doc "A report as text."
  @spec format(t()) :: String.t()
  defdelegate format(report), to: Report

  @kinds [:uuid, :binary_id, :binary, :decimal]

  defp check!(opts) do
    if opts[:orphans] not in [:follow, :keep, :nilify, :delete],
      do: raise(ArgumentError, ":orphans is :follow, :keep, :nilify or :delete")

    for column <- opts[:columns] do
      unless match?({t, c, kind} when is_binary(t) and is_binary(c) and kind in @kinds, column),
        do:
          raise(ArgumentError, "a column is {table, column, kind}, kind one of #{inspect(@kinds)}")
    end

    opts
  end

  defp path(config) do
    case DatabaseFile.locate(config) do
      {:file, path} -> if File.exists?(path), do: {:ok, path}, else: {:error, "no file: #{path}"}
      :memory -> {:error, "a database in memory has nothing of 0.9"}
      :server -> {:error, "databases on servers cannot be upgraded yet"}
      {:error, message} -> {:error, message}
    end
  end

  # The connection's events want :telemetry; nothing else has to run. Keys are not enforced while both ends
  # of them are written anew, table by table.
  defp open(config, opts) do
    {:ok, _started} = Application.ensure_all_started(:telemetry)
    own = [foreign_keys: false, create: false, read_only: not opts[:write]]
    options = config |> DatabaseFile.driver_options() |> Keyword.drop([:on_connect])

    with {:error, error} <- options |> Keyword.merge(own) |> EctoLibSql.connect(),
         do: {:error, Exception.message(error)}
  end

  defp schemas(config, opts) do
    opts[:schemas] ||
      for app <- opts[:apps] || List.wrap(config[:otp_app]),
          Application.load(app) in [:ok, {:error, {:already_loaded, app}}],
          module <- Application.spec(app, :modules),
          Columns.schema?(module),
          do: module
  end

  ## Work

  defp find(work), do: Values.find(work) ++ Decimals.find(work) ++ Orphans.find(work)

  defp mend(work) do
    {done, _failed} =
      (Values.find(work) ++ Decimals.find(work))
      |> Enum.group_by(& &1.table)
      |> Enum.sort_by(fn {table, _findings} -> Columns.place(work.columns, table) end)
      |> Enum.map_reduce([], &mend_table(work, &1, &2))

    Enum.concat(done) ++ Orphans.mend(work)
  end

  defp mend_table(work, {table, findings}, failed) do
    case Enum.find(failed, &(&1 in Columns.parents(work.columns, table))) do
      nil -> do_mend(work, table, findings, failed)
      parent -> {Enum.map(findings, &failed(&1, "#{parent} failed, which it refers to")), failed}
    end
  end

  defp do_mend(work, table, findings, failed) do
    mended =
      DB.transaction(work.db, fn db ->
        Values.mend(db, table, findings)
        Decimals.mend(db, table, findings, work.opts)
      end)

    case mended do
      :ok -> {Enum.map(findings, &mended/1), failed}
      {:error, message} -> {Enum.map(findings, &failed(&1, message)), [table | failed]}
    end
  end

  defp mended(%{status: :found} = finding), do: %{finding | status: :mended}
  defp mended(finding), do: finding

  defp failed(%{status: :found} = finding, why), do: %{finding | status: :failed, message: why}
  defp failed(finding, _why), do: finding
end
