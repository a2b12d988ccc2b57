defmodule Ecto.Adapters.LibSql.PrefixTest do
  # Prefixes are attached databases: `attach:` in the Repo's configuration makes them of every connection.
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias Ecto.Changeset

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Author do
    use Ecto.Schema

    schema "authors" do
      field(:name, :string)
      field(:born, :date)
      has_many(:books, Ecto.Adapters.LibSql.PrefixTest.Book)
    end
  end

  defmodule Book do
    use Ecto.Schema

    schema "books" do
      field(:title, :string)
      belongs_to(:author, Author)
    end
  end

  defmodule Archived do
    use Ecto.Schema

    @schema_prefix "archive"
    schema "books" do
      field(:title, :string)
    end
  end

  defmodule Migration do
    use Ecto.Migration

    def change do
      create table(:authors) do
        add(:name, :string)
        add(:born, :date)
      end

      create(unique_index(:authors, [:name]))

      create table(:books) do
        add(:title, :string)
        add(:author_id, references(:authors))
      end
    end
  end

  setup do
    path = tmp_path()
    attach = [archive: path <> "-archive", other: path <> "-other"]
    start_supervised!({Repo, database: path, attach: attach, pool_size: 4, log: false})

    for prefix <- [nil, "archive"],
        do:
          assert(
            [1] =
              Ecto.Migrator.run(Repo, [{1, Migration}], :up, all: true, prefix: prefix, log: false)
          )

    :ok
  end

  defp titles(opts), do: Repo.all(from(b in Book, select: b.title, order_by: b.id), opts)

  test "each operation, on every connection" do
    for prefix <- [nil, "archive"] do
      opts = [prefix: prefix]
      author = Repo.insert!(%Author{name: "of #{prefix}", born: ~D[1929-10-21]}, opts)
      book = Repo.insert!(%Book{title: "a", author_id: author.id}, opts)
      assert {2, _} = Repo.insert_all(Book, [[title: "b"], [title: "c"]], opts)
      Repo.update!(Changeset.change(book, title: "z"))

      assert {1, _} =
               Repo.update_all(from(b in Book, where: b.title == "b"), [set: [title: "y"]], opts)

      assert {1, _} = Repo.delete_all(from(b in Book, where: b.title == "c"), opts)
      assert titles(opts) == ["z", "y"]
      assert [%{books: [%{title: "z"}]}] = Repo.all(Author, opts) |> Repo.preload(:books, opts)
      assert [~D[1929-10-21]] = Repo.all(from(a in "authors", select: a.born), opts)
      assert Ecto.get_meta(book, :prefix) == prefix
    end

    # Four at once have four connections.
    1..8
    |> Task.async_stream(fn _ ->
      Repo.checkout(fn ->
        Process.sleep(5)
        titles(prefix: "archive")
      end)
    end)
    |> Enum.each(&assert &1 == {:ok, ["z", "y"]})
  end

  test "of a schema, a from, a join" do
    Repo.insert!(%Archived{title: "old"})
    Repo.insert!(%Book{title: "new"})
    assert [%{title: "old"}] = Repo.all(Archived)
    assert ["old"] = Repo.all(from(b in "books", prefix: "archive", select: b.title))

    query =
      from(b in Book,
        join: a in "books",
        on: a.id == b.id,
        prefix: "archive",
        select: {b.title, a.title}
      )

    assert Repo.all(query) == [{"new", "old"}]
  end

  test "constraints by the same names" do
    opts = [prefix: "archive"]
    author = Repo.insert!(%Author{name: "a"}, opts)
    Repo.insert!(%Book{author_id: author.id}, opts)
    taken = %Author{name: "a"} |> Changeset.change() |> Changeset.unique_constraint(:name)

    orphan =
      %Book{author_id: 0} |> Changeset.change() |> Changeset.foreign_key_constraint(:author_id)

    parent = author |> Changeset.change() |> Changeset.no_assoc_constraint(:books)

    assert {:error, %{errors: [name: _]}} = Repo.insert(taken, opts)
    assert {:error, %{errors: [author_id: _]}} = Repo.insert(orphan, opts)
    assert {:error, %{errors: [books: _]}} = Repo.delete(parent, opts)
    assert {:ok, _} = Repo.insert(taken)
  end

  test "a transaction over several" do
    assert {:error, :back} =
             Repo.transaction(fn ->
               Repo.insert!(%Book{title: "here"})
               Repo.insert!(%Archived{title: "there"})
               Repo.rollback(:back)
             end)

    assert titles([]) == [] and titles(prefix: "archive") == []
  end

  test "a prefix that is none, and a table that is not in it" do
    error = assert_raise EctoLibSql.Error, fn -> titles(prefix: "nowhere") end
    assert error.message =~ "nowhere"
    error = assert_raise EctoLibSql.Error, fn -> titles(prefix: "other") end
    assert error.message =~ "other.books"
  end
end
