Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.ArrayTest do
  # Arrays of floats in columns. JSON is read by the engine, which is off in the last bit of one float in
  # six beyond 1.0e25 and below 1.0e-25.
  use ExUnit.Case, async: true
  use Ecto.Adapters.LibSql.QueryCase

  defmodule Series do
    @moduledoc false
    use Ecto.Schema

    schema "series" do
      field(:floats, {:array, :float})
      field(:x, :float)
      field(:price, :decimal)
    end
  end

  @extreme [1.7976931348623157e308, -5.0e-324, 2.2250738585072014e-308, -3.2308120330539538e-142] ++
             [1.0862741068627204e-218, -4.1352210913438903e179, 1.0e300, 0.1, 0.0, 3.0, 1.0e25]

  for json <- ["", "jsonb"] do
    describe "of floats, #{json}" do
      setup %{db: db} do
        raw(
          db,
          "CREATE TABLE series (id INTEGER PRIMARY KEY, floats TEXT, x REAL, price TEXT, \"value\" REAL)"
        )

        floats = @extreme ++ random()
        json = Jason.encode!(floats ++ [nil, 1.0e26])
        sql = "INSERT INTO series (id, floats) VALUES (1, #{unquote(json)}(?))"
        {:ok, _, _, _} = EctoLibSql.query(db, sql, [json])
        {:ok, floats: floats}
      end

      test "each is found, and its neighbours are not", %{db: db, floats: floats} do
        for float <- floats do
          {:ok, _, _, _} = EctoLibSql.query(db, "UPDATE series SET x = ?, \"value\" = 7", [float])
          assert rows(db, from(s in Series, where: ^float in s.floats, select: s.id)) == [[1]]
          assert rows(db, from(s in Series, where: s.x in s.floats, select: s.id)) == [[1]]
          assert rows(db, from(s in Series, where: (s.x + 0.0) in s.floats, select: s.id)) == [[1]]
          assert rows(db, from(s in Series, where: s.x not in s.floats, select: s.id)) == []

          for near <- neighbours(float), near not in floats do
            assert rows(db, from(s in Series, where: ^near in s.floats, select: s.id)) == []
          end
        end

        assert rows(db, from(s in Series, where: ^2 in s.floats, select: s.id)) == []
        assert rows(db, from(s in Series, where: 3.0 in s.floats, select: s.id)) == [[1]]
        assert rows(db, from(s in Series, where: s.price in s.floats, select: s.id)) == []
      end

      test "each is pulled out", %{db: db, floats: floats} do
        for float <- floats do
          run(db, from(s in Series, update: [pull: [floats: ^float]]), nil, :update_all)
          refute float in stored(db)
        end

        assert stored(db) == [nil, 1.0e26]
      end

      test "each is pushed as it is", %{db: db, floats: floats} do
        for float <- floats do
          run(db, from(s in Series, update: [push: [floats: ^float]]), nil, :update_all)
          assert List.last(stored(db)) == float
        end
      end
    end
  end

  describe "floats that differ in their last digits" do
    setup %{db: db} do
      raw(db, "CREATE TABLE series (id INTEGER PRIMARY KEY, floats TEXT, x REAL, price TEXT)")

      raw(
        db,
        "INSERT INTO series VALUES (1, '[0.3]', 0.3, ''), (2, '[0.30000000000000004]', 0.1 + 0.2, '')"
      )

      :ok
    end

    test "are different in arrays that are compared, and grouped", %{db: db} do
      third = 0.1 + 0.2
      assert rows(db, from(s in Series, where: s.floats == ^[0.3], select: s.id)) == [[1]]
      assert rows(db, from(s in Series, where: s.floats == ^[third], select: s.id)) == [[2]]

      assert rows(db, from(s in Series, where: s.floats == [0.30000000000000004], select: s.id)) ==
               [[2]]

      assert rows(db, from(s in Series, group_by: s.floats, select: count())) == [[1], [1]]
    end

    test "are written with all of them", %{db: db} do
      query = from(s in Series, where: s.id == 2)

      run(
        db,
        from(s in query, update: [set: [floats: [s.x, 0.30000000000000004]]]),
        nil,
        :update_all
      )

      assert raw(db, "SELECT floats FROM series WHERE id = 2") == [
               ["[0.30000000000000004,0.30000000000000004]"]
             ]

      assert rows(db, from(s in Series, where: s.floats == [s.x, s.x], select: s.id)) == [[2]]
      assert rows(db, from(s in Series, where: s.floats == [s.x], select: s.id)) == [[1]]
    end
  end

  defp stored(db),
    do: db |> raw("SELECT json(floats) FROM series") |> hd() |> hd() |> Jason.decode!()

  # By ExUnit's seed; not infinite.
  defp random do
    for _ <- 1..60,
        do: float(Enum.random(0..1), Enum.random(0..2046), Enum.random(0..0xFFFFFFFFFFFFF))
  end

  defp float(sign, exponent, fraction) do
    <<float::float>> = <<sign::1, exponent::11, fraction::52>>
    float
  end

  defp neighbours(float) do
    <<bits::64>> = <<float::float>>

    for other <- [bits - 1, bits + 1],
        other > 0,
        <<_sign::1, exponent::11, _fraction::52>> = <<other::64>>,
        exponent < 2047,
        do: then(<<other::64>>, fn <<float::float>> -> float end)
  end
end
