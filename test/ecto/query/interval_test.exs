Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.IntervalTest do
  use Ecto.Adapters.LibSql.QueryCase, async: true

  defp naive(db, id, count, unit) do
    query = from(p in Post, where: p.id == ^id, select: datetime_add(p.naive, ^count, ^unit))
    [[text]] = rows(db, query)
    text
  end

  defp usec(db, id, count, unit) do
    query =
      from(p in Post,
        where: p.id == ^id,
        select: {datetime_add(p.naive_usec, ^count, ^unit), datetime_add(p.utc_usec, ^count, ^unit)}
      )

    [[naive, utc]] = rows(db, query)
    {naive, utc}
  end

  test "units of a datetime of seconds", %{db: db} do
    query = from(p in Post, where: p.id == 1, select: datetime_add(p.naive, 1, "day"))

    assert run(
             db,
             query,
             ~s{SELECT CASE typeof(p0."naive") WHEN 'integer' THEN } <>
               ~s{unixepoch(p0."naive" / 1000000, 'unixepoch', '+1 day') * 1000000 ELSE } <>
               ~s{strftime('%Y-%m-%dT%H:%M:%S', substr(p0."naive", 1, 19), '+1 day') END } <>
               ~s{FROM "posts" AS p0 WHERE (p0."id" = 1)}
           ) == [["2024-02-01T10:00:00"]]

    for {count, unit, expected} <- [
          {1, "year", "2025-01-31T10:00:00"},
          {1, "month", "2024-02-29T10:00:00"},
          {-2, "month", "2023-11-30T10:00:00"},
          {1, "week", "2024-02-07T10:00:00"},
          {-1, "day", "2024-01-30T10:00:00"},
          {1.5, "day", "2024-02-01T22:00:00"},
          {Decimal.new("1E+1"), "day", "2024-02-10T10:00:00"},
          {15, "hour", "2024-02-01T01:00:00"},
          {-1, "minute", "2024-01-31T09:59:00"},
          {61, "second", "2024-01-31T10:01:01"},
          {1500, "millisecond", "2024-01-31T10:00:01"},
          {1500, "microsecond", "2024-01-31T10:00:00"},
          {999_999, "microsecond", "2024-01-31T10:00:00"},
          {-1, "microsecond", "2024-01-31T09:59:59"}
        ] do
      assert naive(db, 1, count, unit) == expected
    end

    assert naive(db, 3, 1, "day") == nil
  end

  test "a Z stays", %{db: db} do
    query = from(p in Post, where: p.id == 1, select: datetime_add(p.utc, -1, "month"))
    assert rows(db, query) == [["2023-12-31T10:00:00Z"]]
  end

  test "microseconds, before 1970 as well", %{db: db} do
    for {id, count, unit, naive, utc} <- [
          {1, 1, "microsecond", "2024-01-31T10:00:01.000000", "2024-01-31T10:00:00.000002Z"},
          {1, 1500, "microsecond", "2024-01-31T10:00:01.001499", "2024-01-31T10:00:00.001501Z"},
          {1, 1, "month", "2024-02-29T10:00:00.999999", "2024-02-29T10:00:00.000001Z"},
          {1, 1.5, "millisecond", "2024-01-31T10:00:01.001499", "2024-01-31T10:00:00.001501Z"},
          {1, -2, "microsecond", "2024-01-31T10:00:00.999997", "2024-01-31T09:59:59.999999Z"},
          {2, -2, "microsecond", "1960-02-28T23:59:59.999999", "1960-02-28T23:59:59.999999Z"},
          {2, -1, "year", "1959-02-28T00:00:00.000001", "1959-02-28T00:00:00.000001Z"},
          {2, 1, "week", "1960-03-07T00:00:00.000001", "1960-03-07T00:00:00.000001Z"},
          {2, Decimal.new("0.5"), "second", "1960-02-29T00:00:00.500001",
           "1960-02-29T00:00:00.500001Z"}
        ] do
      assert usec(db, id, count, unit) == {naive, utc}
    end

    assert usec(db, 3, 1, "day") == {nil, nil}
  end

  test "of a parameter, as its text is", %{db: db} do
    for {datetime, expected} <- [
          {~N[2024-01-31 10:00:00], "2024-02-29T10:00:00"},
          {~N[2024-01-31 10:00:00.5], "2024-02-29T10:00:00.500000"},
          {~U[2024-01-31 10:00:00Z], "2024-02-29T10:00:00Z"},
          {~U[2024-01-31 10:00:00.000001Z], "2024-02-29T10:00:00.000001Z"}
        ] do
      query = from(a in Author, where: a.id == 1, select: datetime_add(^datetime, 1, "month"))
      assert [[text]] = rows(db, query)
      assert String.replace(text, ".000000", "") == expected
    end

    query =
      from(p in Post,
        where: p.id == 1,
        select:
          datetime_add(type(^~U[2024-01-31 10:00:00.000000Z], :utc_datetime_usec), 0, "microsecond")
      )

    assert rows(db, query) == [["2024-01-31T10:00:00.000000Z"]]
  end

  test "a comparison takes the form of the other side", %{db: db} do
    query = from(p in Post, where: p.utc > ago(1, "day"), select: p.id)

    assert run(
             db,
             query,
             ~s{SELECT p0."id" FROM "posts" AS p0 WHERE (p0."utc_at" > (SELECT CASE typeof(?1) WHEN } <>
               ~s{'integer' THEN t - 62167219200000000 ELSE strftime('%Y-%m-%dT%H:%M:%SZ', } <>
               ~s{t / 1000000 - 62167219200, 'unixepoch') || CASE t % 1000000 WHEN 0 THEN '' ELSE } <>
               ~s{printf('.%06d', t % 1000000) END END FROM (SELECT CASE typeof(?1) WHEN 'integer' } <>
               ~s{THEN ?1 + 62167219200000000 ELSE (unixepoch(substr(?1, 1, 19)) + 62167219200) * } <>
               ~s{1000000 + CAST(substr(rtrim(?1, 'Z') || '000000', 21, 6) AS INTEGER) END + } <>
               ~s{-86400000000 AS t)))}
           ) == []

    assert rows(db, from(p in Post, where: p.utc < ago(1, "day"), select: p.id)) == [[1], [2]]

    assert rows(db, from(p in Post, where: from_now(1, "day") > p.naive_usec, select: p.id)) == [
             [1],
             [2]
           ]

    # A column without microseconds holds none, but what it is compared with may.
    for {moment, greater, equal, less} <- [
          {~N[2024-01-30 10:00:00.000000], [], [[1]], [[2]]},
          {~N[2024-01-30 10:00:00.700000], [], [], [[1], [2]]},
          {~N[2024-01-30 09:59:59.999999], [[1]], [], [[2]]}
        ] do
      added = dynamic([p], datetime_add(^moment, 1, "day"))
      assert found(db, dynamic([p], p.naive > ^added)) == greater
      assert found(db, dynamic([p], p.naive == ^added)) == equal
      assert found(db, dynamic([p], p.naive < ^added)) == less
      assert found(db, dynamic([p], p.utc > ^added)) == greater
      assert found(db, dynamic([p], p.utc == ^added)) == equal
      assert found(db, dynamic([p], ^added > p.utc)) == less
    end
  end

  defp found(db, condition) do
    rows(db, from(p in Post, where: ^condition, order_by: p.id, select: p.id))
  end

  test "what is set takes the form of the column", %{db: db} do
    query =
      from(p in Post,
        where: p.id == 1,
        update: [set: [utc: from_now(1, "day"), naive: ago(1, "day")]]
      )

    run(db, query, nil, :update_all)
    [[utc, naive]] = raw(db, "SELECT utc_at, naive FROM posts WHERE id = 1")
    assert utc =~ ~r/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/
    assert naive =~ ~r/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\z/
  end

  test "aggregates, subqueries and nesting", %{db: db} do
    assert rows(db, from(p in Post, select: datetime_add(max(p.utc_usec), 1, "second"))) == [
             ["2024-01-31T10:00:01.000001Z"]
           ]

    assert rows(db, from(p in Post, select: max(datetime_add(p.utc_usec, 1, "second")))) == [
             ["2024-01-31T10:00:01.000001Z"]
           ]

    query =
      from(p in Post,
        where: p.id == 1,
        select: datetime_add(datetime_add(p.utc_usec, 1, "second"), 1, "microsecond")
      )

    assert rows(db, query) == [["2024-01-31T10:00:01.000002Z"]]

    query =
      from(p in Post,
        order_by: datetime_add(p.utc_usec, 1, "day"),
        group_by: datetime_add(p.utc_usec, 1, "day"),
        select: count()
      )

    assert rows(db, query) |> length() == 3
  end

  test "date_add", %{db: db} do
    query = from(p in Post, where: p.id == 1, select: date_add(p.posted, 1, "month"))

    assert run(
             db,
             query,
             ~s{SELECT (SELECT strftime('%Y-%m-%d', d, '+1 month', CASE WHEN } <>
               ~s{strftime('%d', d, '+1 month') < strftime('%d', d) THEN '-' || } <>
               ~s{strftime('%d', d, '+1 month') ELSE '0' END || ' days') } <>
               ~s{FROM (SELECT p0."posted" AS d)) } <>
               ~s{FROM "posts" AS p0 WHERE (p0."id" = 1)}
           ) == [["2024-02-29"]]

    for {count, unit, expected} <- [
          {1, "year", "2025-01-31"},
          {-1, "week", "2024-01-24"},
          {1.0, "day", "2024-02-01"},
          {Decimal.new(2), "day", "2024-02-02"},
          {-1, "hour", "2024-01-30"}
        ] do
      query = from(p in Post, where: p.id == 1, select: date_add(p.posted, ^count, ^unit))
      assert rows(db, query) == [[expected]]
    end

    query = from(p in Post, where: date_add(p.posted, 1, "day") == ^~D[2024-02-01], select: p.id)
    assert rows(db, query) == [[1]]

    assert rows(db, from(a in Author, limit: 1, select: date_add(^~D[2024-01-01], 1, ^"day"))) == [
             ["2024-01-02"]
           ]
  end
end
