defmodule Ecto.Adapters.LibSql.Explain do
  @moduledoc false
  # Repo.explain: what the engine says of a query's plan, or its instructions.

  # Options of other databases, which would change what is shown.
  @others [:analyze, :buffers, :costs, :memory, :plan, :settings, :summary, :timing, :verbose, :wal]

  @doc "`{what to put before the query, the format, the other options}`"
  def options(opts) do
    for key <- @others, opts[key], do: refuse("SQLite's EXPLAIN has no #{inspect(key)}")

    {ours, opts} = Keyword.split(opts, [:opcodes, :format])
    opcodes = check(ours, :opcodes, [false, true])
    format = check(ours, :format, [:text, :map])
    {if(opcodes, do: "EXPLAIN ", else: "EXPLAIN QUERY PLAN "), {format, opcodes}, opts}
  end

  defp check(opts, key, [default | _] = values) do
    value = Keyword.get(opts, key, default)
    if value in values, do: value, else: refuse(message(key, values, value))
  end

  defp message(key, values, value) do
    "the option #{inspect(key)} of explain is #{Enum.map_join(values, " or ", &inspect/1)}, not " <>
      inspect(value)
  end

  defp refuse(message), do: raise(ArgumentError, message)

  @doc "The result as `options/1` has it: a text, or a map for each row."
  def format(%{columns: columns, rows: rows}, {:map, _opcodes}),
    do: for(row <- rows, do: columns |> Enum.zip(row) |> Map.new())

  def format(%{rows: rows}, {:text, false}), do: rows |> tree(0, "") |> Enum.join("\n")

  def format(%{columns: columns, rows: rows}, {:text, true}) do
    rows = [columns | Enum.map(rows, fn row -> Enum.map(row, &to_string/1) end)]
    widths = rows |> Enum.zip_with(& &1) |> Enum.map(&width/1)
    Enum.map_join(rows, "\n", &line(&1, widths))
  end

  # Rows of id, parent, nothing, text.
  defp tree(rows, parent, indent) do
    children = for [id, ^parent, _unused, text] <- rows, do: {id, text}

    children
    |> Enum.with_index(1)
    |> Enum.flat_map(fn {{id, text}, number} ->
      {branch, below} = if number == length(children), do: {"`--", "   "}, else: {"|--", "|  "}
      [indent <> branch <> text | tree(rows, id, indent <> below)]
    end)
  end

  defp width(cells), do: cells |> Enum.map(&String.length/1) |> Enum.max()

  defp line(cells, widths) do
    cells
    |> Enum.zip(widths)
    |> Enum.map_join("  ", fn {cell, width} -> String.pad_trailing(cell, width) end)
    |> String.trim_trailing()
  end
end
