Code.require_file("support/library.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.ChangesetConstraintsTest do
  # Each kind of constraint as a changeset has it, with the names that Ecto expects by default: outside of a
  # transaction, in one, in a Multi and in the SQL sandbox.
  use EctoLibSql.Case, async: true

  import Ecto.Changeset
  alias Ecto.Adapters.LibSql.Library.{Author, Book, Desk, Migration}
  alias Ecto.Adapters.SQL.Sandbox
  alias Ecto.Multi

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Place do
    use Ecto.Schema

    schema "place" do
      field(:room, :string)
      field(:number, :integer)
      field(:book_id, :integer)
    end
  end

  setup context do
    opts = [database: tmp_path(), pool_size: 2, log: false]
    opts = if context[:sandbox], do: [pool: Sandbox] ++ opts, else: opts
    start_supervised!({Repo, opts})
    :ok = Ecto.Migrator.up(Repo, 1, Migration, log: false)

    if context[:sandbox] do
      Sandbox.mode(Repo, :manual)
      :ok = Sandbox.checkout(Repo)
    end

    ursula = Repo.insert!(%Author{name: "Ursula", email: "U@x.org"})
    book = Repo.insert!(%Book{title: "Dawn", edition: 1, author_id: ursula.id})
    octavia = Repo.insert!(%Author{name: "Octavia"})
    Repo.insert!(%Desk{code: "d", author_id: octavia.id})
    {:ok, ursula: ursula, octavia: octavia, book: book}
  end

  # {what, operation, changeset, the error it gets}
  defp cases(%{ursula: ursula, octavia: octavia, book: book}) do
    [
      {"unique index", :insert, %Author{name: "Ursula"} |> change() |> unique_constraint(:name),
       name: "has already been taken"},
      {"unique index, update", :update,
       octavia |> change(name: "Ursula") |> unique_constraint(:name),
       name: "has already been taken"},
      {"unique index on an expression", :insert,
       %Author{name: "v", email: "u@X.org"} |> change() |> unique_constraint(:email),
       email: "has already been taken"},
      {"unique index on several columns, partial", :insert,
       %Book{title: "Dawn", edition: 1} |> change() |> unique_constraint([:title, :edition]),
       title: "has already been taken"},
      {"primary key, a rowid", :insert,
       %Author{id: ursula.id, name: "w"}
       |> change()
       |> unique_constraint(:id, name: :authors_pkey), id: "has already been taken"},
      {"primary key, a text", :insert,
       %Desk{code: "d"} |> change() |> unique_constraint(:code, name: :"the-desks_pkey"),
       code: "has already been taken"},
      {"check", :insert,
       %Author{name: "x", age: 200} |> change() |> check_constraint(:age, name: :age_is_possible),
       age: "is invalid"},
      {"check, by the end of its name", :insert,
       %Author{name: "x", age: -1}
       |> change()
       |> check_constraint(:age, name: "possible", match: :suffix), age: "is invalid"},
      {"foreign key", :insert,
       %Book{author_id: 0} |> change() |> foreign_key_constraint(:author_id),
       author_id: "does not exist"},
      {"foreign key, of a table with an odd name", :insert,
       %Desk{code: "e", author_id: 0} |> change() |> foreign_key_constraint(:author_id),
       author_id: "does not exist"},
      {"association", :update, book |> change(author_id: 0) |> assoc_constraint(:author),
       author: "does not exist"},
      {"no association", :delete, ursula |> change() |> no_assoc_constraint(:books),
       books: "are still associated with this entry"},
      {"no association, RESTRICT", :delete, octavia |> change() |> no_assoc_constraint(:desk),
       desk: "is still associated with this entry"}
    ]
  end

  defp run(operation, changeset), do: apply(Repo, operation, [changeset])
  defp messages(changeset), do: for({field, {text, _}} <- changeset.errors, do: {field, text})

  defp rows do
    for source <- [Author, Book, Desk], do: Repo.all(source)
  end

  defp each_case(context) do
    before = rows()

    for {what, operation, changeset, expected} <- cases(context) do
      assert {:error, failed} = run(operation, changeset)
      assert {what, messages(failed)} == {what, expected}
      assert rows() == before

      # The transaction goes on, and what else it did is kept.
      assert {:ok, {:error, failed}} =
               Repo.transaction(fn ->
                 kept = Repo.insert!(%Author{name: "kept"})
                 answer = run(operation, changeset)
                 assert Repo.get!(Author, kept.id) == kept
                 Repo.delete!(kept)
                 answer
               end)

      assert {what, messages(failed)} == {what, expected}
      assert rows() == before

      assert {:error, :second, failed, %{first: _}} =
               Multi.new()
               |> Multi.insert(:first, %Author{name: "first"})
               |> then(&apply(Multi, operation, [&1, :second, changeset]))
               |> Multi.insert(:third, %Author{name: "third"})
               |> Repo.transaction()

      assert {what, messages(failed)} == {what, expected}
      assert rows() == before
    end
  end

  test("each kind", context, do: each_case(context))

  @tag :sandbox
  test("each kind, in the sandbox", context, do: each_case(context))

  test "while rows are being streamed a foreign key has no name, and the stream goes on" do
    for n <- 1..3, do: Repo.insert!(%Author{name: "a#{n}"})

    {:ok, answers} =
      Repo.transaction(fn ->
        Author
        |> Repo.stream(max_rows: 1)
        |> Enum.map(fn _author ->
          book = %Book{title: "t", author_id: -1} |> Ecto.Changeset.change()
          book = Ecto.Changeset.foreign_key_constraint(book, :author_id)

          assert_raise EctoLibSql.Error, ~r/FOREIGN KEY/, fn ->
            Repo.insert(book, mode: :savepoint)
          end

          :went_on
        end)
      end)

    assert length(answers) >= 3
  end

  test "a constraint that the changeset does not know raises, and names itself", context do
    expected = [
      "authors_name_index",
      "authors_name_index",
      "authors_email_index",
      "books_title_edition_index",
      "authors_pkey",
      "the-desks_pkey",
      "age_is_possible",
      "age_is_possible",
      "books_author_id_fkey",
      "the-desks_author_id_fkey",
      "books_author_id_fkey",
      "books_author_id_fkey",
      "the-desks_author_id_fkey"
    ]

    for {{_what, operation, changeset, _}, name} <- Enum.zip(cases(context), expected) do
      error =
        assert_raise Ecto.ConstraintError, fn -> run(operation, %{changeset | constraints: []}) end

      assert error.constraint == name
    end
  end

  test "in a changeset's associations" do
    changeset =
      %Author{}
      |> cast(%{name: "new", books: [%{title: "Dawn", edition: 1}]}, [:name])
      |> cast_assoc(:books,
        with: &(&1 |> cast(&2, [:title, :edition]) |> unique_constraint([:title, :edition]))
      )

    before = rows()
    assert {:error, %{changes: %{books: [book]}}} = Repo.insert(changeset)
    assert messages(book) == [title: "has already been taken"]
    assert rows() == before
  end

  test "NOT NULL is none of them" do
    assert_raise EctoLibSql.Error, ~r/NOT NULL constraint failed: authors.name/, fn ->
      Repo.insert(
        %Author{}
        |> change()
        |> unique_constraint(:name)
        |> check_constraint(:age, name: :x)
      )
    end
  end

  test "looking for a foreign key leaves nothing behind" do
    orphan = %Book{author_id: 0} |> change() |> foreign_key_constraint(:author_id)

    Repo.transaction(fn ->
      Repo.insert!(%Book{title: "kept"})
      assert {:error, _changeset} = Repo.insert(orphan)

      assert {:error, _changeset} =
               Repo.insert(orphan, on_conflict: [set: [title: "x"]], conflict_target: :id)

      assert %{rows: [[0]]} = Repo.query!("PRAGMA defer_foreign_keys")
    end)

    assert [%{title: "Dawn"}, %{title: "kept"}] = Repo.all(Book)

    assert_raise Ecto.ConstraintError, ~r/books_author_id_fkey/, fn ->
      Repo.insert(%Book{author_id: 0})
    end
  end

  test "foreign keys: of several columns, with names, to a key without columns" do
    for sql <- [
          "CREATE TABLE shelf (room TEXT, number INT, PRIMARY KEY (room, number))",
          """
          CREATE TABLE place (
            id INTEGER PRIMARY KEY,
            room TEXT NOT NULL, number INT CONSTRAINT positive CHECK (number > 0),
            book_id INT CONSTRAINT "which book" REFERENCES books,
            "references" TEXT DEFAULT 'REFERENCES x', -- REFERENCES y
            CONSTRAINT standing FOREIGN KEY (room, number) REFERENCES shelf (room, number)
          )
          """
        ] do
      Repo.query!(sql)
    end

    Repo.query!("INSERT INTO shelf VALUES ('attic', 1)")
    insert = &Repo.insert(struct(Place, [room: "attic", number: 1] ++ &1))
    assert {:ok, place} = insert.([])
    assert_raise Ecto.ConstraintError, ~r/"standing"/, fn -> insert.(number: 2) end
    assert_raise Ecto.ConstraintError, ~r/"which book"/, fn -> insert.(book_id: 9) end

    book = Repo.insert!(%Book{})
    Repo.update!(change(place, book_id: book.id))
    assert_raise Ecto.ConstraintError, ~r/"which book"/, fn -> Repo.delete(book) end
  end

  test "several at once: the first that the engine finds" do
    changeset =
      %Author{name: "Ursula", email: "u@x.org", age: 0}
      |> change()
      |> unique_constraint(:name)
      |> unique_constraint(:email)
      |> check_constraint(:age, name: :age_is_possible)

    assert {:error, %{errors: [_]}} = Repo.insert(changeset)
  end
end
