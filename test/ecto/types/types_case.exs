defmodule Ecto.Adapters.LibSql.TypesCase do
  @moduledoc false
  # A table with a column of each type, declared as migrations declare it, STRICT or not, in Repos of
  # different forms; and random values. ExUnit's seed makes the same values again: `mix test --seed n`.

  use ExUnit.CaseTemplate

  alias EctoLibSql.Forms

  defmodule Repo do
    @moduledoc false
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Money do
    @moduledoc false
    # A type of an application: a struct that is stored as an integer.
    use Ecto.Type
    defstruct [:cents]
    def type, do: :integer
    def cast(%__MODULE__{} = money), do: {:ok, money}
    def cast(_other), do: :error
    def load(cents) when is_integer(cents), do: {:ok, %__MODULE__{cents: cents}}
    def load(_other), do: :error
    def dump(%__MODULE__{cents: cents}), do: {:ok, cents}
    def dump(_other), do: :error
  end

  defmodule Token do
    @moduledoc false
    # A type of an application upon UUIDs.
    use Ecto.Type
    def type, do: :uuid

    def cast("tok_" <> uuid),
      do: with({:ok, uuid} <- Ecto.UUID.cast(uuid), do: {:ok, "tok_" <> uuid})

    def cast(_other), do: :error
    def load(bytes), do: with({:ok, uuid} <- Ecto.UUID.load(bytes), do: {:ok, "tok_" <> uuid})
    def dump("tok_" <> uuid), do: Ecto.UUID.dump(uuid)
    def dump(_other), do: :error
  end

  defmodule Part do
    @moduledoc false
    use Ecto.Schema

    embedded_schema do
      field(:price, :decimal)
      field(:at, :utc_datetime_usec)
      field(:code, Ecto.UUID)
      field(:more, :map)
    end
  end

  defmodule Thing do
    @moduledoc false
    use Ecto.Schema

    schema "things" do
      field(:boolean, :boolean)
      field(:integer, :integer)
      field(:float, :float)
      field(:decimal, :decimal)
      field(:string, :string)
      field(:binary, :binary)
      field(:bitstring, :bitstring)
      field(:uuid, Ecto.UUID)
      field(:bid, :binary_id)
      field(:token, Token)
      field(:date, :date)
      field(:time, :time)
      field(:time_usec, :time_usec)
      field(:naive, :naive_datetime)
      field(:naive_usec, :naive_datetime_usec)
      field(:utc, :utc_datetime)
      field(:utc_usec, :utc_datetime_usec)
      field(:money, Money)
      field(:enum, Ecto.Enum, values: [:red, :green])
      field(:number_enum, Ecto.Enum, values: [one: 1, two: 2])
      field(:map, :map)
      field(:decimals, {:map, :decimal})
      field(:integers, {:array, :integer})
      field(:floats, {:array, :float})
      field(:booleans, {:array, :boolean})
      field(:strings, {:array, :string})
      field(:prices, {:array, :decimal})
      field(:binaries, {:array, :binary})
      field(:bits, {:array, :bitstring})
      field(:uuids, {:array, Ecto.UUID})
      field(:bids, {:array, :binary_id})
      field(:dates, {:array, :date})
      field(:nested, {:array, {:array, :utc_datetime_usec}})
      field(:maps, {:array, :map})
      field(:enums, {:array, Ecto.Enum}, values: [one: 1, two: 2])
      field(:monies, {:array, Money})
      field(:virtual, :integer, virtual: true)
      embeds_one(:part, Part)
      embeds_many(:parts, Part)
    end
  end

  @json ~w(map decimals part)a
  @arrays ~w(integers floats booleans strings prices binaries bits uuids bids dates nested maps enums
             monies parts)a
  @others [
    boolean: "INTEGER",
    integer: "INTEGER",
    float: "REAL",
    decimal: "TEXT_DECIMAL COLLATE DECIMAL",
    string: "TEXT",
    binary: "BLOB",
    bitstring: "BLOB_BITSTRING",
    date: "TEXT_DATE",
    time: "TEXT_TIME",
    time_usec: "TEXT_TIME_USEC",
    money: "INTEGER",
    enum: "TEXT",
    number_enum: "INTEGER"
  ]
  @datetimes [naive: "DATETIME", naive_usec: "DATETIME_USEC", utc: "UTC_DATETIME"] ++
               [utc_usec: "UTC_DATETIME_USEC"]

  @doc "Settings of Repos that differ in all forms."
  def all_forms do
    [
      [],
      [uuid_type: :text, binary_id_type: :blob, json_type: :jsonb, datetime_type: :integer],
      [binary_id_type: :blob],
      [uuid_type: :text]
    ]
  end

  @doc "What a column of the table is declared as."
  def columns(options) do
    forms = Forms.of(options)
    uuid = if forms.uuid == :blob, do: "BLOB_UUID", else: "TEXT_UUID"
    bid = if forms.binary_id == :blob, do: "BLOB_UUID", else: "TEXT"
    moment = if forms.datetime == :integer, do: "INTEGER_", else: "TEXT_"

    {json, array} =
      if forms.json == :text, do: {"TEXT_JSON", "TEXT_ARRAY"}, else: {"BLOB_JSONB", "BLOB_ARRAY"}

    [uuid: uuid, token: uuid, bid: bid] ++
      @others ++
      for({name, type} <- @datetimes, do: {name, moment <> type}) ++
      for(name <- @json, do: {name, json}) ++ for(name <- @arrays, do: {name, array})
  end

  @doc "The storage class that values of a column have."
  def storage(declared), do: declared |> String.split("_") |> hd() |> String.downcase()

  @doc "Starts a Repo with these options and an empty table in a database of its own."
  def start_repo(options, settings \\ []) do
    path = EctoLibSql.Case.tmp_path()
    name = :"#{__MODULE__}#{System.unique_integer([:positive])}"
    repo = [database: path, name: name, pool_size: 2, log: false] ++ options
    ExUnit.Callbacks.start_supervised!({Repo, repo}, id: name)
    Repo.put_dynamic_repo(name)
    create("things", columns(options), settings)
    :ok
  end

  @doc "Creates a table with an id and columns."
  def create(table, columns, settings \\ []) do
    strict? = settings[:strict]
    declare = fn type -> if strict?, do: type |> storage() |> String.upcase(), else: type end
    columns = Enum.map_join(columns, ", ", fn {name, type} -> ~s("#{name}" #{declare.(type)}) end)
    options = if strict?, do: "STRICT", else: ""
    Repo.query!("CREATE TABLE #{table} (id INTEGER PRIMARY KEY, #{columns}) #{options}")
  end

  @doc "The storage classes in a column, without NULL."
  def classes(column) do
    sql = ~s[SELECT DISTINCT typeof("#{column}") FROM things WHERE "#{column}" IS NOT NULL]

    Repo.query!(sql).rows
    |> List.flatten()
    |> Enum.sort()
  end

  ## Random values

  @doc "A random value of a field of Thing."
  def random(field)
  def random(:boolean), do: Enum.random([true, false])

  def random(:integer),
    do: Enum.random([small(), big(), 0, -0x8000000000000000, 0x7FFFFFFFFFFFFFFF])

  def random(:float), do: Enum.random([small() / 8, small() * 1.0, big() * 1.0, 1.0e-300, 0.1])
  def random(:decimal), do: decimal(38)
  def random(:string), do: text()
  def random(:binary), do: Enum.random([text(), :rand.bytes(small(40))])
  def random(:bitstring), do: bits()
  def random(:uuid), do: uuid()
  def random(:bid), do: uuid()
  def random(:token), do: "tok_" <> uuid()
  def random(:date), do: moment() |> DateTime.to_date()
  def random(:time_usec), do: moment() |> DateTime.to_time()
  def random(:time), do: random(:time_usec) |> Time.truncate(:second)
  def random(:utc_usec), do: moment()
  def random(:utc), do: moment() |> DateTime.truncate(:second)
  def random(:naive_usec), do: moment() |> DateTime.to_naive()
  def random(:naive), do: random(:utc) |> DateTime.to_naive()
  def random(:money), do: %Money{cents: small()}
  def random(:enum), do: Enum.random([:red, :green])
  def random(:number_enum), do: Enum.random([:one, :two])
  def random(:map), do: map(3)
  def random(:decimals), do: for(_ <- 1..small(3), into: %{}, do: {text(), decimal(30)})
  def random(:integers), do: some(:integer)
  def random(:floats), do: some(:float)
  def random(:booleans), do: some(:boolean)
  def random(:strings), do: some(:string)
  def random(:prices), do: some(:decimal)
  def random(:binaries), do: some(:binary)
  def random(:bits), do: some(:bitstring)
  def random(:uuids), do: some(:uuid)
  def random(:bids), do: some(:bid)
  def random(:dates), do: some(:date)
  def random(:nested), do: for(_ <- 1..small(3), do: some(:utc_usec))
  def random(:maps), do: for(_ <- 1..small(3), do: map(2))
  def random(:enums), do: some(:number_enum)
  def random(:monies), do: some(:money)

  def random(:part),
    do: %Part{id: uuid(), price: decimal(20), at: moment(), code: uuid(), more: map(1)}

  def random(:parts), do: for(_ <- 1..small(3), do: random(:part))

  defp some(field), do: for(_ <- 1..small(4), do: random(field))

  @doc "A random Thing; about one field in ten is nil."
  def random_thing do
    for field <- Thing.__schema__(:fields) -- [:id], field == :parts or :rand.uniform(10) > 1 do
      {field, random(field)}
    end
    |> then(&struct(Thing, &1))
  end

  defp small(n \\ 100), do: :rand.uniform(n)
  defp big, do: (:rand.uniform(0xFFFFFFFFFFFFFFFF) - 0x8000000000000000) |> Bitwise.>>>(small(40))

  @doc "A random decimal of up to so many digits."
  def decimal(digits) do
    count = :rand.uniform(digits)
    coef = :rand.uniform(Integer.pow(10, count)) - 1
    %Decimal{sign: Enum.random([1, -1]), coef: coef, exp: -:rand.uniform(count + 3) + 2} |> plain()
  end

  # 0 has one sign, and an exponent above 0 is not how a column has it.
  defp plain(%Decimal{coef: 0} = decimal), do: %{decimal | sign: 1, exp: min(decimal.exp, 0)}

  defp plain(%Decimal{exp: exp, coef: coef} = d) when exp > 0,
    do: %{d | coef: coef * Integer.pow(10, exp), exp: 0}

  defp plain(decimal), do: decimal

  @letters ["a", "Z", "0", " ", "'", "\"", "\\", "é", "漢", "🙂", "\0", "\n", "%", "_"]
  defp text, do: Enum.map_join(1..small(12), fn _ -> Enum.random(@letters) end)

  defp bits do
    size = small(40) - 1
    <<bits::bitstring-size(size), _::bitstring>> = :rand.bytes(8)
    bits
  end

  @doc "A random UUID; of every third the text is digits and the letter e, as a number has."
  def uuid do
    if :rand.uniform(3) > 1,
      do: Ecto.UUID.generate(),
      else: numeric_uuid()
  end

  @doc "A UUID like 83562e48-…: without its hyphens it reads as a number, or as infinity."
  def numeric_uuid do
    digits = for _ <- 1..32, do: Enum.random(?0..?9)

    {:ok, bytes} =
      digits
      |> List.replace_at(:rand.uniform(30), ?e)
      |> List.to_string()
      |> Base.decode16(case: :lower)

    Ecto.UUID.load!(bytes)
  end

  @first DateTime.to_unix(~U[0000-01-01 00:00:00.000000Z], :microsecond)
  @last DateTime.to_unix(~U[9999-12-31 23:59:59.999999Z], :microsecond)

  @doc "A random moment of the years 0 to 9999, often near 1970, to the microsecond."
  def moment do
    microseconds =
      case :rand.uniform(3) do
        1 -> @first + :rand.uniform(@last - @first)
        2 -> :rand.uniform(4_000_000_000_000_000) - 2_000_000_000_000_000
        3 -> Enum.random([@first, @last, 0, -1, 1, -1_000_000, :rand.uniform(1000) - 500])
      end

    DateTime.from_unix!(microseconds, :microsecond)
  end

  defp map(depth), do: for(_ <- 1..small(4), into: %{}, do: {text(), json(depth - 1)})

  defp json(depth) when depth < 1,
    do: Enum.random([nil, true, false, small(), big(), small() / 8, text(), 1.0e30, -0.5])

  defp json(depth),
    do: Enum.random([json(0), map(depth), for(_ <- 1..small(3), do: json(depth - 1)), [], %{}])
end
