defmodule EctoLibSql.Demo.Screen do
  # What the demo prints; colours only where they can be seen.

  @width 78

  def title(text) do
    IO.puts(["\n", paint([:bright], "  " <> text), "\n", "  ", String.duplicate("─", @width - 2)])
  end

  def section(text), do: IO.puts(["\n", paint([:cyan], "  " <> text)])

  def fact(text), do: IO.puts("    " <> text)

  def done(text, microseconds) do
    right = duration(microseconds)
    left = "    " <> text
    dots = max(@width - String.length(left) - String.length(right) - 2, 3)
    IO.puts([clear(), left, " ", paint([:faint], String.duplicate("·", dots)), " ", right])
  end

  def progress(done, total) do
    if IO.ANSI.enabled?() do
      full = div(50 * done, total)
      bar = String.duplicate("█", full) <> String.duplicate("░", 50 - full)
      IO.write(["\r    ", bar, " ", "#{div(100 * done, total)} %"])
    end
  end

  def table(columns, rows) do
    cells = [columns | Enum.map(rows, fn row -> Enum.map(row, &to_string/1) end)]

    widths =
      cells
      |> Enum.zip_with(& &1)
      |> Enum.map(fn column -> column |> Enum.map(&String.length/1) |> Enum.max() end)

    for {row, i} <- Enum.with_index(cells) do
      text =
        row
        |> Enum.zip(widths)
        |> Enum.map_join("  ", fn {cell, width} -> String.pad_trailing(cell, width) end)

      IO.puts(["    ", if(i == 0, do: paint([:faint], text), else: text)])
    end
  end

  def number(n) do
    n
    |> Integer.to_string()
    |> String.reverse()
    |> String.replace(~r/(\d{3})(?=\d)/, "\\1,")
    |> String.reverse()
  end

  def bytes(n) when n < 1_048_576, do: "#{Float.round(n / 1024, 1)} kB"
  def bytes(n), do: "#{Float.round(n / 1_048_576, 1)} MB"

  defp duration(us) when us < 1_000, do: "#{us} µs"
  defp duration(us) when us < 1_000_000, do: "#{Float.round(us / 1_000, 1)} ms"
  defp duration(us), do: "#{Float.round(us / 1_000_000, 2)} s"

  defp clear, do: if(IO.ANSI.enabled?(), do: "\r\e[K", else: "")
  defp paint(how, text), do: IO.ANSI.format([how, text])
end
