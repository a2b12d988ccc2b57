defmodule Ecto.Adapters.LibSql.ConstraintsTest do
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql.Connection
  alias EctoLibSql.Error

  setup do
    {:ok, db} = EctoLibSql.connect(database: ":memory:")

    for sql <- [
          "CREATE TABLE author (id INTEGER PRIMARY KEY)",
          """
          CREATE TABLE book (
            id INTEGER PRIMARY KEY, isbn TEXT NOT NULL, title TEXT, edition INTEGER, slug TEXT UNIQUE,
            author_id INTEGER REFERENCES author (id),
            CONSTRAINT edition_is_positive CHECK (edition > 0)
          )
          """,
          "CREATE UNIQUE INDEX by_isbn ON book (isbn)",
          "CREATE UNIQUE INDEX by_lower ON book (lower(title))"
        ] do
      {:ok, _db} = EctoLibSql.run(db, sql)
    end

    {:ok, _db} =
      EctoLibSql.run(db, "INSERT INTO book (id, isbn, title, slug) VALUES (1,'a','A','s')")

    {:ok, db: db}
  end

  defp constraints(db, values) do
    {:error, error} =
      EctoLibSql.run(
        db,
        "INSERT INTO book (id, isbn, title, edition, slug, author_id) VALUES " <> values
      )

    Connection.to_constraints(error, source: "book")
  end

  test "a unique index by its name", %{db: db} do
    assert constraints(db, "(2,'a',NULL,NULL,NULL,NULL)") == [unique: "by_isbn"]
  end

  test "an index on an expression too", %{db: db} do
    assert constraints(db, "(2,'b','a',NULL,NULL,NULL)") == [unique: "by_lower"]
  end

  test "a partial index, and one of another database, by their names", %{db: db} do
    for sql <- [
          "CREATE UNIQUE INDEX one_first_edition ON book (title) WHERE edition = 1",
          "ATTACH ':memory:' AS other",
          "CREATE TABLE other.shelf (label TEXT, place TEXT)",
          "CREATE UNIQUE INDEX other.by_label ON shelf (label)",
          "CREATE UNIQUE INDEX other.by_place ON shelf (lower(place)) WHERE place <> ''",
          "INSERT INTO book (isbn, title, edition) VALUES ('p', 'P', 1)",
          "INSERT INTO shelf VALUES ('a', 'hall')"
        ],
        do: {:ok, _db} = EctoLibSql.run(db, sql)

    for {sql, name} <- [
          {"INSERT INTO shelf VALUES ('a', '')", "by_label"},
          {"INSERT INTO shelf VALUES ('b', 'HALL')", "by_place"}
        ] do
      {:error, error} = EctoLibSql.run(db, sql)
      assert Connection.to_constraints(error, []) == [unique: name]
    end

    {:ok, _db} = EctoLibSql.run(db, "DROP INDEX by_lower")
    assert constraints(db, "(9,'b','P',1,NULL,NULL)") == [unique: "one_first_edition"]
  end

  test "a key of several columns, and one without a rowid", %{db: db} do
    for {table, definition} <- [
          {"pairs", "(a, b, CONSTRAINT named PRIMARY KEY (a, b))"},
          {"bare", "(a PRIMARY KEY, b) WITHOUT ROWID"}
        ] do
      {:ok, _db} = EctoLibSql.run(db, "CREATE TABLE #{table} #{definition}")
      {:ok, _db} = EctoLibSql.run(db, "INSERT INTO #{table} VALUES (1, 1)")
      {:error, error} = EctoLibSql.run(db, "INSERT INTO #{table} VALUES (1, 1)")
      assert Connection.to_constraints(error, []) == [unique: table <> "_pkey"]
    end
  end

  test "a UNIQUE without a name as Ecto would name it", %{db: db} do
    assert constraints(db, "(2,'b',NULL,NULL,'s',NULL)") == [unique: "book_slug_index"]
  end

  test "a primary key", %{db: db} do
    assert constraints(db, "(1,'b',NULL,NULL,NULL,NULL)") == [unique: "book_pkey"]
  end

  test "a CHECK by its name", %{db: db} do
    assert constraints(db, "(2,'b',NULL,0,NULL,NULL)") == [check: "edition_is_positive"]
  end

  test "NOT NULL is none", %{db: db} do
    assert constraints(db, "(2,NULL,NULL,NULL,NULL,NULL)") == []
  end

  test "a foreign key has no name but the one that was found", %{db: db} do
    {:error, error} = EctoLibSql.run(db, "INSERT INTO book (isbn, author_id) VALUES ('b', 7)")
    assert Connection.to_constraints(error, source: "book") == []

    assert Connection.to_constraints(error, foreign_key: "book_author_id_fkey") ==
             [foreign_key: "book_author_id_fkey"]
  end

  test "only fields count, not words" do
    error = %Error{code: :error, message: "UNIQUE constraint failed: book.isbn"}
    assert Connection.to_constraints(error, []) == []
    assert Connection.to_constraints(%RuntimeError{}, []) == []
  end
end
