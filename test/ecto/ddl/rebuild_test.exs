Code.require_file("rebuild_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.RebuildTest do
  use Ecto.Adapters.LibSql.RebuildCase

  describe "children" do
    setup %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, up INTEGER REFERENCES t (id) ON DELETE CASCADE,
        g INTEGER AS (id * 2));
      CREATE TABLE cascades (t_id INTEGER REFERENCES t ON DELETE CASCADE);
      CREATE TABLE nulls (t_id INTEGER REFERENCES "T" (id) ON DELETE SET NULL);
      CREATE TABLE defaults (t_id INTEGER DEFAULT 1 REFERENCES t (id) ON DELETE SET DEFAULT);
      CREATE TABLE restricts (t_id INTEGER REFERENCES t (id) ON DELETE RESTRICT);
      CREATE TABLE plain (t_id INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED);
      CREATE TABLE fired (what);
      CREATE TRIGGER on_delete AFTER DELETE ON t BEGIN INSERT INTO fired VALUES ('delete'); END;
      CREATE TRIGGER on_insert AFTER INSERT ON t BEGIN INSERT INTO fired VALUES ('insert'); END;
      CREATE TRIGGER on_update AFTER UPDATE ON t BEGIN INSERT INTO fired VALUES ('update'); END;
      CREATE TRIGGER elsewhere AFTER DELETE ON plain BEGIN DELETE FROM t WHERE t.id = OLD.t_id; END;
      CREATE VIEW v AS SELECT t.name, g FROM t;
      INSERT INTO t (id, name, up) VALUES (1, 'one', NULL), (2, 'two', 1), (3, 'three', 2);
      DELETE FROM fired;
      """)

      for child <- ~w(cascades nulls defaults restricts plain),
          id <- [1, 2, 3, nil],
          do: q(db, "INSERT INTO #{child} VALUES (?1)", [id])

      :ok
    end

    @children ~w(t cascades nulls defaults restricts plain fired)

    defp rows(db), do: for(child <- @children, do: all(db, "SELECT * FROM #{child} ORDER BY rowid"))

    test "keep every row, whatever their keys do, and no trigger fires", %{db: db} do
      before = {rows(db), schema(db), settings(db)}

      alter(db, [{:modify, :g, :integer, generated: "id * 3"}])
      alter(db, [{:modify, :g, :integer, generated: "id * 2"}])

      {rows, schema, settings} = before
      assert rows(db) == rows
      assert settings(db) == settings

      changed = fn [type, name, table, sql] ->
        [
          type,
          name,
          table,
          String.replace(sql, "g INTEGER AS (id * 2)", ~s|"g" INTEGER GENERATED ALWAYS AS (id * 2)|)
        ]
      end

      assert schema(db) == Enum.map(schema, changed)
      assert all(db, "SELECT * FROM v") == [["one", 2], ["two", 4], ["three", 6]]
    end

    test "find their parent again, and what their keys do works", %{db: db} do
      alter(db, [{:modify, :g, :integer, generated: "id * 3"}])
      assert err(db, "INSERT INTO cascades VALUES (9)").constraint.kind == :foreign_key
      assert err(db, "DELETE FROM t WHERE id = 1").code == :constraint
      q(db, "DELETE FROM restricts")
      q(db, "DELETE FROM defaults")
      q(db, "UPDATE plain SET t_id = NULL")
      q(db, "DELETE FROM t WHERE id = 1")
      assert all(db, "SELECT t_id FROM cascades") == [[nil]]
      assert one(db, "SELECT count(*) FROM t") == 0
      assert "delete" in List.flatten(all(db, "SELECT what FROM fired"))
    end

    test "rows without a parent that were there before stay; new ones refuse the change", %{db: db} do
      q(db, "PRAGMA foreign_keys = OFF")
      q(db, "INSERT INTO cascades VALUES (77)")
      q(db, "INSERT INTO t (id, up) VALUES (4, 78)")
      q(db, "PRAGMA foreign_keys = ON")
      alter(db, [{:modify, :g, :integer, generated: "id * 3"}])
      assert one(db, "SELECT count(*) FROM cascades WHERE t_id = 77") == 1
      assert one(db, "SELECT up FROM t WHERE id = 4") == 78
      before = {rows(db), schema(db), settings(db)}

      # Text does not become a number: 'x1' is nobody's parent, and the children's 1 finds none.
      assert_raise Ecto.MigrationError,
                   ~r/foreign key of "\w+" \(\w+\) to "t" refers to columns/,
                   fn ->
                     alter(db, [{:modify, :id, :integer, primary_key: false}])
                   end

      assert {rows(db), schema(db), settings(db)} == before

      assert_raise Ecto.MigrationError,
                   ~r/foreign key of "t" \(name, g\).* in 3 row\(s\), .* rowid 1/,
                   fn ->
                     q(db, "CREATE TABLE IF NOT EXISTS p (a, b, UNIQUE (a, b))")

                     alter(db, [
                       {:modify, :name, references(:p, type: :string, column: :a, with: [g: :b]),
                        []}
                     ])
                   end
    end
  end

  describe "a schema of many features" do
    @many """
    CREATE TABLE "parents" ("id" INTEGER PRIMARY KEY);
    CREATE TABLE "t" ( -- the table
      "id" INTEGER PRIMARY KEY AUTOINCREMENT /* its key */,
      "parent_id" INTEGER CONSTRAINT "named_fkey" REFERENCES "parents"("id") ON DELETE CASCADE, -- a parent
      "up" INTEGER REFERENCES "t"("id") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
      "email" TEXT NOT NULL COLLATE NOCASE UNIQUE,
      "price" TEXT CONSTRAINT "positive" CHECK ("price" > 0) DEFAULT '1.50',
      "data" ANY,
      "first" TEXT DEFAULT ('a' || 'b'), "last" TEXT,
      "full" TEXT GENERATED ALWAYS AS ("first" || ' ' || "last") STORED,
      "len" INTEGER AS (length("full")) VIRTUAL,
      "e" BLOB,
      "moved" INTEGER NOT NULL DEFAULT 0,
      CONSTRAINT "pair" UNIQUE ("first", "last" DESC) ON CONFLICT IGNORE,
      CHECK ("first" <> "last"),
      FOREIGN KEY ("first", "last") REFERENCES "t" ("first", "last") ON UPDATE CASCADE
    ) STRICT;
    CREATE INDEX "plain" ON "t" ("price");
    CREATE UNIQUE INDEX "expression" ON "t" (lower("email"), "id" DESC) WHERE "price" IS NOT NULL;
    CREATE INDEX "collated" ON "t" ("last" COLLATE NOCASE DESC);
    CREATE VIEW "view" AS SELECT "full", count(*) AS "n" FROM "t" GROUP BY 1;
    CREATE VIEW "view_of_view" AS SELECT "n" FROM "view";
    CREATE TRIGGER "instead" INSTEAD OF INSERT ON "view" BEGIN INSERT INTO "t" ("email") VALUES (NEW."full"); END;
    CREATE TRIGGER "log_update" AFTER UPDATE OF "price" ON "t" WHEN OLD."price" <> NEW."price"
      BEGIN UPDATE "t" SET "moved" = "moved" + 1 WHERE "id" = NEW."id"; END;
    CREATE TRIGGER "from_parent" BEFORE DELETE ON "parents" BEGIN UPDATE "t" SET "up" = NULL; END;
    CREATE TABLE "children" ("t_id" INTEGER NOT NULL REFERENCES "t" ON DELETE CASCADE, "w" TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE VIRTUAL TABLE "words" USING fts5("full", content='t', content_rowid='id');
    CREATE TRIGGER "words_insert" AFTER INSERT ON "t" BEGIN
      INSERT INTO "words" ("rowid", "full") VALUES (NEW."id", NEW."full"); END;
    CREATE TRIGGER "words_delete" AFTER DELETE ON "t" BEGIN
      INSERT INTO "words" ("words", "rowid", "full") VALUES ('delete', OLD."id", OLD."full"); END;
    INSERT INTO "parents" VALUES (1), (2);
    INSERT INTO "t" ("parent_id", "up", "email", "price", "data", "first", "last", "e") VALUES
      (1, NULL, 'A@x', '2.5', 1, 'Ada', 'L', x'0102'), (2, 1, 'b@x', NULL, 'text', 'Bob', 'K', NULL),
      (NULL, 2, 'c@x', '9', x'ff', NULL, 'M', NULL);
    INSERT INTO "t" ("id", "email", "last") VALUES (1000, 'gone@x', 'N');
    DELETE FROM "t" WHERE "id" = 1000;
    INSERT INTO "children" VALUES (1, 'one'), (1, 'two'), (2, 'three');
    ANALYZE;
    """

    defp contents(db, columns) do
      tables = ["parents", "children", "view", "view_of_view", "words", "sqlite_sequence"]

      [all(db, "SELECT rowid, #{columns} FROM t ORDER BY rowid")] ++
        for(table <- tables, do: all(db, "SELECT * FROM \"#{table}\" ORDER BY 1")) ++
        [all(db, "SELECT * FROM sqlite_stat1 ORDER BY 1, 2")]
    end

    @columns ~s|id, parent_id, up, email, price, typeof(price), data, typeof(data), first, last, "full", len, e, moved|

    # `edit` is the change that the texts of the schema show, and all that may show.
    defp assert_only(db, command, edit, columns \\ @columns) do
      schema = schema(db)
      contents = contents(db, columns)
      run(db, command)

      edited =
        for [type, name, table, sql] <- schema,
            do: [type, name, table, if(name == "t", do: edit.(sql), else: sql)]

      assert schema(db) == edited
      assert contents(db, columns) == contents
      assert all(db, "PRAGMA foreign_key_check") == []
      assert all(db, "PRAGMA integrity_check") == [["ok"]]
      assert all(db, "SELECT rowid FROM words WHERE words MATCH 'bob'") == [[2]]
      q(db, "INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    end

    setup %{db: db}, do: script(db, @many) && :ok

    test "a CHECK more, and less", %{db: db} do
      check = constraint(:t, "short", check: "length(\"email\") < 100", comment: "note")
      original = text(db)

      assert_only(db, {:create, check}, fn sql ->
        behind = ~s|ON UPDATE CASCADE|

        String.replace(
          sql,
          behind,
          behind <> ~s|,\n  CONSTRAINT "short" CHECK (length("email") < 100) /* note */|
        )
      end)

      error = err(db, "INSERT INTO t (email) VALUES ('#{String.duplicate("x", 100)}')")
      assert %{kind: :check, name: "short"} = error.constraint
      assert_only(db, {:drop, check, :restrict}, fn _sql -> original end)
    end

    test "constraints of columns and named keys go by their names", %{db: db} do
      assert_only(db, {:drop, constraint(:t, :positive), :restrict}, fn sql ->
        String.replace(sql, ~s| CONSTRAINT "positive" CHECK ("price" > 0)|, "")
      end)

      assert_only(db, {:drop_if_exists, constraint(:t, "t_up_fkey"), :restrict}, fn sql ->
        String.replace(
          sql,
          ~s| REFERENCES "t"("id") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED|,
          ""
        )
      end)

      assert_only(db, {:drop, constraint(:t, "named_fkey"), :restrict}, fn sql ->
        String.replace(
          sql,
          ~s| CONSTRAINT "named_fkey" REFERENCES "parents"("id") ON DELETE CASCADE|,
          ""
        )
      end)

      assert_only(db, {:drop, constraint(:t, "t_first_fkey"), :restrict}, fn sql ->
        String.replace(
          sql,
          ~s|,\n  FOREIGN KEY ("first", "last") REFERENCES "t" ("first", "last") ON UPDATE CASCADE|,
          ""
        )
      end)

      assert run(db, {:drop_if_exists, constraint(:t, "positive"), :restrict}) == []

      assert_raise ArgumentError, ~r/no constraint :positive/, fn ->
        run(db, {:drop, constraint(:t, :positive), :restrict})
      end

      assert_raise ArgumentError, ~r/already has a constraint "pair"/, fn ->
        run(db, {:create, constraint(:t, "pair", check: "1")})
      end

      assert_raise ArgumentError, ~r/no table "none"/, fn ->
        run(db, {:create, constraint(:none, "x", check: "1")})
      end

      assert run(db, {:drop_if_exists, constraint(:none, "x"), :restrict}) == []
    end

    test "a generated column computed otherwise", %{db: db} do
      assert_only(
        db,
        {:alter, table(:t), [{:modify, :len, :integer, generated: "length(\"last\")"}]},
        &String.replace(
          &1,
          ~s|"len" INTEGER AS (length("full")) VIRTUAL|,
          ~s|"len" INTEGER GENERATED ALWAYS AS (length("last"))|
        ),
        String.replace(@columns, "len, ", "")
      )

      assert all(db, "SELECT len FROM t") == [[1], [1], [1]]
    end

    test "a composite key to another table, and away", %{db: db} do
      q(db, "CREATE TABLE pairs (a TEXT, b TEXT, PRIMARY KEY (a, b))")
      q(db, "INSERT INTO pairs SELECT first, last FROM t")
      reference = references(:pairs, type: :string, column: :a, with: [last: :b])
      old = ~s|FOREIGN KEY ("first", "last") REFERENCES "t" ("first", "last") ON UPDATE CASCADE|
      new = ~s|FOREIGN KEY ("first", "last") REFERENCES "pairs"("a", "b")|

      assert_only(db, {:alter, table(:t), [{:modify, :first, reference, []}]}, fn sql ->
        sql |> String.replace(old, new) |> String.replace(~s|"first" TEXT|, ~s|"first" TEXT|)
      end)

      assert err(db, "UPDATE t SET first = 'Eve' WHERE id = 1").constraint.kind == :foreign_key

      assert_only(db, {:alter, table(:t), [{:modify, :first, :string, from: reference}]}, fn sql ->
        String.replace(sql, ",\n  " <> new, "")
      end)
    end

    test "a key of several columns instead of one", %{db: db} do
      # The children's key is of the old one: it has to go first.
      q(db, "DROP TABLE children")
      q(db, "CREATE TABLE children (x)")
      run(db, {:drop, constraint(:t, "t_up_fkey"), :restrict})
      old = text(db)
      rows = all(db, "SELECT rowid, #{@columns} FROM t")

      changes = [
        {:modify, :id, :integer, primary_key: true},
        {:modify, :email, :string, primary_key: true}
      ]

      run(db, {:alter, table(:t), changes})

      assert text(db) ==
               old
               |> String.replace(
                 ~s|"id" INTEGER PRIMARY KEY AUTOINCREMENT|,
                 ~s|"id" INTEGER NOT NULL|
               )
               |> String.replace(
                 ~s|ON UPDATE CASCADE\n|,
                 ~s|ON UPDATE CASCADE,\n  PRIMARY KEY ("id", "email")\n|
               )

      assert all(db, "SELECT rowid, #{@columns} FROM t") == rows
      assert all(db, "SELECT * FROM sqlite_sequence WHERE name = 't'") == []

      assert all(db, "SELECT name FROM pragma_table_info('t') WHERE pk ORDER BY pk") == [
               ["id"],
               ["email"]
             ]
    end
  end
end
