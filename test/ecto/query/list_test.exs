Code.require_file("query_case.exs", __DIR__)
Code.require_file("../types/types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.ListTest do
  # `in` with a list of every type: each element finds its own row, and no other.
  use Ecto.Adapters.LibSql.QueryCase, async: true

  alias Ecto.Adapters.LibSql.TypesCase.Thing

  @uuids ["601d74e4-a8d3-4b6e-8365-eddb4c893327", "00000000-0000-0000-0000-000000000000"]

  @values [
    integer: [0, -1, 9_223_372_036_854_775_807, -9_223_372_036_854_775_808, 9_007_199_254_740_993],
    float: [
      0.0,
      0.1 + 0.2,
      -1.5,
      1.7976931348623157e308,
      5.0e-324,
      2.2250738585072014e-308,
      1.0e300
    ],
    decimal: Enum.map(~w(0 0.1 -1.50 12345678901234567890.123456789), &Decimal.new/1),
    boolean: [true, false],
    string: ["", "a", "it's", "\"", "ü\u2028", "a\0b", "[1]", "1", "null", @uuids |> hd()],
    binary: ["", "a", <<0>>, <<255, 0, 1>>, "it's"],
    bitstring: [<<>>, <<1::1>>, <<0::3>>, <<255, 1::2>>],
    uuid: @uuids,
    bid: @uuids,
    date: [~D[2024-01-31], ~D[0000-01-01]],
    time: [~T[00:00:00], ~T[23:59:59]],
    time_usec: [~T[00:00:00.000000], ~T[23:59:59.000001]],
    naive: [~N[2024-01-31 10:00:00], ~N[1960-01-01 00:00:00]],
    naive_usec: [~N[2024-01-31 10:00:00.000000], ~N[2024-01-31 10:00:00.000001]],
    utc: [~U[2024-01-31 10:00:00Z], ~U[1960-01-01 00:00:00Z]],
    utc_usec: [~U[2024-01-31 10:00:00.000000Z], ~U[2024-01-31 10:00:00.000001Z]],
    map: [%{}, %{"a" => 1}, %{"b" => nil, "a" => [1, %{"c" => "x"}]}],
    strings: [[], ["a"], ["a", "ü\0"], ["b", "a"]],
    enum: [:red, :green]
  ]

  setup %{db: db} do
    columns = Enum.map_join(@values, ", ", fn {name, _values} -> ~s("#{name}") end)
    raw(db, "CREATE TABLE things (id INTEGER PRIMARY KEY, #{columns})")
    :ok
  end

  # The rows have ids by the values' places.
  defp fill(db, field) do
    raw(db, "DELETE FROM things")

    for {value, id} <- Enum.with_index(@values[field], 1) do
      type = Thing.__schema__(:type, field)
      {:ok, dumped} = Ecto.Type.adapter_dump(Ecto.Adapters.LibSql, type, value)
      sql = ~s{INSERT INTO things (id, "#{field}") VALUES (?1, ?2)}
      {:ok, _, _, _} = EctoLibSql.query(db, sql, [id, dumped])
    end
  end

  defp ids(db, query),
    do: db |> rows(from(t in query, order_by: t.id, select: t.id)) |> List.flatten()

  test "each element finds its row", %{db: db} do
    for {field, values} <- @values do
      fill(db, field)

      for {value, id} <- Enum.with_index(values, 1) do
        query = from(t in Thing, where: field(t, ^field) in ^[value])
        assert {field, value, ids(db, query)} == {field, value, [id]}
        query = from(t in Thing, where: field(t, ^field) not in ^[value])

        assert {field, value, ids(db, query)} ==
                 {field, value, Enum.to_list(1..length(values)) -- [id]}
      end

      all = from(t in Thing, where: field(t, ^field) in ^values)
      assert {field, ids(db, all)} == {field, Enum.to_list(1..length(values))}
      assert ids(db, from(t in Thing, where: field(t, ^field) in ^[])) == []
    end
  end

  test "a list with a type", %{db: db} do
    for {field, values} <- @values do
      fill(db, field)
      type = {:array, Thing.__schema__(:type, field)}

      # What JSON of an array cannot hold is no array of the kind.
      unless field in [:binary, :bitstring] do
        query = from(t in Thing, where: field(t, ^field) in type(^values, ^type))
        assert {field, ids(db, query)} == {field, Enum.to_list(1..length(values))}
        query = from(t in Thing, where: field(t, ^field) in type(^[hd(values)], ^type))
        assert {field, ids(db, query)} == {field, [1]}
      end
    end
  end

  test "columns without a schema", %{db: db} do
    for {field, values} <- @values, field not in [:decimal, :map, :strings] do
      fill(db, field)
      type = {:in, Thing.__schema__(:type, field)}
      query = from(t in "things", where: field(t, ^field) in type(^values, ^type))
      assert {field, ids(db, query)} == {field, Enum.to_list(1..length(values))}
    end
  end

  test "NULL in a list", %{db: db} do
    for field <- [:integer, :uuid, :naive, :decimal, :string, :bid, :float] do
      fill(db, field)
      query = from(t in Thing, where: field(t, ^field) not in ^[nil])
      assert ids(db, query) == []
      query = from(t in Thing, where: field(t, ^field) in ^[nil, hd(@values[field])])
      assert ids(db, query) == [1]
    end
  end

  test "stored the other way: ids as text or bytes, date-times as integers", %{db: db} do
    raw(db, "DELETE FROM things")
    uuid = hd(@uuids)
    {:ok, bytes} = Ecto.UUID.dump(uuid)
    at = ~U[2024-01-31 10:00:00Z]

    {:ok, _, _, _} =
      EctoLibSql.query(
        db,
        "INSERT INTO things (id, uuid, bid, utc, naive_usec) VALUES (1, ?1, ?2, ?3, ?3)",
        [uuid, {:blob, bytes}, DateTime.to_unix(at, :microsecond)]
      )

    naive = ~N[2024-01-31 10:00:00.000000]
    assert ids(db, from(t in Thing, where: t.uuid in ^[uuid])) == [1]
    assert ids(db, from(t in Thing, where: t.bid in ^[uuid])) == [1]
    assert ids(db, from(t in Thing, where: t.utc in ^[at])) == [1]
    assert ids(db, from(t in Thing, where: t.naive_usec in ^[naive])) == [1]
    assert ids(db, from(t in "things", where: t.uuid in ^[uuid])) == [1]
    assert ids(db, from(t in "things", where: t.bid in ^[uuid])) == [1]
    assert ids(db, from(t in "things", where: t.utc in ^[at])) == [1]
  end

  test "an id that is no UUID", %{db: db} do
    raw(db, "INSERT INTO things (id, bid) VALUES (1, 'mine'), (2, 'abcd')")
    assert ids(db, from(t in Thing, where: t.bid in ^["mine", "no"])) == [1]
    assert ids(db, from(t in Thing, where: t.bid not in ^["mine", "no"])) == [2]
  end

  test "any number of elements, and one text of SQL", %{db: db} do
    raw(db, "INSERT INTO things (id, integer) VALUES (1, 99999), (2, 100000)")
    many = from(t in Thing, where: t.integer in ^Enum.to_list(0..99_999))
    assert ids(db, many) == [1]
    {sql, _params} = sql(many)
    assert {^sql, _params} = sql(from(t in Thing, where: t.integer in ^[1]))
  end

  test "a text that is not UTF-8 is no :string" do
    assert_raise Ecto.Query.CastError, fn ->
      sql(from(t in Thing, where: t.string in ^[<<255>>]))
    end
  end

  test "arrays in columns", %{db: db} do
    raw(db, ~s(UPDATE things SET strings = NULL))

    raw(
      db,
      ~s{INSERT INTO things (id, strings, string) VALUES (1, '["a","b"]', 'b'), (2, '[]', 'a'), (3, NULL, 'a')}
    )

    raw(db, ~s{INSERT INTO things (id, strings, string) VALUES (4, jsonb('["a"]'), 'x')})
    assert ids(db, from(t in Thing, where: "a" in t.strings)) == [1, 4]
    assert ids(db, from(t in Thing, where: ^"b" in t.strings)) == [1]
    assert ids(db, from(t in Thing, where: t.string in t.strings)) == [1]
    assert ids(db, from(t in Thing, where: t.strings == ^["a"])) == [4]
    assert ids(db, from(t in Thing, where: t.strings == ["a", "b"])) == [1]
    assert ids(db, from(t in Thing, where: t.strings != ^["a"])) == [1, 2]
    assert refused(from(t in Thing, where: t.strings > ^["a"])) =~ "no order"
  end

  # A list of texts is a blob to the driver, and ["[1]"] one that reads as JSON.
  test "a list that nobody says is an array is refused" do
    query =
      "t"
      |> with_cte("t", as: ^from(t in Thing, select: %{strings: t.strings}))
      |> where([t], t.strings == ^["[1]"])
      |> select([t], 1)

    assert refused(query) =~ "type/2"
    typed = from(t in query, where: t.strings == type(^["[1]"], {:array, :string}))
    assert refused(typed) =~ "type/2"

    assert {_sql, _params} =
             typed
             |> exclude(:where)
             |> where([t], t.strings == type(^["a"], {:array, :string}))
             |> sql()
  end

  test "arrays and maps in groups, and never in an order", %{db: db} do
    raw(db, ~s|INSERT INTO things (id, map) VALUES (1, '{"b": 1, "a": 2}'), (2, '{"a":2,"b":1}')|)
    raw(db, ~s|INSERT INTO things (id, map) VALUES (3, jsonb('{"a":2,"b":1}')), (4, '{}')|)
    assert rows(db, from(t in Thing, group_by: t.map, select: count())) |> Enum.sort() == [[1], [3]]
    assert rows(db, from(t in Thing, select: count(t.map, :distinct))) == [[2]]

    assert rows(db, from(t in Thing, distinct: t.map, order_by: t.id, select: t.id)) |> Enum.sort() ==
             [[1], [4]]

    w =
      from(t in Thing,
        windows: [w: [partition_by: t.map]],
        order_by: t.id,
        select: over(count(), :w)
      )

    assert rows(db, w) == [[3], [3], [3], [1]]

    for query <- [
          from(t in Thing, order_by: t.map, select: t.id),
          from(t in Thing, select: max(t.strings)),
          from(t in Thing, where: t.bitstring < t.bitstring, select: t.id),
          from(t in Thing, select: over(rank(), order_by: t.strings))
        ],
        do: assert(refused(query) =~ "no order of")
  end

  test "maps are equal whatever the order of their keys and their spelling", %{db: db} do
    raw(db, ~s|INSERT INTO things (id, map) VALUES (1, '{"b": 1, "a": "\\u00fc"}'), (2, '{"a":1}')|)
    raw(db, ~s|INSERT INTO things (id, map) VALUES (3, jsonb('{"a":"ü","b":1}'))|)
    assert ids(db, from(t in Thing, where: t.map == ^%{a: "ü", b: 1})) == [1, 3]
    assert ids(db, from(t in Thing, where: t.map != ^%{a: "ü", b: 1})) == [2]
    assert ids(db, from(t in Thing, where: t.map in ^[%{a: 1}, %{}])) == [2]
    assert ids(db, from(t in Thing, join: u in Thing, on: t.map == u.map and t.id < u.id)) == [1]
  end
end
