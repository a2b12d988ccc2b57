# The database of bench/ecto.exs: one schema, one DDL and one set of rows for all Repos.

defmodule Bench.Country do
  use Ecto.Schema

  schema "countries" do
    field(:name, :string)
  end
end

defmodule Bench.Owner do
  use Ecto.Schema

  schema "owners" do
    field(:name, :string)
    belongs_to(:country, Bench.Country)
  end
end

defmodule Bench.Category do
  use Ecto.Schema

  schema "categories" do
    field(:name, :string)
  end
end

defmodule Bench.Item do
  use Ecto.Schema

  schema "items" do
    field(:name, :string)
    field(:note, :string)
    field(:stock, :integer)
    field(:weight, :float)
    field(:active, :boolean)
    belongs_to(:owner, Bench.Owner)
    belongs_to(:category, Bench.Category)
    timestamps()
  end
end

defmodule Bench.Shop do
  @items 100_000
  @owners 5_000
  @countries 100
  @categories 50

  alias Bench.{Category, Country, Item, Owner}

  def items, do: @items
  def owners, do: @owners

  @item """
    (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT, stock INTEGER, weight REAL, active INTEGER,
     owner_id INTEGER REFERENCES owners (id), category_id INTEGER REFERENCES categories (id),
     inserted_at TEXT NOT NULL, updated_at TEXT NOT NULL)
  """

  @ddl [
    "CREATE TABLE countries (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE categories (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT, " <>
      "country_id INTEGER REFERENCES countries (id))",
    "CREATE TABLE items " <> @item,
    "CREATE INDEX items_owner_id_index ON items (owner_id)",
    "CREATE TABLE sink " <> @item,
    "CREATE INDEX sink_owner_id_index ON sink (owner_id)"
  ]

  def fill(repo) do
    for sql <- @ddl, do: repo.query!(sql)
    insert(repo, Country, for(n <- 1..@countries, do: %{id: n, name: "country #{n}"}))
    insert(repo, Category, for(n <- 1..@categories, do: %{id: n, name: "category #{n}"}))
    insert(repo, Owner, for(n <- 1..@owners, do: owner(n)))
    insert(repo, Item, for(n <- 1..@items, do: item(n)))
    repo.query!("ANALYZE")
  end

  defp owner(n), do: %{id: n, name: "owner #{n}", country_id: rem(n, @countries) + 1}
  defp item(n), do: n |> new() |> Map.put(:id, n)

  defp insert(repo, schema, rows) do
    for chunk <- Enum.chunk_every(rows, 500), do: repo.insert_all(schema, chunk)
  end

  @doc "An item without its id."
  def new(n) do
    at = NaiveDateTime.add(~N[2024-01-01 00:00:00], n)

    %{
      name: "name of item #{n}",
      note: nil,
      stock: rem(n, 1000),
      weight: n * 0.5,
      active: rem(n, 2) == 0,
      owner_id: rem(n, @owners) + 1,
      category_id: rem(n, @categories) + 1,
      inserted_at: at,
      updated_at: at
    }
  end
end
