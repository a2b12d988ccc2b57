defmodule EctoLibSql.OpenTelemetry do
  @moduledoc """
  Spans of OpenTelemetry, made of the driver's events, where the application `opentelemetry_api` is there. It is no
  dependency of ours: add it, and an SDK, to the application's own.

      # in the application's start/2; the Repo has `events: :all` in its configuration
      :ok = EctoLibSql.OpenTelemetry.attach()

  Each statement is a span, and so is each transaction that ended; its parent is the span of the calling process, as
  `OpenTelemetry.Tracer.with_span/2` has set it. A transaction's statements are its siblings: it is known only when it
  has ended. Names and attributes follow the stable semantic conventions for database client spans
  (https://opentelemetry.io/docs/specs/semconv/database/database-spans/ and …/sql/):

    * the name is `db.query.summary`, here the operation; the kind is `client`
    * `db.system.name` is `"sqlite"`, `db.namespace` the database's path, `db.operation.name` the command
    * `db.query.text`: the statement, its literals replaced by `?`, which the conventions ask for; parameters have no
      values in it, and are not told
    * `error.type`: the code of an error, which also makes the span's status an error
    * `db.response.returned_rows`: how many rows came (of a statement that writes, how many it changed)

  Of our own are `ecto_libsql.queue_time`, `.turn_time`, `.execute_time` and `.decode_time`, in microseconds,
  `ecto_libsql.prepared`, `.fast` and `.shared`, as in `EctoLibSql.Telemetry`; and of a transaction
  `ecto_libsql.transaction.mode` and `.result`.
  """

  alias EctoLibSql.Error

  @handler __MODULE__
  @events [[:ecto_libsql, :query], [:ecto_libsql, :transaction]]
  @times [:queue_time, :turn_time, :execute_time, :decode_time]

  # What a statement has that says nothing of its values; and literals.
  @literals ~r/([xX]'(?:[^']|'')*'|'(?:[^']|'')*(?:'|\z))|("(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|[?:@$]\w+|[A-Za-z_]\w*)|(\d[\w.]*)/s

  @doc """
  Makes spans from now on. Options:

    * `:query_text`: `:sanitized` (default), `:raw`, as it was given, or `:none`

  Errors: `:unsupported` where `opentelemetry_api` or `telemetry` is not there; `:misuse` where spans are made already.
  """
  @spec attach(keyword()) :: :ok | {:error, Error.t()}
  def attach(opts \\ []) do
    text = Keyword.get(opts, :query_text, :sanitized)

    if text not in [:sanitized, :raw, :none] do
      raise ArgumentError, ":query_text is :sanitized, :raw or :none, not #{inspect(text)}"
    end

    with :ok <- there(:opentelemetry, "opentelemetry_api"), :ok <- there(:telemetry, "telemetry") do
      case apply(:telemetry, :attach_many, [@handler, @events, &__MODULE__.handle/4, %{text: text}]) do
        :ok -> :ok
        {:error, :already_exists} -> {:error, Error.new(:misuse, "spans are made already")}
      end
    end
  end

  defp there(module, application) do
    if Code.ensure_loaded?(module) do
      :ok
    else
      message =
        "the application #{application} is not there: add {:#{application}, \"~> 1.0\"} to the dependencies in mix.exs"

      {:error, Error.new(:unsupported, message)}
    end
  end

  @doc "Makes no more spans."
  @spec detach() :: :ok
  def detach do
    if Code.ensure_loaded?(:telemetry), do: apply(:telemetry, :detach, [@handler])
    :ok
  end

  @doc false
  def handle([:ecto_libsql, :query], measurements, metadata, %{text: text}) do
    operation = operation(metadata)

    own =
      for name <- [:prepared, :fast, :shared],
          is_boolean(metadata[name]),
          do: {:"ecto_libsql.#{name}", metadata[name]}

    attributes =
      [
        {:"db.operation.name", operation},
        {:"db.query.summary", operation},
        {:"db.response.returned_rows", measurements.rows}
      ] ++ query_text(text, metadata.statement) ++ times(measurements) ++ own

    span(operation, measurements, metadata, attributes, metadata.result)
  end

  def handle([:ecto_libsql, :transaction], measurements, metadata, _config) do
    attributes =
      [
        {:"ecto_libsql.transaction.mode", Atom.to_string(metadata.mode)},
        {:"ecto_libsql.transaction.result", Atom.to_string(metadata.result)}
      ] ++ times(measurements)

    result = if metadata.result in [:commit, :rollback], do: :ok, else: metadata.result
    span("TRANSACTION", measurements, metadata, attributes, result)
  end

  defp span(name, measurements, metadata, attributes, result) do
    ended = System.monotonic_time()
    attributes = common(metadata) ++ attributes ++ error(result)

    options = %{
      kind: :client,
      start_time: ended - measurements.duration,
      attributes: Map.new(attributes)
    }

    tracer = apply(:opentelemetry, :get_tracer, [:ecto_libsql])
    span = apply(:otel_tracer, :start_span, [tracer, name, options])
    if result != :ok, do: apply(:otel_span, :set_status, [span, :error])
    apply(:otel_span, :end_span, [span, ended])
  end

  defp common(%{database: database}) when is_binary(database),
    do: [{:"db.system.name", "sqlite"}, {:"db.namespace", database}]

  defp common(_memory), do: [{:"db.system.name", "sqlite"}]

  defp error(:ok), do: []
  defp error(code), do: [{:"error.type", Atom.to_string(code)}]

  # Of one that failed nothing is known but its text.
  defp operation(%{command: nil, statement: sql}) when is_binary(sql) do
    case Regex.run(~r/\A\s*([A-Za-z]{1,20})\b/, sql) do
      [_all, word] -> String.upcase(word)
      nil -> "SQL"
    end
  end

  defp operation(%{command: command}) when command in [nil, :other], do: "SQL"
  defp operation(%{command: command}), do: command |> Atom.to_string() |> String.upcase()

  defp times(measurements) do
    for name <- @times, time = measurements[name] do
      {:"ecto_libsql.#{name}", System.convert_time_unit(time, :native, :microsecond)}
    end
  end

  defp query_text(_text, nil), do: []
  defp query_text(:none, _sql), do: []
  defp query_text(:raw, sql), do: [{:"db.query.text", sql}]
  defp query_text(:sanitized, sql), do: [{:"db.query.text", sanitize(sql)}]

  @doc false
  # Literals become `?`; what stands in quotes as a name, and parameters, stay.
  def sanitize(sql) do
    Regex.replace(@literals, sql, fn _all, _text, name, _number ->
      if name == "", do: "?", else: name
    end)
  end
end
