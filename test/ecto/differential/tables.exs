defmodule EctoLibSql.Differential.Tables do
  @moduledoc false
  # Small tables of small values, so that many of them are equal, and NULL among them.

  defmodule Row do
    use Ecto.Schema

    schema "a" do
      field(:i, :integer)
      field(:j, :integer)
      field(:f, :float)
      field(:d, :decimal)
      field(:e, :decimal)
      field(:s, :string)
      field(:b, :boolean)
      field(:day, :date)
      field(:n, :naive_datetime)
      field(:nu, :naive_datetime_usec)
      field(:u, :utc_datetime)
      field(:uu, :utc_datetime_usec)
      field(:list, {:array, :string})
      field(:uuid, Ecto.UUID)
      field(:bid, :binary_id)
    end
  end

  # The types that expressions are made of, and the columns that have them.
  @columns [
    int: [:id, :i, :j],
    float: [:f],
    dec: [:d, :e],
    str: [:s],
    bool: [:b],
    date: [:day],
    naive: [:n],
    naive_usec: [:nu],
    utc: [:u],
    utc_usec: [:uu],
    list: [:list],
    uuid: [:uuid],
    bid: [:bid]
  ]

  @ecto %{
    int: :integer,
    float: :float,
    dec: :decimal,
    str: :string,
    bool: :boolean,
    date: :date,
    naive: :naive_datetime,
    naive_usec: :naive_datetime_usec,
    utc: :utc_datetime,
    utc_usec: :utc_datetime_usec,
    list: {:array, :string},
    uuid: Ecto.UUID,
    bid: :binary_id
  }

  @names ["a", "b", "c"]

  def names, do: @names
  def types, do: Keyword.keys(@columns)
  def columns(type), do: @columns[type]
  def ecto(type), do: @ecto[type]

  def column?(column), do: Enum.any?(@columns, fn {_type, columns} -> column in columns end)

  # "c" has no rowid. Decimals are declared as migrations do it, and as others did.
  @decimals %{
    "a" => {"TEXT_DECIMAL COLLATE decimal", "TEXT_DECIMAL COLLATE decimal"},
    "b" => {"TEXT_DECIMAL", "NUMERIC"},
    "c" => {"TEXT_DECIMAL COLLATE decimal", "TEXT_DECIMAL"}
  }

  @doc "The tables; a server's (`collation: false`) have no collation for decimals."
  def create(repo, opts \\ []) do
    query! = fn sql ->
      repo.query!(
        if opts[:collation] == false, do: String.replace(sql, "COLLATE decimal", ""), else: sql
      )
    end

    for name <- @names, {d, e} = @decimals[name] do
      query!.("""
      CREATE TABLE #{name} (id INTEGER PRIMARY KEY, i INTEGER, j INTEGER, f REAL, d #{d}, e #{e},
        s TEXT, b INTEGER, day TEXT_DATE, n ANYTHING, nu ANYTHING, u ANYTHING, uu ANYTHING, list BLOB, uuid BLOB, bid BLOB)
      #{if name == "c", do: "WITHOUT ROWID", else: ""}
      """)

      query!.("CREATE INDEX #{name}_i ON #{name} (i)")

      query!.(
        "CREATE INDEX #{name}_d ON #{name} (d #{if d == "TEXT_DECIMAL", do: "COLLATE decimal"})"
      )

      query!.("CREATE INDEX #{name}_u ON #{name} (u)")
    end
  end

  @doc "Random rows for every table, as `%{name => [row]}` with rows as maps."
  def random, do: Map.new(@names, &{&1, rows()})

  defp rows do
    for id <- Enum.take(1..9, Enum.random([0, 1, 3, 4, 5, 6, 6])) do
      for {type, columns} <- @columns, column <- columns, into: %{} do
        {column, if(column == :id, do: id, else: maybe(type))}
      end
    end
  end

  defp maybe(type), do: if(:rand.uniform(7) == 1, do: nil, else: value(type))

  @moments [
    ~N[2024-01-31 00:00:00.000000],
    ~N[2024-01-31 10:00:00.000000],
    ~N[2024-01-31 10:00:00.500000],
    ~N[2024-01-31 10:00:01.000000],
    ~N[2024-02-29 23:59:59.999999],
    ~N[1969-12-31 23:59:59.000001]
  ]
  @uuids ["601d74e4-a8d3-4b6e-8365-eddb4c893327", "00000000-0000-0000-0000-000000000000"]

  def value(:int), do: Enum.random(-1..3)
  def value(:float), do: Enum.random([-0.5, 0.0, 0.25, 1.0, 2.0])
  def value(:dec), do: Decimal.new(Enum.random(~w(-1 0 0.0 0.1 1 1.0 1.5 1.50 2 10 9.99)))
  def value(:str), do: Enum.random(["", "a", "A", "ab", "b", "1", "1.5"])
  def value(:bool), do: Enum.random([true, false])
  def value(:date), do: NaiveDateTime.to_date(Enum.random(@moments))
  def value(:naive), do: NaiveDateTime.truncate(Enum.random(@moments), :second)
  def value(:naive_usec), do: Enum.random(@moments)
  def value(:utc), do: DateTime.from_naive!(value(:naive), "Etc/UTC")
  def value(:utc_usec), do: DateTime.from_naive!(value(:naive_usec), "Etc/UTC")
  def value(:list), do: Enum.take_random(["a", "b", "ab"], Enum.random(0..2))
  def value(type) when type in [:uuid, :bid], do: Enum.random(@uuids)

  @doc "What stands in queries as it is, for a type of column."
  def literals,
    do: [int: 0, int: 2, float: 0.25, float: 1.0, dec: 1, dec: 1.5, dec: 0.1, str: "a", bool: true]

  @doc "Lists that stand in queries as they are."
  def literal_lists, do: [int: [0, 2], float: [0.25, 1.0], dec: [1, 1.5], str: ["a", "", "1"]]

  def fill(repo, tables) do
    for {name, rows} <- tables do
      repo.query!("DELETE FROM #{name}")
      if rows != [], do: repo.insert_all({name, Row}, rows)
    end
  end
end
