defmodule Ecto.Adapters.LibSql.ReplicaTest do
  # A Repo whose database is a file that follows a server.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  alias EctoLibSql.Error
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Author do
    use Ecto.Schema
    import Ecto.Changeset

    schema "authors" do
      field(:name, :string)
      has_many(:books, Ecto.Adapters.LibSql.ReplicaTest.Book)
      timestamps()
    end

    def changeset(author, attrs) do
      author |> cast(attrs, [:name]) |> validate_required([:name]) |> unique_constraint(:name)
    end
  end

  defmodule Book do
    use Ecto.Schema

    schema "books" do
      field(:title, :string)
      field(:price, :decimal)
      belongs_to(:author, Author)
    end

    def changeset(book, attrs) do
      book
      |> Ecto.Changeset.cast(attrs, [:title, :author_id])
      |> Ecto.Changeset.foreign_key_constraint(:author_id)
    end
  end

  defmodule Create do
    use Ecto.Migration

    def change do
      create table(:authors) do
        add(:name, :string, null: false)
        timestamps()
      end

      create(unique_index(:authors, [:name]))

      create table(:books) do
        add(:title, :string)
        add(:price, :decimal)
        add(:author_id, references(:authors, on_delete: :delete_all))
      end
    end
  end

  defmodule Change do
    use Ecto.Migration

    def up do
      alter table(:books) do
        modify(:title, :string, null: false, default: "")
        add(:pages, :integer)
      end
    end

    def down, do: alter(table(:books), do: remove(:pages))
  end

  setup do
    sqld = Sqld.start!()
    proxy = Proxy.start!(to: sqld.port)

    config = [
      database: tmp_path("replica.db"),
      uri: proxy.url,
      sync: true,
      pool_size: 4,
      log: false
    ]

    start_supervised!({Repo, config})
    {:ok, sqld: sqld, proxy: proxy, config: config}
  end

  defp migrate, do: Ecto.Migrator.run(Repo, [{1, Create}, {2, Change}], :up, all: true, log: false)

  defp asked(proxy, fun) do
    before = statements(proxy)
    value = fun.()
    {statements(proxy) - before, value}
  end

  defp statements(proxy), do: proxy |> Proxy.requests() |> Enum.count(&(&1 =~ ~r"POST /v\d/"))

  test "migrations run on the server, and are read at once", %{sqld: sqld} do
    assert migrate() == [1, 2]
    assert migrate() == []
    assert {:ok, server} = EctoLibSql.connect(uri: sqld.url)
    {:ok, _, result, _} = EctoLibSql.query(server, "SELECT name FROM pragma_table_info('books')")
    assert List.flatten(result.rows) == ~w(id title price author_id pages)
    assert Ecto.Migrator.run(Repo, [{1, Create}, {2, Change}], :down, step: 1, log: false) == [2]
    assert {:ok, _} = Repo.query("SELECT author_id FROM books")
    assert {:error, %Error{code: :sql}} = Repo.query("SELECT pages FROM books")
  end

  test "what is written is read, and reading asks nobody", %{proxy: proxy} do
    migrate()

    for n <- 1..20 do
      author = Repo.insert!(%Author{name: "author #{n}"})
      assert Repo.get!(Author, author.id).name == "author #{n}"
    end

    assert {0, 20} = asked(proxy, fn -> Repo.aggregate(Author, :count) end)
    assert %{replica: %{lag: 0, written: written, index: index}} = EctoLibSql.stats(Repo)
    assert index >= written and written > 0

    assert {0, _} =
             asked(proxy, fn ->
               1..8
               |> Task.async_stream(fn _ -> for id <- 1..20, do: Repo.get!(Author, id) end)
               |> Enum.to_list()
             end)

    assert {:error, changeset} = Repo.insert(Author.changeset(%Author{}, %{name: "author 1"}))
    assert {"has already been taken", _} = changeset.errors[:name]
    assert {:error, changeset} = Repo.insert(Book.changeset(%Book{}, %{title: "x", author_id: 99}))
    assert {"does not exist", _} = changeset.errors[:author_id]
    Repo.update_all(Author, set: [name: nil]) |> catch_error()
    assert {20, nil} = Repo.update_all(Author, set: [updated_at: ~N[2030-01-01 00:00:00]])
    assert Repo.one(from(a in Author, select: max(a.updated_at))) == ~N[2030-01-01 00:00:00]
    price = Decimal.new("12345678901234567890.123456789")
    book = Repo.insert!(%Book{title: "b", price: price, author_id: 1})
    assert Repo.get!(Book, book.id).price == price
    assert [%{books: [_]}] = Repo.all(from(a in Author, where: a.id == 1, preload: :books))
    Repo.delete!(Repo.get!(Author, 1))
    assert Repo.aggregate(Book, :count) == 0
  end

  test "transactions are the server's, those that read the file's", %{proxy: proxy} do
    migrate()

    assert {:error, :undone} =
             Repo.transaction(fn ->
               Repo.insert!(%Author{name: "a"})
               assert Repo.aggregate(Author, :count) == 1
               Repo.rollback(:undone)
             end)

    assert Repo.aggregate(Author, :count) == 0

    assert {:ok, _} =
             Repo.transaction(fn ->
               Repo.insert!(%Author{name: "a"})
               {:error, :inner} = Repo.transaction(fn -> Repo.rollback(:inner) end)
             end)
             |> catch_rollback()

    Repo.insert_all(
      Author,
      for(n <- 1..100, do: %{name: "n#{n}", inserted_at: now(), updated_at: now()})
    )

    count = Repo.aggregate(Author, :count)

    assert {0, {:ok, ^count}} =
             asked(proxy, fn ->
               Repo.transaction(fn -> Author |> Repo.stream() |> Enum.count() end, mode: :read)
             end)

    assert {:ok, ^count} = Repo.transaction(fn -> Author |> Repo.stream() |> Enum.count() end)
  end

  # The inner rollback undoes all.
  defp catch_rollback({:error, :rollback}), do: {:ok, :undone}
  defp catch_rollback(other), do: other

  defp now, do: NaiveDateTime.utc_now() |> NaiveDateTime.truncate(:second)

  test "with the server away reads go on, and writes are errors", %{sqld: sqld} do
    migrate()
    Repo.insert!(%Author{name: "a"})
    assert Repo.aggregate(Author, :count) == 1
    Sqld.kill(sqld)
    assert [%{name: "a"}] = Repo.all(Author)
    assert %Error{code: code, outcome: outcome} = catch_error(Repo.insert!(%Author{name: "b"}))
    assert code in [:unreachable, :connection_lost]

    # Of what may have been stored only the server knows: the proxy may have taken it before it broke off.
    if outcome == :none, do: assert([%{name: "a"}] = Repo.all(Author))
    Sqld.restart(sqld)
    eventually(fn -> match?({:ok, _}, inserted(%Author{name: "c"})) end)
    assert Repo.aggregate(Author, :count) == 2
  end

  # Until the server is known to be back it is an error.
  defp inserted(author) do
    Repo.insert(author)
  rescue
    error in Error -> {:error, error}
  end

  test "a second Repo on the same server follows", %{config: config} do
    migrate()
    other = Keyword.merge(config, database: tmp_path("other.db"), name: nil, sync_interval: 50)
    pid = start_supervised!({Repo, other}, id: :other)
    Repo.insert!(%Author{name: "a"})
    Repo.put_dynamic_repo(pid)
    eventually(fn -> Repo.aggregate(Author, :count) == 1 end)
  end

  test "the sandbox, and what a replica cannot have, are refused in words", %{config: config} do
    for {more, word} <- [
          {[pool: Ecto.Adapters.SQL.Sandbox], "sandbox"},
          {[read_only: true], "read_only"},
          {[journal_mode: :delete], "journal_mode"},
          {[offline: true, sync_protocol: :v1], "offline"}
        ] do
      config = Keyword.merge(config, [name: nil] ++ more)
      assert {:error, {%ArgumentError{message: message}, _}} = start_refused(config)
      assert message =~ word
    end
  end

  defp start_refused(config) do
    Process.flag(:trap_exit, true)
    Repo.start_link(config)
  end

  test "storage: the file is made, and the server's database is not dropped", %{config: config} do
    path = tmp_path("made.db")
    config = Keyword.put(config, :database, path)
    assert Ecto.Adapters.LibSql.storage_status(config) == :down
    assert :ok = Ecto.Adapters.LibSql.storage_up(config)
    assert File.exists?(path)
    assert {:error, message} = Ecto.Adapters.LibSql.storage_down(config)
    assert message =~ "replica"
    assert File.exists?(path)
  end
end
