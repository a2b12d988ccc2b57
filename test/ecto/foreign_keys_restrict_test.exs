Code.require_file("foreign_keys_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.ForeignKeysRestrictTest do
  # Keys that refuse at once, in the middle of a statement, and would not at its end.
  use Ecto.Adapters.LibSql.ForeignKeysCase, async: true

  test "RESTRICT, which refuses deferred keys too" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      """
      CREATE TABLE book (
        id INTEGER PRIMARY KEY, author_id INT REFERENCES author ON DELETE RESTRICT ON UPDATE RESTRICT
      )
      """,
      """
      CREATE TABLE node (
        id INTEGER PRIMARY KEY, up INT CONSTRAINT above REFERENCES node ON DELETE RESTRICT
      )
      """,
      "INSERT INTO author VALUES (1)",
      "INSERT INTO book VALUES (1, 1)",
      "INSERT INTO node VALUES (1, 1), (2, 1), (3, 3)"
    ])

    assert violated(delete("author", 1)) == "book_author_id_fkey"
    assert violated(update("author", 1, id: 2)) == "book_author_id_fkey"
    assert violated(delete("node", 1)) == "above"
    # It is its own child.
    assert {1, nil} = delete("node", 3).()
  end

  test "a row that refers to itself, and goes on doing so" do
    for {suffix, kind} <- [{"", ""}, {"w", " WITHOUT ROWID"}] do
      table = "node" <> suffix

      sql([
        "CREATE TABLE #{table} (id INT PRIMARY KEY, up INT REFERENCES #{table} ON UPDATE RESTRICT)" <>
          kind,
        "INSERT INTO #{table} VALUES (1, 1), (2, NULL), (3, 3)"
      ])

      assert violated(update(table, 1, id: 9)) == table <> "_up_fkey"
      # It refers to what is not there any more when the engine looks at the others.
      assert {1, nil} = update(table, 3, id: 9, up: 9).()
    end
  end

  test "a row that comes to refer to what it was" do
    sql([
      "CREATE TABLE node (id INTEGER PRIMARY KEY, up INT REFERENCES node ON UPDATE RESTRICT)",
      "INSERT INTO node VALUES (1, NULL)"
    ])

    assert violated(update("node", 1, id: 2, up: 1)) == "node_up_fkey"
  end

  test "what would come after the refusal is of no account" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY, code INT UNIQUE)",
      """
      CREATE TABLE book (
        code INT REFERENCES author (code) ON DELETE RESTRICT, n INT, PRIMARY KEY (n)
      ) WITHOUT ROWID
      """,
      "INSERT INTO author VALUES (1, 10), (2, 20), (3, 30)",
      "INSERT INTO book VALUES (10, 1)",
      # The second one fails, for the first is there already.
      "CREATE TRIGGER t AFTER DELETE ON author BEGIN INSERT INTO author VALUES (7, 70); END"
    ])

    assert violated(fn -> Repo.delete_all("author") end) == "book_code_fkey"
    # Back at once, as it was: too late.
    sql("DROP TRIGGER t")

    sql(
      "CREATE TRIGGER t AFTER DELETE ON author BEGIN INSERT INTO author VALUES (OLD.id, OLD.code); END"
    )

    assert violated(delete("author", 1)) == "book_code_fkey"
    assert {1, nil} = delete("author", 2).()
  end

  test "children that go with something else" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE early (author_id INT REFERENCES author ON DELETE RESTRICT, b INT)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author ON DELETE CASCADE)",
      """
      CREATE TABLE late (
        author_id INT REFERENCES author ON DELETE RESTRICT, book_id INT REFERENCES book ON DELETE CASCADE
      )
      """,
      "INSERT INTO author VALUES (1), (2)",
      "INSERT INTO book VALUES (10, 1)",
      "INSERT INTO late VALUES (1, 10)"
    ])

    # It would have gone, but the key that was made last is looked at first.
    assert violated(delete("author", 1)) == "late_author_id_fkey"
    sql("INSERT INTO early VALUES (2, NULL)")
    assert violated(delete("author", 2)) == "early_author_id_fkey"
  end

  test "among keys that do not refuse" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE a (author_id INT REFERENCES author)",
      "CREATE TABLE b (author_id INT REFERENCES author ON DELETE RESTRICT)",
      "CREATE TABLE c (author_id INT REFERENCES author ON UPDATE RESTRICT)",
      "INSERT INTO author VALUES (1), (2)",
      "INSERT INTO a VALUES (1), (2)",
      "INSERT INTO b VALUES (1)",
      "INSERT INTO c VALUES (1), (2)"
    ])

    assert violated(delete("author", 1)) == "b_author_id_fkey"
    assert violated(update("author", 1, id: 5)) == "c_author_id_fkey"
    # Not refused: broken in the end, both of them.
    assert violated(delete("author", 2)) in ["a_author_id_fkey", "c_author_id_fkey"]
  end

  test "tables with keys to nowhere, beside those with triggers", %{path: path} do
    unenforced(path, [
      "CREATE TABLE lost (id INTEGER PRIMARY KEY, x INT REFERENCES nowhere (z), y INT REFERENCES v (id))",
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE VIEW v AS SELECT id FROM author",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author ON DELETE RESTRICT)",
      "CREATE TRIGGER t AFTER DELETE ON author BEGIN SELECT 1; END",
      "CREATE TRIGGER u AFTER INSERT ON book BEGIN SELECT 1; END",
      "INSERT INTO author VALUES (1)",
      "INSERT INTO book VALUES (1, 1)"
    ])

    assert violated(delete("author", 1)) == "book_author_id_fkey"
    assert violated(insert("book", author_id: 2)) == "book_author_id_fkey"
  end
end
