defmodule EctoLibSql.Capabilities.Shop do
  # What the rows of the capability table are run on.

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Author do
    use Ecto.Schema

    schema "authors" do
      field(:name, :string)
      field(:boss_id, :integer)
      has_many(:posts, EctoLibSql.Capabilities.Shop.Post)
    end
  end

  defmodule Post do
    use Ecto.Schema

    schema "posts" do
      field(:title, :string)
      field(:visits, :integer)
      field(:price, :decimal)
      field(:score, :float)
      field(:public, :boolean)
      field(:day, :date)
      field(:at, :utc_datetime)
      field(:at_usec, :utc_datetime_usec)
      field(:naive, :naive_datetime)
      field(:tags, {:array, :string})
      field(:meta, :map)
      field(:token, Ecto.UUID)
      field(:code, :binary_id)
      belongs_to(:author, Author)
    end
  end

  # A table WITHOUT ROWID, and one of another database.
  @schema [
    "CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT UNIQUE, boss_id INTEGER)",
    """
    CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT DEFAULT 'untitled', visits INTEGER DEFAULT 0,
      price TEXT_DECIMAL, score REAL, public INTEGER, day TEXT_DATE, at TEXT_UTC_DATETIME,
      at_usec TEXT_UTC_DATETIME_USEC, naive TEXT_DATETIME, tags TEXT_ARRAY, meta TEXT_JSON,
      token BLOB_UUID, code TEXT, author_id INTEGER REFERENCES authors)
    """,
    "CREATE INDEX posts_visits ON posts (visits)",
    "CREATE UNIQUE INDEX posts_dear ON posts (title) WHERE visits > 100",
    "CREATE TABLE pairs (a INTEGER, b INTEGER, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "INSERT INTO authors VALUES (1, 'Ann', NULL), (2, 'Bob', 1), (3, 'Cid', 2)",
    """
    INSERT INTO posts VALUES
      (1, 'One', 10, '1.50', 1.5, 1, '2024-01-31', '2024-01-31T10:00:00Z', '2024-01-31T10:00:00.500000Z',
       '2024-01-31T10:00:00', '["a","b"]', '{"a":{"b":[1,true]},"k\\"q":2}',
       x'601d74e4a8d34b6e8365eddb4c893327', '601d74e4-a8d3-4b6e-8365-eddb4c893327', 1),
      (2, 'Two', 20, '1.5', 2.5, 0, '2024-02-29', '2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000000Z',
       '2024-02-29T00:00:00', '["b"]', '{}', NULL, NULL, 1),
      (3, 'Three', 20, '10', NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2)
    """,
    "INSERT INTO pairs VALUES (1, 1, 'x'), (1, 2, 'y')"
  ]

  def fill(repo), do: Enum.each(@schema, &repo.query!/1)
end
