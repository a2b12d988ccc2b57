defmodule Ecto.Adapters.LibSql.Params do
  @moduledoc false
  # Dumpers mark blobs as {:blob, bytes}. Ecto shows parameters to telemetry and logs before the
  # connection sees them, so the marks are taken off first and their places travel among the options.

  @key :libsql_blobs

  @doc "The parameters without marks, and options that say where the marks were."
  def unmark(params, opts) do
    case marks(params, 0) do
      [] -> {params, opts}
      places -> {Enum.map(params, &bare/1), [{@key, places} | opts]}
    end
  end

  defp marks([{:blob, _} | rest], place), do: [place | marks(rest, place + 1)]
  defp marks([_value | rest], place), do: marks(rest, place + 1)
  defp marks([], _place), do: []

  defp bare({:blob, bytes}), do: bytes
  defp bare(value), do: value

  @doc "The parameters as `unmark/2` found them."
  def mark(params, opts) do
    case Keyword.get(opts, @key) do
      nil -> params
      places -> mark(params, 0, places)
    end
  end

  defp mark([bytes | rest], place, [place | places]),
    do: [{:blob, bytes} | mark(rest, place + 1, places)]

  defp mark([value | rest], place, places), do: [value | mark(rest, place + 1, places)]
  defp mark([], _place, _places), do: []
end
