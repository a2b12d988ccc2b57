Code.require_file("old_database.exs", __DIR__)

defmodule EctoLibSql.Upgrade.OrphansTest do
  use EctoLibSql.Case, async: true

  import EctoLibSql.OldDatabase, only: [brief: 1, upgrade: 1, upgrade: 2]
  alias EctoLibSql.{OldDatabase, Upgrade}

  setup do
    path = tmp_path("old.db")
    db = OldDatabase.create(path)
    OldDatabase.insert(db, OldDatabase.Owner, id: Ecto.UUID.generate(), name: "a")
    on_exit(fn -> EctoLibSql.close(db) end)
    {:ok, path: path, db: db}
  end

  describe "rows without a parent" do
    setup %{db: db} do
      for sql <- [
            "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
            "INSERT INTO parents VALUES (1)",
            "CREATE TABLE none (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents)",
            "CREATE TABLE must (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES parents ON DELETE SET NULL)",
            "CREATE TABLE nils (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents ON DELETE SET NULL)",
            "CREATE TABLE goes (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents ON DELETE CASCADE)",
            "CREATE TABLE below (id INTEGER PRIMARY KEY, g INTEGER REFERENCES goes ON DELETE CASCADE)",
            "INSERT INTO below VALUES (1, 1), (2, 2)"
          ],
          do: OldDatabase.run(db, sql)

      for table <- ~w(none must nils goes),
          do: OldDatabase.run(db, "INSERT INTO #{table} VALUES (1, 1), (2, 7), (3, 8)")

      :ok
    end

    defp rows(db, table), do: OldDatabase.run(db, "SELECT * FROM #{table} ORDER BY id")

    test "are deleted or set to NULL as their key says, or left", %{path: path, db: db} do
      found = for {table, _, :orphans, 2, status} <- brief(upgrade(path)), do: {table, status}

      assert Enum.sort(found) == [
               {"goes", :found},
               {"must", :left},
               {"nils", :found},
               {"none", :left}
             ]

      report = upgrade(path, write: true)
      assert Upgrade.ok?(report)
      assert rows(db, "none") == [[1, 1], [2, 7], [3, 8]]
      assert rows(db, "must") == [[1, 1], [2, 7], [3, 8]]
      assert rows(db, "nils") == [[1, 1], [2, nil], [3, nil]]
      assert rows(db, "goes") == [[1, 1]]
      # With their children.
      assert rows(db, "below") == [[1, 1]]
      assert Upgrade.format(report) =~ "--orphans delete"
    end

    test "and as one wishes", %{path: path, db: db} do
      upgrade(path, write: true, orphans: :keep)
      assert length(rows(db, "goes")) == 3
      upgrade(path, write: true, orphans: :nilify)
      assert rows(db, "none") == [[1, 1], [2, nil], [3, nil]]
      assert length(rows(db, "must")) == 3
      upgrade(path, write: true, orphans: :delete)
      assert rows(db, "must") == [[1, 1]]
      assert OldDatabase.run(db, "PRAGMA foreign_key_check") == []
    end

    test "stay where a child of theirs may not go", %{path: path, db: db} do
      OldDatabase.run(
        db,
        "CREATE TABLE holds (id INTEGER PRIMARY KEY, g INTEGER REFERENCES goes ON DELETE RESTRICT)"
      )

      OldDatabase.run(db, "INSERT INTO holds VALUES (1, 2)")
      report = upgrade(path, write: true)

      assert %{status: :failed, message: message} =
               Enum.find(report.findings, &(&1.table == "goes"))

      assert message =~ "FOREIGN KEY"
      assert length(rows(db, "goes")) == 3
      assert rows(db, "nils") == [[1, 1], [2, nil], [3, nil]]
    end
  end

  test "foreign keys that the engine cannot check are reported", %{path: path, db: db} do
    OldDatabase.run(db, "CREATE TABLE odd (name TEXT REFERENCES owners (name))")
    OldDatabase.run(db, "INSERT INTO odd VALUES ('a')")
    assert {"odd", [], :orphans, 0, :left} in brief(upgrade(path))
    report = upgrade(path, write: true)
    assert Upgrade.ok?(report)
    assert Upgrade.format(report) =~ "foreign key mismatch"
  end
end
