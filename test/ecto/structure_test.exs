defmodule Ecto.Adapters.LibSql.StructureTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias Ecto.Adapters.LibSql.Structure
  alias EctoLibSql.Native

  @schema """
  CREATE TABLE z (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE /* note */, b DEFAULT ';');
  CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY, z_id REFERENCES z) STRICT_; -- as it is
  CREATE TABLE w (
    k TEXT PRIMARY KEY -- the key
  ) WITHOUT ROWID;
  CREATE INDEX z_i ON z (b DESC) WHERE a > 'x;y';
  CREATE VIEW v AS SELECT a FROM z;
  CREATE TRIGGER t AFTER INSERT ON z BEGIN UPDATE z SET b = 1; DELETE FROM a; END;
  CREATE VIRTUAL TABLE ft USING fts5(a, content='z');
  CREATE VIRTUAL TABLE "box es" USING rtree("id", "x0", "x1");
  CREATE TABLE emb (id INTEGER PRIMARY KEY, e F32_BLOB(3));
  CREATE INDEX emb_i ON emb (libsql_vector_idx(e));
  CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, inserted_at TEXT_DATETIME);
  INSERT INTO schema_migrations VALUES (20240102030405, '2024-01-02T03:04:05'), (3, NULL);
  CREATE TABLE ecto_libsql_migration_lease (id INTEGER PRIMARY KEY CHECK (id = 1));
  INSERT INTO z (a) VALUES ('row');
  ANALYZE;
  """

  defp database(sql \\ String.replace(@schema, " STRICT_", "")) do
    path = tmp_path()
    {:ok, db} = EctoLibSql.connect(database: path)
    {:ok, _} = Native.execute_batch_sql(db, sql)
    EctoLibSql.close(db)
    path
  end

  defp dump(path, opts \\ []) do
    folder = Path.dirname(path)
    assert {:ok, file} = Structure.structure_dump(folder, [database: path] ++ opts)
    File.read!(file)
  end

  test "texts of the schema in a stable order, then the versions" do
    path = database()

    assert dump(path) == """
           CREATE TABLE a (id INTEGER PRIMARY KEY, z_id REFERENCES z);
           CREATE TABLE emb (id INTEGER PRIMARY KEY, e F32_BLOB(3));
           CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, inserted_at TEXT_DATETIME);
           CREATE TABLE w (
             k TEXT PRIMARY KEY -- the key
           ) WITHOUT ROWID;
           CREATE TABLE z (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE /* note */, b DEFAULT ';');
           CREATE VIRTUAL TABLE "box es" USING rtree("id", "x0", "x1");
           CREATE VIRTUAL TABLE ft USING fts5(a, content='z');
           CREATE VIEW v AS SELECT a FROM z;
           CREATE INDEX emb_i ON emb (libsql_vector_idx(e));
           CREATE INDEX z_i ON z (b DESC) WHERE a > 'x;y';
           CREATE TRIGGER t AFTER INSERT ON z BEGIN UPDATE z SET b = 1; DELETE FROM a; END;
           INSERT INTO "schema_migrations" ("version", "inserted_at") VALUES (3, NULL);
           INSERT INTO "schema_migrations" ("version", "inserted_at") VALUES (20240102030405, '2024-01-02T03:04:05');
           """

    assert File.exists?(Path.join(Path.dirname(path), "structure.sql"))
  end

  test "dump, load, dump is byte-identical, and what was loaded works" do
    path = database()
    first = dump(path)
    copy = tmp_path("copy.db")
    file = Path.join(Path.dirname(path), "structure.sql")
    assert Structure.structure_load("nowhere", database: copy, dump_path: file) == {:ok, file}
    assert dump(copy) == first

    db = open(copy)
    q(db, "INSERT INTO z (a) VALUES ('word')")
    q(db, "INSERT INTO ft (ft) VALUES ('rebuild')")
    assert one(db, "SELECT count(*) FROM ft WHERE ft MATCH 'word'") == 1
    q(db, "INSERT INTO \"box es\" VALUES (1, 0, 1)")
    q(db, "INSERT INTO emb VALUES (1, vector32('[1,2,3]'))")
    assert all(db, "SELECT id FROM vector_top_k('emb_i', vector32('[1,2,3]'), 1)") == [[1]]
    assert all(db, "PRAGMA integrity_check") == [["ok"]]
  end

  test "decimals are dumped and loaded with their collation" do
    path =
      database("""
      CREATE TABLE p (d TEXT_DECIMAL DEFAULT 0 COLLATE DECIMAL CHECK (d < 100));
      CREATE UNIQUE INDEX p_d ON p (d) WHERE d > 9;
      """)

    first = dump(path)
    copy = tmp_path("copy.db")
    file = Path.join(Path.dirname(path), "structure.sql")
    assert Structure.structure_load("nowhere", database: copy, dump_path: file) == {:ok, file}
    assert dump(copy) == first

    db = open(copy)
    q(db, "INSERT INTO p VALUES ('9'), ('10')")
    assert err(db, "INSERT INTO p VALUES ('10.0')").constraint.kind == :unique
    assert all(db, "SELECT d FROM p ORDER BY d") == [["9"], ["10"]]
  end

  test "a comment at the very end swallows nothing" do
    path = database("SELECT 1")
    db = open(path)
    q(db, "CREATE TABLE a (x) -- first")
    q(db, "CREATE TABLE b (x) /* second */  ")
    first = dump(path)
    copy = tmp_path("copy.db")
    file = Path.join(Path.dirname(path), "structure.sql")
    assert {:ok, _} = Structure.structure_load("", database: copy, dump_path: file)
    assert dump(copy) == first
    assert all(open(copy), "SELECT name FROM sqlite_schema ORDER BY 1") == [["a"], ["b"]]
  end

  test "the table of versions may have another name, or not be there" do
    sql =
      "CREATE TABLE \"my v\" (version INTEGER PRIMARY KEY, note); INSERT INTO \"my v\" VALUES (1, 'it''s')"

    path = database(sql)

    assert dump(path, migration_source: "my v") =~
             ~s|INSERT INTO "my v" ("version", "note") VALUES (1, 'it''s');\n|

    refute dump(path) =~ "INSERT"
  end

  test "dump_path; dump_cmd" do
    path = database("CREATE TABLE a (x)")
    file = tmp_path("sub/here.sql")
    assert Structure.structure_dump("x", database: path, dump_path: file) == {:ok, file}
    assert File.read!(file) == "CREATE TABLE a (x);\n"

    assert Structure.dump_cmd([], [], database: path) == {"CREATE TABLE a (x);\n", 0}
    assert Structure.dump_cmd([], [into: []], database: path) == {["CREATE TABLE a (x);\n"], 0}
    assert {"" <> _, 1} = Structure.dump_cmd([], [], database: path <> "-no")
    assert_raise ArgumentError, ~r/no arguments/, fn -> Structure.dump_cmd(["--x"], [], []) end
  end

  test "errors are said in words; a load that fails leaves nothing" do
    folder = Path.dirname(tmp_path())
    missing = Path.join(folder, "none.db")
    assert {:error, message} = Structure.structure_dump(folder, database: missing)
    assert is_binary(message)
    refute File.exists?(missing)
    assert {:error, "option :database" <> _} = Structure.structure_dump(folder, [])
    assert {:error, "cannot read" <> _} = Structure.structure_load(folder, database: missing)

    File.write!(Path.join(folder, "structure.sql"), "CREATE TABLE a (x);\nCREATE TABLE a (x);\n")
    assert {:error, message} = Structure.structure_load(folder, database: missing)
    assert message =~ "already exists"
    assert one(open(missing), "SELECT count(*) FROM sqlite_schema") == 0
  end

  @databases """
  CREATE TABLE "t" (id INTEGER PRIMARY KEY, "e" F32_BLOB(2), g AS (id + 1) STORED) /* of main */;
  CREATE TABLE "tenant"."t" ("a" TEXT, "up" TEXT REFERENCES "t" ("a"), UNIQUE ("a")) STRICT;
  CREATE UNIQUE INDEX "tenant".i ON t (lower(a));
  CREATE VIEW "tenant".v AS SELECT a FROM t;
  CREATE TRIGGER "tenant".r AFTER INSERT ON t BEGIN UPDATE t SET a = 'x;y'; END;
  CREATE VIRTUAL TABLE "tenant".words USING fts5(a, content='t');
  CREATE VIRTUAL TABLE "tenant".boxes USING rtree(id, x0, x1, +name TEXT);
  CREATE TABLE "tenant".emb (e F32_BLOB(2));
  CREATE INDEX "tenant".near ON emb (libsql_vector_idx(e));
  CREATE TABLE "tenant".schema_migrations (version INTEGER PRIMARY KEY);
  INSERT INTO "tenant".schema_migrations VALUES (7);
  CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY); INSERT INTO schema_migrations VALUES (8)
  """

  test "attached databases: those that dump_prefixes names" do
    config = fn -> [database: tmp_path("main.db"), attach: [tenant: tmp_path("tenant.db")]] end
    first = config.()
    db = open(first)
    {:ok, _} = Native.execute_batch_sql(db, @databases)

    file = tmp_path("here.sql")

    dump = fn config, prefixes ->
      assert {:ok, ^file} =
               Structure.structure_dump("x", [dump_path: file, dump_prefixes: prefixes] ++ config)

      File.read!(file)
    end

    assert dump.(first, nil) =~ ~s|CREATE TABLE "t" (id INTEGER PRIMARY KEY|
    refute dump.(first, nil) =~ "tenant"
    refute dump.(first, ["tenant"]) =~ "of main"

    assert dump.(first, ["tenant"]) =~
             ~s|INSERT INTO "tenant"."schema_migrations" ("version") VALUES (7);\n|

    both = dump.(first, ["main", "tenant"])
    second = config.()
    assert {:ok, _} = Structure.structure_load("x", [dump_path: file] ++ second)
    assert dump.(second, ["main", "tenant"]) == both

    assert {:error, "unknown database \"tenant\"" <> _} =
             Structure.structure_load("x", dump_path: file, database: tmp_path("alone.db"))

    assert {:error, message} = Structure.structure_dump("x", [dump_prefixes: ["none"]] ++ first)
    assert message =~ "none"

    copy = open(second)
    q(copy, "INSERT INTO tenant.t (a) VALUES ('word')")
    q(copy, "INSERT INTO tenant.emb VALUES (vector32('[1,2]'))")
    assert one(copy, "SELECT count(*) FROM tenant.near_shadow") == 1
    assert all(copy, "SELECT version FROM tenant.schema_migrations") == [[7]]
  end
end
