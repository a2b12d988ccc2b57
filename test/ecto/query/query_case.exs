defmodule Ecto.Adapters.LibSql.QueryCase do
  @moduledoc false
  # Each query is planned by Ecto, its SQL compared, and run on a database with a few rows: no SQL is
  # only compared.

  use ExUnit.CaseTemplate

  alias Ecto.Adapters.LibSql.Query

  defmodule Author do
    @moduledoc false
    use Ecto.Schema

    schema "authors" do
      field(:name, :string)
      field(:boss_id, :integer)
    end
  end

  defmodule Post do
    @moduledoc false
    use Ecto.Schema

    schema "posts" do
      field(:title, :string)
      field(:visits, :integer)
      field(:score, :float)
      field(:price, :decimal)
      field(:public, :boolean)
      field(:raw, :binary)
      field(:meta, :map)
      field(:tags, {:array, :string})
      field(:maps, {:array, :map})
      field(:flags, {:array, :boolean})
      field(:posted, :date)
      field(:naive, :naive_datetime)
      field(:naive_usec, :naive_datetime_usec)
      field(:utc, :utc_datetime, source: :utc_at)
      field(:utc_usec, :utc_datetime_usec)
      belongs_to(:author, Author)
    end
  end

  using do
    quote do
      import Ecto.Query
      import Ecto.Adapters.LibSql.QueryCase
      alias Ecto.Adapters.LibSql.QueryCase.{Author, Post}
    end
  end

  @tables """
  CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT, boss_id INTEGER);
  CREATE TABLE posts (
    id INTEGER PRIMARY KEY, title TEXT, visits INTEGER, score REAL, price NUMERIC, public INTEGER,
    raw BLOB, meta TEXT, tags TEXT, maps TEXT, flags TEXT, posted TEXT, naive TEXT, naive_usec TEXT,
    utc_at TEXT, utc_usec TEXT, author_id INTEGER
  );
  CREATE INDEX posts_visits ON posts (visits);
  ATTACH ':memory:' AS other;
  CREATE TABLE other.posts (id INTEGER PRIMARY KEY, title TEXT);
  INSERT INTO other.posts VALUES (1, 'there');
  INSERT INTO authors VALUES (1, 'Ann', NULL), (2, 'Bob', 1), (3, 'Cid', 2);
  INSERT INTO posts VALUES
    (1, 'One', 10, 1.5, 1.25, 1, x'6162ff', '{"a":1,"k\\"q":2,"ok":true,"l":[7,8]}', '["x","y"]',
     '[{"a":1},{"a":2}]', '[true,false]', '2024-01-31', '2024-01-31T10:00:00',
     '2024-01-31T10:00:00.999999', '2024-01-31T10:00:00Z', '2024-01-31T10:00:00.000001Z', 1),
    (2, 'Two', 20, 2.5, 2.5, 0, x'00', '{"a":"visits"}', '["y"]', '[]', '[]', '2024-02-29',
     '1960-02-29T00:00:00', '1960-02-29T00:00:00.000001', '1960-02-29T00:00:00Z',
     '1960-02-29T00:00:00.000001Z', 1),
    (3, 'Three', 20, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2);
  """

  setup do
    {:ok, db} = EctoLibSql.connect(database: ":memory:")

    for sql <- String.split(@tables, ";\n", trim: true),
        do: {:ok, _, _, _} = EctoLibSql.query(db, sql, [])

    on_exit(fn -> EctoLibSql.close(db) end)
    {:ok, db: db}
  end

  @doc "The SQL of a query and its parameters."
  def sql(query, operation \\ :all) do
    query =
      query |> Ecto.Queryable.to_query() |> Ecto.Query.Planner.ensure_select(operation == :all)

    {query, _cast, params} =
      Ecto.Adapter.Queryable.plan_query(operation, Ecto.Adapters.LibSql, query)

    {query |> write(operation) |> IO.iodata_to_binary(), params}
  end

  defp write(query, :all), do: Query.all(query)
  defp write(query, :update_all), do: Query.update_all(query)
  defp write(query, :delete_all), do: Query.delete_all(query)

  @doc "Compares the SQL (unless it is nil), runs it, and answers the rows."
  def run(db, query, expected, operation \\ :all) do
    {sql, params} = sql(query, operation)
    if expected, do: ExUnit.Assertions.assert(sql == expected)

    case EctoLibSql.query(db, sql, params) do
      {:ok, _query, result, _db} -> result.rows
      {:error, error, _db} -> ExUnit.Assertions.flunk("#{error.message}\n\n#{sql}")
    end
  end

  @doc "The rows alone."
  def rows(db, query), do: run(db, query, nil)

  @doc "The rows of SQL."
  def raw(db, sql) do
    {:ok, _query, result, _db} = EctoLibSql.query(db, sql, [])
    result.rows
  end

  @doc "The message with which a query is refused."
  def refused(query, operation \\ :all) do
    error = ExUnit.Assertions.assert_raise(Ecto.QueryError, fn -> sql(query, operation) end)
    error.message
  end
end
