Code.require_file("support/library.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.RepoTest do
  # A small application: schemas, associations, upserts, transactions. Its constraints are in
  # changeset_constraints_test.exs.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  alias Ecto.Adapters.LibSql.Library.{Author, Book, Migration}
  alias Ecto.Changeset
  alias Ecto.Multi

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 3, log: false})
    :ok = Ecto.Migrator.up(Repo, 1, Migration, log: false)
    :ok
  end

  defp author(name \\ "Ursula"), do: Repo.insert!(%Author{name: name})

  test "a row comes back as it was" do
    author = author()

    book =
      Repo.insert!(%Book{
        title: "The Dispossessed",
        price: Decimal.new("12.50"),
        cover: "plain text",
        tags: ["sf", "é"],
        meta: %{"pages" => 341},
        printed: ~D[1974-05-01],
        author_id: author.id
      })

    assert Repo.get!(Book, book.id) == Repo.reload!(book)
    read = Repo.get!(Book, book.id)
    assert Decimal.equal?(read.price, book.price)

    assert {read.cover, read.tags, read.meta, read.printed} ==
             {"plain text", ["sf", "é"], %{"pages" => 341}, ~D[1974-05-01]}

    assert Repo.get_by!(Author, token: author.token) == author

    assert %{rows: [["blob", "blob"]]} =
             Repo.query!("SELECT typeof(cover), typeof(token) FROM books, authors")
  end

  test "update, delete, stale rows" do
    author = author()
    assert {:ok, %{name: "U"}} = author |> Changeset.change(name: "U") |> Repo.update()
    assert {:ok, _} = Repo.delete(author)
    assert_raise Ecto.StaleEntryError, fn -> Repo.delete!(author) end
  end

  test "associations and preloads" do
    author =
      Repo.insert!(%Author{name: "Octavia", books: [%Book{title: "Kindred"}, %Book{title: "Dawn"}]})

    assert [%{books: [_, _]}] = Repo.all(from(a in Author, preload: :books))

    query =
      from(b in Book,
        join: a in assoc(b, :author),
        where: a.name == ^"Octavia",
        preload: [author: a]
      )

    assert [%{author: %{name: "Octavia"}} | _] = Repo.all(query)
    assert Repo.aggregate(Ecto.assoc(author, :books), :count) == 2
  end

  test "insert_all: defaults, order, counts" do
    rows = [[title: "a", copies: 1], [title: "b"], [title: "c", copies: 3]]
    assert {3, books} = Repo.insert_all(Book, rows, returning: [:id, :title, :copies])
    assert Enum.map(books, & &1.copies) == [1, 5, 3]
    assert Enum.map(books, & &1.title) == ["a", "b", "c"]
    assert books == Enum.sort_by(books, & &1.id)
  end

  test "insert_all: more rows than one statement takes, all or none" do
    rows = for n <- 1..20_000, do: [title: "t#{n}", copies: n]
    assert Repo.insert_all(Book, rows) == {20_000, nil}
    assert Repo.aggregate(Book, :sum, :copies) == 200_010_000

    assert_raise EctoLibSql.Error, fn ->
      Repo.insert_all(Book, rows ++ [[title: "", copies: -1]])
    end

    assert Repo.aggregate(Book, :count) == 20_000
  end

  test "upserts" do
    author()
    now = DateTime.utc_now()
    row = [name: "Ursula", inserted_at: now, updated_at: now]
    assert {0, nil} = Repo.insert_all(Author, [row], on_conflict: :nothing)

    assert {1, [%{name: "ursula"}]} =
             Repo.insert_all(Author, [row],
               on_conflict: [set: [name: "ursula"]],
               conflict_target: :name,
               returning: [:name]
             )

    query =
      from(b in "authors",
        where: b.name == ^"ursula" and b.id > ^0,
        select: %{name: b.name, inserted_at: b.inserted_at, updated_at: b.updated_at}
      )

    assert {0, nil} = Repo.insert_all(Author, query, on_conflict: :nothing)
  end

  test "transactions, nested, rolled back" do
    assert {:error, :no} =
             Repo.transaction(fn ->
               author()
               Repo.rollback(:no)
             end)

    assert Repo.aggregate(Author, :count) == 0

    assert {:ok, %{author: %{id: id}, book: %{author_id: id}}} =
             Multi.new()
             |> Multi.insert(:author, %Author{name: "m"})
             |> Multi.insert(:book, fn %{author: author} -> %Book{author_id: author.id} end)
             |> Repo.transaction()

    assert {:error, :second, _changeset, _done} =
             Multi.new()
             |> Multi.insert(:first, %Author{name: "n"})
             |> Multi.insert(
               :second,
               %Author{name: "n"} |> Changeset.change() |> Changeset.unique_constraint(:name)
             )
             |> Repo.transaction()

    assert Repo.aggregate(Author, :count) == 1
  end

  test "without a schema, values are read by the declared types" do
    row = %{title: "t", price: Decimal.new("1.10"), meta: %{"a" => [1]}, tags: ["x"]}
    Repo.insert!(struct(Book, Map.put(row, :printed, ~D[2024-05-06])))
    author()

    query =
      from(b in "books",
        select: %{title: b.title, price: b.price, meta: b.meta, tags: b.tags, one: 1},
        where: b.title == "t"
      )

    assert Repo.all(query) == [Map.put(row, :one, 1)]
    assert {:ok, [_]} = Repo.transaction(fn -> query |> Repo.stream() |> Enum.to_list() end)
    assert [~D[2024-05-06]] = Repo.all(from(b in "books", select: b.printed))
    assert [%DateTime{}] = Repo.all(from(a in "authors", select: a.inserted_at))

    assert {1, [%{"a" => [1]}]} =
             Repo.update_all(from(b in "books", select: b.meta), set: [title: "u"])

    # What the type cannot be stays as it is; SQL by hand is not looked at.
    Repo.query!("UPDATE books SET meta = 'no JSON'")
    assert ["no JSON"] = Repo.all(from(b in "books", select: b.meta))
    assert %{rows: [["1.10"]]} = Repo.query!("SELECT price FROM books")
  end

  test "what a JSON path selects is JSON" do
    Repo.insert!(%Book{
      meta: %{"on" => true, "n" => 1, "s" => "1", "m" => %{"k" => [nil]}, "z" => nil}
    })

    query =
      from(b in Book,
        where: b.meta["on"] == true,
        select: {b.meta["on"], b.meta["n"], b.meta["s"], b.meta["m"], b.meta["z"], b.meta["none"]}
      )

    assert Repo.all(query) == [{true, 1, "1", %{"k" => [nil]}, nil, nil}]
  end

  test "streams" do
    Repo.insert_all(Book, for(n <- 1..1_000, do: [copies: n]))

    {:ok, sum} =
      Repo.transaction(
        fn -> from(b in Book, select: b.copies) |> Repo.stream(max_rows: 100) |> Enum.sum() end,
        mode: :read
      )

    assert sum == 500_500
  end

  test "to_sql, table_exists?" do
    assert {~s{SELECT a0."id" FROM "authors" AS a0}, []} =
             Repo.to_sql(:all, from(a in Author, select: a.id))

    assert Ecto.Adapters.SQL.table_exists?(Repo, "books")
    refute Ecto.Adapters.SQL.table_exists?(Repo, "nothing")
  end

  test "a query with a lock keeps writers out" do
    author()
    parent = self()

    Repo.transaction(
      fn ->
        assert [_] = Repo.all(from(a in Author, lock: "FOR UPDATE"))

        spawn_link(fn ->
          send(parent, :waits)
          Repo.update_all(Author, set: [name: "late"])
          send(parent, :wrote)
        end)

        assert_receive :waits
        refute_receive :wrote, 100
      end,
      mode: :deferred
    )

    assert_receive :wrote, 5_000

    assert_raise Ecto.QueryError, ~r/NOWAIT/, fn ->
      Repo.all(from(a in Author, lock: "FOR UPDATE NOWAIT"))
    end
  end

  def handle_event(_event, _measures, data, test), do: send(test, data)

  test "blobs are shown to telemetry as they are" do
    author = author()
    event = Repo.config()[:telemetry_prefix] ++ [:query]
    :telemetry.attach(__MODULE__, event, &__MODULE__.handle_event/4, self())
    on_exit(fn -> :telemetry.detach(__MODULE__) end)
    Repo.get_by!(Author, token: author.token)
    bytes = Ecto.UUID.dump!(author.token)
    assert_received %{params: [^bytes]}
  end
end
