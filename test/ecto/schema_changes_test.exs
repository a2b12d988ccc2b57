defmodule Ecto.Adapters.LibSql.SchemaChangesTest do
  # Statements are kept compiled, by the connection and by Ecto. Whoever changes the schema, what they answer
  # is of the schema as it is.
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    path = tmp_path()
    attached = path <> "-attached"
    {:ok, db} = EctoLibSql.connect(database: attached)
    EctoLibSql.close(db)
    start_supervised!({Repo, database: path, pool_size: 1, log: false})
    Repo.query!("ATTACH ?1 AS other", [attached])
    {:ok, path: path, attached: attached}
  end

  # Each way in which DDL comes: a name, the database of the table, and how it is run.
  defp ways(path, attached) do
    elsewhere = start_elsewhere(path)

    [
      {"the same connection", "main", &Repo.query!/1},
      {"a transaction", "main",
       fn sql -> {:ok, _} = Repo.transaction(fn -> Repo.query!(sql) end) end},
      {"another connection", "main", &run(path, &1)},
      {"another process of the system", "main", &run_elsewhere(elsewhere, &1)},
      {"an attached database", "other", &Repo.query!/1},
      {"an attached database, another connection", "other", &run(attached, unqualified(&1))}
    ]
  end

  defp unqualified(sql), do: String.replace(sql, "other.", "")

  defp run(path, sql) do
    {:ok, db} = EctoLibSql.connect(database: path)
    {:ok, _} = EctoLibSql.run(db, sql)
    EctoLibSql.close(db)
  end

  # A VM of its own, with nothing but the driver: it runs each line that it is sent.
  defp start_elsewhere(path) do
    code = """
    {:ok, db} = EctoLibSql.connect(database: #{inspect(path)})

    for sql <- IO.stream(:stdio, :line) do
      {:ok, _} = EctoLibSql.run(db, sql)
      IO.puts("done")
    end
    """

    ebin = Application.app_dir(:ecto_libsql, "ebin")
    elixir = System.find_executable("elixir")
    opts = [:binary, :exit_status, line: 1000, args: ["-pa", ebin, "-e", code]]
    Port.open({:spawn_executable, elixir}, opts)
  end

  defp run_elsewhere(port, sql) do
    Port.command(port, sql <> "\n")
    assert_receive {^port, {:data, {:eol, "done"}}}, 20_000
  end

  defp all(table),
    do:
      (fn %{columns: columns, rows: rows} -> {columns, rows} end).(
        Repo.query!("SELECT * FROM #{table}")
      )

  test "SELECT * has the columns of now", %{path: path, attached: attached} do
    for {{way, database, ddl}, number} <- Enum.with_index(ways(path, attached)) do
      table = "#{database}.t#{number}"
      Repo.query!("CREATE TABLE #{table} (id INTEGER PRIMARY KEY, a TEXT, b TEXT)")
      Repo.query!("INSERT INTO #{table} VALUES (1, 'a', 'b')")
      # Often enough to be on the fast path.
      for _ <- 1..10, do: assert(all(table) == {["id", "a", "b"], [[1, "a", "b"]]})

      ddl.("ALTER TABLE #{table} ADD COLUMN c INT DEFAULT 7")
      assert {way, all(table)} == {way, {["id", "a", "b", "c"], [[1, "a", "b", 7]]}}

      ddl.("ALTER TABLE #{table} DROP COLUMN a")
      assert {way, all(table)} == {way, {["id", "b", "c"], [[1, "b", 7]]}}

      ddl.("ALTER TABLE #{table} RENAME COLUMN b TO z")
      assert {way, all(table)} == {way, {["id", "z", "c"], [[1, "b", 7]]}}

      ddl.("DROP TABLE #{table}")
      assert {:error, %{message: "no such table" <> _}} = Repo.query("SELECT * FROM #{table}")
      ddl.("CREATE TABLE #{table} (x)")
      assert {way, all(table)} == {way, {["x"], []}}
    end
  end

  test "Ecto's queries, which it keeps by itself", %{path: path, attached: attached} do
    for {{way, database, ddl}, number} <- Enum.with_index(ways(path, attached)) do
      source = "q#{number}"
      table = "#{database}.#{source}"
      prefix = if database == "other", do: "other"
      Repo.query!("CREATE TABLE #{table} (id INTEGER PRIMARY KEY, a TEXT)")
      query = from(t in source, select: {t.id, t.a}, where: t.a == ^"x")
      insert = fn -> Repo.insert_all(source, [[a: "x"]], prefix: prefix) end

      for n <- 1..5 do
        assert {1, _} = insert.()
        assert length(Repo.all(query, prefix: prefix)) == n
      end

      # Columns before it, another type, an index, a trigger.
      ddl.("DROP TABLE #{table}")
      ddl.("CREATE TABLE #{table} (b INT, a TEXT COLLATE NOCASE, id INTEGER PRIMARY KEY)")
      assert {1, _} = insert.()
      assert {way, Repo.all(query, prefix: prefix)} == {way, [{1, "x"}]}
      ddl.("CREATE INDEX #{database}.i#{number} ON #{source} (a)")
      assert {way, Repo.all(query, prefix: prefix)} == {way, [{1, "x"}]}
      assert {1, _} = Repo.update_all(query, [set: [a: "X"]], prefix: prefix)
      assert {way, Repo.all(query, prefix: prefix)} == {way, [{1, "X"}]}

      ddl.("ALTER TABLE #{table} RENAME TO gone#{number}")
      assert_raise EctoLibSql.Error, ~r/no such table/, fn -> Repo.all(query, prefix: prefix) end
    end
  end

  test "a change that is rolled back never was" do
    Repo.query!("CREATE TABLE t (a)")
    Repo.query!("INSERT INTO t VALUES (1)")
    for _ <- 1..10, do: all("t")

    assert {:error, :back} =
             Repo.transaction(fn ->
               Repo.query!("ALTER TABLE t ADD COLUMN b DEFAULT 2")
               assert all("t") == {["a", "b"], [[1, 2]]}
               Repo.rollback(:back)
             end)

    assert all("t") == {["a"], [[1]]}
  end

  test "a stream goes on with the columns that it began with" do
    Repo.query!("CREATE TABLE t (a)")
    for n <- 1..5, do: Repo.query!("INSERT INTO t VALUES (?1)", [n])

    {:ok, seen} =
      Repo.transaction(fn ->
        Repo
        |> Ecto.Adapters.SQL.stream("SELECT * FROM t ORDER BY a", [], max_rows: 2)
        |> Enum.flat_map(fn %{columns: columns, rows: rows} ->
          for row <- rows, do: {columns, row}
        end)
      end)

    assert seen == for(n <- 1..5, do: {["a"], [n]})
  end
end
