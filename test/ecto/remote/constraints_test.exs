defmodule Ecto.Adapters.LibSql.RemoteConstraintsTest do
  # Which constraint it was, on a server: with tables and triggers of its own in place of temporary ones.
  use ExUnit.Case, async: true

  import Ecto.Changeset
  import Ecto.Query, only: [from: 2]
  alias Ecto.Adapters.LibSql.Sql
  alias EctoLibSql.Error
  alias EctoLibSql.Test.Sqld

  @moduletag :sqld

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Author do
    use Ecto.Schema

    schema "author" do
      field(:name, :string)
    end
  end

  defmodule Book do
    use Ecto.Schema

    schema "book" do
      field(:title, :string)
      field(:author_id, :integer)
      field(:editor_id, :integer)
    end
  end

  setup do
    sqld = Sqld.start!()
    repo = start_supervised!({Repo, uri: sqld.url, name: nil, pool_size: 2, log: false})
    Repo.put_dynamic_repo(repo)
    :ok
  end

  defp sql(statements), do: for(sql <- List.wrap(statements), do: Repo.query!(sql))

  # The answer, the same in a transaction and outside of one, and nothing left behind.
  defp both(fun) do
    before = everything()
    answer = fun.()
    assert everything() == before

    {:ok, again} =
      Repo.transaction(fn ->
        again = fun.()
        assert everything() == before
        # The transaction goes on as it was.
        assert Repo.query!("PRAGMA defer_foreign_keys").rows == [[0]]
        again
      end)

    assert everything() == before
    assert again == answer
    answer
  end

  defp violated(fun, kind \\ :foreign_key) do
    error = both(fn -> assert_raise Error, fun end)
    assert error.constraint.kind == kind
    error.constraint.name
  end

  defp everything do
    for [type, name] <- Repo.query!("SELECT type, name FROM sqlite_master ORDER BY name").rows do
      rows = if type == "table", do: Repo.query!(["SELECT * FROM ", Sql.quote_name(name)]).rows
      {type, name, rows}
    end
  end

  defp insert(table, row), do: fn -> Repo.insert_all(table, [row]) end
  defp delete(table, id), do: fn -> Repo.delete_all(from(t in table, where: t.id == ^id)) end

  defp update(table, id, set),
    do: fn -> Repo.update_all(from(t in table, where: t.id == ^id), set: set) end

  test "changesets of children and parents" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
      """
      CREATE TABLE book (
        id INTEGER PRIMARY KEY, title TEXT, author_id INTEGER CONSTRAINT writer REFERENCES author,
        editor_id INTEGER REFERENCES author ON DELETE RESTRICT
      )
      """,
      "INSERT INTO author VALUES (1, 'a'), (2, 'b'), (3, 'c')",
      "INSERT INTO book VALUES (1, 't', 1, 2)"
    ])

    book = fn fields ->
      %Book{title: "u"}
      |> change(fields)
      |> foreign_key_constraint(:author_id, name: :writer)
      |> foreign_key_constraint(:editor_id, name: :book_editor_id_fkey)
      |> Repo.insert()
    end

    assert {:error, %{errors: [author_id: _]}} = both(fn -> book.(author_id: 9) end)
    assert {:error, %{errors: [editor_id: _]}} = both(fn -> book.(author_id: 1, editor_id: 9) end)

    leaves = fn id ->
      %Author{id: id}
      |> change()
      |> foreign_key_constraint(:id, name: :writer, message: "writes")
      |> foreign_key_constraint(:id, name: :book_editor_id_fkey, message: "edits")
      |> Repo.delete()
    end

    assert {:error, %{errors: [id: {"writes", _}]}} = both(fn -> leaves.(1) end)
    assert {:error, %{errors: [id: {"edits", _}]}} = both(fn -> leaves.(2) end)
    assert {:ok, _} = leaves.(3)

    assert_raise Ecto.ConstraintError, ~r/"writer" \(foreign_key_constraint\)/, fn ->
      Repo.insert!(%Book{author_id: 9})
    end
  end

  test "statements of many rows, cascades, triggers and keys of several columns" do
    sql([
      "CREATE TABLE a (id INTEGER PRIMARY KEY, x INT, y INT, UNIQUE (x, y))",
      "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INT REFERENCES a ON DELETE CASCADE, x INT, y INT, " <>
        "CONSTRAINT pair FOREIGN KEY (x, y) REFERENCES a (x, y))",
      "CREATE TABLE c (id INTEGER PRIMARY KEY, b_id INT REFERENCES b)",
      "CREATE TABLE log (id INTEGER PRIMARY KEY, a_id INT CONSTRAINT logged REFERENCES a)",
      "CREATE TRIGGER t AFTER UPDATE OF x ON c BEGIN SELECT 1; END"
    ])

    sql([
      "INSERT INTO a VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)",
      "INSERT INTO b VALUES (1, 1, NULL, NULL), (2, 2, 2, 2), (3, NULL, 3, 3)",
      "INSERT INTO c VALUES (1, 1)"
    ])

    assert violated(delete("a", 1)) == "c_b_id_fkey"
    assert {1, nil} = delete("a", 2).()
    assert violated(delete("a", 3)) == "pair"
    assert violated(update("b", 3, y: 4)) == "pair"
    assert violated(fn -> Repo.update_all("a", inc: [x: 10]) end) == "pair"
    assert {1, nil} = update("b", 3, x: 4, y: 4).()
    rows = [[id: 5, a_id: 4], [id: 6, a_id: 99]]
    assert violated(fn -> Repo.insert_all("b", rows) end) == "b_a_id_fkey"

    sql("CREATE TRIGGER l AFTER INSERT ON c BEGIN INSERT INTO log (a_id) VALUES (NEW.id); END")
    assert violated(insert("c", id: 50, b_id: 1)) == "logged"
  end

  test "a key that is deferred fails the COMMIT" do
    sql([
      "CREATE TABLE a (id INTEGER PRIMARY KEY)",
      "CREATE TABLE b (a_id INT REFERENCES a DEFERRABLE INITIALLY DEFERRED)"
    ])

    assert_raise Error, ~r/FOREIGN KEY/, fn ->
      Repo.transaction(fn -> Repo.insert_all("b", [[a_id: 1]]) end)
    end

    assert Repo.query!("SELECT * FROM b").rows == []
  end

  test "of several unique indexes, the one that refuses" do
    sql([
      "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, kind TEXT)",
      "CREATE UNIQUE INDEX t_small ON t (a) WHERE kind = 'small'",
      "CREATE UNIQUE INDEX t_large ON t (a) WHERE kind = 'large'",
      "CREATE TABLE u (a TEXT CONSTRAINT only_one UNIQUE, b INT CONSTRAINT positive CHECK (b > 0))",
      "INSERT INTO t VALUES (1, 'x', 'small'), (2, 'y', 'large')",
      "INSERT INTO u VALUES ('x', 1)"
    ])

    assert violated(insert("t", a: "x", kind: "small"), :unique) == "t_small"
    assert violated(insert("t", a: "y", kind: "large"), :unique) == "t_large"
    assert violated(update("t", 1, a: "y", kind: "large"), :unique) == "t_large"
    assert violated(insert("u", a: "x"), :unique) == "only_one"
    assert violated(insert("u", a: "y", b: 0), :check) == "positive"
    assert violated(insert("t", id: 1), :primary_key) == "t_pkey"
    sql("CREATE TABLE pair (a INT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID")
    sql("INSERT INTO pair VALUES (1, 2)")
    assert violated(insert("pair", a: 1, b: 2), :primary_key) == "pair_pkey"
  end

  test "while rows are being streamed" do
    sql([
      "CREATE TABLE a (id INTEGER PRIMARY KEY)",
      "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INT REFERENCES a)",
      "INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n"
    ])

    {:ok, seen} =
      Repo.transaction(fn ->
        from(a in "a", select: a.id, order_by: a.id)
        |> Repo.stream(max_rows: 100)
        |> Enum.map(fn id ->
          if rem(id, 500) == 1 do
            error = assert_raise Error, insert("b", a_id: -id)
            assert error.constraint.name == "b_a_id_fkey"
          end

          id
        end)
      end)

    assert seen == Enum.to_list(1..2000)
  end
end
