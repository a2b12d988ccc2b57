defmodule Ecto.Adapters.LibSql.MigrationTest do
  # Migrations as applications write them, run by Ecto.Migrator.
  use EctoLibSql.Case, async: true

  import Ecto.Query

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  # Each test has a database of its own, behind the same module.
  defp repo(opts) do
    opts = Keyword.merge([name: nil, database: tmp_path(), log: false, pool_size: 1], opts)
    {:ok, pid} = start_supervised({Repo, opts}, id: make_ref())
    Repo.put_dynamic_repo(pid)
    pid
  end

  setup context do
    if context[:repo] != false, do: repo(context[:options] || [])
    :ok
  end

  defp up(module, version \\ 1, opts \\ []),
    do: Ecto.Migrator.up(Repo, version, module, migrator(opts))

  defp down(module, version \\ 1, opts \\ []),
    do: Ecto.Migrator.down(Repo, version, module, migrator(opts))

  defp migrator(opts), do: [log: false, dynamic_repo: Repo.get_dynamic_repo()] ++ opts

  defp rows(sql, params \\ []), do: Repo.query!(sql, params).rows

  defp text(name),
    do:
      rows("SELECT sql FROM sqlite_schema WHERE name = ?1", [name])
      |> List.flatten()
      |> List.first()

  defp objects do
    rows(
      "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    |> Enum.concat()
    |> Kernel.--(["schema_migrations", "libsql_vector_meta_shadow"])
  end

  defmodule Posts do
    use Ecto.Migration

    def change do
      create table(:posts) do
        add(:title, :string)
        add(:body, :text)
        add(:author, :string)
      end
    end
  end

  defp posts do
    :ok = up(Posts)

    Repo.insert_all("posts", [
      %{title: "Ecto on SQLite", body: "a query is planned once", author: "ann"},
      %{title: "Vectors", body: "the nearest neighbour", author: "bob"}
    ])
  end

  describe "full-text search" do
    defmodule Words do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        create fts5(:posts_words, content: :posts, tokenize: "porter unicode61", prefix: [2, 3]) do
          add(:title, :text)
          add(:body, :text)
          add(:author, :text, unindexed: true)
        end
      end
    end

    defp found(words) do
      query =
        from(p in "posts",
          join: w in "posts_words",
          on: field(w, :rowid) == p.id,
          where: fragment("posts_words MATCH ?", ^words),
          order_by: [fragment("bm25(posts_words)"), p.id],
          select: p.title
        )

      Repo.all(query)
    end

    defp sound?,
      do: rows("INSERT INTO posts_words (posts_words, rank) VALUES ('integrity-check', 1)")

    test "begins with the rows that are there, and follows the table" do
      posts()
      :ok = up(Words, 2)

      assert text("posts_words") ==
               ~s|CREATE VIRTUAL TABLE "posts_words" USING fts5("title", "body", "author" UNINDEXED, | <>
                 ~s|content_rowid='id', content='posts', tokenize='porter unicode61', prefix='2 3')|

      assert found("planning") == ["Ecto on SQLite"]
      assert found("ann") == []

      Repo.insert_all("posts", [%{title: "Triggers", body: "follow a table"}])
      assert found("follow") == ["Triggers"]
      Repo.update_all(from(p in "posts", where: p.title == "Triggers"), set: [body: "lead"])
      assert found("follow") == []
      assert found("lead*") == ["Triggers"]
      Repo.update_all(from(p in "posts", where: p.title == "Triggers"), set: [id: 77])
      assert found("lead") == ["Triggers"]
      Repo.delete_all(from(p in "posts", where: p.title == "Vectors"))
      assert found("nearest") == []
      sound?()
    end

    test "goes with its triggers, and comes again" do
      posts()
      :ok = up(Words, 2)
      :ok = down(Words, 2)
      assert objects() == ["posts"]
      :ok = up(Words, 2)
      assert found("neighbour") == ["Vectors"]
      Repo.query!("ALTER TABLE posts_words RENAME TO found_words")
      Repo.query!("INSERT INTO posts (title) VALUES ('renamed')")

      defmodule DropRenamed do
        use Ecto.Migration
        def change, do: drop(table(:found_words))
      end

      :ok = up(DropRenamed, 3)
      assert objects() == ["posts"]
      Repo.query!("INSERT INTO posts (title) VALUES ('x')")
    end

    test "its table may be built anew" do
      posts()
      :ok = up(Words, 2)

      defmodule Checked do
        use Ecto.Migration
        def change, do: create(constraint(:posts, :titled, check: "title <> ''"))
      end

      :ok = up(Checked, 3)
      assert found("nearest") == ["Vectors"]
      Repo.insert_all("posts", [%{title: "New", body: "after it"}])
      assert found("after") == ["New"]
      sound?()
    end

    test "without another table, and without any text" do
      defmodule Plain do
        use Ecto.Migration
        import Ecto.Adapters.LibSql.Migration

        def change do
          create fts5(:notes) do
            add(:body, :text)
          end

          create_if_not_exists fts5(:bare,
                                 content: "",
                                 contentless_delete: true,
                                 detail: :column,
                                 columnsize: true
                               ) do
            add(:body, :text)
          end
        end
      end

      :ok = up(Plain)
      Repo.insert_all("notes", [%{body: "to be found"}])

      assert [%{rowid: 1}] =
               Repo.all(
                 from(n in "notes",
                   where: fragment("notes MATCH 'found'"),
                   select: %{rowid: field(n, :rowid)}
                 )
               )

      Repo.query!("INSERT INTO bare (rowid, body) VALUES (5, 'words alone')")
      assert rows("SELECT rowid, body FROM bare WHERE bare MATCH 'alone'") == [[5, nil]]
      Repo.query!("DELETE FROM bare WHERE rowid = 5")
      :ok = down(Plain)
      assert objects() == []
    end

    test "what cannot be is said" do
      posts()
      Repo.query!("CREATE TABLE texts (id TEXT PRIMARY KEY, body TEXT, n INTEGER UNIQUE)")
      alias Ecto.Adapters.LibSql.{DDL, Migration}
      meta = Ecto.Adapter.lookup_meta(Repo.get_dynamic_repo())

      run =
        &DDL.run({:create, &1, &2}, [], fn sql -> Ecto.Adapters.SQL.query!(meta, sql, []).rows end)

      body = [{:add, :body, :text, []}]

      assert_raise ArgumentError,
                   ~r/"texts" has no INTEGER PRIMARY KEY.*VACUUM.*content_rowid/,
                   fn ->
                     run.(Migration.fts5(:w, content: "texts"), body)
                   end

      run.(Migration.fts5(:w, content: "texts", content_rowid: :n), body)
      Repo.query!("INSERT INTO texts VALUES ('k', 'by a number', 3)")
      assert rows("SELECT rowid FROM w WHERE w MATCH 'number'") == [[3]]

      assert_raise ArgumentError, ~r/no option :tokenise/, fn ->
        run.(Migration.fts5(:x, tokenise: "a"), body)
      end

      assert_raise ArgumentError, ~r/key is the rowid.*primary_key: false/, fn ->
        run.(%{Migration.fts5(:x) | primary_key: true}, [{:add, :id, :bigserial, primary_key: true}])
      end

      run.(Migration.fts5(:unsynced, content: :posts, sync: false), body)

      assert rows(
               "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'unsynced\\_sync%' ESCAPE '\\'"
             ) == [[0]]

      assert rows("SELECT rowid FROM unsynced WHERE unsynced MATCH 'nearest'") == [[2]]
    end
  end

  describe "spatial indexes" do
    defmodule Areas do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        create rtree(:areas) do
          add(:min_x, :float)
          add(:max_x, :float)
          add(:name, :text, auxiliary: true)
          add(:area, :float, auxiliary: true)
        end

        create rtree(:grid, integers: true) do
          add(:x0, :integer)
          add(:x1, :integer)
        end
      end
    end

    test "with columns beside, and of integers" do
      :ok = up(Areas)

      assert text("areas") ==
               ~s|CREATE VIRTUAL TABLE "areas" USING rtree("id", "min_x", "max_x", +"name" TEXT, +"area" REAL)|

      assert text("grid") == ~s|CREATE VIRTUAL TABLE "grid" USING rtree_i32("id", "x0", "x1")|

      Repo.insert_all("areas", [
        %{id: 1, min_x: 0.0, max_x: 2.0, name: "west", area: 1.5},
        %{id: 2, min_x: 3.0, max_x: 4.0, name: "east"}
      ])

      assert Repo.all(
               from(a in "areas", where: a.min_x <= 1.0 and a.max_x >= 1.0, select: {a.name, a.area})
             ) == [{"west", 1.5}]

      # More than a 32-bit float tells apart.
      Repo.insert_all("grid", [%{id: 1, x0: 100_000_001, x1: 100_000_003}])
      assert Repo.all(from(g in "grid", select: {g.x0, g.x1})) == [{100_000_001, 100_000_003}]
      :ok = down(Areas)
      assert objects() == []
    end

    test "columns beside come last" do
      columns = [
        {:add, :id, :id, []},
        {:add, :name, :text, auxiliary: true},
        {:add, :a, :float, []},
        {:add, :b, :float, []}
      ]

      assert_raise ArgumentError, ~r/auxiliary columns behind/, fn ->
        Ecto.Adapters.LibSql.DDL.execute_ddl(
          {:create, Ecto.Adapters.LibSql.Migration.rtree(:t), columns}
        )
      end
    end
  end

  describe "vectors" do
    defmodule Documents do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        create table(:documents) do
          add(:title, :string)
          add(:embedding, vector(3))
          add(:small, vector(3, :f8))
        end

        create(vector_index(:documents, :embedding))

        create(
          vector_index(:documents, :small,
            name: "near",
            metric: :l2,
            max_neighbors: 8,
            compress_neighbors: :f8,
            alpha: 1.4,
            search_l: 50,
            insert_l: 40
          )
        )
      end
    end

    test "are found by their index" do
      :ok = up(Documents)
      assert text("documents") =~ ~s|"embedding" F32_BLOB(3), "small" F8_BLOB(3)|

      assert text("documents_embedding_index") ==
               ~s|CREATE INDEX "documents_embedding_index" ON "documents" (libsql_vector_idx("embedding"))|

      for {title, vector} <- [{"x", "[1,0,0]"}, {"y", "[0,1,0]"}, {"z", "[0,0,1]"}],
          do:
            Repo.query!(
              "INSERT INTO documents (title, embedding, small) VALUES (?1, vector32(?2), vector8(?2))",
              [title, vector]
            )

      for {index, vector} <- [{"documents_embedding_index", "vector32"}, {"near", "vector8"}] do
        near =
          "SELECT d.title FROM vector_top_k('#{index}', #{vector}('[0.1,0.9,0.3]'), 2) AS n JOIN documents AS d ON d.id = n.id"

        assert rows(near) == [["y"], ["z"]]
      end

      :ok = down(Documents)
      assert objects() == []
    end

    test "what is none is refused" do
      import Ecto.Adapters.LibSql.Migration
      assert vector(1536, :f1bit) == :"F1BIT_BLOB(1536)"
      assert_raise ArgumentError, ~r/dimensions/, fn -> vector(0) end
      assert_raise ArgumentError, ~r/forms/, fn -> vector(3, :f4) end

      for setting <- [metric: :dot, compress_neighbors: :f64, alpha: "1'"] do
        assert_raise ArgumentError, ~r/vector index has no/, fn ->
          vector_index(:t, :e, [setting])
        end
      end
    end
  end

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

    @tag options: [after_connect: {__MODULE__, :attach, []}]
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

    def attach(conn),
      do:
        DBConnection.execute!(conn, %EctoLibSql.Query{statement: "ATTACH ':memory:' AS other"}, [])
  end

  describe "a Repo's settings" do
    defmodule Types do
      use Ecto.Migration

      def change do
        create table(:types) do
          add(:u, :uuid, default: "f47ac10b-58cc-4372-a567-0e02b2c3d479")
          add(:b, :binary_id)
          add(:j, :map, default: %{})
          add(:d, :utc_datetime_usec)
          add(:n, :naive_datetime)
        end
      end
    end

    @forms [uuid_type: :text, binary_id_type: :blob, json_type: :jsonb, datetime_type: :integer]

    test "are those it was started with, and its migrations' columns are of their forms" do
      :ok = up(Types)
      plain = text("types")

      assert plain =~
               ~s|"u" BLOB_UUID DEFAULT x'f47ac10b58cc4372a5670e02b2c3d479', "b" TEXT, "j" TEXT_JSON DEFAULT '{}', "d" TEXT_UTC_DATETIME_USEC|

      repo(@forms)
      :ok = up(Types)

      assert text("types") =~
               ~s|"u" TEXT_UUID DEFAULT 'f47ac10b-58cc-4372-a567-0e02b2c3d479', "b" BLOB_UUID, "j" BLOB_JSONB DEFAULT x'0c', "d" INTEGER_UTC_DATETIME_USEC|
    end

    @tag options: [strict_tables: true]
    test "strict_tables: tables are STRICT, unless their options say otherwise" do
      defmodule Strict do
        use Ecto.Migration

        def change do
          create table(:a) do
            add(:d, :decimal)
          end

          create table(:b, options: [strict: false]) do
            add(:d, :decimal)
          end

          create(table(:c, options: "WITHOUT ROWID"))
          create(table(:e, options: [without_rowid: true]))

          alter table(:a) do
            add(:m, :map)
            modify(:d, :decimal, null: false, from: :decimal)
          end

          create(constraint(:a, :positive, check: "d > 0"))
        end
      end

      :ok = up(Strict)
      assert text("schema_migrations") =~ ~r/\) STRICT$/

      assert text("a") ==
               ~s|CREATE TABLE "a" ("id" INTEGER PRIMARY KEY, "d" TEXT NOT NULL COLLATE DECIMAL, "m" TEXT, CONSTRAINT "positive" CHECK (d > 0)) STRICT|

      assert text("b") ==
               ~s|CREATE TABLE "b" ("id" INTEGER PRIMARY KEY, "d" TEXT_DECIMAL COLLATE DECIMAL)|

      assert text("c") =~ ~r/\) WITHOUT ROWID, STRICT$/
      assert text("e") =~ ~r/\) STRICT, WITHOUT ROWID$/
    end

    @tag options: [strict_tables: ["other"], after_connect: {__MODULE__, :attach, []}]
    test "strict_tables may name databases" do
      defmodule Somewhere do
        use Ecto.Migration

        def change do
          create(table(:a))
          create(table(:a, prefix: "other"))
        end
      end

      :ok = up(Somewhere)
      assert text("a") == ~s|CREATE TABLE "a" ("id" INTEGER PRIMARY KEY)|

      assert rows("SELECT sql FROM other.sqlite_schema") == [
               [~s|CREATE TABLE "a" ("id" INTEGER PRIMARY KEY) STRICT|]
             ]
    end

    @tag :capture_log
    @tag options: [strict_tables: :yes]
    test "strict_tables is checked" do
      assert_raise ArgumentError, ~r/strict_tables: is true, false, or a list/, fn -> up(Posts) end
    end
  end

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
