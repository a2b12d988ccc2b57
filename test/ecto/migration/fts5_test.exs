Code.require_file("migration_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Migration.Fts5Test do
  # Full-text search.
  use Ecto.Adapters.LibSql.MigrationCase, async: true

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
end
