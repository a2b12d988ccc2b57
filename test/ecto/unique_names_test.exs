defmodule Ecto.Adapters.LibSql.UniqueNamesTest do
  # Which index it was, where the engine's table and columns are those of several, or of a constraint that
  # has a name in the table's text only.
  use EctoLibSql.Case, async: true

  import Ecto.Changeset
  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Row do
    use Ecto.Schema

    schema "t" do
      field(:a, :string)
      field(:b, :string)
      field(:kind, :string)
    end
  end

  setup do
    path = tmp_path()
    opts = [database: path, attach: [other: path <> "2"], pool_size: 1, log: false]
    start_supervised!({Repo, opts})
    :ok
  end

  @columns "id INTEGER PRIMARY KEY, a TEXT, b TEXT, kind TEXT"

  defp sql(statements), do: for(sql <- List.wrap(statements), do: Repo.query!(sql))
  defp row(fields, prefix \\ nil), do: Row |> struct(fields) |> Ecto.put_meta(prefix: prefix)

  # The name that Ecto is given, the same in a transaction and outside of one, and nothing left behind.
  defp violated(fun) do
    before = everything()
    name = assert_raise(Ecto.ConstraintError, fun).constraint
    assert everything() == before

    {:ok, again} =
      Repo.transaction(fn ->
        again = assert_raise(Ecto.ConstraintError, fun).constraint
        assert everything() == before
        again
      end)

    assert again == name
    name
  end

  defp violates(fields, prefix \\ nil),
    do: violated(fn -> Repo.insert!(row(fields, prefix)) end)

  defp everything do
    for sql <- [
          "SELECT * FROM t ORDER BY id",
          "SELECT * FROM sqlite_temp_master",
          "PRAGMA defer_foreign_keys"
        ],
        do: Repo.query!(sql).rows
  end

  test "two partial indexes over the same columns" do
    sql([
      "CREATE TABLE t (#{@columns})",
      "CREATE UNIQUE INDEX live ON t (a, b) WHERE kind = 'live'",
      "CREATE UNIQUE INDEX draft ON t (a, b) WHERE kind = 'draft'",
      "INSERT INTO t (a, b, kind) VALUES ('x', 'y', 'live'), ('x', 'y', 'draft'), ('x', 'z', 'live')"
    ])

    assert violates(a: "x", b: "y", kind: "live") == "live"
    assert violates(a: "x", b: "y", kind: "draft") == "draft"
    assert %Row{} = Repo.insert!(row(a: "x", b: "y", kind: "gone"))

    # An update, by the columns and by what decides whether they count.
    z = Repo.get_by!(Row, b: "z")
    assert violated(fn -> Repo.update!(change(z, b: "y")) end) == "live"
    w = Repo.insert!(row(a: "x", b: "y", kind: "w"))
    assert violated(fn -> Repo.update!(change(w, kind: "draft")) end) == "draft"

    assert {:error, %{errors: [kind: {"has already been taken", _}]}} =
             w
             |> change(kind: "draft")
             |> unique_constraint(:a, name: :live)
             |> unique_constraint(:kind, name: :draft)
             |> Repo.update()

    error =
      assert_raise Error, fn ->
        Repo.insert_all("t", [[a: "q", b: "q", kind: "draft"], [a: "x", b: "y", kind: "draft"]])
      end

    assert %{kind: :unique, name: "draft", table: "t", columns: ["a", "b"]} = error.constraint
  end

  test "a partial index beside a whole one, and one that folds case" do
    sql([
      "CREATE TABLE t (#{@columns})",
      "CREATE UNIQUE INDEX folded ON t (a COLLATE NOCASE) WHERE kind LIKE 'L%'",
      "CREATE UNIQUE INDEX whole ON t (a)",
      "INSERT INTO t (a, kind) VALUES ('x', 'live'), ('y', 'draft')"
    ])

    assert violates(a: "X", kind: "LATE") == "folded"
    assert violates(a: "y", kind: "live") == "whole"
    assert violates(a: "x", kind: "draft") == "whole"
    assert violates(a: "x", kind: "live") in ["whole", "folded"]
    assert %Row{} = Repo.insert!(row(a: "X", kind: "draft"))
  end

  test "an index beside a UNIQUE of the table" do
    sql([
      "CREATE TABLE t (#{@columns}, CONSTRAINT pair UNIQUE (a, b))",
      "CREATE UNIQUE INDEX folded ON t (a COLLATE NOCASE, b)",
      "INSERT INTO t (a, b) VALUES ('x', 'y')"
    ])

    assert violates(a: "X", b: "y") == "folded"
    assert violates(a: "x", b: "y") in ["pair", "folded"]
    sql("DROP INDEX folded")
    assert violates(a: "x", b: "y") == "pair"
  end

  test "values are compared as the columns are declared" do
    sql([
      "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT, kind INTEGER)",
      "CREATE UNIQUE INDEX one ON t (b) WHERE kind = '1' AND a = 'A'",
      "CREATE UNIQUE INDEX two ON t (b) WHERE t.kind = '2' AND b = 5",
      "INSERT INTO t (a, b, kind) VALUES ('a', '5', 1), ('a', '5', 2)"
    ])

    assert violates(a: "a", b: "5", kind: "1") == "one"
    assert violates(a: "b", b: "5", kind: "2") == "two"
  end

  test "constraints that the table's text names" do
    sql([
      """
      CREATE TABLE t (
        id INTEGER PRIMARY KEY, a TEXT CONSTRAINT "only ""one\""" UNIQUE COLLATE NOCASE, b TEXT,
        kind TEXT NOT NULL UNIQUE ON CONFLICT ABORT,
        CONSTRAINT [both of them] UNIQUE (kind, b DESC)
      )
      """,
      "INSERT INTO t (a, b, kind) VALUES ('x', 'y', 'k')"
    ])

    assert violates(a: "X", kind: "l") == ~s{only "one"}
    assert violates(a: "z", kind: "k") == "t_kind_index"
    sql("DROP TABLE t")
    sql("CREATE TABLE t (#{@columns}, CONSTRAINT both UNIQUE (kind, b DESC), UNIQUE (a, b))")
    sql("INSERT INTO t (a, b, kind) VALUES ('x', 'y', 'k')")
    assert violates(b: "y", kind: "k") == "both"
    assert violates(a: "x", b: "y", kind: "l") == "t_a_b_index"
  end

  test "the same table in two databases" do
    sql([
      "CREATE TABLE t (#{@columns})",
      "CREATE TABLE other.t (#{@columns}, CONSTRAINT theirs UNIQUE (b))",
      "CREATE UNIQUE INDEX ours_a ON t (a)",
      "CREATE UNIQUE INDEX ours_b ON t (b)",
      "CREATE UNIQUE INDEX other.theirs_a ON t (a)",
      "CREATE UNIQUE INDEX other.live ON t (kind) WHERE a = 'x'",
      "CREATE UNIQUE INDEX other.draft ON t (kind) WHERE a = 'z'",
      "INSERT INTO t (a, b, kind) VALUES ('x', 'y', 'k')",
      "INSERT INTO other.t (a, b, kind) VALUES ('x', 'y', 'k'), ('z', 'z', 'k')"
    ])

    assert violates([a: "x"], "other") == "theirs_a"
    assert violates([b: "y"], "other") == "theirs"
    assert violates([a: "x"], nil) == "ours_a"
    assert violates([b: "y"], nil) == "ours_b"
    # A name that the columns alone do not tell.
    sql("DROP INDEX other.theirs_a")
    assert violates([a: "z", kind: "k"], "other") == "draft"
    assert violates([a: "x", kind: "k"], "other") == "live"
    sql("DROP TABLE t")
    assert violated(fn -> Repo.insert!(row(a: "x", kind: "k"), prefix: "other") end) == "live"
    # Without its prefix it is the same table now.
    assert violates(a: "x", kind: "k") == "live"
  end

  test "what a trigger writes" do
    sql([
      "CREATE TABLE t (#{@columns})",
      "CREATE TABLE log (x TEXT, kind TEXT, CONSTRAINT once UNIQUE (x))",
      "CREATE UNIQUE INDEX live ON log (kind) WHERE x > 'm'",
      "CREATE UNIQUE INDEX draft ON log (kind) WHERE x <= 'm'",
      "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.a, NEW.kind); END",
      "INSERT INTO log VALUES ('a', 'k'), ('z', 'k')"
    ])

    assert violates(a: "a") == "once"
    assert violates(a: "b", kind: "k") == "draft"
    assert violates(a: "y", kind: "k") == "live"
  end

  test "upserts, and tables without a rowid" do
    sql([
      "CREATE TABLE t (id INT, a TEXT, b TEXT, kind TEXT, PRIMARY KEY (b, id)) WITHOUT ROWID",
      "CREATE UNIQUE INDEX live ON t (a) WHERE kind = 'live'",
      "CREATE UNIQUE INDEX draft ON t (a) WHERE kind = 'draft'",
      "INSERT INTO t VALUES (1, 'x', 'b', 'live'), (2, 'x', 'b', 'draft'), (3, 'y', 'b', 'draft')"
    ])

    upsert = fn set ->
      violated(fn ->
        Repo.insert!(row(id: 3, b: "b"), on_conflict: [set: set], conflict_target: [:b, :id])
      end)
    end

    assert upsert.(a: "x") == "draft"

    # The row that would have been inserted is of no account.
    late = fn ->
      Repo.insert!(row(id: 3, b: "b", a: "x", kind: "live"),
        on_conflict: [set: [a: "x"]],
        conflict_target: [:b, :id]
      )
    end

    assert violated(late) == "draft"
    assert upsert.(a: "x", kind: "live") == "live"
    assert violated(fn -> Repo.update!(change(Repo.get!(Row, 3), a: "x")) end) == "draft"
    assert violates(id: 3, b: "b") == "t_pkey"
  end

  test "a temporary table before all others, and names with commas" do
    sql([
      "CREATE TABLE t (#{@columns}, UNIQUE (a))",
      ~s{CREATE TEMP TABLE t (#{@columns}, "a, b" TEXT DEFAULT 'x' CONSTRAINT "c, d" UNIQUE)},
      "CREATE UNIQUE INDEX temp.live ON t (a) WHERE kind = 'live'",
      "CREATE UNIQUE INDEX temp.draft ON t (a) WHERE kind = 'draft'",
      ~s|INSERT INTO t (a, kind, "a, b") VALUES ('x', 'live', 'p'), ('x', 'draft', 'q')|
    ])

    assert violates(a: "x", kind: "live") == "live"
    assert violates(a: "x", kind: "draft") == "draft"
    Repo.insert!(row(a: "z"))
    assert violates(a: "y") == "c, d"
  end

  test "conditions on generated columns, of a STRICT table, with a comment at the end" do
    sql([
      """
      CREATE TABLE t (
        id INTEGER PRIMARY KEY, a TEXT, b ANY, kind TEXT, big INT AS (length(kind) > 4) STORED,
        low TEXT AS (lower(kind))
      ) STRICT
      """,
      "CREATE UNIQUE INDEX long ON t (a) WHERE big AND b = '5' -- the long ones",
      "CREATE UNIQUE INDEX short ON t (a) WHERE low = 'live' AND b = '5'",
      "INSERT INTO t (a, b, kind) VALUES ('x', '5', 'Live'), ('x', '5', 'Draft')"
    ])

    assert violates(a: "x", b: "5", kind: "LIVE") == "short"
    assert violates(a: "x", b: "5", kind: "LATER") == "long"
  end

  test "a primary key with an index of its own" do
    sql([
      "CREATE TABLE t (id INT PRIMARY KEY, a TEXT, b TEXT, kind TEXT)",
      "CREATE UNIQUE INDEX other ON t (id) WHERE a = 'x'",
      "INSERT INTO t VALUES (1, 'x', 'b', 'live')"
    ])

    assert violates(id: 1, a: "x") in ["other", "t_pkey"]
    assert violates(id: 1, a: "z") == "t_pkey"
  end
end
