defmodule EctoLibSql.Driver.OptionsTest do
  # The log is everybody's: not async.
  use EctoLibSql.Case
  import EctoLibSql.DriverHelpers
  import ExUnit.CaptureLog

  alias EctoLibSql.{Error, Options, State}

  describe "without options" do
    setup do: {:ok, db: open(tmp_path())}

    test "a connection has its defaults", %{db: db} do
      assert %State{trx_id: nil, mode: :local, sync: :disable_sync} = db
      assert one(db, "PRAGMA foreign_keys") == 1
      assert one(db, "PRAGMA journal_mode") == "wal"
      assert one(db, "PRAGMA synchronous") == 1
      assert EctoLibSql.busy_timeout(db) == 5000
      assert EctoLibSql.notices(db) == []
      assert %{readonly: false, wal: true, autocommit: true} = EctoLibSql.stats(db)
    end

    test "a string in double quotes is a column, and a wrong one is an error", %{db: db} do
      assert %Error{code: :sql, message: message} = err(db, ~s(SELECT "text"))
      assert message =~ "no such column"
    end

    test "SQL cannot load an extension", %{db: db} do
      assert %Error{} = err(db, "SELECT load_extension('x')")
    end
  end

  describe "each option has its effect:" do
    # What a PRAGMA of the option's name answers.
    for {option, value, answer} <- [
          {:journal_mode, :delete, "delete"},
          {:journal_mode, :truncate, "truncate"},
          {:journal_mode, :persist, "persist"},
          {:journal_mode, :memory, "memory"},
          {:journal_mode, :off, "off"},
          {:synchronous, :normal, 1},
          {:synchronous, :full, 2},
          {:synchronous, :extra, 3},
          {:fullfsync, true, 1},
          {:fullfsync, false, 0},
          {:foreign_keys, false, 0},
          {:cache_size, -1234, -1234},
          {:cache_size, 77, 77},
          {:temp_store, :file, 1},
          {:temp_store, :memory, 2},
          {:temp_store, :default, 0},
          {:auto_vacuum, :full, 1},
          {:auto_vacuum, :incremental, 2},
          {:auto_vacuum, :none, 0},
          {:page_size, 8192, 8192},
          {:recursive_triggers, true, 1},
          {:recursive_triggers, false, 0},
          {:secure_delete, true, 1},
          {:secure_delete, false, 0},
          {:secure_delete, :fast, 2},
          {:wal_autocheckpoint, 50, 50},
          {:journal_size_limit, 4096, 4096},
          {:busy_timeout, 123, nil}
        ] do
      test "#{option}: #{inspect(value)}" do
        db = open(tmp_path(), [{unquote(option), unquote(value)}])

        if unquote(option) == :busy_timeout,
          do: assert(EctoLibSql.busy_timeout(db) == unquote(value)),
          else: assert(one(db, "PRAGMA #{unquote(option)}") == unquote(answer))

        assert EctoLibSql.notices(db) == []
      end
    end

    test "page_size and auto_vacuum are in the file, whatever their order" do
      path = tmp_path()
      db = open(path, journal_mode: :wal, auto_vacuum: :incremental, page_size: 1024)
      q(db, "CREATE TABLE t(a)")
      :ok = EctoLibSql.close(db)
      db = open(path)
      assert one(db, "PRAGMA page_size") == 1024
      assert one(db, "PRAGMA auto_vacuum") == 2
    end

    test "mmap_size" do
      db = open(tmp_path(), mmap_size: 1_048_576)
      got = one(db, "PRAGMA mmap_size")

      # An engine built without memory mapping says so in a notice.
      assert got == 1_048_576 or
               EctoLibSql.notices(db) == [
                 %{name: "mmap_size", asked: "1048576", got: to_string(got)}
               ]
    end

    test "case_sensitive_like" do
      assert one(open(case_sensitive_like: true), "SELECT 'a' LIKE 'A'") == 0
      assert one(open(case_sensitive_like: false), "SELECT 'a' LIKE 'A'") == 1
      assert one(open(), "SELECT 'a' LIKE 'A'") == 1
    end

    test "pragmas, after the others and in their order" do
      db = open(tmp_path(), pragmas: [user_version: 7, application_id: 9, synchronous: :off])
      assert one(db, "PRAGMA user_version") == 7
      assert one(db, "PRAGMA application_id") == 9
      assert one(db, "PRAGMA synchronous") == 0
      db = open(tmp_path(), pragmas: [cache_size: 5, cache_size: 6])
      assert one(db, "PRAGMA cache_size") == 6
      db = open(tmp_path(), pragmas: [busy_timeout: 77])
      assert EctoLibSql.busy_timeout(db) == 77
    end

    test "an unknown PRAGMA is :setting, and its name is in the message" do
      assert {:setting, message} = connect_refused(database: ":memory:", pragmas: [no_such: 1])
      assert message =~ "no_such"
      assert {:setting, message} = connect_refused(database: ":memory:", pragmas: ["a;b": 1])
      assert message =~ "a;b"
    end

    test "read_only" do
      path = tmp_path()
      assert {:cannot_open, message} = connect_refused(database: path, read_only: true)
      assert message =~ path
      db = open(path)
      q(db, "CREATE TABLE t(a)")
      reader = open(path, read_only: true)
      assert %{readonly: true} = EctoLibSql.stats(reader)
      assert all(reader, "SELECT * FROM t") == []

      assert %Error{code: :readonly, transient?: false} = err(reader, "INSERT INTO t VALUES (1)")

      assert_usable(reader)
      assert all(db, "SELECT * FROM t") == []
    end

    test "create: false" do
      path = tmp_path()
      assert {:cannot_open, _} = connect_refused(database: path, create: false)
      refute File.exists?(path)
      q(open(path), "CREATE TABLE t(a)")
      q(open(path, create: false), "INSERT INTO t VALUES (1)")
    end

    test "follow_symlinks: false" do
      path = tmp_path()
      q(open(path), "CREATE TABLE t(a)")
      link = path <> "-link"
      File.ln_s!(path, link)
      assert all(open(link), "SELECT * FROM t") == []
      assert {:cannot_open, _} = connect_refused(database: link, follow_symlinks: false)
      assert all(open(path, follow_symlinks: false), "SELECT * FROM t") == []
    end

    test "vfs" do
      assert one(open(database: "/x", vfs: "memdb"), "SELECT 1") == 1
      assert {:bad_argument, message} = connect_refused(database: ":memory:", vfs: "nowhere")
      assert message =~ "nowhere"
    end

    test "statement_cache" do
      db = open(statement_cache: 2)
      for n <- 1..5, do: q(db, "SELECT #{n}")
      assert EctoLibSql.stats(db).cache_size == 2
      db = open(statement_cache: 0)
      for _ <- 1..5, do: q(db, "SELECT 1")
      assert %{cache_size: 0, cache_hits: 0} = EctoLibSql.stats(db)
    end

    test "fast_path" do
      run = fn db ->
        q(db, "CREATE TABLE t(a INTEGER PRIMARY KEY)")
        q(db, "INSERT INTO t VALUES (1)")
        for _ <- 1..50, do: q(db, "SELECT a FROM t WHERE a = ?", [1])
        EctoLibSql.stats(db).fast_runs
      end

      assert run.(open(tmp_path(), fast_path: false)) == 0
      assert run.(open(tmp_path())) > 0
    end

    test "max_length" do
      db = open(max_length: 1000)
      assert %Error{code: :too_big} = err(db, "SELECT zeroblob(1001)")
      assert byte_size(one(db, "SELECT zeroblob(1000)")) == 1000
    end

    test "double_quoted_strings" do
      assert one(open(double_quoted_strings: true), ~s(SELECT "text")) == "text"
    end

    test "unsafe_filesystem leaves a local file as it is" do
      assert one(open(tmp_path(), unsafe_filesystem: true), "PRAGMA journal_mode") == "wal"
    end

    test "transaction_mode is how DBConnection's transactions begin" do
      path = tmp_path()
      q(open(path), "CREATE TABLE t(a)")
      other = open(path, busy_timeout: 0)

      for {mode, other_may_write?} <- [
            immediate: false,
            exclusive: false,
            deferred: true,
            read: true
          ] do
        db = open(path, transaction_mode: mode, busy_timeout: 0)
        assert {:ok, _, db} = EctoLibSql.handle_begin([], db)
        answer = EctoLibSql.query(other, "INSERT INTO t VALUES (1)")
        assert {mode, elem(answer, 0)} == {mode, if(other_may_write?, do: :ok, else: :error)}
        assert {:ok, _, _db} = EctoLibSql.handle_rollback([], db)
      end
    end

    test "sync is what the state says" do
      assert open(sync: true).sync == :enable_sync
      assert open(sync: false).sync == :disable_sync
    end

    test "mode: :local, and a server that is not there" do
      assert one(open(mode: :local), "SELECT 1") == 1
      nowhere = [uri: "http://127.0.0.1:1", retry_time: 0]
      assert {:unreachable, _} = connect_refused([mode: :remote] ++ nowhere)
      assert {:unreachable, _} = connect_refused([auth_token: "t"] ++ nowhere)
      assert {:unreachable, _} = connect_refused(nowhere)
      assert {:bad_argument, _} = connect_refused(mode: :remote)
      assert {:bad_argument, message} = connect_refused([read_only: true] ++ nowhere)
      assert message =~ ":read_only"
      replica = [database: tmp_path("replica.db"), sync: true, auth_token: "t"]
      assert {:unreachable, _} = connect_refused(replica ++ nowhere)
    end
  end

  describe "values that are wrong" do
    @wrong [
      database: [5, nil, :memory, "a\0b", ["x"]],
      mode: [:lokal, "local", 1],
      busy_timeout: [-1, 1.5, "5000", :infinity, 0x80000000],
      read_only: [1, "true", :yes],
      create: [0],
      follow_symlinks: ["no"],
      vfs: ["", :unix, 1],
      encryption_key: ["", :key, 5],
      journal_mode: ["wal", :wall, 1, true],
      durability: ["durable", :full, true, 1],
      synchronous: [1, "normal", :most],
      fullfsync: [1, :on],
      foreign_keys: [1, :on, "on"],
      cache_size: [1.0, "10", :big, 0x8000000000000000],
      temp_store: [2, :ram],
      mmap_size: ["1"],
      auto_vacuum: [1, true],
      page_size: ["4096", :big],
      recursive_triggers: [1],
      secure_delete: [2, :slow],
      wal_autocheckpoint: [:never],
      journal_size_limit: ["1"],
      case_sensitive_like: [1],
      pragmas: [%{}, [1], [{"user_version", 1}], [user_version: 1.5], [user_version: [1]]],
      attach: ["x", :x, %{x: "y"}, [:x], [x: nil], [main: "y"], [temp: "y"], [x: "y", X: "z"]],
      statement_cache: [-1, 1.0, 100_000_001],
      fast_path: [1],
      max_length: [-1, 100_000_001, "1"],
      double_quoted_strings: ["yes"],
      unsafe_filesystem: [:ok],
      extensions: ["path", [5], [{"path", 5}], [{:path, "entry"}]],
      on_connect: [:fun, "fun", {:m, :f}, {:m, :f, 1}, {"m", :f, []}],
      transaction_mode: ["immediate", :now, :read_only],
      mvcc: [1, :on, "true"],
      cache_budget: [0, -1, 1.0, "10", :big],
      events: [:none, true, "all"],
      uuid_type: [:binary, "blob"],
      binary_id_type: [:string, "text"],
      json_type: [:blob, "jsonb"],
      datetime_type: [:iso8601, :unix],
      long_transaction: [-1, 1.5, "1000", :never],
      uri: ["", :uri, 1],
      auth_token: ["", 1, &String.length/1, {:m, :f}],
      namespace: ["", :default, 1],
      tls: [true, %{}, [ca: "x"], [ca_file: 1], [verify: "no"]],
      proxy: ["", :none],
      connect_timeout: [-1, 1.5, :infinity],
      first_byte_timeout: [-1, "1"],
      retry_time: [-1, :never],
      max_response_size: [-1, 1.0],
      replicas: ["http://x", [""], [:x], nil: 1],
      read_from: [:anywhere, "primary"],
      trace_context: ["x", &String.length/1, {:m, :f}],
      sync: ["true", 1],
      sync_on_open: [1, "false"],
      sync_timeout: [-1, :infinity],
      sync_interval: [-1, 1.5, :never],
      read_your_writes: [1, :yes],
      stale_after: [-1, "1"],
      on_stale: [:remote, "error"],
      adopt: [true, :keep],
      sync_protocol: [1, :v3],
      offline: [1],
      remote_encryption_key: ["", 1]
    ]

    for {option, values} <- @wrong do
      test "of #{option} are :bad_argument and name it" do
        for value <- unquote(Macro.escape(values)) do
          opts = Keyword.put([database: ":memory:"], unquote(option), value)
          assert {:bad_argument, message} = connect_refused(opts)
          assert message =~ ":#{unquote(option)}", inspect({value, message})
        end
      end
    end

    test "the list above has every option" do
      assert Enum.sort(Keyword.keys(@wrong)) == Enum.sort(Options.names())
    end

    test "options that are no keyword list" do
      for opts <- [nil, 5, "x", %{database: ":memory:"}, [:database], [{"database", "x"}]] do
        assert {:bad_argument, message} = connect_refused(opts)
        assert message =~ "keyword list"
      end
    end

    test "no database at all" do
      assert {:bad_argument, message} = connect_refused([])
      assert message =~ ":database"
      assert {:bad_argument, _} = connect_refused(mode: :local)
      assert {:bad_argument, _} = connect_refused(auth_token: "t")
    end
  end

  describe "keys that are not ours" do
    test "are refused by connect/1, with the nearest name" do
      assert {:bad_argument, message} = connect_refused(database: ":memory:", busy_timout: 5)
      assert message =~ ":busy_timout"
      assert message =~ ":busy_timeout"
      assert {:bad_argument, message} = connect_refused(database: ":memory:", colour: :red)
      assert message =~ ":colour"
      for name <- Options.names(), do: assert(message =~ inspect(name))
    end

    test "are passed over for a pool, with one warning for a near miss" do
      log =
        capture_log(fn ->
          db = open(database: ":memory:", pool_index: 1, busy_timout: 5)
          assert EctoLibSql.busy_timeout(db) == 5000
        end)

      assert log =~ ":busy_timout"
      assert log =~ ":busy_timeout"
      assert length(String.split(log, "there is no option")) == 2
    end

    test "of ecto_sqlite3 are named as they are called here" do
      for {key, name} <- [
            custom_pragmas: :pragmas,
            default_transaction_mode: :transaction_mode,
            load_extensions: :extensions,
            locking_mode: :pragmas,
            map_type: :json_type
          ] do
        log = capture_log(fn -> open([{key, :x}, database: ":memory:", pool_index: 1]) end)
        assert log =~ "there is no option #{inspect(key)}; did you mean #{inspect(name)}?"
      end
    end

    test "that would have encrypted are refused, for a pool too" do
      assert {:bad_argument, message} =
               connect_refused(database: ":memory:", pool_index: 1, key: "k")

      assert message =~ ":encryption_key"
    end

    test "of others give no warning" do
      others = [
        # Ecto's
        adapter: Ecto.Adapters.LibSql,
        otp_app: :shop,
        repo: Shop.Repo,
        telemetry_prefix: [:shop, :repo],
        log: :debug,
        stacktrace: true,
        priv: "priv/repo",
        migration_lock: false,
        migration_source: "versions",
        migration_repo: Shop.Repo,
        migration_timestamps: [type: :utc_datetime],
        migration_primary_key: [type: :binary_id],
        migration_foreign_key: [type: :binary_id],
        migration_cast_version_column: true,
        migration_default_prefix: "x",
        start_apps_before_migration: [:ssl],
        show_sensitive_data_on_connection_error: true,
        default_options: [],
        dump_path: "x",
        url: "ecto://x",
        ssl: false,
        # DBConnection's
        name: Shop.Repo,
        pool: DBConnection.ConnectionPool,
        pool_size: 5,
        pool_count: 2,
        pool_index: 3,
        queue_target: 50,
        queue_interval: 1000,
        timeout: 15_000,
        idle_interval: 1000,
        idle_limit: 5,
        max_lifetime: 1..2,
        backoff_type: :stop,
        backoff_min: 1,
        backoff_max: 2,
        configure: nil,
        after_connect: nil,
        after_connect_timeout: 5,
        connection_listeners: [],
        show_sensitive_data: false,
        show_sensitive_data_on_connection_error: false,
        ownership_timeout: 60_000,
        ownership_mode: :manual,
        post_checkout: nil,
        pre_checkin: nil,
        disconnect_on_error_codes: [],
        prepare: :named,
        types: Shop.Types,
        # Oban's, which gives its own repository's options on
        engine: Oban.Engines.Lite,
        notifier: Oban.Notifiers.PG,
        plugins: [],
        queues: [default: 10],
        prefix: false,
        testing: :manual,
        peer: false
      ]

      log =
        capture_log(fn ->
          assert {:ok, db} = EctoLibSql.connect([database: ":memory:"] ++ others)
          EctoLibSql.close(db)
        end)

      assert log == ""
    end
  end

  test "the documentation has every option, its default, and its type" do
    {:docs_v1, _, :elixir, _, %{"en" => text}, _, _} = Code.fetch_docs(EctoLibSql)

    for name <- Options.names(), do: assert(text =~ "  * `:#{name}` (")
    assert text =~ "`:busy_timeout` (an integer of milliseconds, from 0, default `5000`)"
    assert text =~ "`:foreign_keys` (a boolean, default `true`)"
  end
end
