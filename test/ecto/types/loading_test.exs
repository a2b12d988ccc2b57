Code.require_file("types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Types.LoadingTest do
  # SQLite may hold anything anywhere. What is not of the field's type is Ecto's own error, whatever it is.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  import Ecto.Adapters.LibSql.TypesCase
  alias Ecto.Adapters.LibSql
  alias Ecto.Adapters.LibSql.TypesCase.{Repo, Thing}
  alias EctoLibSql.{Encoder, Forms}

  @fields Thing.__schema__(:fields) -- [:id]

  @odd [
         nil,
         0,
         1,
         -1,
         7,
         0x7FFFFFFFFFFFFFFF,
         -0x8000000000000000,
         1.5,
         :infinity,
         :neg_infinity,
         "",
         " ",
         "x"
       ] ++
         [
           "12",
           "1.5",
           "1e5",
           "1e999999999",
           "NaN",
           "Infinity",
           "-",
           "true",
           "null",
           "5",
           "[",
           "{",
           "[1",
           "{}",
           "[]"
         ] ++
         [
           "[null]",
           "[[1]]",
           ~s({"a":1}),
           ~s([{"x":5}]),
           ~s([{"x":"zz"}]),
           ~s({"x":"ff"}),
           ~s("s"),
           "2024-13-45"
         ] ++
         [
           "2024-05-06",
           "07:08:09",
           "25:00:00",
           "2024-05-06T25:00:00",
           "2024-05-06T07:08:09+99:99",
           "PT",
           "P1X"
         ] ++
         [
           "0000-00-00",
           "-0001-01-01",
           "10000-01-01T00:00:00",
           <<0>>,
           <<255>>,
           <<0::128>>,
           <<255::128>>,
           <<9, 1>>
         ] ++
         [
           String.duplicate("g", 36),
           String.duplicate("g", 32),
           "red",
           "one",
           <<0x5B, 0x13>>,
           <<0xFB, 255::64>>
         ]

  defp assert_answered(type, value) do
    case LibSql |> Ecto.Type.adapter_load(type, value) do
      {:ok, _loaded} -> :ok
      :error -> :error
    end
  rescue
    error ->
      # Ecto's own for embedded schemas.
      assert %ArgumentError{message: "cannot load" <> _} = error, inspect({type, value, error})
      :error
  end

  test "any value is loaded or refused as any type" do
    values = @odd ++ for _ <- 1..1000, do: :rand.bytes(:rand.uniform(40))

    for field <- @fields, type = Thing.__schema__(:type, field), value <- values do
      assert_answered(type, value)
    end
  end

  test "what was stored, changed in one byte, is loaded or refused" do
    forms = [%Forms{}, %Forms{uuid: :text, binary_id: :blob, json: :jsonb, datetime: :integer}]

    for _ <- 1..2000,
        field = Enum.random(@fields),
        type = Thing.__schema__(:type, field),
        forms <- forms do
      {:ok, dumped} = Ecto.Type.adapter_dump(LibSql, type, random(field))

      case Encoder.value(dumped, forms) do
        {:blob, <<_, _::binary>> = bytes} -> assert_answered(type, mutate(bytes))
        <<_, _::binary>> = text -> assert_answered(type, mutate(text))
        _number -> :ok
      end
    end
  end

  defp mutate(bytes) do
    at = :rand.uniform(byte_size(bytes)) - 1
    <<before::binary-size(at), _, rest::binary>> = bytes
    <<before::binary, :rand.uniform(256) - 1, rest::binary>>
  end

  test "Ecto names the field" do
    start_repo([])

    for {field, stored} <- [
          boolean: "7",
          integer: "'x'",
          float: "'x'",
          decimal: "'7 apples'",
          decimal: "x'00'",
          decimal: "'NaN'",
          bitstring: "x'09ff'",
          uuid: "'no uuid'",
          token: "7",
          date: "'yesterday'",
          time: "7",
          naive: "'2024-13-01T00:00:00'",
          utc: "1.5",
          utc_usec: "x'ff'",
          enum: "'blue'",
          number_enum: "3",
          money: "'x'",
          map: "'no JSON'",
          map: "x'0d'",
          map: "'[1]'",
          decimals: ~s('{"a":"x"}'),
          integers: "'{}'",
          integers: ~s('["x"]'),
          uuids: ~s('["x"]'),
          binaries: ~s('[{"x":"zz"}]'),
          nested: "'[[1.5]]'",
          part: ~s('{"price":"x"}')
        ] do
      Repo.query!(~s[INSERT INTO things ("#{field}") VALUES (#{stored})])
      query = from(t in Thing, select: field(t, ^field))

      error = catch_error(Repo.all(query))
      assert %ArgumentError{message: message} = error
      assert message =~ "cannot load", message
      Repo.delete_all(Thing)
    end

    # In a struct, with the name.
    Repo.query!("INSERT INTO things (decimal) VALUES ('7 apples')")
    assert_raise ArgumentError, ~r/decimal.*Thing/s, fn -> Repo.all(Thing) end
  end

  test "forms that other Repos, other programs and 0.9 wrote" do
    start_repo([])
    uuid = uuid()
    bytes = Ecto.UUID.dump!(uuid)
    hex = Base.encode16(bytes)
    jsonb = EctoLibSql.JSONB.from_json!(~s({"a":[1,"é"]})) |> Base.encode16()

    for {field, stored, loaded} <- [
          {:uuid, "x'#{hex}'", uuid},
          {:uuid, "'#{uuid}'", uuid},
          {:uuid, "'#{String.upcase(uuid)}'", uuid},
          {:uuid, "'#{hex}'", uuid},
          {:bid, "x'#{hex}'", uuid},
          {:bid, "'#{uuid}'", uuid},
          {:token, "'#{uuid}'", "tok_" <> uuid},
          {:map, "x'#{jsonb}'", %{"a" => [1, "é"]}},
          {:map, ~s(' {"a":[1,"é"]}'), %{"a" => [1, "é"]}},
          {:map, ~s[CAST('{"a":1}' AS BLOB)], %{"a" => 1}},
          {:integers, "''", []},
          {:decimal, "7", Decimal.new(7)},
          {:decimal, "0.1", Decimal.new("0.1")},
          {:decimal, "1e3", Decimal.new("1E+3")},
          {:float, "3", 3.0},
          {:binary, "'text'", "text"},
          {:boolean, "1", true},
          {:naive, "'2024-05-06 07:08:09'", ~N[2024-05-06 07:08:09]},
          {:naive, "0", ~N[1970-01-01 00:00:00]},
          {:naive_usec, "-1", ~N[1969-12-31 23:59:59.999999]},
          {:utc, "'2024-05-06T07:08:09'", ~U[2024-05-06 07:08:09Z]},
          {:utc, "'2024-05-06T07:08:09+02:00'", ~U[2024-05-06 05:08:09Z]},
          {:utc, "1714979289000000", ~U[2024-05-06 07:08:09Z]},
          {:utc_usec, "'2024-05-06 07:08:09.5Z'", ~U[2024-05-06 07:08:09.500000Z]},
          {:utc_usec, "-62167219200000000", ~U[0000-01-01 00:00:00.000000Z]},
          {:time_usec, "'07:08:09'", ~T[07:08:09.000000]}
        ] do
      # No affinity changes it.
      Repo.query!("DROP TABLE things")
      Repo.query!("CREATE TABLE things (id INTEGER PRIMARY KEY, \"#{field}\" BLOB)")
      Repo.query!("INSERT INTO things VALUES (1, #{stored})")

      assert {field, stored, Repo.one(from(t in Thing, select: field(t, ^field)))} ==
               {field, stored, loaded}
    end
  end
end
