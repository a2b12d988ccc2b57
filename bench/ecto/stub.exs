# An adapter whose driver does nothing: what Ecto and DBConnection cost by themselves. It answers with
# the rows that `Bench.Stub.answer/2` has been given for an SQL text.

defmodule Bench.Stub do
  defmodule Query do
    defstruct [:statement]
  end

  @doc "What the driver answers to an SQL text from now on."
  def answer(sql, rows), do: :persistent_term.put({__MODULE__, sql}, {rows, length(rows)})

  def answer(sql), do: :persistent_term.get({__MODULE__, sql}, {nil, 1})

  defmodule Driver do
    use DBConnection

    @impl true
    def connect(_opts), do: {:ok, nil}
    @impl true
    def disconnect(_error, _state), do: :ok
    @impl true
    def checkout(state), do: {:ok, state}
    @impl true
    def ping(state), do: {:ok, state}

    @impl true
    def handle_prepare(query, _opts, state), do: {:ok, query, state}

    @impl true
    def handle_execute(query, _params, _opts, state) do
      {rows, count} = Bench.Stub.answer(query.statement)
      {:ok, query, %{rows: rows, num_rows: count, columns: nil}, state}
    end

    @impl true
    def handle_close(_query, _opts, state), do: {:ok, nil, state}
    @impl true
    def handle_begin(_opts, state), do: {:ok, nil, state}
    @impl true
    def handle_commit(_opts, state), do: {:ok, nil, state}
    @impl true
    def handle_rollback(_opts, state), do: {:ok, nil, state}
    @impl true
    def handle_status(_opts, state), do: {:idle, state}
    @impl true
    def handle_declare(query, _params, _opts, state), do: {:ok, query, nil, state}
    @impl true
    def handle_fetch(_query, _cursor, _opts, state), do: {:halt, nil, state}
    @impl true
    def handle_deallocate(_query, _cursor, _opts, state), do: {:ok, nil, state}
  end
end

defimpl String.Chars, for: Bench.Stub.Query do
  def to_string(query), do: query.statement
end

defimpl DBConnection.Query, for: Bench.Stub.Query do
  def parse(query, _opts), do: query
  def describe(query, _opts), do: query
  def encode(_query, params, _opts), do: params
  def decode(_query, result, _opts), do: result
end

# The SQL text is the kind of statement and its table: enough to find the answer by.
defmodule Bench.StubAdapter.Connection do
  alias Bench.Stub.Query

  def child_spec(opts), do: DBConnection.child_spec(Bench.Stub.Driver, opts)

  def prepare_execute(conn, _name, sql, params, opts),
    do: DBConnection.prepare_execute(conn, query(sql), params, opts)

  def execute(conn, query, params, opts), do: DBConnection.execute(conn, query, params, opts)

  def query(conn, sql, params, opts) do
    with {:ok, _query, result} <- DBConnection.execute(conn, query(sql), params, opts),
         do: {:ok, result}
  end

  defp query(sql), do: %Query{statement: IO.iodata_to_binary(sql)}

  def all(query, _as_prefix \\ []) do
    {source, _schema, _prefix} = elem(query.sources, 0)
    "all #{source}, #{length(query.joins)} joins, #{length(query.wheres)} wheres"
  end

  def insert(_prefix, table, _header, _rows, _on_conflict, returning, _placeholders, _opts \\ []),
    do: ["insert ", table, if(returning == [], do: "", else: " returning")]

  def to_constraints(_error, _opts), do: []

  # Ecto.Adapters.SQL calls them; no work does.
  def update_all(_query), do: raise("not in the benchmark")
  def delete_all(_query), do: raise("not in the benchmark")
  def update(_prefix, _table, _fields, _filters, _returning), do: raise("not in the benchmark")
  def delete(_prefix, _table, _filters, _returning), do: raise("not in the benchmark")
end

defmodule Bench.StubAdapter do
  use Ecto.Adapters.SQL, driver: :db_connection

  @impl true
  def loaders(_base, type), do: [type]
  @impl true
  def dumpers(_base, type), do: [type]

  @impl true
  def lock_for_migrations(_meta, _opts, fun), do: fun.()
  @impl true
  def supports_ddl_transaction?, do: true
end
