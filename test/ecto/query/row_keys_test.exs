defmodule Ecto.Adapters.LibSql.RowKeysTest do
  # update_all and delete_all with joins, of tables with numbered rows and of others.
  use EctoLibSql.Case, async: true

  import Ecto.Query

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Member do
    use Ecto.Schema

    # The database knows that two of them make a key; the schema does not.
    @primary_key {:a, :integer, autogenerate: false}
    schema "members" do
      field(:b, :string)
      field(:team, :integer)
      field(:note, :string)
    end
  end

  @tables [
    "CREATE TABLE members (a INTEGER, b TEXT, team INTEGER, note TEXT, PRIMARY KEY (b, a)) WITHOUT ROWID",
    ~s|CREATE TABLE "mem""bers" (a INTEGER, b TEXT, team INTEGER, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID|,
    "CREATE TABLE numbered (a INTEGER, b TEXT, team INTEGER, note TEXT)",
    "CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO teams VALUES (1, 'one'), (2, 'two')",
    "CREATE VIEW looked_at AS SELECT * FROM members"
  ]
  @names ["members", ~s(mem"bers), "numbered"]

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 1, log: false})
    Enum.each(@tables, &Repo.query!/1)

    for name <- @names do
      quoted = ~s("#{String.replace(name, ~s("), ~s(""))}")

      Repo.query!(
        "INSERT INTO #{quoted} VALUES (1, 'x', 1, ''), (1, 'y', 2, ''), (2, 'x', NULL, '_ROWID_')"
      )
    end

    :ok
  end

  defp all(name) do
    Repo.all(from(m in {name, Member}, order_by: [m.a, m.b], select: {m.a, m.b, m.note}))
  end

  test "delete_all with a join" do
    for name <- @names do
      query =
        from(m in {name, Member}, join: t in "teams", on: t.id == m.team, where: t.name == "one")

      assert Repo.delete_all(query) == {1, nil}
      assert all(name) == [{1, "y", ""}, {2, "x", "_ROWID_"}]
    end
  end

  test "delete_all with an outer join, a CTE, RETURNING and a literal that looks like a number" do
    for name <- @names do
      teams = from(t in "teams", select: %{id: t.id})

      query =
        from(m in {name, Member},
          left_join: t in "t",
          on: t.id == m.team,
          where: is_nil(t.id) and m.note == "_ROWID_",
          select: {m.a, m.b}
        )
        |> with_cte("t", as: ^teams)

      assert Repo.delete_all(query) == {1, [{2, "x"}]}
      assert all(name) == [{1, "x", ""}, {1, "y", ""}]
    end
  end

  test "update_all with an outer join" do
    for name <- @names do
      query =
        from(m in {name, Member},
          left_join: t in "teams",
          on: t.id == m.team,
          update: [set: [note: coalesce(t.name, "none")]]
        )

      assert Repo.update_all(query, []) == {3, nil}
      assert all(name) == [{1, "x", "one"}, {1, "y", "two"}, {2, "x", "none"}]
    end
  end

  test "in a transaction, with a prefix, in a plan" do
    query = from(m in Member, join: t in "teams", on: t.id == m.team)

    assert {:ok, {2, nil}} = Repo.transaction(fn -> Repo.delete_all(query, prefix: "main") end)
    assert Repo.explain(:delete_all, query) =~ "SEARCH members USING PRIMARY KEY (b=? AND a=?)"
  end

  describe "columns that have the name of a row's number" do
    defp hidden(columns) do
      Repo.query!("CREATE TABLE h (#{columns}, team INTEGER, note TEXT)")
      names = columns |> String.split(",") |> Enum.map(&(&1 |> String.split() |> hd()))
      sevens = Enum.map_join(names, ", ", fn _name -> "7" end)

      for team <- [1, 2], do: Repo.query!("INSERT INTO h VALUES (#{sevens}, #{team}, '')")
    end

    defp joined(join), do: from(h in "h", join: t in "teams", on: t.id == h.team, where: ^join)

    for columns <- ["_rowid_ TEXT", "_ROWID_ INTEGER, rowid INTEGER", "\"_rowid_\" TEXT, oid TEXT"] do
      test "are passed by: #{columns}" do
        hidden(unquote(columns))
        first = joined(dynamic([h, t], t.name == "one"))

        assert Repo.update_all(first, set: [note: "x"]) == {1, nil}
        assert Repo.query!("SELECT note FROM h ORDER BY team").rows == [["x"], [""]]
        assert Repo.delete_all(first) == {1, nil}
        assert Repo.query!("SELECT team FROM h").rows == [[2]]
      end
    end

    test "all three: no row can be told from the others" do
      hidden("_rowid_ INTEGER, rowid INTEGER, oid INTEGER")

      assert_raise ArgumentError, ~r/_rowid_, rowid and oid/, fn ->
        Repo.delete_all(joined(dynamic([h, t], t.name == "one")))
      end

      assert Repo.query!("SELECT count(*) FROM h").rows == [[2]]
    end

    test "keep their defaults in rows of nothing" do
      Repo.query!("CREATE TABLE h (rowid TEXT DEFAULT 'x')")
      assert Repo.insert_all("h", [%{}, %{}], on_conflict: :nothing) == {2, nil}
      assert Repo.query!("SELECT rowid FROM h").rows == [["x"], ["x"]]
    end

    test "in a table without numbers" do
      for columns <- ["_rowid_ INTEGER", "_rowid_ INTEGER, rowid INTEGER, oid INTEGER"] do
        Repo.query!("DROP TABLE IF EXISTS h")
        Repo.query!("CREATE TABLE h (team INTEGER PRIMARY KEY, #{columns}) WITHOUT ROWID")
        Repo.query!("INSERT INTO h (team, _rowid_) VALUES (1, 7), (2, 7)")
        assert Repo.delete_all(joined(dynamic([h, t], t.name == "one"))) == {1, nil}
        assert Repo.query!("SELECT team FROM h").rows == [[2]]
      end
    end
  end

  test "a table of the session comes first" do
    Repo.query!("CREATE TEMP TABLE members (a INTEGER, b TEXT, team INTEGER, note TEXT)")
    Repo.query!("INSERT INTO temp.members VALUES (1, 'x', 1, ''), (1, 'x', 1, '')")
    query = from(m in Member, join: t in "teams", on: t.id == m.team)
    assert Repo.delete_all(query) == {2, nil}
    assert Repo.query!("SELECT count(*) FROM main.members").rows == [[3]]
  end

  test "what cannot be written is the engine's error" do
    query = from(m in {"looked_at", Member}, join: t in "teams", on: t.id == m.team)
    assert_raise EctoLibSql.Error, fn -> Repo.delete_all(query) end
    query = from(m in {"nowhere", Member}, join: t in "teams", on: t.id == m.team)
    assert_raise EctoLibSql.Error, ~r/no such table/, fn -> Repo.delete_all(query) end
  end

  test "nothing but the statement is logged" do
    parent = self()
    query = from(m in Member, join: t in "teams", on: t.id == m.team)
    handler = &__MODULE__.send_sql/4

    :telemetry.attach(
      "row_keys",
      [:ecto, :adapters, :lib_sql, :row_keys_test, :repo, :query],
      handler,
      parent
    )

    Repo.delete_all(query)
    :telemetry.detach("row_keys")
    assert_received {:sql, "/*rows \"members\"*/ DELETE" <> _rest}
    refute_received {:sql, _other}
  end

  def send_sql(_event, _measurements, metadata, parent), do: send(parent, {:sql, metadata.query})
end
