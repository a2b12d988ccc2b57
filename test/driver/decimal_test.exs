defmodule EctoLibSql.Driver.DecimalTest do
  # The decimals of the core against Elixir's integers: a number is {coefficient, scale}. The values
  # come from one seed, which is printed: PROPERTY_SEED=123 makes the same ones again.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.Error

  setup_all do
    seed = String.to_integer(System.get_env("PROPERTY_SEED") || "#{:rand.uniform(1_000_000_000)}")
    IO.puts("decimal_test: PROPERTY_SEED=#{seed}")
    {:ok, seed: seed}
  end

  setup %{seed: seed} do
    :rand.seed(:exsss, seed)
    {:ok, db: open()}
  end

  ## Numbers as pairs

  defp number do
    digits = Enum.random([1, 2, 5, 9, 10, 18, 19, 28, 40])
    coefficient = :rand.uniform(10 ** digits) - 1
    {Enum.random([1, -1]) * coefficient, Enum.random([0, 0, 1, 2, 3, 9, 10, 20])}
  end

  defp text({coefficient, scale}) do
    digits = coefficient |> abs() |> Integer.to_string() |> String.pad_leading(scale + 1, "0")
    {whole, behind} = String.split_at(digits, -scale)
    {whole, behind} = if scale == 0, do: {digits, ""}, else: {whole, "." <> behind}
    if(coefficient < 0, do: "-", else: "") <> whole <> behind
  end

  # The same number written otherwise: an exponent, zeros in front, a plus.
  defp spelling({coefficient, scale} = number) do
    plus = if coefficient >= 0, do: "+", else: ""

    Enum.random([
      text(number),
      "#{coefficient}e-#{scale}",
      "#{plus}#{coefficient}E#{if scale == 0, do: "+"}#{-scale}",
      String.replace(plus <> text(number), ~r/^([+-]?)/, "\\g{1}00")
    ])
  end

  defp align({a, s}, {b, t}) do
    scale = max(s, t)
    {a * 10 ** (scale - s), b * 10 ** (scale - t), scale}
  end

  defp sum(numbers) do
    Enum.reduce(numbers, fn a, b ->
      {a, b, scale} = align(a, b)
      {a + b, scale}
    end)
  end

  # The exact quotient, with a scale not below s - t, where 28 digits hold it; else 29 digits are looked
  # at, of which the last one rounds, half up.
  defp quotient({a, s}, {b, t}) do
    sign = if a * b < 0, do: -1, else: 1
    {a, b} = {abs(a), abs(b)}
    exact = Enum.find(0..80, &(rem(a * 10 ** &1, b) == 0))

    if exact != nil and digits(a, b, exact) < 10 ** 28 do
      plain(sign * digits(a, b, exact), s - t + exact)
    else
      n = Enum.find(-80..120, &(digits(a, b, &1) >= 10 ** 28))
      plain(sign * div(digits(a, b, n) + 5, 10), s - t + n - 1)
    end
  end

  defp digits(a, b, n) when n >= 0, do: div(a * 10 ** n, b)
  defp digits(a, b, n), do: div(a, b * 10 ** -n)

  defp plain(digits, scale) when scale < 0, do: {digits * 10 ** -scale, 0}
  defp plain(digits, scale), do: {digits, scale}

  ## Against the core

  test "canonical text", %{db: db} do
    for _ <- 1..300 do
      {coefficient, scale} = number()
      written = spelling({coefficient, scale})

      assert {written, one(db, "SELECT decimal(?)", [written])} ==
               {written, text({coefficient, scale})}
    end
  end

  test "sums, differences and products", %{db: db} do
    sql =
      "SELECT decimal_add(?1, ?2), decimal_sub(?1, ?2), decimal_mul(?1, ?2), decimal_cmp(?1, ?2)"

    for _ <- 1..1000 do
      {x, s} = number()
      {y, t} = number()
      {a, b, scale} = align({x, s}, {y, t})
      args = [spelling({x, s}), spelling({y, t})]
      order = if a == b, do: 0, else: div(a - b, abs(a - b))
      expected = [text({a + b, scale}), text({a - b, scale}), text({x * y, s + t}), order]
      assert {args, all(db, sql, args)} == {args, [expected]}
    end
  end

  test "integers are what they are", %{db: db} do
    for _ <- 1..200 do
      a = :rand.uniform(2 ** 64) - 2 ** 63 - 1
      b = :rand.uniform(2 ** 64) - 2 ** 63 - 1
      sql = "SELECT decimal_add(?1, ?2), decimal_mul(?1, ?2)"
      assert all(db, sql, [a, b]) == [["#{a + b}", "#{a * b}"]]
    end
  end

  test "floats are their shortest text", %{db: db} do
    for _ <- 1..500 do
      float = :rand.normal() * 10.0 ** (:rand.uniform(40) - 20)

      [digits, exponent] =
        float |> Float.to_string() |> then(&"#{&1}e0") |> String.split("e") |> Enum.take(2)

      [whole, behind] = String.split(digits, ".")
      # Where Elixir writes a zero behind the point, no digit is needed.
      behind = String.trim_trailing(behind, "0")
      scale = String.length(behind) - String.to_integer(exponent)
      expected = plain(String.to_integer(whole <> behind), scale)
      assert {float, one(db, "SELECT decimal(?)", [float])} == {float, text(expected)}
    end
  end

  test "quotients", %{db: db} do
    for _ <- 1..1000 do
      {a, s} = number()
      {b, t} = number()
      args = [spelling({a, s}), spelling({b, t})]
      got = one(db, "SELECT decimal_div(?1, ?2)", args)

      expected =
        cond do
          b == 0 -> nil
          a == 0 -> text({0, max(s - t, 0)})
          true -> text(quotient({a, s}, {b, t}))
        end

      assert {args, got} == {args, expected}
    end
  end

  test "sums, averages and order of columns", %{db: db} do
    q(db, "CREATE TABLE t (a TEXT)")
    numbers = for _ <- 1..500, do: number()
    rows = Enum.map(numbers, &[spelling(&1)])
    {:ok, _} = EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?)", rows)
    total = sum(numbers)
    assert one(db, "SELECT decimal_sum(a) FROM t") == text(total)
    assert one(db, "SELECT decimal_avg(a) FROM t") == text(quotient(total, {500, 0}))
    scale = numbers |> Enum.map(&elem(&1, 1)) |> Enum.max()
    value = fn {a, s} -> a * 10 ** (scale - s) end
    sorted = numbers |> Enum.sort_by(value) |> Enum.map(value)

    got = for [a] <- all(db, "SELECT decimal(a) FROM t ORDER BY a COLLATE decimal"), do: parse(a)
    assert Enum.map(got, value) == sorted

    for number <- Enum.take_random(numbers, 20) do
      count = Enum.count(numbers, &(value.(&1) == value.(number)))
      sql = "SELECT count(*) FROM t WHERE a = ? COLLATE decimal"
      assert one(db, sql, [spelling(number)]) == count
    end
  end

  defp parse(text) do
    case String.split(text, ".") do
      [whole] -> {String.to_integer(whole), 0}
      [whole, behind] -> {String.to_integer(whole <> behind), String.length(behind)}
    end
  end

  test "what cannot be is said", %{db: db} do
    assert %Error{code: :too_big, message: message} = err(db, "SELECT decimal('1e1000000000')")
    assert message =~ "999 digits"
    assert %Error{code: :mismatch, message: message} = err(db, "SELECT decimal_sum('abc')")
    assert message =~ "decimal_sum"

    assert all(db, "SELECT decimal('abc'), decimal_add(1, x'00'), decimal_div(1, 0)") == [
             [nil, nil, nil]
           ]

    assert_usable(db)
  end
end
