defmodule Ecto.Adapters.LibSql.TypesTest do
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql
  alias Ecto.Adapters.LibSql.Types

  @uuid "601d74e4-a8d3-4b6e-8365-eddb4c893327"

  defp dump(type, value), do: Ecto.Type.adapter_dump(LibSql, type, value)
  defp load(type, value), do: Ecto.Type.adapter_load(LibSql, type, value)

  # Into a table and out of it again, with the storage class that it had there.
  defp through(type, value) do
    {:ok, dumped} = dump(type, value)
    {:ok, db} = EctoLibSql.connect(database: ":memory:")
    {:ok, _, _, _} = EctoLibSql.query(db, "CREATE TABLE t (v)")
    {:ok, _, _, _} = EctoLibSql.query(db, "INSERT INTO t VALUES (?1)", [dumped])
    {:ok, [stored, class]} = EctoLibSql.query_one(db, "SELECT v, typeof(v) FROM t")
    {:ok, loaded} = load(type, stored)
    {loaded, class, stored}
  end

  test "booleans are 1 and 0" do
    assert {true, "integer", 1} = through(:boolean, true)
    assert {false, "integer", 0} = through(:boolean, false)
  end

  test "date-times have six digits of a second or none, and Z in UTC" do
    assert {~N[2024-05-06 07:08:09], "text", "2024-05-06T07:08:09"} =
             through(:naive_datetime, ~N[2024-05-06 07:08:09])

    assert {~U[2024-05-06 07:08:09Z], "text", "2024-05-06T07:08:09Z"} =
             through(:utc_datetime, ~U[2024-05-06 07:08:09Z])

    assert {~N[2024-05-06 07:08:09.000000], "text", "2024-05-06T07:08:09.000000"} =
             through(:naive_datetime_usec, ~N[2024-05-06 07:08:09.000000])

    assert {~U[2024-05-06 07:08:09.012340Z], "text", "2024-05-06T07:08:09.012340Z"} =
             through(:utc_datetime_usec, ~U[2024-05-06 07:08:09.012340Z])
  end

  test "dates and times are ISO 8601" do
    assert {~D[2024-05-06], "text", "2024-05-06"} = through(:date, ~D[2024-05-06])
    assert {~T[07:08:09], "text", "07:08:09"} = through(:time, ~T[07:08:09])

    assert {~T[07:08:09.000100], "text", "07:08:09.000100"} =
             through(:time_usec, ~T[07:08:09.000100])
  end

  test "date-times of other programs: a space for the T, no Z, other digits, an offset" do
    assert load(:naive_datetime, "2024-05-06 07:08:09") == {:ok, ~N[2024-05-06 07:08:09]}
    assert load(:naive_datetime, "2024-05-06T07:08:09.123") == {:ok, ~N[2024-05-06 07:08:09]}
    assert load(:utc_datetime, "2024-05-06 07:08:09") == {:ok, ~U[2024-05-06 07:08:09Z]}
    assert load(:utc_datetime, "2024-05-06T07:08:09+02:00") == {:ok, ~U[2024-05-06 05:08:09Z]}

    assert load(:utc_datetime_usec, "2024-05-06T07:08:09.5") ==
             {:ok, ~U[2024-05-06 07:08:09.500000Z]}

    assert load(:utc_datetime, 1_714_979_289.0) == :error
    assert load(:naive_datetime, "yesterday") == :error
  end

  test "decimals keep every digit, and are read from numbers" do
    exact = Decimal.new("1234567890123456789.0100")
    assert {^exact, "text", "1234567890123456789.0100"} = through(:decimal, exact)
    assert load(:decimal, 7) == {:ok, Decimal.new(7)}
    assert load(:decimal, 0.5) == {:ok, Decimal.new("0.5")}
    assert load(:decimal, "7 apples") == :error
  end

  test "binaries and UUIDs are blobs, whatever their bytes" do
    assert {"text", "blob", "text"} = through(:binary, "text")
    bytes = Ecto.UUID.dump!(@uuid)
    assert {@uuid, "blob", ^bytes} = through(Ecto.UUID, @uuid)
    assert load(Ecto.UUID, @uuid) == {:ok, @uuid}
  end

  test "binary_id is text, and is read from bytes" do
    assert {@uuid, "text", @uuid} = through(:binary_id, @uuid)
    assert load(:binary_id, Ecto.UUID.dump!(@uuid)) == {:ok, @uuid}
    assert load(:binary_id, "sixteen-letters!") == {:ok, "sixteen-letters!"}
  end

  test "maps and arrays are JSON text" do
    assert {%{"a" => [1, nil]}, "text", ~s({"a":[1,null]})} = through(:map, %{"a" => [1, nil]})
    assert {%{"a" => 1.0}, "text", _json} = through({:map, :float}, %{"a" => 1.0})
    assert load({:map, :float}, ~s({"a":1})) == {:ok, %{"a" => 1.0}}
    assert {[1, 2], "text", "[1,2]"} = through({:array, :integer}, [1, 2])
    assert {[], "text", "[]"} = through({:array, :string}, [])

    json = ~s(["#{@uuid}"])
    assert {[@uuid], "text", ^json} = through({:array, Ecto.UUID}, [@uuid])

    moments = [~U[2024-05-06 07:08:09.000000Z]]
    assert {^moments, "text", _json} = through({:array, :utc_datetime_usec}, moments)
    decimals = [Decimal.new("1.10")]
    assert {^decimals, "text", ~s(["1.10"])} = through({:array, :decimal}, decimals)
    assert load(:map, "no JSON") == :error
  end

  test "what is in a map is what JSON shows of it" do
    map = %{
      :at => ~U[2024-05-06 07:08:09Z],
      "day" => ~D[2024-05-06],
      1 => Decimal.new("1.10"),
      "deep" => %{list: [%{a: nil}, true, 2.0, "é\0"]},
      "big" => 123_456_789_012_345_678_901_234_567_890
    }

    assert {read, "text", _json} = through(:map, map)

    assert read == %{
             "at" => "2024-05-06T07:08:09Z",
             "day" => "2024-05-06",
             "1" => "1.10",
             "deep" => %{"list" => [%{"a" => nil}, true, 2.0, "é\0"]},
             "big" => 123_456_789_012_345_678_901_234_567_890
           }
  end

  test "bitstrings keep their length" do
    for bits <- [<<>>, <<1::1>>, <<42::6>>, <<5::8>>, <<1::9>>, <<0::17>>] do
      assert {^bits, "blob", _bytes} = through(:bitstring, bits)
    end

    assert Types.pack_bits(<<42::6>>) == <<2, 42::6, 0::2>>
    assert load(:bitstring, <<9, 1>>) == :error
  end

  test "floats are read from integers" do
    assert load(:float, 3) == {:ok, 3.0}
    assert {1.0, "real", 1.0} = through(:float, 1.0)
  end

  test "nil is NULL in every type" do
    for type <-
          [:boolean, :decimal, :map, :binary, :bitstring, :utc_datetime, :date, Ecto.UUID] ++
            [:binary_id, {:array, :integer}, {:map, :integer}, :duration] do
      assert {type, dump(type, nil)} == {type, {:ok, nil}}
      assert {type, load(type, nil)} == {type, {:ok, nil}}
    end
  end

  test "the text of date-times sorts as they do" do
    moments =
      for _ <- 1..200 do
        DateTime.from_unix!(:rand.uniform(4_000_000_000_000_000), :microsecond)
      end

    texts = for moment <- moments, do: moment |> then(&dump(:utc_datetime_usec, &1)) |> elem(1)
    texts = EctoLibSql.Encoder.params(texts)
    sorted = for moment <- Enum.sort(moments, DateTime), do: DateTime.to_iso8601(moment)
    assert Enum.sort(texts) == sorted
  end
end
