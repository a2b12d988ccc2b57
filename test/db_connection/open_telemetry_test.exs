# Where the API is not there, doubles stand in its place that send what they are told. OPENTELEMETRY_API_PATH is the
# folder of the built applications opentelemetry_api and opentelemetry: then their spans are looked at.
path = System.get_env("OPENTELEMETRY_API_PATH")

if path do
  for app <- ~w(opentelemetry_api opentelemetry),
      do: Code.append_path(Path.join([path, app, "ebin"]))
else
  defmodule :opentelemetry do
    def get_tracer(name), do: {:tracer, name}
  end

  defmodule :otel_tracer do
    def start_span({:tracer, :ecto_libsql}, name, options),
      do: {:span, name, options, Process.get(:parent)}
  end

  defmodule :otel_span do
    def set_status({:span, name, options, parent}, :error) do
      send(self(), {:status, name, :error})
      {:span, name, options, parent}
    end

    def end_span({:span, name, options, parent}, ended),
      do: send(self(), {:span, name, options, ended, parent})
  end
end

defmodule EctoLibSql.OpenTelemetryTest do
  use EctoLibSql.Case, async: false

  alias EctoLibSql.{Error, OpenTelemetry, Query}

  @real System.get_env("OPENTELEMETRY_API_PATH") != nil

  setup do
    path = tmp_path()
    opts = [database: path, pool_size: 1, events: :all]
    pool = start_supervised!(DBConnection.child_spec(EctoLibSql, opts))
    {:ok, _, _} = run(pool, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    on_exit(&OpenTelemetry.detach/0)
    %{pool: pool, path: path}
  end

  defp run(conn, sql, params \\ []), do: DBConnection.execute(conn, %Query{statement: sql}, params)

  test "literals are not told" do
    for {sql, sane} <- [
          {"SELECT 1", "SELECT ?"},
          {"SELECT a1, \"b 2\", [c 3], `d 4` FROM t5", "SELECT a1, \"b 2\", [c 3], `d 4` FROM t5"},
          {"SELECT 'it''s', x'00ff', X'aa', 1.5e3, -7 WHERE a = ?1 AND b = :b2 AND c = $3",
           "SELECT ?, ?, ?, ?, -? WHERE a = ?1 AND b = :b2 AND c = $3"},
          {"SELECT 'not ended 4711", "SELECT ?"},
          {"SELECT 'a\nb' || \"c\"", "SELECT ? || \"c\""},
          {"SELEC 0x1F", "SELEC ?"},
          {"", ""}
        ] do
      assert OpenTelemetry.sanitize(sql) == sane
    end
  end

  test "what cannot be is said", %{pool: pool} do
    assert_raise ArgumentError, ~r/query_text/, fn -> OpenTelemetry.attach(query_text: :all) end
    :ok = OpenTelemetry.attach()
    assert {:error, %Error{code: :misuse}} = OpenTelemetry.attach()
    :ok = OpenTelemetry.detach()
    :ok = OpenTelemetry.detach()
    {:ok, _, _} = run(pool, "SELECT 1")
    refute_received {:span, _, _, _, _}
  end

  if @real do
    require Record

    for {name, header} <- [
          span: "opentelemetry/include/otel_span.hrl",
          span_ctx: "opentelemetry_api/include/opentelemetry.hrl"
        ] do
      Record.defrecordp(
        name,
        Record.extract(name, from: Path.join(System.fetch_env!("OPENTELEMETRY_API_PATH"), header))
      )
    end

    test "spans of the SDK, under the caller's", %{pool: pool, path: path} do
      :application.load(:opentelemetry)
      exporter = %{exporter: {:otel_exporter_pid, self()}}
      :application.set_env(:opentelemetry, :processors, [{:otel_simple_processor, exporter}])
      {:ok, _} = Application.ensure_all_started(:opentelemetry)
      :ok = OpenTelemetry.attach()
      tracer = :opentelemetry.get_tracer(:test)
      parent = :otel_tracer.start_span(tracer, "request", %{})
      :otel_tracer.set_current_span(parent)
      {:ok, _, _} = run(pool, "INSERT INTO t (b) VALUES ('secret')")
      assert {:error, _} = run(pool, "SELECT nothing")
      {:ok, _} = DBConnection.transaction(pool, &run(&1, "SELECT 1"))

      assert_receive {:span, insert = span(name: "INSERT", kind: :client)}, 5000
      assert span(insert, :parent_span_id) == span_ctx(parent, :span_id)
      assert span(insert, :trace_id) == span_ctx(parent, :trace_id)
      attributes = insert |> span(:attributes) |> :otel_attributes.map()

      assert %{"db.system.name": "sqlite", "db.namespace": ^path, "db.operation.name": "INSERT"} =
               attributes

      assert attributes[:"db.query.text"] == "INSERT INTO t (b) VALUES (?)"
      assert span(insert, :end_time) > span(insert, :start_time)
      assert_receive {:span, failed = span(name: "SELECT")}, 5000
      assert elem(span(failed, :status), 1) == :error
      assert_receive {:span, span(name: "TRANSACTION")}, 5000
    end
  else
    test "a span for each statement, under the caller's", %{pool: pool, path: path} do
      :ok = OpenTelemetry.attach()
      Process.put(:parent, :request)
      before = System.monotonic_time()
      {:ok, _, _} = run(pool, "INSERT INTO t (b) VALUES ('secret'), (2)")

      assert_received {:span, "INSERT", %{kind: :client, start_time: start, attributes: told},
                       ended, :request}

      assert before <= start and start < ended and ended <= System.monotonic_time()

      assert %{
               "db.system.name": "sqlite",
               "db.namespace": ^path,
               "db.operation.name": "INSERT",
               "db.query.summary": "INSERT",
               "db.query.text": "INSERT INTO t (b) VALUES (?), (?)",
               "db.response.returned_rows": 2,
               "ecto_libsql.prepared": false,
               "ecto_libsql.fast": false,
               "ecto_libsql.shared": false,
               "ecto_libsql.turn_time": 0
             } = told

      refute Map.has_key?(told, :"error.type")
      assert told[:"ecto_libsql.execute_time"] >= 0

      for {name, value} <- told,
          do: assert(is_atom(name) and (is_binary(value) or is_integer(value) or is_boolean(value)))

      refute_received {:status, _, _}
    end

    test "of one that failed", %{pool: pool} do
      :ok = OpenTelemetry.attach(query_text: :none)
      assert {:error, _} = run(pool, "  select nothing")
      assert_received {:status, "SELECT", :error}
      assert_received {:span, "SELECT", %{attributes: %{"error.type": "sql"} = told}, _ended, nil}
      refute Map.has_key?(told, :"db.query.text")
      assert {:error, _} = run(pool, "?")
      assert_received {:span, "SQL", _options, _ended, nil}
    end

    test "of a transaction", %{pool: pool} do
      :ok = OpenTelemetry.attach(query_text: :raw)
      {:error, :no} = DBConnection.transaction(pool, &DBConnection.rollback(&1, :no))
      assert_received {:span, "TRANSACTION", %{attributes: told}, _ended, _parent}

      assert %{
               "ecto_libsql.transaction.mode": "immediate",
               "ecto_libsql.transaction.result": "rollback"
             } = told

      refute_received {:status, _, _}
      {:ok, _, _} = run(pool, "SELECT 'as it is'")

      assert_received {:span, "SELECT", %{attributes: %{"db.query.text": "SELECT 'as it is'"}}, _,
                       _}
    end
  end
end
