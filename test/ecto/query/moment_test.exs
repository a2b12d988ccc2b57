Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.MomentTest do
  # Dates and date-times of every type against each other, as text and as integers: SQL has to answer
  # what Elixir does.
  use Ecto.Adapters.LibSql.QueryCase, async: true

  defmodule Event do
    use Ecto.Schema

    schema "events" do
      field(:date, :date)
      field(:naive, :naive_datetime)
      field(:naive_usec, :naive_datetime_usec)
      field(:utc, :utc_datetime)
      field(:utc_usec, :utc_datetime_usec)
      field(:time, :time)
      field(:time_usec, :time_usec)
    end
  end

  @types [:date, :naive, :naive_usec, :utc, :utc_usec]
  @ops [:==, :!=, :<, :<=, :>, :>=]

  # Around the places where texts of different forms sort wrongly, and before 1970.
  @moments [
    ~N[2024-01-31 00:00:00.000000],
    ~N[2024-01-31 00:00:00.000001],
    ~N[2024-01-31 10:00:00.000000],
    ~N[2024-01-31 10:00:00.500000],
    ~N[2024-01-31 10:00:01.000000],
    ~N[2024-02-01 00:00:00.000000],
    ~N[1960-02-29 23:59:59.999999],
    ~N[1960-03-01 00:00:00.000000]
  ]

  setup %{db: db} do
    for table <- ["events", "numbers"] do
      raw(db, """
      CREATE TABLE #{table} (id INTEGER PRIMARY KEY, date TEXT, naive, naive_usec, utc, utc_usec,
        time TEXT, time_usec TEXT)
      """)
    end

    for {moment, id} <- Enum.with_index(@moments, 1) do
      row = Enum.map(@types, &cut(moment, &1))
      time = NaiveDateTime.to_time(moment)
      times = [Time.truncate(time, :second), time]
      insert(db, "events", [id | row] ++ times)
      insert(db, "numbers", [id | Enum.map(row, &integer/1)] ++ times)
    end

    :ok
  end

  defp insert(db, table, values) do
    places = Enum.map_join(1..length(values), ",", &"?#{&1}")
    {:ok, _, _, _} = EctoLibSql.query(db, "INSERT INTO #{table} VALUES (#{places})", values)
  end

  # The moment as a column of a type holds it.
  defp cut(moment, :date), do: NaiveDateTime.to_date(moment)
  defp cut(moment, :naive), do: NaiveDateTime.truncate(moment, :second)
  defp cut(moment, :naive_usec), do: moment
  defp cut(moment, :utc), do: moment |> cut(:naive) |> DateTime.from_naive!("Etc/UTC")
  defp cut(moment, :utc_usec), do: DateTime.from_naive!(moment, "Etc/UTC")

  defp integer(%DateTime{} = moment), do: DateTime.to_unix(moment, :microsecond)

  defp integer(%NaiveDateTime{} = moment),
    do: moment |> DateTime.from_naive!("Etc/UTC") |> integer()

  defp integer(<<_date::10-binary, "T", _time::binary>> = text),
    do: text |> String.trim_trailing("Z") |> NaiveDateTime.from_iso8601!() |> integer()

  defp integer(other), do: other

  # What it means, to compare.
  defp naive(%Date{} = date), do: NaiveDateTime.new!(date, ~T[00:00:00])
  defp naive(%DateTime{} = moment), do: DateTime.to_naive(moment)
  defp naive(%NaiveDateTime{} = moment), do: moment

  defp holds?(op, left, right) do
    order = NaiveDateTime.compare(naive(left), naive(right))

    case op do
      :== -> order == :eq
      :!= -> order != :eq
      :< -> order == :lt
      :<= -> order != :gt
      :> -> order == :gt
      :>= -> order != :lt
    end
  end

  defp compare(op, left, right) do
    case op do
      :== -> dynamic(^left == ^right)
      :!= -> dynamic(^left != ^right)
      :< -> dynamic(^left < ^right)
      :<= -> dynamic(^left <= ^right)
      :> -> dynamic(^left > ^right)
      :>= -> dynamic(^left >= ^right)
    end
  end

  # The pairs of ids that a condition on two events finds, parameters as this table has them.
  defp found(db, table, condition) do
    query =
      from(a in {table, Event},
        join: b in ^Ecto.Queryable.to_query({table, Event}),
        on: true,
        where: ^condition,
        select: {a.id, b.id}
      )

    {sql, params} = sql(query)
    params = if table == "numbers", do: Enum.map(params, &integer/1), else: params

    case EctoLibSql.query(db, sql, params) do
      {:ok, _, result, _} -> Enum.sort(result.rows)
      {:error, error, _} -> flunk("#{error.message}\n#{sql}")
    end
  end

  defp expected(fun) do
    for {a, i} <- Enum.with_index(@moments, 1),
        {b, j} <- Enum.with_index(@moments, 1),
        fun.(a, b),
        do: [i, j]
  end

  test "columns of all types compare as the moments do", %{db: db} do
    for table <- ["events", "numbers"], left <- @types, right <- @types, op <- @ops do
      condition = compare(op, dynamic([a], field(a, ^left)), dynamic([_a, b], field(b, ^right)))
      wanted = expected(&holds?(op, cut(&1, left), cut(&2, right)))

      assert {table, op, left, right, found(db, table, condition)} ==
               {table, op, left, right, wanted}
    end
  end

  test "what is counted compares with columns of all types", %{db: db} do
    for table <- ["events", "numbers"],
        left <- @types -- [:date],
        right <- @types,
        {count, unit, seconds} <- [{1, "second", 1}, {-14, "hour", -50_400}, {0.5, "second", 0.5}],
        op <- @ops do
      added = dynamic([a], datetime_add(field(a, ^left), ^count, ^unit))
      condition = compare(op, added, dynamic([_a, b], field(b, ^right)))

      wanted =
        expected(fn a, b ->
          microseconds = round(seconds * 1_000_000)
          sum = a |> cut(left) |> naive() |> NaiveDateTime.add(microseconds, :microsecond)
          holds?(op, sum, cut(b, right))
        end)

      assert {table, op, left, right, unit, found(db, table, condition)} ==
               {table, op, left, right, unit, wanted}
    end
  end

  test "counted from a parameter, and beside one", %{db: db} do
    for table <- ["events", "numbers"], type <- @types, op <- @ops, moment <- @moments do
      from = DateTime.from_naive!(moment, "Etc/UTC")
      added = dynamic(datetime_add(^from, 1, "hour"))
      wanted = expected(fn a, _b -> holds?(op, cut(a, type), NaiveDateTime.add(moment, 3600)) end)
      left = dynamic([a], field(a, ^type))

      assert {table, op, type, found(db, table, compare(op, left, added))} ==
               {table, op, type, wanted}

      # Without seconds' fractions, which Ecto cuts off a parameter beside datetime_add.
      if type != :date do
        hour = dynamic([a], datetime_add(field(a, ^type), 1, "hour"))
        limit = NaiveDateTime.truncate(moment, :second)
        condition = at(op, hour, limit)

        wanted =
          expected(fn a, _b ->
            holds?(op, a |> cut(type) |> naive() |> NaiveDateTime.add(3600), limit)
          end)

        assert {table, op, type, found(db, table, condition)} == {table, op, type, wanted}
      end
    end
  end

  defp at(op, left, limit), do: compare(op, left, dynamic(type(^limit, :naive_datetime)))

  test "type/2 brings one form to another, and cuts", %{db: db} do
    names = %{
      naive: :naive_datetime,
      naive_usec: :naive_datetime_usec,
      utc: :utc_datetime,
      utc_usec: :utc_datetime_usec,
      date: :date
    }

    for table <- ["events", "numbers"],
        from <- @types,
        to <- @types,
        from != :date or to == :date do
      field = dynamic([a], field(a, ^from))
      condition = dynamic([a, b], type(^field, ^names[to]) == field(b, ^to))
      condition = if from == to, do: dynamic([a, b], ^field == field(b, ^to)), else: condition
      wanted = expected(fn a, b -> holds?(:==, cut(naive(cut(a, from)), to), cut(b, to)) end)
      assert {table, from, to, found(db, table, condition)} == {table, from, to, wanted}
    end

    assert rows(db, from(e in Event, where: e.id == 4, select: type(e.utc_usec, :string))) ==
             [["2024-01-31T10:00:00.500000Z"]]

    assert rows(
             db,
             from(e in {"numbers", Event}, where: e.id == 4, select: type(e.utc_usec, :string))
           ) ==
             [["2024-01-31T10:00:00.500000Z"]]

    assert rows(
             db,
             from(e in {"numbers", Event}, where: e.id == 4, select: type(e.utc_usec, :time))
           ) ==
             [["10:00:00"]]

    assert rows(db, from(e in Event, where: e.id == 4, select: type(e.naive, :time_usec))) ==
             [["10:00:00.000000"]]
  end

  test "times of a day", %{db: db} do
    for op <- @ops do
      condition = compare(op, dynamic([a], a.time), dynamic([_a, b], b.time_usec))

      wanted =
        expected(fn a, b ->
          [a, b] = [cut(a, :naive), b] |> Enum.map(&NaiveDateTime.to_time/1)
          day = ~D[2024-01-01]
          holds?(op, NaiveDateTime.new!(day, a), NaiveDateTime.new!(day, b))
        end)

      assert found(db, "events", condition) == wanted
    end

    assert rows(db, from(e in Event, where: e.id == 4, select: type(e.time_usec, :time))) ==
             [["10:00:00"]]
  end

  test "in: lists, subqueries, other columns", %{db: db} do
    for table <- ["events", "numbers"] do
      events = from(e in {table, Event}, order_by: e.id, select: e.id)
      list = [~N[2024-01-31 10:00:00], ~N[1960-03-01 00:00:00]]
      ids = fn query -> db |> rows(query) |> List.flatten() end

      assert ids.(where(events, [e], e.naive in ^list)) == [3, 4, 8]
      assert ids.(where(events, [e], e.utc in ^Enum.map(list, &cut(&1, :utc)))) == [3, 4, 8]
      assert ids.(where(events, [e], datetime_add(e.naive, 1, "hour") in ^list)) == []
      assert ids.(where(events, [e], datetime_add(e.utc_usec, 0, "hour") in ^list)) == [3, 8]
      assert ids.(where(events, [e], e.naive in [e.utc_usec, e.naive_usec])) == [1, 3, 5, 6, 8]
      assert ids.(where(events, [e], e.date in [e.utc_usec, e.naive])) == [1, 2, 6, 8]

      sub = from(e in {table, Event}, select: e.utc_usec)
      assert ids.(where(events, [e], e.naive in subquery(sub))) == [1, 2, 3, 4, 5, 6, 8]
      assert ids.(where(events, [e], e.naive == any(sub))) == [1, 2, 3, 4, 5, 6, 8]
      assert ids.(where(events, [e], e.naive != all(sub))) == [7]
      assert ids.(where(events, [e], e.naive >= all(sub))) == [6]
      assert ids.(where(events, [e], e.naive < any(sub))) == [1, 2, 3, 4, 5, 7, 8]
    end
  end

  test "types are known of subqueries, CTEs and values", %{db: db} do
    sub = from(e in Event, select: %{id: e.id, at: max(e.utc_usec)}, group_by: e.id)
    query = from(s in subquery(sub), join: e in Event, on: s.at == e.naive, select: [s.id, e.id])
    wanted = Enum.sort([[1, 1], [1, 2], [3, 3], [3, 4], [5, 5], [6, 6], [8, 8]])
    assert Enum.sort(rows(db, query)) == wanted

    query =
      "cte"
      |> with_cte("cte", as: ^sub)
      |> join(:inner, [s], e in Event, on: s.at == e.naive)
      |> select([s, e], [s.id, e.id])

    assert Enum.sort(rows(db, query)) == wanted

    list = [%{at: ~U[2024-01-31 10:00:00.000000Z]}]

    query =
      from(v in values(list, %{at: :utc_datetime_usec}),
        join: e in Event,
        on: v.at == e.naive,
        select: e.id
      )

    assert rows(db, query) == [[3], [4]]
  end

  test "what may be one of two is of one form", %{db: db} do
    query =
      from(e in Event,
        where:
          coalesce(e.naive, e.naive_usec) ==
            type(^~N[2024-01-31 10:00:00.000000], :naive_datetime_usec),
        select: e.id
      )

    assert rows(db, query) == [[3], [4]]

    at = ~N[2024-01-31 10:00:00.000000]

    assert rows(db, from(e in Event, where: coalesce(e.naive, e.utc) == ^at, select: e.id)) == [
             [3],
             [4]
           ]

    assert rows(db, from(e in Event, where: e.id == 3, select: coalesce(e.naive, ^at))) == [
             ["2024-01-31T10:00:00"]
           ]
  end

  test "what is set takes the form of the column", %{db: db} do
    for {table, integer} <- [{"events", & &1}, {"numbers", &integer/1}] do
      query =
        from(e in {table, Event},
          where: e.id == 4,
          update: [
            set: [
              naive: e.utc_usec,
              utc: datetime_add(e.naive_usec, 700, "millisecond"),
              utc_usec: e.naive,
              time: e.time_usec
            ]
          ]
        )

      run(db, query, nil, :update_all)

      [[naive, utc, usec, time]] =
        raw(db, "SELECT naive, utc, utc_usec, time FROM #{table} WHERE id = 4")

      assert naive == stored(~N[2024-01-31 10:00:00], integer)
      assert utc == stored(~U[2024-01-31 10:00:01Z], integer)
      assert usec == stored(~U[2024-01-31 10:00:00.000000Z], integer)
      assert time == "10:00:00"
    end

    assert refused(from(e in Event, update: [set: [naive: e.date]]), :update_all) =~ "type/2"
  end

  defp stored(moment, integer) do
    case integer.(moment) do
      number when is_integer(number) -> number
      moment -> moment.__struct__.to_iso8601(moment)
    end
  end

  test "what has no value is refused", %{db: _db} do
    assert refused(from(e in Event, select: e.naive - e.utc)) =~ "datetime_add"
    assert refused(from(e in Event, select: sum(e.naive))) =~ "calculate"
    assert refused(from(e in Event, select: type(e.naive, :integer))) =~ "fragment"
    assert refused(from(e in Event, select: type(e.time, :date))) =~ "fragment"
  end

  test "an index on the column serves, whatever is on the other side", %{db: db} do
    raw(db, "CREATE INDEX events_utc ON events (utc)")
    from = DateTime.utc_now()

    for query <- [
          from(e in Event, where: e.utc > ago(1, "day"), select: e.id),
          from(e in Event, where: e.utc == ^from, select: e.id),
          from(e in Event, where: e.utc in ^[from], select: e.id),
          from(e in Event, where: datetime_add(^from, 1, "month") >= e.utc, select: e.id),
          from(e in "events", where: type(e.utc, :utc_datetime) > ago(1, "day"), select: e.id),
          from(e in Event, join: f in Event, on: e.utc == f.naive_usec, select: e.id)
        ] do
      {sql, params} = sql(query)
      {:ok, _, %{rows: rows}, _} = EctoLibSql.query(db, "EXPLAIN QUERY PLAN " <> sql, params)
      assert Enum.any?(rows, &(List.last(&1) =~ "INDEX events_utc")), inspect({sql, rows})
    end
  end
end
