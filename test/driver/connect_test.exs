defmodule EctoLibSql.Driver.ConnectTest do
  # The application's environment is everybody's: not async.
  use EctoLibSql.Case
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, State}

  describe "databases in memory" do
    test ":memory: is private" do
      [a, b] = [open(), open()]
      q(a, "CREATE TABLE t(a)")
      assert %Error{code: :sql} = err(b, "SELECT * FROM t")
    end

    test "a named one is shared by its name, and gone with its last connection" do
      name = "shared#{System.unique_integer([:positive])}"
      uri = "file:#{name}?mode=memory&cache=shared"
      [a, b] = [open(uri), open(uri)]
      other = open("file:#{name}x?mode=memory&cache=shared")
      q(a, "CREATE TABLE t(a)")
      q(a, "INSERT INTO t VALUES (1)")
      assert all(b, "SELECT * FROM t") == [[1]]
      assert %Error{code: :sql} = err(other, "SELECT * FROM t")
      for db <- [a, b], do: :ok = EctoLibSql.close(db)
      assert %Error{code: :sql} = err(open(uri), "SELECT * FROM t")
      refute File.exists?(name)
    end

    test "have no WAL, and a notice says so" do
      assert EctoLibSql.notices(open()) == [%{name: "journal_mode", asked: "wal", got: "memory"}]
      assert EctoLibSql.notices(open(journal_mode: :memory)) == []
    end

    test "the empty path is a private temporary file" do
      [a, b] = [open(""), open("")]
      q(a, "CREATE TABLE t(a)")
      assert %Error{code: :sql} = err(b, "SELECT * FROM t")
    end
  end

  describe "files" do
    test "in a folder that is not there" do
      path = Path.join(tmp_path(), "no/such/folder.db")
      assert {:cannot_open, message} = connect_refused(database: path)
      assert message =~ path
    end

    test "that are folders" do
      assert {:cannot_open, _} = connect_refused(database: Path.dirname(tmp_path()))
    end

    test "that are no databases" do
      path = tmp_path()
      File.write!(path, String.duplicate("not a database. ", 1000))
      assert {:not_a_database, _} = connect_refused(database: path)
      assert File.read!(path) == String.duplicate("not a database. ", 1000)
    end

    test "with names that SQL and URIs would mind" do
      for name <- ["a b.db", "ä€𝄞.db", "100%.db", "it's \"x\".db", "a?b#c.db"] do
        path = tmp_path(name)
        db = open(path)
        q(db, "CREATE TABLE t(a)")
        assert File.exists?(path)
        assert [[_, "main", file]] = all(db, "PRAGMA database_list")
        assert Path.basename(file) == name
      end
    end

    test "a file: URI" do
      path = tmp_path()
      q(open(path), "CREATE TABLE t(a)")
      db = open("file:#{path}?mode=ro")
      assert %Error{code: :readonly} = err(db, "INSERT INTO t VALUES (1)")
    end

    test "another page size than the file has is a notice" do
      path = tmp_path()
      q(open(path, page_size: 1024), "CREATE TABLE t(a)")

      assert [%{name: "page_size", asked: "4096", got: "1024"}] =
               EctoLibSql.notices(open(path, page_size: 4096))
    end

    test "a read-only file has the journal that it has" do
      path = tmp_path()
      q(open(path, journal_mode: :delete), "CREATE TABLE t(a)")

      assert [%{name: "journal_mode", got: "delete"}] =
               EctoLibSql.notices(open(path, read_only: true))
    end
  end

  describe "encryption_key" do
    @describetag skip: EctoLibSql.core_info().encryption == false

    setup do
      path = tmp_path()
      db = open(path, encryption_key: "right")
      q(db, "CREATE TABLE secret_table(a)")
      q(db, "INSERT INTO secret_table VALUES ('secret text')")
      :ok = EctoLibSql.close(db)
      {:ok, path: path}
    end

    test "right", %{path: path} do
      assert all(open(path, encryption_key: "right"), "SELECT * FROM secret_table") ==
               [["secret text"]]
    end

    test "wrong, or none", %{path: path} do
      assert {:not_a_database, _} = connect_refused(database: path, encryption_key: "wrong")
      assert {:not_a_database, message} = connect_refused(database: path)
      refute message =~ "wrong"
    end

    test "nothing is in clear, and no error shows the key", %{path: path} do
      bytes = for file <- Path.wildcard(path <> "*"), into: "", do: File.read!(file)
      refute bytes =~ "SQLite format"
      refute bytes =~ "secret"
      assert {:bad_argument, message} = connect_refused(database: path, encryption_key: :top_secret)
      refute message =~ "top_secret"
    end

    test "a plain file opened with a key", %{path: path} do
      plain = path <> ".plain"
      q(open(plain), "CREATE TABLE t(a)")
      assert {:not_a_database, _} = connect_refused(database: plain, encryption_key: "key")
    end
  end

  describe "extensions" do
    @compiler System.find_executable("gcc") || System.find_executable("cc")
    @header Enum.find(["/usr/include", "build/engine/src"], &File.exists?(&1 <> "/sqlite3ext.h"))
    @describetag skip: is_nil(@compiler) or is_nil(@header)

    @source """
    #include <sqlite3ext.h>
    SQLITE_EXTENSION_INIT1
    static void answer(sqlite3_context *ctx, int n, sqlite3_value **values) {
        (void)n, (void)values;
        sqlite3_result_int(ctx, 42);
    }
    static int add(sqlite3 *db, const char *name) {
        return sqlite3_create_function(db, name, 0, SQLITE_UTF8, 0, answer, 0, 0);
    }
    int sqlite3_answer_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
        (void)error;
        SQLITE_EXTENSION_INIT2(api);
        return add(db, "answer");
    }
    int other_entry(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
        (void)error;
        SQLITE_EXTENSION_INIT2(api);
        return add(db, "other_answer");
    }
    """

    setup do
      path = tmp_path("answer.so")
      source = Path.join(Path.dirname(path), "answer.c")
      File.write!(source, @source)
      args = ["-shared", "-fPIC", "-I", @header, "-o", path, source]
      {_, 0} = System.cmd(@compiler, args, stderr_to_stdout: true)
      {:ok, extension: path}
    end

    test "at connect, by path and by entry point", %{extension: path} do
      assert one(open(extensions: [path]), "SELECT answer()") == 42
      db = open(extensions: [path, {path, "other_entry"}])
      assert one(db, "SELECT answer() + other_answer()") == 84
      # Only for the connecting.
      assert {:error, %Error{code: :auth}} = EctoLibSql.Native.load_ext(db, path)
      assert %Error{} = err(db, "SELECT load_extension(?)", [path])
    end

    test "later, while it is allowed", %{extension: path} do
      db = open()
      assert {:error, %Error{code: :auth}} = EctoLibSql.Native.load_ext(db, path)
      assert :ok = EctoLibSql.Native.enable_extensions(db, true)
      assert %Error{} = err(db, "SELECT load_extension(?)", [path])
      assert :ok = EctoLibSql.Native.load_ext(db, path)
      assert one(db, "SELECT answer()") == 42
      assert :ok = EctoLibSql.Native.load_ext(db, path, "other_entry")
      assert one(db, "SELECT other_answer()") == 42
      assert :ok = EctoLibSql.Native.enable_extensions(db, false)
      assert {:error, %Error{code: :auth}} = EctoLibSql.Native.load_ext(db, path)
    end

    test "that are not there, or are none", %{extension: path} do
      assert {:error_code, message} = extension_refused("/no/such.so")
      assert message =~ "/no/such.so"
      assert {:error_code, _} = extension_refused({path, "no_such_entry"})
    end

    defp extension_refused(extension) do
      assert {code, message} = connect_refused(database: ":memory:", extensions: [extension])
      assert code in [:error, :cannot_open]
      {:error_code, message}
    end
  end

  describe "events" do
    setup do
      test = self()

      Application.put_env(:ecto_libsql, :events, fn name, measurements, metadata ->
        send(test, {name, measurements, metadata})
      end)

      on_exit(fn -> Application.delete_env(:ecto_libsql, :events) end)
    end

    test "of connecting" do
      path = tmp_path()
      open(path)
      assert_received {[:ecto_libsql, :connect], %{duration: duration}, metadata}
      assert is_integer(duration) and duration > 0
      assert %{mode: :local, database: ^path, result: :ok} = metadata
      refute_received {[:ecto_libsql, :setting_refused], _, _}
    end

    test "of connecting in vain" do
      connect_refused(database: "/no/such/folder.db")

      assert_received {[:ecto_libsql, :connect], %{duration: _},
                       %{mode: :local, database: "/no/such/folder.db", result: :cannot_open}}

      connect_refused([])
      assert_received {[:ecto_libsql, :connect], _, %{mode: :unknown, result: :bad_argument}}
      connect_refused(5)
      assert_received {[:ecto_libsql, :connect], _, %{mode: :unknown, result: :bad_argument}}
    end

    test "of settings that could not be had" do
      open()

      assert_received {[:ecto_libsql, :setting_refused], %{count: 1},
                       %{name: "journal_mode", asked: "wal", got: "memory"}}
    end

    test "of waiting for a lock" do
      path = tmp_path()
      holder = open(path)
      q(holder, "BEGIN IMMEDIATE")
      db = open(path, busy_timeout: 20)
      err(db, "CREATE TABLE t(a)")
      assert_received {[:ecto_libsql, :busy], %{duration: _}, %{result: :busy}}
      EctoLibSql.set_busy_timeout(db, 5000)
      # Long enough for the other to have begun to wait, on a busy machine too.
      spawn(fn -> Process.sleep(1000) && EctoLibSql.query(holder, "ROLLBACK") end)
      q(db, "CREATE TABLE t(a)")
      assert_received {[:ecto_libsql, :busy], %{duration: _}, %{result: :ok}}
    end

    test "of a call that was given up" do
      db = open()

      assert %Error{code: :timeout} =
               err(db, "SELECT length(hex(randomblob(45000000)))", [], timeout: 20)

      assert_received {[:ecto_libsql, :abandoned], %{count: 1}, %{code: :timeout}}
    end
  end

  describe "State" do
    test "detect_mode" do
      d = &State.detect_mode/1
      assert d.(database: "x") == :local
      assert d.(database: "x", sync: true) == :local
      assert d.(uri: "u", auth_token: "t") == :remote
      assert d.(uri: "u", auth_token: "t", database: "x") == :remote
      assert d.(uri: "u", auth_token: "t", sync: true) == :remote
      assert d.(uri: "u", auth_token: "t", database: "x", sync: true) == :remote_replica
      assert d.(uri: "u", auth_token: "t", database: "x", sync: false) == :remote_replica
      assert d.(uri: "u", auth_token: "t", database: "x", sync: nil) == :remote
      assert d.(uri: "u", database: "x") == :local
      assert d.(uri: "u") == :remote
      assert d.([]) == :unknown
      assert d.(auth_token: "t") == :unknown
      assert d.(mode: :local, uri: "u", auth_token: "t", database: "x") == :local
      assert d.(mode: :remote_replica, database: "x") == :remote_replica
      assert d.(mode: nil, database: "x") == :local
    end

    test "detect_sync" do
      assert State.detect_sync(sync: true) == :enable_sync
      assert State.detect_sync(sync: false) == :disable_sync
      assert State.detect_sync(sync: nil) == :disable_sync
      assert State.detect_sync([]) == :disable_sync
    end

    test "needs a handle" do
      assert_raise ArgumentError, fn -> struct!(State, []) end
    end
  end

  describe "closing" do
    test "disconnect twice" do
      db = open()
      assert :ok = EctoLibSql.disconnect(:any, db)
      assert :ok = EctoLibSql.disconnect(:any, db)
      assert %Error{code: :closed} = err(db, "SELECT 1")
      assert_no_messages()
    end

    test "rolls back and leaves the file whole" do
      path = tmp_path()
      db = open(path)
      q(db, "CREATE TABLE t(a)")
      {:ok, db} = EctoLibSql.Native.begin(db)
      q(db, "INSERT INTO t VALUES (1)")
      assert :ok = EctoLibSql.close(db)
      assert all(open(path), "SELECT * FROM t") == []
      assert_no_messages()
    end

    test "the last connection takes the WAL away" do
      path = tmp_path()
      db = open(path)
      q(db, "CREATE TABLE t(a)")
      assert File.exists?(path <> "-wal")
      :ok = EctoLibSql.close(db)
      refute File.exists?(path <> "-wal")
    end

    test "wait: false returns at once, and it is closed all the same" do
      path = tmp_path()
      db = open(path)
      q(db, "CREATE TABLE t(a)")
      assert :ok = EctoLibSql.close(db, wait: false)
      assert %Error{code: :closed} = err(db, "SELECT 1")
      assert :ok = EctoLibSql.close(db, wait: false)
      eventually(fn -> not File.exists?(path <> "-wal") end)
      assert_no_messages()
    end

    test "wait: ms, while a call runs" do
      db = open()
      task = Task.async(fn -> EctoLibSql.query(db, endless()) end)
      eventually(fn -> match?({:error, %Error{code: :timeout}, _}, busy_call(db)) end)
      assert :ok = EctoLibSql.close(db, wait: 5000)
      assert {:error, %Error{code: code}, _} = Task.await(task, 60_000)
      assert code in [:interrupted, :closed]
      assert_no_messages()
    end

    defp busy_call(db), do: EctoLibSql.query(db, "SELECT 1", [], timeout: 5)

    test "what a process held is closed when it dies" do
      path = tmp_path()
      q(open(path), "CREATE TABLE t(a)")

      {pid, monitor} =
        spawn_monitor(fn ->
          {:ok, db} = EctoLibSql.connect(database: path)
          {:ok, _db} = EctoLibSql.Native.begin(db, behavior: :immediate)
        end)

      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, 30_000
      q(open(path), "INSERT INTO t VALUES (1)")
    end
  end

  test "ping, checkout" do
    db = open()
    assert {:ok, ^db} = EctoLibSql.ping(db)
    assert {:ok, ^db} = EctoLibSql.checkout(db)
    EctoLibSql.close(db)
    assert {:disconnect, %Error{code: :closed}, ^db} = EctoLibSql.ping(db)
  end

  test "busy_timeout can be set and read" do
    db = open()
    assert :ok = EctoLibSql.set_busy_timeout(db, 0)
    assert EctoLibSql.busy_timeout(db) == 0
    assert :ok = EctoLibSql.Native.busy_timeout(db, 77)
    assert EctoLibSql.busy_timeout(db) == 77
    assert :ok = EctoLibSql.Native.busy_timeout(db)
    assert EctoLibSql.busy_timeout(db) == 5000

    for wrong <- [-1, 1.5, "1", nil, 0x80000000] do
      assert {:error, %Error{code: :bad_argument}} = EctoLibSql.set_busy_timeout(db, wrong)
    end

    EctoLibSql.close(db)
    assert {:error, %Error{code: :closed}} = EctoLibSql.set_busy_timeout(db, 5)
  end

  test "facts about the engine and its memory" do
    assert %{engine: engine, engine_version: "3." <> _, ofd_locks: ofd} = EctoLibSql.core_info()
    assert engine in ["libsql", "sqlite"]
    assert is_boolean(ofd)
    before = EctoLibSql.memory()
    db = open()
    assert EctoLibSql.memory().bytes > before.bytes
    assert %{blocks: blocks, failed: 0} = before
    assert blocks >= 0
    :ok = EctoLibSql.close(db)
  end
end
