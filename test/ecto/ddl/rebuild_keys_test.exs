Code.require_file("rebuild_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.RebuildKeysTest do
  use Ecto.Adapters.LibSql.RebuildCase

  describe "primary keys" do
    test "a serial one for a table without: the rows' own ids", %{db: db} do
      script(db, "CREATE TABLE t (a TEXT); INSERT INTO t (rowid, a) VALUES (3, 'c'), (7, 'g')")
      alter(db, [{:add, :id, :serial, primary_key: true}])
      assert text(db) == ~s|CREATE TABLE t (a TEXT, "id" INTEGER PRIMARY KEY)|
      q(db, "INSERT INTO t (a) VALUES ('h')")
      assert all(db, "SELECT id, a FROM t") == [[3, "c"], [7, "g"], [8, "h"]]

      # As Ecto turns it round.
      alter(db, [{:remove, :id, :serial, []}])
      assert text(db) == "CREATE TABLE t (a TEXT)"
      assert all(db, "SELECT rowid, a FROM t") == [[3, "c"], [7, "g"], [8, "h"]]

      alter(db, [{:add, :id, :serial, primary_key: true, autoincrement: true}])
      assert text(db) == ~s|CREATE TABLE t (a TEXT, "id" INTEGER PRIMARY KEY AUTOINCREMENT)|
      assert all(db, "SELECT id FROM t") == [[3], [7], [8]]
      assert all(db, "SELECT * FROM sqlite_sequence") == [["t", 8]]
    end

    test "rowids are kept where a column has their name", %{db: db} do
      script(
        db,
        "CREATE TABLE t (rowid TEXT, oid TEXT); INSERT INTO t (_rowid_, rowid) VALUES (5, 'a')"
      )

      run(db, {:create, constraint(:t, :c, check: "1")})
      assert all(db, "SELECT _rowid_, rowid FROM t") == [[5, "a"]]

      script(
        db,
        "DROP TABLE t; CREATE TABLE t (rowid, oid, _rowid_); INSERT INTO t VALUES (1, 2, 3)"
      )

      run(db, {:create, constraint(:t, :c, check: "1")})
      assert all(db, "SELECT * FROM t") == [[1, 2, 3]]
    end

    test "another type, in one alter", %{db: db} do
      script(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (3, 'c'), (7, 'g')"
      )

      uuid = {:fragment, "randomblob(16)"}

      alter(db, [{:remove, :id, :id, []}, {:add, :id, :uuid, primary_key: true, default: uuid}])

      assert text(db) ==
               ~s|CREATE TABLE t (a, "id" BLOB_UUID PRIMARY KEY NOT NULL DEFAULT (randomblob(16)))|

      assert all(db, "SELECT rowid, a, length(id), count(*) OVER () FROM t") == [
               [3, "c", 16, 2],
               [7, "g", 16, 2]
             ]

      script(
        db,
        "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (3, 'c')"
      )

      alter(db, [{:modify, :id, :string, []}])
      assert text(db) == ~s|CREATE TABLE t ("id" TEXT PRIMARY KEY NOT NULL, a)|
      assert all(db, "SELECT rowid, * FROM t") == [[3, "3", "c"]]

      alter(db, [{:modify, :id, :integer, from: :string}])
      assert all(db, "SELECT rowid, id, a FROM t") == [[3, 3, "c"]]
    end

    test "AUTOINCREMENT counts on, also where no row is left", %{db: db} do
      script(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (41); DELETE FROM t"
      )

      run(db, {:create, constraint(:t, :c, check: "1")})
      q(db, "INSERT INTO t DEFAULT VALUES")
      assert all(db, "SELECT id FROM t") == [[42]]
      run(db, {:create, constraint(:t, :d, check: "1")})
      assert all(db, "SELECT * FROM sqlite_sequence") == [["t", 42]]
      alter(db, [{:modify, :id, :integer, primary_key: true}])
      assert text(db) =~ "AUTOINCREMENT"
    end

    test "of several columns, more and fewer", %{db: db} do
      script(
        db,
        "CREATE TABLE t (a INTEGER, b TEXT, c, PRIMARY KEY (b, a)); INSERT INTO t VALUES (1, 'x', 2)"
      )

      alter(db, [{:modify, :a, :integer, primary_key: false}])
      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER, b TEXT, c, PRIMARY KEY ("b"))|

      alter(db, [
        {:modify, :b, :string, primary_key: false},
        {:add, :d, :integer, primary_key: true}
      ])

      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER, "b" TEXT, c, "d" INTEGER PRIMARY KEY)|
      assert all(db, "SELECT * FROM t") == [[1, "x", 2, 1]]

      alter(db, [{:modify, :d, :integer, primary_key: false}])
      assert text(db) == ~s|CREATE TABLE t ("a" INTEGER, "b" TEXT, c, "d" INTEGER)|
    end

    test "a second one is refused, unless it is meant", %{db: db} do
      q(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
      message = ~r/has a primary key already.*"id"/

      for change <- [
            {:add, :b, :integer, primary_key: true},
            {:modify, :a, :string, primary_key: true}
          ],
          do: assert_raise(ArgumentError, message, fn -> alter(db, [change]) end)

      alter(db, [
        {:modify, :id, :serial, primary_key: true},
        {:modify, :a, :string, primary_key: true}
      ])

      # A serial member may be left out: see Column.not_null?/3.
      assert text(db) ==
               ~s|CREATE TABLE t ("id" INTEGER, "a" TEXT NOT NULL, PRIMARY KEY ("id", "a"))|
    end

    test "named like one by Ecto, it is dropped as a constraint", %{db: db} do
      q(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
      run(db, {:drop, constraint(:t, "t_pkey"), :restrict})
      assert text(db) == "CREATE TABLE t (a INTEGER, b)"
    end

    test "without rowids", %{db: db} do
      script(
        db,
        "CREATE TABLE t (a TEXT PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO t VALUES ('x', 1), ('y', 2)"
      )

      alter(db, [
        {:modify, :a, :string, primary_key: true},
        {:modify, :b, :integer, primary_key: true}
      ])

      assert text(db) ==
               ~s|CREATE TABLE t ("a" TEXT NOT NULL, "b" INTEGER NOT NULL, PRIMARY KEY ("a", "b")) WITHOUT ROWID|

      assert all(db, "SELECT * FROM t") == [["x", 1], ["y", 2]]

      assert_raise ArgumentError, ~r/WITHOUT ROWID: it needs a primary key/, fn ->
        run(db, {:drop, constraint(:t, "t_pkey"), :restrict})
      end

      q(db, "DROP TABLE t")
      script(db, "CREATE TABLE t (a TEXT) RANDOM ROWID; INSERT INTO t VALUES ('x'), ('y')")
      before = all(db, "SELECT rowid, a FROM t")
      run(db, {:create, constraint(:t, :c, check: "1")})
      assert all(db, "SELECT rowid, a FROM t") == before
      assert text(db) =~ "RANDOM ROWID"
    end
  end
end
