Code.require_file("migration_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Migration.ViewsTriggersTest do
  # Views and triggers.
  use Ecto.Adapters.LibSql.MigrationCase, async: true

  describe "views and triggers" do
    defmodule Views do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        create_view(:by_author, "SELECT author, count(*) AS n FROM posts GROUP BY author")

        create_trigger("posts_trim", """
        AFTER INSERT ON posts BEGIN
          UPDATE posts SET title = trim(NEW.title) WHERE id = NEW.id;
        END
        """)
      end
    end

    defmodule NoViews do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        drop_trigger(:posts_trim, "AFTER INSERT ON posts BEGIN SELECT 1; END")
        drop_view(:by_author, "SELECT 1 AS n")
      end
    end

    test "are created and dropped, in both directions" do
      posts()
      :ok = up(Views, 2)
      Repo.insert_all("posts", [%{title: " x ", author: "bob"}])

      assert Repo.all(from(v in "by_author", select: {v.author, v.n}, order_by: v.author)) == [
               {"ann", 1},
               {"bob", 2}
             ]

      assert Repo.all(from(p in "posts", where: p.id == 3, select: p.title)) == ["x"]

      :ok = up(NoViews, 3)
      assert objects() == ["posts"]
      :ok = down(NoViews, 3)
      assert objects() == ["by_author", "posts", "posts_trim"]
      assert rows("SELECT n FROM by_author") == [[1]]
      :ok = down(Views, 2)
      assert objects() == ["posts"]
    end

    test "stand in the way of a column, unless they are dropped and made again" do
      posts()
      :ok = up(Views, 2)

      defmodule NoAuthor do
        use Ecto.Migration

        def change do
          alter table(:posts) do
            remove(:author)
          end
        end
      end

      assert_raise EctoLibSql.Error, ~r/by_author/, fn -> up(NoAuthor, 3) end

      defmodule NoAuthorEither do
        use Ecto.Migration
        import Ecto.Adapters.LibSql.Migration

        def change do
          drop_view(:by_author)

          alter table(:posts) do
            remove(:author)
          end

          create_view(:by_author, "SELECT count(*) AS n FROM posts")
        end
      end

      :ok = up(NoAuthorEither, 3)
      assert rows("SELECT n FROM by_author") == [[2]]

      assert_raise Ecto.MigrationError, ~r/cannot reverse/, fn -> down(NoAuthorEither, 3) end
    end

    @tag options: [attach: [other: ":memory:"]]
    test "in an attached database" do
      defmodule Prefixed do
        use Ecto.Migration
        import Ecto.Adapters.LibSql.Migration

        def change do
          create table(:posts) do
            add(:title, :string)
          end

          create(index(:posts, [:title]))
          create_view(:titles, "SELECT title FROM posts")
          create_trigger(:t, "AFTER INSERT ON posts BEGIN SELECT 1; END")

          create fts5(:words, content: :posts) do
            add(:title, :text)
          end

          create(constraint(:posts, :titled, check: "title <> ''"))

          alter table(:posts) do
            add(:parent_id, references(:posts, on_delete: {:nilify, [:parent_id]}))
          end
        end
      end

      :ok = up(Prefixed, 1, prefix: "other")
      assert objects() == []
      Repo.insert_all("posts", [%{title: "found"}], prefix: "other")
      assert rows("SELECT rowid FROM other.words WHERE words MATCH 'found'") == [[1]]
      assert rows("SELECT * FROM other.titles") == [["found"]]
      :ok = down(Prefixed, 1, prefix: "other")

      assert rows("SELECT name FROM other.sqlite_schema WHERE name NOT LIKE 'sqlite%'") == [
               ["schema_migrations"]
             ]
    end
  end
end
