Code.require_file("ddl_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.CollationTest do
  use EctoLibSql.Case, async: true
  use Ecto.Adapters.LibSql.DDLCase

  setup do
    {:ok, db: open()}
  end

  defp create(db, columns, opts \\ [], settings \\ []),
    do: run(db, {:create, table(:t, opts), columns}, settings)

  defp alter(db, changes, settings \\ []), do: run(db, {:alter, table(:t), changes}, settings)
  defp text(db), do: one(db, "SELECT sql FROM sqlite_schema WHERE name = 't'")

  defp collation(db, column \\ "d") do
    q(db, "CREATE INDEX t_look ON t (#{column})")
    name = one(db, "SELECT coll FROM pragma_index_xinfo('t_look') WHERE seqno = 0")
    q(db, "DROP INDEX t_look")
    String.downcase(name)
  end

  describe "a decimal column" do
    test "has the collation in CREATE TABLE and in ADD COLUMN", %{db: db} do
      create(db, [{:add, :d, :decimal, precision: 8, scale: 2}, {:add, :e, :TEXT_DECIMAL, []}])
      alter(db, [{:add, :f, :numeric, null: false, default: 1}])
      for column <- ~w(d e f), do: assert(collation(db, column) == "decimal")
      assert text(db) =~ ~s|"d" TEXT_DECIMAL(8,2) COLLATE DECIMAL|
    end

    test "has it in STRICT tables and in those WITHOUT ROWID", %{db: db} do
      create(db, [{:add, :d, :decimal, primary_key: true}],
        options: [strict: true, without_rowid: true]
      )

      q(db, "INSERT INTO t VALUES ('10'), ('9')")
      assert all(db, "SELECT d FROM t ORDER BY d") == [["9"], ["10"]]
      assert {:primary_key, _} = violated(db, "INSERT INTO t VALUES ('9.00')")
    end

    test "has another where the migration says so", %{db: db} do
      create(db, [{:add, :d, :decimal, collate: :binary}, {:add, :e, :decimal, collation: :rtrim}])
      assert collation(db) == "binary"
      assert collation(db, "e") == "rtrim"
    end

    test "has none on a server, and where the engine made it a number" do
      for settings <- [[uri: "libsql://db.example"], [uri: "http://localhost:8080"]] do
        command = {:create, table(:t), [{:add, :d, :decimal, []}, {:add, :c, :citext, []}]}

        assert offline(command, settings) ==
                 [~s|CREATE TABLE "t" ("d" TEXT_DECIMAL, "c" CITEXT COLLATE NOCASE)|]
      end

      command = {:create, table(:t), [{:add, :d, :"DECIMAL(10,2)", []}]}
      assert offline(command) == [~s|CREATE TABLE "t" ("d" DECIMAL(10,2))|]
    end

    test "refers to a decimal by its value", %{db: db} do
      run(db, {:create, table(:p), [{:add, :id, :decimal, primary_key: true}]})
      create(db, [{:add, :d, references(:p, type: :decimal), []}])
      assert text(db) =~ "TEXT_DECIMAL REFERENCES"
      assert collation(db) == "decimal"
      q(db, "PRAGMA foreign_keys = ON")
      q(db, "INSERT INTO p VALUES ('1.50')")
      q(db, "INSERT INTO t VALUES ('1.5')")
      assert {:foreign_key, _} = violated(db, "INSERT INTO t VALUES ('1.51')")
      assert {:foreign_key, _} = violated(db, "DELETE FROM p")
      alter(db, [{:add, :more, :integer, primary_key: true}])
      assert all(db, "SELECT d FROM t") == [["1.5"]]
    end

    test "may be generated, and has defaults", %{db: db} do
      create(db, [
        {:add, :d, :decimal, default: Decimal.new("9.50")},
        {:add, :twice, :decimal, generated: "decimal_mul(d, 2)", stored: true},
        {:add, :n, :integer, []}
      ])

      q(db, "INSERT INTO t (n) VALUES (1)")
      q(db, "INSERT INTO t (d, n) VALUES ('100', 2)")
      assert all(db, "SELECT d, twice FROM t ORDER BY twice") == [["9.50", "19.00"], ["100", "200"]]
      assert all(db, "SELECT n FROM t WHERE twice > 20") == [[2]]
    end
  end

  describe "SQL of one's own compares decimals as numbers" do
    test "in CHECK and in the WHERE of an index", %{db: db} do
      create(db, [{:add, :d, :decimal, check: %{name: "over", expr: "d >= 10 AND d < 100.5"}}])
      for value <- ["10", "10.0", "99", "100.50"], do: q_or_error(db, value)
      assert all(db, "SELECT d FROM t ORDER BY rowid") == [["10"], ["10.0"], ["99"]]

      for value <- ["9", "9.99", "100.5", "1000"] do
        assert {:check, "over"} = violated(db, "INSERT INTO t VALUES ('#{value}')")
      end

      q(db, "CREATE UNIQUE INDEX t_part ON t (d) WHERE d > 50")
      q(db, "INSERT INTO t VALUES ('10.00')")
      assert {:unique, _} = violated(db, "INSERT INTO t VALUES ('99.0')")
    end

    defp q_or_error(db, value), do: EctoLibSql.query(db, "INSERT INTO t VALUES ('#{value}')")

    test "in BETWEEN, IN, CASE, max, DISTINCT and joins", %{db: db} do
      create(db, [{:add, :d, :decimal, []}])
      q(db, "INSERT INTO t VALUES ('9'), ('10'), ('10.0'), ('100'), ('-1')")
      assert all(db, "SELECT d FROM t WHERE d BETWEEN 9 AND 10.5") == [["9"], ["10"], ["10.0"]]
      assert all(db, "SELECT d FROM t WHERE d IN (10, '100.00')") == [["10"], ["10.0"], ["100"]]
      assert one(db, "SELECT max(d) FROM t") == "100"
      assert one(db, "SELECT count(DISTINCT d) FROM t") == 4
      assert one(db, "SELECT count(*) FROM t AS a JOIN t AS b ON a.d = b.d") == 7
      assert one(db, "SELECT count(*) FROM t WHERE 10 <= d") == 3
      assert one(db, "SELECT sum(CASE d WHEN 10 THEN 1 ELSE 0 END) FROM t") == 2
    end

    test "a unique index takes 1.0 and 1.00 for one", %{db: db} do
      create(db, [{:add, :d, :decimal, []}])
      run(db, {:create, %Index{table: "t", prefix: nil, name: "t_d", columns: [:d], unique: true}})
      q(db, "INSERT INTO t VALUES ('1.0')")
      assert {:unique, "t_d"} = violated(db, "INSERT INTO t VALUES ('1.00')")

      q(db, "INSERT INTO t VALUES ('1.00') ON CONFLICT (d) DO UPDATE SET d = excluded.d")
      assert all(db, "SELECT d FROM t") == [["1.00"]]
    end
  end

  describe "modify" do
    # {before, its options, after, its options, the collation then}
    @changes [
      {:string, [], :decimal, [], "decimal"},
      {:string, [collate: :nocase], :decimal, [], "decimal"},
      {:float, [], :decimal, [collate: :binary], "binary"},
      {:"DECIMAL(10,2)", [], :decimal, [precision: 10, scale: 2], "decimal"},
      {:decimal, [], :decimal, [null: false], "decimal"},
      {:decimal, [collate: :binary], :decimal, [null: false], "binary"},
      {:decimal, [collate: :binary], :decimal, [collate: :decimal], "decimal"},
      {:decimal, [], :string, [], "binary"},
      {:decimal, [], :citext, [], "nocase"},
      {:decimal, [], :integer, [], "binary"},
      {:citext, [], :string, [], "binary"},
      {:citext, [collate: :rtrim], :citext, [null: true], "rtrim"},
      {:string, [collate: :nocase], :text, [], "nocase"},
      {:string, [collate: :nocase], :citext, [], "nocase"}
    ]

    for {from, from_opts, to, to_opts, collation} <- @changes do
      test "of #{inspect(from)} #{inspect(from_opts)} to #{inspect(to)} #{inspect(to_opts)}",
           %{db: db} do
        create(db, [{:add, :d, unquote(from), unquote(from_opts)}, {:add, :n, :integer, []}])
        q(db, "CREATE INDEX t_d ON t (d)")
        q(db, "INSERT INTO t VALUES ('9', 1), ('10', 2), ('100', 3), ('20', 4)")
        alter(db, [{:modify, :d, unquote(to), unquote(to_opts)}])
        assert collation(db) == unquote(collation)
        assert all(db, "PRAGMA integrity_check") == [["ok"]]
        assert one(db, "SELECT n FROM t WHERE d = '10'") == 2

        if unquote(collation == "decimal"),
          do: assert(all(db, "SELECT n FROM t ORDER BY d") == [[1], [2], [4], [3]])
      end
    end

    test "of a STRICT table's decimal to text and back", %{db: db} do
      create(db, [{:add, :d, :decimal, []}, {:add, :n, :integer, []}], options: [strict: true])
      alter(db, [{:modify, :d, :string, []}])
      assert collation(db) == "binary"
      alter(db, [{:modify, :d, :decimal, []}])
      assert collation(db) == "decimal"
      alter(db, [{:modify, :d, :decimal, collate: :binary}])
      alter(db, [{:modify, :d, :decimal, null: false, default: 1}])
      assert collation(db) == "binary"
    end

    test "of a key, by a rebuild", %{db: db} do
      q(db, "CREATE TABLE t (d TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
      q(db, "INSERT INTO t VALUES ('9', 1), ('10', 2), ('100', 3)")
      alter(db, [{:modify, :d, :decimal, []}])
      assert collation(db) == "decimal"
      assert all(db, "SELECT n FROM t WHERE d >= 10 ORDER BY d") == [[2], [3]]
    end

    test "finds out what is no longer unique, and leaves the table", %{db: db} do
      q(db, "CREATE TABLE t (d TEXT_DECIMAL, n INTEGER)")
      q(db, "CREATE UNIQUE INDEX t_d ON t (d)")
      q(db, "INSERT INTO t VALUES ('1.0', 1), ('1.00', 2)")
      before = text(db)
      error = assert_raise EctoLibSql.Error, fn -> alter(db, [{:modify, :d, :decimal, []}]) end
      assert error.code == :constraint
      assert text(db) == before
      assert all(db, "PRAGMA integrity_check") == [["ok"]]
    end

    test "of another column, by a rebuild, leaves the collation as it was", %{db: db} do
      q(db, "CREATE TABLE t (d TEXT_DECIMAL, e TEXT_DECIMAL COLLATE decimal, n NUMERIC(1,1))")
      alter(db, [{:add, :k, :id, primary_key: true}])
      assert text(db) =~ "(d TEXT_DECIMAL, e TEXT_DECIMAL COLLATE decimal,"
    end
  end

  describe ":citext" do
    test "is text of which ASCII's case does not count", %{db: db} do
      create(db, [{:add, :d, :citext, null: false}])
      assert text(db) =~ ~s|"d" CITEXT NOT NULL COLLATE NOCASE|
      q(db, "CREATE UNIQUE INDEX t_d ON t (d)")
      q(db, "INSERT INTO t VALUES ('Ann@x.org'), ('É')")
      assert one(db, "SELECT d FROM t WHERE d = 'ANN@X.ORG'") == "Ann@x.org"
      assert {:unique, "t_d"} = violated(db, "INSERT INTO t VALUES ('ANN@x.org')")
      assert one(db, "SELECT count(*) FROM t WHERE d = 'é'") == 0
      assert one(db, "SELECT typeof(d) FROM t LIMIT 1") == "text"
    end

    test "in a STRICT table, and with another collation", %{db: db} do
      create(db, [{:add, :d, :citext, []}, {:add, :e, :citext, collate: :binary}],
        options: [strict: true]
      )

      assert collation(db) == "nocase"
      assert collation(db, "e") == "binary"
    end
  end

  defp violated(db, sql) do
    error = err(db, sql)
    {error.constraint.kind, error.constraint.name}
  end
end
