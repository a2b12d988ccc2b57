defmodule EctoLibSql.Upgrade.Report do
  @moduledoc false

  @doc "A report as text: each table, what was found in it, and what became of it."
  def format(%{findings: []} = report),
    do: "#{report.database}: nothing of EctoLibSql 0.9 is left to be mended"

  def format(report) do
    tables =
      report.findings
      |> Enum.group_by(& &1.table)
      |> Enum.sort()
      |> Enum.map_join("\n", fn {table, findings} ->
        "#{table}\n" <> Enum.map_join(findings, "\n", &line/1)
      end)

    "#{report.database}#{unless report.written?, do: " (nothing was changed)"}\n\n#{tables}\n\n#{end_of(report)}"
  end

  defp line(finding) do
    columns = Enum.join(finding.columns, ", ")
    why = if finding.message, do: "\n      #{finding.message}", else: ""
    "  #{columns}: #{finding.count} #{finding.what} [#{status(finding.status)}]#{why}"
  end

  defp status(:found), do: "to be mended"
  defp status(:mended), do: "mended"
  defp status(:left), do: "left"
  defp status(:failed), do: "FAILED"

  defp end_of(report) do
    counts = Enum.frequencies_by(report.findings, & &1.status)

    cond do
      counts[:failed] -> "#{counts[:failed]} failed, and their tables are as they were"
      counts[:found] -> "with --write, what is to be mended will be"
      counts[:left] -> "what is left takes a decision"
      true -> "all is mended"
    end
  end
end
