defmodule Ecto.Adapters.LibSql.RemoteMigrationTest do
  # Migrations of a server's database.
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql.Structure
  alias EctoLibSql.Error
  alias EctoLibSql.Test.{Program, Sqld}

  @moduletag :sqld

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Create do
    use Ecto.Migration

    def change do
      create table(:authors) do
        add(:name, :string, null: false)
        add(:fee, :decimal)
        timestamps()
      end

      create table(:books) do
        add(:title, :string)
        add(:pages, :float)
        add(:author_id, references(:authors, on_delete: :delete_all))
      end

      create(unique_index(:books, [:title, :author_id], where: "title IS NOT NULL"))
    end
  end

  defmodule Change do
    use Ecto.Migration

    def up do
      execute("INSERT INTO authors (name, inserted_at, updated_at) VALUES ('a', 'x', 'x')")
      execute("INSERT INTO books (title, pages) VALUES ('t', 0.1), ('u', 12), ('v', 1e20)")

      alter table(:books) do
        modify(:pages, :decimal)
        add(:isbn, :string)
      end

      rename(table(:books), :title, to: :name)
    end

    def down do
      rename(table(:books), :name, to: :title)

      alter table(:books) do
        remove(:isbn)
        modify(:pages, :float)
      end
    end
  end

  # Built anew, with all that belongs to the table.
  defmodule Rebuild do
    use Ecto.Migration

    def change do
      execute("CREATE VIEW names AS SELECT name FROM books", "DROP VIEW names")

      execute(
        "CREATE TRIGGER no_z BEFORE INSERT ON books WHEN NEW.name = 'z' BEGIN SELECT RAISE(ABORT, 'no z'); END",
        "DROP TRIGGER no_z"
      )

      create(constraint(:books, :titled, check: "name <> ''"))
    end
  end

  defmodule Referred do
    use Ecto.Migration
    def change, do: create(constraint(:authors, :named, check: "name <> ''"))
  end

  defmodule Unchecked do
    use Ecto.Migration
    def change, do: create(constraint(:books, :long, check: "length(name) > 99", validate: false))
  end

  defmodule Prefixed do
    use Ecto.Migration
    def change, do: create(table(:t, prefix: "other"))
  end

  setup do
    sqld = Sqld.start!()
    repo = start_supervised!({Repo, uri: sqld.url, name: nil, pool_size: 2, log: false})
    Repo.put_dynamic_repo(repo)
    {:ok, sqld: sqld}
  end

  defp migrate(migrations, direction \\ :up),
    do:
      Ecto.Migrator.run(Repo, migrations, direction,
        all: true,
        log: false,
        dynamic_repo: Repo.get_dynamic_repo()
      )

  test "up, down, what is refused, and the structure", %{sqld: sqld} do
    migrations = [{1, Create}, {2, Change}]
    assert migrate(migrations) == [1, 2]
    assert migrate(migrations) == []

    assert Repo.query!("SELECT name, pages, typeof(pages) FROM books ORDER BY id").rows == [
             ["t", "0.1", "text"],
             ["u", "12", "text"],
             ["v", "1.0e+20", "text"]
           ]

    before = Repo.query!("SELECT rowid, * FROM books").rows
    assert migrate([{3, Rebuild}]) == [3]
    assert Repo.query!("SELECT rowid, * FROM books").rows == before
    assert Repo.query!("SELECT name FROM names").rows == [["t"], ["u"], ["v"]]

    for {sql, message} <- [
          {"INSERT INTO books (name) VALUES ('')", ~r/CHECK constraint failed: titled/},
          {"INSERT INTO books (name) VALUES ('z')", ~r/no z/},
          {"INSERT INTO books (author_id) VALUES (99)", ~r/FOREIGN KEY/},
          {"INSERT INTO books (name, author_id) VALUES ('a', 1), ('a', 1)", ~r/UNIQUE/}
        ] do
      assert_raise Error, message, fn -> Repo.query!(sql) end
    end

    # Done in whole or not at all.
    for {migration, reason} <- [{Referred, ~r/refer to it/}, {Unchecked, ~r/validate: false/}],
        do: assert_raise(ArgumentError, reason, fn -> migrate([{4, migration}]) end)

    assert_raise Error, ~r/other/, fn -> migrate([{5, Prefixed}]) end

    assert Repo.query!("SELECT version FROM schema_migrations ORDER BY 1").rows == [[1], [2], [3]]
    assert migrate([{3, Rebuild}], :down) == [3]
    Repo.query!("INSERT INTO books (id, name) VALUES (50, '')")
    Repo.query!("DELETE FROM books WHERE id = 50")

    folder = tmp_path("structure")
    File.mkdir_p!(folder)
    assert {:ok, path} = Structure.structure_dump(folder, uri: sqld.url)
    text = File.read!(path)
    assert text =~ "CREATE TABLE \"books\""
    assert text =~ ~s{INSERT INTO "schema_migrations"}
    refute text =~ "migration_lease"

    other = Sqld.start!()
    assert {:ok, ^path} = Structure.structure_load(folder, uri: other.url)
    assert {:ok, again} = Structure.structure_dump(Path.join(folder, "again"), uri: other.url)
    assert File.read!(again) == text

    # Twice is an error, and changes nothing.
    assert {:error, message} = Structure.structure_load(folder, uri: other.url)
    assert message =~ "already exists"

    assert migrate(migrations, :down) == [2, 1]
    tables = "SELECT name FROM sqlite_master WHERE name IN ('books', 'authors')"
    assert Repo.query!(tables).rows == []
  end

  @script Path.expand("../../remote/support/migrator.exs", __DIR__)

  @tag timeout: 240_000
  test "programs that migrate at once: each version once, the slow one undisturbed", %{sqld: sqld} do
    ended = for(_ <- 1..2, do: Program.start(@script, [sqld.url])) |> Enum.map(&Program.finish/1)
    assert for({status, text} <- ended, status != 0, do: text) == []

    runs =
      for {_status, text} <- ended,
          do: Regex.run(~r/migrated (\[.*\])/, text, capture: :all_but_first)

    assert Enum.sort(runs) == [["[1, 2]"], ["[]"]]
    assert Repo.query!("SELECT version FROM ran").rows == [[1], [2]]
    assert Repo.query!("SELECT count(*) FROM ecto_libsql_migration_lease").rows == [[0]]
  end
end
