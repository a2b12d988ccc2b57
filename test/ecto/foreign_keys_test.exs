Code.require_file("foreign_keys_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.ForeignKeysTest do
  # Which key it was: the names in the errors of insert_all, update_all and delete_all, which are found in
  # the same way as those of changesets (constraints_test.exs).
  use Ecto.Adapters.LibSql.ForeignKeysCase, async: true

  import Ecto.Query, only: [from: 1, from: 2]
  alias Ecto.Adapters.LibSql.ForeignKeys
  alias Ecto.Adapters.LibSql.ForeignKeys.{Schema, Watch}
  alias EctoLibSql.Error

  test "a row without its parent" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, title, author_id INT REFERENCES author)",
      "INSERT INTO author VALUES (1)",
      "INSERT INTO book VALUES (1, 'a', 1)"
    ])

    assert violated(insert("book", author_id: 2)) == "book_author_id_fkey"
    assert violated(update("book", 1, author_id: 2)) == "book_author_id_fkey"
    assert {1, nil} = Repo.insert_all("book", [[author_id: nil]])
    assert {1, nil} = Repo.insert_all("Book", [[author_id: 1]])
    assert violated(insert("BOOK", author_id: 2)) == "book_author_id_fkey"
  end

  test "rows of one statement count together" do
    sql([
      "CREATE TABLE node (id INTEGER PRIMARY KEY, up INT REFERENCES node, other INT REFERENCES node)",
      "INSERT INTO node VALUES (1, 1, NULL), (2, 1, 1)"
    ])

    # The parent comes after the child, in the same statement.
    assert {2, nil} = Repo.insert_all("node", [[id: 5, up: 6], [id: 6, up: 5]])
    rows = [[id: 7, up: 8, other: 8], [id: 8, up: 7, other: 9]]
    assert violated(fn -> Repo.insert_all("node", rows) end) == "node_other_fkey"
    assert violated(delete("node", 1)) =~ ~r/node_(up|other)_fkey/
    assert {4, nil} = Repo.delete_all("node")
  end

  test "a parent that children refer to" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY, code TEXT UNIQUE)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author)",
      "CREATE TABLE letter (id INTEGER PRIMARY KEY, to_code TEXT REFERENCES author (code))",
      "INSERT INTO author VALUES (1, 'a'), (2, 'b'), (3, 'c')",
      "INSERT INTO book VALUES (1, 1)",
      "INSERT INTO letter VALUES (1, 'b')"
    ])

    assert violated(delete("author", 1)) == "book_author_id_fkey"
    assert violated(delete("author", 2)) == "letter_to_code_fkey"
    assert violated(update("author", 1, id: 9)) == "book_author_id_fkey"
    assert violated(update("author", 2, code: "z")) == "letter_to_code_fkey"
    assert {1, nil} = update("author", 2, code: "b", id: 2).()
    assert {1, nil} = delete("author", 3).()
  end

  test "where cascades lead" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      """
      CREATE TABLE book (
        id INTEGER PRIMARY KEY, author_id INT REFERENCES author ON DELETE CASCADE ON UPDATE CASCADE
      )
      """,
      "CREATE TABLE review (id INTEGER PRIMARY KEY, book_id INT REFERENCES book)",
      "CREATE TABLE copy (id INTEGER PRIMARY KEY, book_id INT REFERENCES book ON DELETE RESTRICT)",
      """
      CREATE TABLE prize (
        id INTEGER PRIMARY KEY,
        author_id INT DEFAULT 77 REFERENCES author ON DELETE SET DEFAULT ON UPDATE SET NULL
      )
      """,
      # Goes with its book, so it does not keep its author.
      """
      CREATE TABLE page (
        id INTEGER PRIMARY KEY, author_id INT REFERENCES author, book_id INT REFERENCES book ON DELETE CASCADE
      )
      """,
      "INSERT INTO author VALUES (1), (2), (3), (4)",
      "INSERT INTO book VALUES (10, 1), (20, 2), (40, 4)",
      "INSERT INTO review VALUES (100, 10)",
      "INSERT INTO copy VALUES (200, 20)",
      "INSERT INTO prize VALUES (300, 3)",
      "INSERT INTO page VALUES (400, 4, 40)"
    ])

    assert violated(delete("author", 1)) == "review_book_id_fkey"
    assert violated(delete("author", 2)) == "copy_book_id_fkey"
    assert violated(delete("author", 3)) == "prize_author_id_fkey"
    assert {1, nil} = delete("author", 4).()
    assert {1, nil} = update("author", 3, id: 5).()
  end

  test "what triggers write" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author)",
      "CREATE TABLE log (id INTEGER PRIMARY KEY, book_id INT REFERENCES book)",
      "CREATE TRIGGER t AFTER INSERT ON book BEGIN INSERT INTO log (book_id) VALUES (NEW.id + 1); END",
      # Gives a book its author before anybody looks.
      """
      CREATE TRIGGER u AFTER INSERT ON book WHEN NEW.author_id = 5 BEGIN
        INSERT INTO author VALUES (NEW.author_id);
      END
      """,
      "CREATE TABLE plain (id INTEGER PRIMARY KEY)",
      "CREATE TRIGGER v AFTER INSERT ON plain BEGIN INSERT INTO book VALUES (1, 9); END",
      "CREATE VIEW books AS SELECT * FROM book",
      """
      CREATE TRIGGER w INSTEAD OF INSERT ON books BEGIN
        INSERT INTO log (book_id) VALUES (NEW.id);
      END
      """
    ])

    assert violated(insert("book", id: 1, author_id: 5)) == "log_book_id_fkey"
    assert violated(insert("plain", id: 1)) =~ ~r/book_author_id_fkey|log_book_id_fkey/
    assert violated(insert("books", id: 1)) == "log_book_id_fkey"
  end

  test "a trigger's own error is nobody's key" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author)",
      "CREATE TRIGGER t BEFORE INSERT ON book BEGIN SELECT RAISE(ABORT, 'no more books'); END"
    ])

    error = assert_raise Error, "no more books", insert("book", id: 1)
    assert error.constraint == nil or error.constraint.name == nil
  end

  test "upserts, which insert or update" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      """
      CREATE TABLE book (
        id INTEGER PRIMARY KEY, author_id INT REFERENCES author, editor_id INT REFERENCES author
      )
      """,
      "CREATE TABLE page (id INTEGER PRIMARY KEY, book_id INT REFERENCES book)",
      "INSERT INTO author VALUES (1)",
      "INSERT INTO book VALUES (1, 1, 1)",
      "INSERT INTO page VALUES (1, 1)"
    ])

    upsert = fn row, set ->
      fn -> Repo.insert_all("book", [row], on_conflict: [set: set], conflict_target: :id) end
    end

    assert violated(upsert.([id: 1, author_id: 1], editor_id: 2)) == "book_editor_id_fkey"
    assert violated(upsert.([id: 2, author_id: 2], editor_id: 2)) == "book_author_id_fkey"
    assert violated(upsert.([id: 1], id: 2)) == "page_book_id_fkey"
  end

  test "orphans that were there before are nobody's fault", %{path: path} do
    unenforced(path, [
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      """
      CREATE TABLE book (
        id INTEGER PRIMARY KEY, a INT REFERENCES author, b INT REFERENCES author, title,
        c INT REFERENCES author ON DELETE CASCADE
      )
      """,
      "INSERT INTO author VALUES (1)",
      "INSERT INTO book VALUES (1, 77, 1, 'a', NULL), (2, 77, 1, 'b', NULL), (3, 77, NULL, 'c', 1)"
    ])

    assert {1, nil} = update("book", 1, title: "z").()
    assert violated(update("book", 1, title: "z", b: 5)) == "book_b_fkey"
    assert violated(delete("author", 1)) == "book_b_fkey"

    upsert = fn ->
      Repo.insert_all("book", [[id: 1]], on_conflict: [set: [b: 5]], conflict_target: :id)
    end

    assert violated(upsert) == "book_b_fkey"
  end

  test "of several columns, with NULLs, with names" do
    sql([
      "CREATE TABLE shelf (room TEXT, number INT, PRIMARY KEY (room, number)) WITHOUT ROWID",
      """
      CREATE TABLE place (
        id INTEGER PRIMARY KEY, room TEXT, number INT,
        book INT CONSTRAINT "which ""book\""" REFERENCES shelf2 (n),
        CONSTRAINT standing FOREIGN KEY (number, room) REFERENCES shelf (number, room) ON DELETE SET NULL,
        FOREIGN KEY (room, number) REFERENCES shelf
      )
      """,
      "CREATE TABLE shelf2 (n INT UNIQUE)",
      "INSERT INTO shelf VALUES ('attic', 1)",
      "INSERT INTO place VALUES (1, 'attic', 1, NULL)"
    ])

    assert {1, nil} = Repo.insert_all("place", [[room: "cellar", number: nil]])
    assert violated(insert("place", room: "attic", number: 2)) in ["standing", "place_room_fkey"]
    assert violated(insert("place", book: 2)) == ~s{which "book"}
    # SET NULL leaves nobody behind.
    assert {1, nil} = Repo.delete_all("shelf")
  end

  test "children without a rowid, and with columns of that name" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      """
      CREATE TABLE part (
        code TEXT, rest BLOB, author_id INT REFERENCES author, PRIMARY KEY (code, rest)
      ) WITHOUT ROWID
      """,
      "CREATE TABLE odd (rowid TEXT, oid TEXT, author_id INT REFERENCES author)",
      "INSERT INTO author VALUES (1)",
      "INSERT INTO part VALUES ('1', x'31', 1)"
    ])

    assert violated(insert("part", code: "1", rest: "1", author_id: 2)) == "part_author_id_fkey"
    assert violated(insert("odd", rowid: "x", author_id: 2)) == "odd_author_id_fkey"
    assert violated(delete("author", 1)) == "part_author_id_fkey"
    Repo.delete_all("part")
    Repo.insert_all("odd", [[rowid: "x", author_id: 1]])
    assert violated(delete("author", 1)) == "odd_author_id_fkey"
  end

  test "values are compared as the parent's column has it" do
    sql([
      "CREATE TABLE tag (name TEXT COLLATE NOCASE PRIMARY KEY, number TEXT UNIQUE)",
      "CREATE TABLE a (id INTEGER PRIMARY KEY, tag TEXT REFERENCES tag, n INT REFERENCES tag (number))",
      "INSERT INTO tag VALUES ('Red', '05'), ('Blue', '7')",
      "INSERT INTO a VALUES (1, 'RED', 7)"
    ])

    # The integer 5 is the text '5' to its parent, and not '05'.
    assert violated(insert("a", tag: "blue", n: 5)) == "a_n_fkey"
    assert violated(insert("a", tag: "green", n: 7)) == "a_tag_fkey"

    assert violated(fn -> Repo.delete_all(from(t in "tag", where: t.name == "red")) end) ==
             "a_tag_fkey"

    assert violated(fn -> Repo.delete_all(from(t in "tag", where: t.name == "blue")) end) ==
             "a_n_fkey"
  end

  test "in an attached database", %{path: path} do
    sql([
      "ATTACH '#{path}2' AS other",
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE other.author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE other.book (id INTEGER PRIMARY KEY, author_id INT CONSTRAINT theirs REFERENCES author)",
      "INSERT INTO author VALUES (2)",
      "INSERT INTO other.author VALUES (1)",
      "INSERT INTO other.book VALUES (1, 1)"
    ])

    insert = fn -> Repo.insert_all("book", [[author_id: 2]], prefix: "other") end
    assert violated(insert) == "theirs"

    delete = fn -> Repo.delete_all(from(a in "author"), prefix: "other") end
    assert violated(delete) == "theirs"
    # Where else.
    assert violated(insert("book", author_id: 2)) == "theirs"

    sql([
      "CREATE TEMP TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TEMP TABLE note (author_id INT CONSTRAINT for_now REFERENCES author)"
    ])

    assert violated(insert("note", author_id: 2)) == "for_now"
  end

  test "keys to tables that are not there, and odd names" do
    sql([
      "CREATE TABLE lost (id INTEGER PRIMARY KEY, x INT REFERENCES nowhere, y INT REFERENCES nowhere (z))",
      ~s{CREATE TABLE "a ""b" ("c d" INTEGER PRIMARY KEY)},
      ~s{CREATE TABLE "e'f" ("g""h" INT REFERENCES "a ""b")}
    ])

    assert violated(insert("e'f", [{:"g\"h", 1}])) == ~s{e'f_g"h_fkey}
    assert_raise Error, ~r/nowhere/, insert("lost", x: 1)
  end

  test "a child is searched, not scanned" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author)",
      "CREATE TEMP TABLE ecto_libsql_touched (key, mark1)"
    ])

    query = &Repo.query(IO.iodata_to_binary(&1), &2)
    watch = query |> Schema.read("main") |> Watch.new("book", [:insert], "temp")
    watch = Watch.identify(watch, &Schema.identity(query, "main", &1))
    plan = Repo.query!(["EXPLAIN QUERY PLAN ", Watch.orphan(watch, 0)]).rows
    plan = Enum.map(plan, &List.last/1)
    assert Enum.any?(plan, &(&1 =~ "SEARCH child USING INTEGER PRIMARY KEY"))
    assert Enum.any?(plan, &(&1 =~ "SEARCH parent USING INTEGER PRIMARY KEY"))
    assert Enum.filter(plan, &(&1 =~ "SCAN")) == ["SCAN touched"]
  end

  test "only what a statement can reach is watched" do
    sql([
      "CREATE TABLE author (id INTEGER PRIMARY KEY)",
      "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT REFERENCES author ON DELETE SET NULL)",
      "CREATE TABLE page (id INTEGER PRIMARY KEY, book_id INT REFERENCES book)"
    ])

    schema = Schema.read(&Repo.query(IO.iodata_to_binary(&1), &2), "main")
    reached = fn table, event -> Watch.new(schema, table, [event], "temp").reached end
    assert reached.("page", :insert) == [{"page", :insert}]
    assert reached.("author", :delete) == [{"author", :delete}, {"book", :update}]
    assert reached.("none", :delete) == [{"none", :delete}]
    assert Watch.new(schema, "none", [:delete], "temp").keys == []

    sql("CREATE TRIGGER t AFTER DELETE ON author BEGIN SELECT 1; END")
    schema = Schema.read(&Repo.query(IO.iodata_to_binary(&1), &2), "main")
    assert length(Watch.new(schema, "author", [:delete], "temp").reached) == 9
    assert Watch.new(schema, "page", [:insert], "temp").reached == [{"page", :insert}]
  end

  test "names in the text of a table, from the last one" do
    assert ForeignKeys.names("""
           CREATE TABLE "t" ( -- CONSTRAINT no REFERENCES x
             a INT CONSTRAINT positive CHECK (a > 0 AND 'REFERENCES' <> b) REFERENCES u (id),
             "references" TEXT DEFAULT 'REFERENCES x' CONSTRAINT [second one] REFERENCES u,
             generated INT NOT NULL CONSTRAINT `third``` references u ON DELETE SET NULL ON UPDATE SET DEFAULT,
             d INT AS (a + 1) STORED REFERENCES u DEFERRABLE INITIALLY DEFERRED,
             PRIMARY KEY (a),
             CONSTRAINT fifth FOREIGN KEY (a, generated) REFERENCES v (a, b),
             FOREIGN KEY (a) REFERENCES w
           )
           """) == [nil, "fifth", nil, "third`", "second one", nil]

    assert ForeignKeys.names("CREATE TABLE t (a)") == []
    assert ForeignKeys.names("") == []
  end
end
