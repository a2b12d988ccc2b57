Code.require_file("migration_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Migration.ChangesTest do
  # Changes of tables, up and down.
  use Ecto.Adapters.LibSql.MigrationCase, async: true

  test "a foreign key changed as PostgreSQL's migrations do it" do
    defmodule Keys do
      use Ecto.Migration

      def change do
        create(table(:posts))

        create table(:comments) do
          add(:post_id, references(:posts))
        end
      end
    end

    defmodule OtherAction do
      use Ecto.Migration

      def up do
        drop(constraint(:comments, "comments_post_id_fkey"))

        alter table(:comments) do
          modify(:post_id, references(:posts, on_delete: :delete_all))
        end
      end

      def down do
        drop(constraint(:comments, "comments_post_id_fkey"))

        alter table(:comments) do
          modify(:post_id, references(:posts))
        end
      end
    end

    :ok = up(Keys)
    text = text("comments")
    Repo.query!("INSERT INTO posts VALUES (1)")
    Repo.query!("INSERT INTO comments (post_id) VALUES (1)")
    :ok = up(OtherAction, 2)
    assert text("comments") == String.replace(text, ~s|("id"))|, ~s|("id") ON DELETE CASCADE)|)
    :ok = down(OtherAction, 2)
    assert text("comments") == text
    assert rows("SELECT post_id FROM comments") == [[1]]
  end

  describe "outside of a transaction" do
    test "a table is built anew in one, and VACUUM runs in none" do
      defmodule NoTransaction do
        use Ecto.Migration
        @disable_ddl_transaction true

        def up do
          create table(:parents, primary_key: false) do
            add(:name, :string)
          end

          execute("INSERT INTO parents VALUES ('a')")

          alter table(:parents) do
            add(:id, :serial, primary_key: true)
          end

          execute("VACUUM")
        end

        def down, do: drop(table(:parents))
      end

      :ok = up(NoTransaction)
      assert rows("SELECT * FROM parents") == [["a", 1]]
      :ok = down(NoTransaction)
    end

    test "who rescues an error in a migration finds the old table" do
      posts()

      defmodule Rescued do
        use Ecto.Migration

        def up do
          execute(fn ->
            meta = Ecto.Adapter.lookup_meta(repo().get_dynamic_repo())
            check = constraint(:posts, :none, check: "title = 'none'")

            try do
              repo().__adapter__().execute_ddl(meta, {:create, check}, log: false)
            rescue
              EctoLibSql.Error -> repo().query!("UPDATE posts SET title = 'rescued'")
            end
          end)
        end
      end

      :ok = up(Rescued, 2)
      assert rows("SELECT DISTINCT title FROM posts") == [["rescued"]]
      assert text("posts") =~ ~s|CREATE TABLE "posts" ("id"|
      assert rows("PRAGMA foreign_keys") == [[1]]
    end
  end

  describe "all of the DSL, up and down and up" do
    defmodule Everything do
      use Ecto.Migration

      def change do
        create table(:parents, comment: "a table") do
          add(:code, :string, size: 10, null: false, comment: "a column")
          add(:region, :integer)
          timestamps(type: :utc_datetime_usec)
        end

        create(unique_index(:parents, [:id, :region]))

        create_if_not_exists(
          unique_index(:parents, [:code], where: "code <> ''", comment: "an index")
        )

        create table(:children, primary_key: [name: :key, type: :binary_id]) do
          add(:parent_id, references(:parents, on_delete: :delete_all, with: [region: :region]))
          add(:region, :integer, default: 7)

          add(
            :up,
            references(:children,
              column: :key,
              type: :binary_id,
              on_delete: :nilify_all,
              on_update: :update_all
            )
          )

          add(:price, :decimal, precision: 10, scale: 2, default: "0.50")
          add(:total, :decimal, generated: "ALWAYS AS (price || '') STORED")
          add(:tags, {:array, :string}, default: [])
          add(:at, :utc_datetime, default: fragment("CURRENT_TIMESTAMP"))
          add(:name, :string, collation: "NOCASE")
        end

        create(index(:children, [desc: :price, asc: :name], name: :by_price))
        create(index(:children, ["lower(name)", :price], where: "price > 0"))
        create(constraint(:children, :cheap, check: "price < 1000"))

        alter table(:children) do
          add(:note, :string, default: "x")

          modify(:price, :float,
            from: {:decimal, precision: 10, scale: 2, default: "0.50"},
            default: 1.5
          )

          modify(:name, :string, null: false, from: {:string, null: true})
        end

        alter table(:parents) do
          add(:extra, :integer)
        end

        alter table(:parents) do
          remove(:extra, :integer)
        end

        rename(table(:children), :note, to: :remark)
        rename(index(:children, [:price], name: :by_price), to: :by_price_and_name)
        rename(table(:children), to: table(:kids))

        create_if_not_exists table(:maybe,
                               primary_key: false,
                               options: [strict: true, without_rowid: true]
                             ) do
          add(:a, :integer, primary_key: true)
          add(:b, :integer, primary_key: true)
        end

        execute(
          "INSERT INTO parents (code, inserted_at, updated_at) VALUES ('a', '', '')",
          "DELETE FROM parents"
        )

        execute(fn -> repo().query!("SELECT 1") end, fn -> repo().query!("SELECT 2") end)
      end
    end

    test "leave nothing, and the same twice" do
      assert :ok = up(Everything)
      schema = rows("SELECT name, sql FROM sqlite_schema ORDER BY name")

      assert objects() |> Enum.reject(&(&1 =~ "sqlite")) ==
               [
                 "by_price_and_name",
                 "children_lower_name_price_index",
                 "kids",
                 "maybe",
                 "parents",
                 "parents_code_index",
                 "parents_id_region_index"
               ]

      :ok = down(Everything)
      assert objects() == []
      :ok = up(Everything)
      assert rows("SELECT name, sql FROM sqlite_schema ORDER BY name") == schema
      assert rows("PRAGMA integrity_check") == [["ok"]]
    end
  end
end
