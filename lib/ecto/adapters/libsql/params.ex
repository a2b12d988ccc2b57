defmodule Ecto.Adapters.LibSql.Params do
  @moduledoc false
  # Dumpers mark blobs as {:blob, bytes}, and what the connection's forms decide as {{:form, kind}, value}.
  # Ecto shows parameters to telemetry and logs before the connection sees them, so the marks are taken
  # off first, and travel with their places among the options.

  @key :libsql_marks

  @doc "The parameters without marks, and options that say what they were marked as."
  def unmark(params, opts) do
    case marks(params, 0) do
      [] -> {params, opts}
      marks -> {Enum.map(params, &bare/1), [{@key, marks} | opts]}
    end
  end

  defp marks([{:blob, _} | rest], place), do: [{place, :blob} | marks(rest, place + 1)]
  defp marks([{{:form, kind}, _} | rest], place), do: [{place, kind} | marks(rest, place + 1)]
  defp marks([_value | rest], place), do: marks(rest, place + 1)
  defp marks([], _place), do: []

  defp bare({:blob, bytes}), do: bytes
  defp bare({{:form, _kind}, value}), do: value
  defp bare(value), do: value

  @doc "The parameters as `unmark/2` found them."
  def mark(params, opts) do
    case Keyword.get(opts, @key) do
      nil -> params
      marks -> mark(params, 0, marks)
    end
  end

  defp mark([value | rest], place, [{place, kind} | marks]),
    do: [marked(kind, value) | mark(rest, place + 1, marks)]

  defp mark([value | rest], place, marks), do: [value | mark(rest, place + 1, marks)]
  defp mark([], _place, _marks), do: []

  defp marked(:blob, bytes), do: {:blob, bytes}
  defp marked(kind, value), do: {{:form, kind}, value}
end
