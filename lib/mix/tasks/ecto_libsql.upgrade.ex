defmodule Mix.Tasks.EctoLibsql.Upgrade do
  @shortdoc "Mends what EctoLibSql 0.9 stored otherwise"

  @moduledoc """
  Finds, and with `--write` mends, what EctoLibSql 0.9 stored in a way that queries cannot bridge:
  `EctoLibSql.Upgrade` tells what that is.

      mix ecto_libsql.upgrade                    # looks, and changes nothing
      mix ecto_libsql.upgrade -r MyApp.Repo --write

  Copy the database first, and let nobody write meanwhile.

  ## Options

    * `-r`, `--repo` - the Repo; may be given more than once (default: those of the project)
    * `--write` - mends what was found
    * `--orphans` - `follow` (default), `keep`, `nilify` or `delete`: what becomes of rows that find no parent
    * `--column` - `TABLE.COLUMN:KIND` for a column that no schema has, KIND one of `uuid`, `binary_id`,
      `binary`, `decimal`; may be given more than once
    * `--app` - an application to look for schemas in (default: the Repo's); may be given more than once
    * `--no-collation` - declares decimals without the collation `decimal`

  The Repo is not started. Ends with an error if something failed.
  """

  use Mix.Task

  alias EctoLibSql.Upgrade

  @switches [
    repo: [:string, :keep],
    write: :boolean,
    orphans: :string,
    column: :keep,
    app: :keep,
    collation: :boolean
  ]

  @impl true
  def run(args) do
    {options, rest} = OptionParser.parse!(args, strict: @switches, aliases: [r: :repo])
    if rest != [], do: Mix.raise("there are no arguments like #{Enum.join(rest, " ")}")
    opts = options(options)

    reports =
      for repo <- Mix.Ecto.parse_repo(args), do: upgrade(Mix.Ecto.ensure_repo(repo, []), opts)

    if not Enum.all?(reports, &Upgrade.ok?/1), do: Mix.raise("not everything could be mended")
  end

  defp upgrade(repo, opts) do
    if repo.__adapter__() != Ecto.Adapters.LibSql,
      do: Mix.raise("#{inspect(repo)} has another adapter than Ecto.Adapters.LibSql")

    case Upgrade.run(repo, opts) do
      {:ok, report} ->
        Mix.shell().info(Upgrade.format(report))
        report

      {:error, message} ->
        Mix.raise("#{inspect(repo)}: #{message}")
    end
  end

  defp options(options) do
    [
      write: options[:write] || false,
      orphans: orphans(options[:orphans]),
      columns: for({:column, text} <- options, do: column(text)),
      collation: Keyword.get(options, :collation, true)
    ] ++ apps(for({:app, app} <- options, do: String.to_atom(app)))
  end

  defp apps([]), do: []
  defp apps(apps), do: [apps: apps]

  @orphans %{"follow" => :follow, "keep" => :keep, "nilify" => :nilify, "delete" => :delete}

  defp orphans(nil), do: :follow

  defp orphans(text) do
    @orphans[text] || Mix.raise("--orphans is follow, keep, nilify or delete, not #{text}")
  end

  defp column(text) do
    case Regex.run(~r/\A(.+)\.([^.]+):(uuid|binary_id|binary|decimal)\z/, text) do
      [_, table, column, kind] -> {table, column, String.to_existing_atom(kind)}
      nil -> Mix.raise("--column is TABLE.COLUMN:uuid (or binary_id, binary, decimal), not #{text}")
    end
  end
end
