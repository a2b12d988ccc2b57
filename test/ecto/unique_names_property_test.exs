defmodule Ecto.Adapters.LibSql.UniqueNamesPropertyTest do
  # Random unique indexes that share their columns, and random writes: the index that is named must be one
  # that refuses the write when there is no other.
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql.Violations
  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @schemas 15
  @writes 60

  test "the index that is named refuses the write" do
    seed()
    named = for _ <- 1..@schemas, do: in_schema([database: ":memory:"], @writes)
    # Else the test tests nothing.
    assert Enum.sum(named) > @schemas
  end

  @tag :sqld
  test "the same on a server" do
    seed()
    sqld = EctoLibSql.Test.Sqld.start!()

    named =
      for _ <- 1..8 do
        named = in_schema([uri: sqld.url], 20)
        {:ok, db} = EctoLibSql.connect(uri: sqld.url)
        {:ok, _} = EctoLibSql.run(db, "DROP TABLE t")
        EctoLibSql.close(db)
        named
      end

    assert Enum.sum(named) > 8
  end

  defp seed do
    seed = String.to_integer(System.get_env("UNIQUE_SEED") || "#{:rand.uniform(1_000_000)}")
    IO.puts("unique_names_property_test: UNIQUE_SEED=#{seed}")
    :rand.seed(:exsss, seed)
  end

  defp in_schema(database, writes) do
    indexes = for n <- 1..Enum.random(2..4), do: {"i#{n}", index(n)}
    table = table(indexes)
    start_supervised!({Repo, [pool_size: 1, log: false] ++ database})
    for sql <- [text(table) | create(indexes)], do: Repo.query!(sql)
    named = Enum.count(1..writes, fn _ -> write(table, indexes) end)
    stop_supervised!(Repo)
    named
  end

  ## What there is

  # An index of the table's text is one like others, and has its name from there.
  defp table(indexes) do
    uniques =
      for {name, {:text, columns}} <- indexes, do: ", CONSTRAINT #{name} UNIQUE (#{columns})"

    {key, kind} =
      one_of([{"id INTEGER PRIMARY KEY", ""}, {"id INT NOT NULL PRIMARY KEY", "WITHOUT ROWID"}])

    columns = "a TEXT#{one_of(["", " COLLATE NOCASE"])}, b INT, kind TEXT"
    {"CREATE TABLE t (#{key}, #{columns}", uniques, ") #{kind}"}
  end

  defp index(1), do: if(one_of([true, false]), do: {:text, one_of(["a", "a, b"])}, else: index(2))

  defp index(_number) do
    columns = one_of(["a", "a, b", "a COLLATE NOCASE", "a COLLATE BINARY, b"])

    where =
      one_of(["", "WHERE kind = 'p'", "WHERE kind > 'P' AND b", "WHERE b = '1' OR kind IS NULL"])

    {:created, columns, where}
  end

  defp text({head, uniques, tail}), do: Enum.join([head, uniques, tail])

  defp create(indexes) do
    for {name, {:created, columns, where}} <- indexes,
        do: "CREATE UNIQUE INDEX #{name} ON t (#{columns}) #{where}"
  end

  defp one_of(list), do: Enum.random(list)

  defp values, do: "#{a()}, #{b()}, #{kind()}"
  defp a, do: one_of(["'x'", "'X'", "'y'", "NULL"])
  defp b, do: one_of(["0", "1", "'1'", "NULL"])
  defp kind, do: one_of(["'p'", "'P'", "'q'", "NULL"])

  defp statement do
    id = Enum.random(1..8)

    case Enum.random(1..5) do
      1 -> "UPDATE t SET a = #{a()} WHERE id = #{id}"
      2 -> "UPDATE t SET kind = #{kind()}, b = #{b()} WHERE id >= #{id}"
      3 -> "INSERT INTO t VALUES (#{id}, #{values()}), (#{id + 1}, #{values()})"
      4 -> "INSERT INTO t VALUES (#{id}, #{values()}) ON CONFLICT (id) DO UPDATE SET a = #{a()}"
      5 -> "INSERT INTO t VALUES (#{id}, #{values()})"
    end
  end

  ## What is asked

  # Whether an index was named.
  defp write(table, indexes) do
    sql = statement()

    case Repo.query(sql) do
      # The primary key; to a server that is a unique constraint, too.
      {:error, %Error{constraint: %{columns: ["id"]}}} -> false
      {:error, %Error{constraint: %{kind: :unique}} = error} -> check(error, sql, table, indexes)
      _done_or_other -> false
    end
  end

  defp check(error, sql, table, indexes) do
    before = Repo.query!("SELECT * FROM t").rows
    meta = Ecto.Adapter.lookup_meta(Repo)
    name = Violations.name(error, meta, {{nil, "t"}, [:insert, :update], sql, []}, [])
    assert Repo.query!("SELECT * FROM t").rows == before
    assert Repo.query!("SELECT * FROM sqlite_temp_master").rows == []
    expected = for index <- indexes, refuses?(table, index, before, sql), do: elem(index, 0)

    assert name in expected,
           "#{inspect(name)} is none of #{inspect(expected)}: #{sql}\n" <>
             "#{Enum.join([text(table) | create(indexes)], "\n")}\n#{inspect(before)}"

    true
  end

  defp refuses?({head, uniques, tail}, {name, _} = index, rows, sql) do
    uniques = Enum.filter(uniques, &(&1 =~ " #{name} "))
    {:ok, db} = EctoLibSql.connect(database: ":memory:")

    for sql <- [text({head, uniques, tail}) | create([index])],
        do: {:ok, _} = EctoLibSql.run(db, sql)

    for row <- rows, do: {:ok, _} = EctoLibSql.run(db, "INSERT INTO t VALUES (?, ?, ?, ?)", row)
    answer = EctoLibSql.run(db, sql)
    EctoLibSql.close(db)
    match?({:error, %Error{constraint: %{kind: :unique}}}, answer)
  end
end
