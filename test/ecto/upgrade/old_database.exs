defmodule EctoLibSql.OldDatabase do
  @moduledoc false
  # A database as EctoLibSql 0.9.1 made it: tables as its migrations declared them, values as it bound them.
  # It knew no blobs: bytes that are UTF-8 became TEXT, others BLOB. Foreign keys were not enforced.

  defmodule Owner do
    @moduledoc false
    use Ecto.Schema
    @primary_key {:id, Ecto.UUID, autogenerate: true}

    schema "owners" do
      field(:name, :string)

      many_to_many(:friends, __MODULE__,
        join_through: "friends",
        join_keys: [owner_id: :id, friend_id: :id]
      )
    end
  end

  defmodule Item do
    @moduledoc false
    use Ecto.Schema

    schema "items" do
      field(:flag, :boolean)
      field(:count, :integer)
      field(:ratio, :float)
      field(:price, :decimal)
      field(:name, :string)
      field(:cover, :binary)
      field(:token, Ecto.UUID)
      field(:ref, :binary_id)
      field(:day, :date)
      field(:time, :time)
      field(:time_usec, :time_usec)
      field(:naive, :naive_datetime)
      field(:naive_usec, :naive_datetime_usec)
      field(:utc, :utc_datetime)
      field(:utc_usec, :utc_datetime_usec)
      field(:meta, :map)
      field(:tags, {:array, :string})
      field(:kind, Ecto.Enum, values: [:small, :large])
      belongs_to(:owner, Owner, type: Ecto.UUID)
    end
  end

  @tables [
    ~s[CREATE TABLE "owners" ("id" TEXT PRIMARY KEY, "name" TEXT)],
    ~s[CREATE TABLE "friends" ("owner_id" TEXT, "friend_id" TEXT)],
    ~s[CREATE TABLE "items" ("id" INTEGER PRIMARY KEY, "flag" INTEGER, "count" INTEGER DEFAULT 0, "ratio" REAL, ] <>
      ~s["price" DECIMAL NOT NULL DEFAULT '0' CHECK (price > -100 AND price < 100000), "name" TEXT, "cover" BLOB, ] <>
      ~s["token" TEXT, "ref" TEXT, "day" DATE, "time" TIME, "time_usec" TIME, "naive" DATETIME, ] <>
      ~s["naive_usec" DATETIME, "utc" DATETIME, "utc_usec" DATETIME, "meta" TEXT, "tags" TEXT, "kind" TEXT, ] <>
      ~s["owner_id" TEXT REFERENCES "owners"("id"))],
    ~s[CREATE UNIQUE INDEX "items_token_index" ON "items" ("token")],
    ~s[CREATE INDEX "items_price_index" ON "items" ("price") WHERE price > 5],
    ~s[CREATE VIEW "dear" AS SELECT id FROM items WHERE price > 9],
    ~s[CREATE TABLE "changed" ("item_id" INTEGER)],
    ~s[CREATE TRIGGER "items_changed" AFTER UPDATE ON "items" BEGIN INSERT INTO changed VALUES (new.id); END],
    ~s[CREATE TABLE "loose" ("data" BLOB, "key" TEXT)]
  ]

  @doc "Creates it at a path, and answers a connection to it."
  def create(path) do
    {:ok, db} = EctoLibSql.connect(database: path, foreign_keys: false, journal_mode: :delete)
    for sql <- @tables, do: run(db, sql)
    db
  end

  @doc "Runs SQL with parameters bound as 0.9.1 bound them."
  def run(db, sql, params \\ []) do
    {:ok, _query, result, _db} = EctoLibSql.query(db, sql, Enum.map(params, &bound/1))
    result.rows
  end

  # Dates and times were ISO 8601 text, decimals text, maps and lists JSON; the driver does the same with
  # them, and with bytes as 0.9.1 did.
  defp bound(list) when is_list(list), do: Jason.encode!(list)
  defp bound(atom) when is_atom(atom) and atom not in [nil, true, false], do: Atom.to_string(atom)
  defp bound(other), do: other

  @doc "A row, its UUIDs as bytes."
  def insert(db, schema, fields) do
    {names, values} =
      fields
      |> Enum.map(fn {name, value} -> {name, dump(schema.__schema__(:type, name), value)} end)
      |> Enum.unzip()

    places = Enum.map_join(1..length(names), ", ", &"?#{&1}")

    sql =
      ~s[INSERT INTO "#{schema.__schema__(:source)}" (#{Enum.map_join(names, ", ", &~s("#{&1}"))}) VALUES (#{places})]

    run(db, sql, values)
  end

  defp dump(Ecto.UUID, uuid) when is_binary(uuid), do: Ecto.UUID.dump!(uuid)
  defp dump(_type, value), do: value

  @doc "A UUID of version 4 whose bytes are UTF-8."
  def text_uuid(letter), do: Ecto.UUID.load!(<<letter, "bcdef", 0x4A, 0xC3, 0xA9, "ghijklm">>)

  ## The upgrade of it

  @doc "The report."
  def upgrade(path, opts \\ []) do
    {:ok, report} = EctoLibSql.Upgrade.run([database: path], [schemas: [Item, Owner]] ++ opts)
    report
  end

  @doc "What a report has found."
  def brief(report),
    do: for(f <- report.findings, do: {f.table, f.columns, f.kind, f.count, f.status})
end
