defmodule EctoLibSql.Replica.ReplicaTest do
  # A file that follows a real server: what asks the server, and what does not, by the requests that it gets.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, State}
  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  setup do
    sqld = Sqld.start!()
    server = open(database: nil, uri: sqld.url)
    q(server, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    q(server, "INSERT INTO t VALUES (1, 'x')")
    proxy = Proxy.start!(to: sqld.port)
    {:ok, sqld: sqld, server: server, proxy: proxy, path: tmp_path("replica.db")}
  end

  defp follow(%{proxy: proxy, path: path}, opts \\ []) do
    defaults = [database: path, uri: proxy.url, sync: true, sync_interval: 0, retry_time: 0]
    open(Keyword.merge(defaults, opts))
  end

  # Statements that the primary was asked to run, while fun did.
  defp asked(%{proxy: proxy}, fun) do
    before = length(statements(proxy))
    value = fun.()
    {length(statements(proxy)) - before, value}
  end

  defp statements(proxy), do: for(text <- Proxy.requests(proxy), text =~ ~r"POST /v\d/", do: text)

  defp frames(proxy), do: for(text <- Proxy.requests(proxy), text =~ "ReplicationLog", do: text)

  describe "a connection" do
    test "reads its file, and writes to the server", context do
      db = follow(context)
      assert %State{mode: :remote_replica, sync: :enable_sync} = db
      assert {0, [[1, "x"]]} = asked(context, fn -> all(db, "SELECT * FROM t") end)

      assert {1, %{num_rows: 1, command: :insert}} =
               asked(context, fn -> q(db, "INSERT INTO t (a) VALUES (?)", ["y"]) end)

      assert {0, [[1, "x"], [2, "y"]]} = asked(context, fn -> all(db, "SELECT * FROM t") end)
      assert Native.get_last_insert_rowid(db) == 2
      assert all(context.server, "SELECT * FROM t") == [[1, "x"], [2, "y"]]
    end

    test "reads on the caller's own scheduler what is short", context do
      db = follow(context)
      for id <- 1..200, do: all(db, "SELECT a FROM t WHERE id = ?", [id])
      assert EctoLibSql.stats(db).fast_runs > 50
      assert length(statements(context.proxy)) == 0
    end

    test "writes and reads its own writes in a loop, and asks only for their frames", context do
      db = follow(context)

      for n <- 2..200 do
        q(db, "INSERT INTO t VALUES (?, 'x')", [n])
        assert one(db, "SELECT max(id) FROM t") == n
      end

      assert {0, _} = asked(context, fn -> one(db, "SELECT count(*) FROM t") end)
      assert %{replica: %{index: index, written: written, lag: 0}} = EctoLibSql.stats(db)
      assert index >= written and written > 0
    end

    test "of another process on the same file sees what one wrote", context do
      writer = follow(context)
      readers = for _ <- 1..3, do: follow(context)
      q(writer, "INSERT INTO t VALUES (2, 'y')")

      counts =
        readers
        |> Enum.map(&Task.async(fn -> one(&1, "SELECT count(*) FROM t") end))
        |> Task.await_many()

      assert counts == [2, 2, 2]
    end

    test "goes to the server with each transaction but those that read", context do
      db = follow(context)
      {:ok, trx} = Native.begin(db)

      assert {2, 2} =
               asked(context, fn ->
                 q(trx, "INSERT INTO t VALUES (2, 'y')")
                 one(trx, "SELECT count(*) FROM t")
               end)

      {:ok, _} = Native.rollback(trx)
      assert one(db, "SELECT count(*) FROM t") == 1

      assert {0, 1} =
               asked(context, fn ->
                 {:ok, trx} = Native.begin(db, behavior: :read)
                 count = one(trx, "SELECT count(*) FROM t")
                 assert err(trx, "DELETE FROM t").code == :readonly
                 {:ok, _} = Native.commit(trx)
                 count
               end)
    end

    test "runs batches, prepared statements and many rows where they belong", context do
      db = follow(context)
      {:ok, insert} = Native.prepare(db, "INSERT INTO t (a) VALUES (?) RETURNING id")
      {:ok, count} = Native.prepare(db, "SELECT count(*) FROM t")
      assert {:ok, %{rows: [[2]]}} = Native.query_stmt(db, insert, ["y"])
      assert {0, {:ok, %{rows: [[2]]}}} = asked(context, fn -> Native.query_stmt(db, count, []) end)
      assert {:ok, _} = Native.batch(db, [{"DELETE FROM t WHERE id = 2", []}, {"SELECT 1", []}])
      reads = [{"SELECT 1", []}, {"SELECT count(*) FROM t", []}]
      # The file may be behind the batch: one read waits for it.
      assert one(db, "SELECT count(*) FROM t") == 1
      assert {0, {:ok, [_, %{rows: [[1]]}]}} = asked(context, fn -> Native.batch(db, reads) end)
      rows = for n <- 1..10, do: ["m#{n}"]

      assert {1, {:ok, %{num_rows: 10}}} =
               asked(context, fn ->
                 EctoLibSql.execute_many(db, "INSERT INTO t (a) VALUES (?)", rows)
               end)

      assert one(db, "SELECT count(*) FROM t") == 11
    end

    test "by a WebSocket sees its own writes, too", context do
      db = follow(context, uri: "ws" <> String.trim_leading(context.proxy.url, "http"))

      for n <- 2..20 do
        q(db, "INSERT INTO t VALUES (?, 'x')", [n])
        assert one(db, "SELECT max(id) FROM t") == n
      end

      {:ok, trx} = Native.begin(db)
      q(trx, "DELETE FROM t")
      {:ok, _} = Native.commit(trx)
      assert one(db, "SELECT count(*) FROM t") == 0
      assert {:ok, %{lag: 0, written: written}} = EctoLibSql.replica_info(db)
      assert written > 20
    end

    test "keeps temporary tables to itself", context do
      db = follow(context)

      assert {0, 1} =
               asked(context, fn ->
                 q(db, "CREATE TEMP TABLE own AS SELECT * FROM t")
                 one(db, "SELECT count(*) FROM own")
               end)
    end

    test "asks the server about tables that the file does not know", context do
      db = follow(context, read_your_writes: false)
      q(context.server, "CREATE TABLE later(a)")
      q(context.server, "INSERT INTO later VALUES (7)")
      assert {1, 7} = asked(context, fn -> one(db, "SELECT a FROM later") end)
      assert err(db, "SELECT * FROM nope").code == :sql
      # What it met has begun a sync already, which may have brought it.
      assert {:ok, _} = EctoLibSql.sync(db)
      assert {:ok, %{frames: frames, bytes: bytes}} = EctoLibSql.replica_info(db)
      assert frames > 0 and bytes > 0
      assert {0, 7} = asked(context, fn -> one(db, "SELECT a FROM later") end)
    end
  end

  describe "syncs" do
    test "happen at open, where they are asked for, and by themselves", context do
      db = follow(context)
      assert one(db, "SELECT count(*) FROM t") == 1
      q(context.server, "INSERT INTO t VALUES (2, 'y')")
      assert one(db, "SELECT count(*) FROM t") == 1
      assert {:ok, "success sync"} = Native.sync(db)
      assert one(db, "SELECT count(*) FROM t") == 2
      EctoLibSql.close(db)
      q(context.server, "INSERT INTO t VALUES (3, 'z')")
      db = follow(context, sync_on_open: false)
      assert one(db, "SELECT count(*) FROM t") == 2
      EctoLibSql.close(db)
      db = follow(context, sync_interval: 100)
      q(context.server, "INSERT INTO t VALUES (4, 'z')")
      eventually(fn -> one(db, "SELECT count(*) FROM t") == 4 end)
    end

    test "answer by the functions of 0.9", context do
      db = follow(context)
      assert {:ok, frame} = Native.get_frame_number_for_replica(db)
      assert frame > 0
      assert {:ok, 0} = Native.get_max_write_frame(db)
      q(db, "INSERT INTO t VALUES (2, 'y')")
      assert {:ok, written} = Native.get_max_write_frame(db)
      assert written > frame
      assert :ok = Native.sync_until_frame(db, written)
      assert {:ok, now} = Native.flush_and_get_frame(db)
      assert now >= written
      assert Native.get_frame_number(db.conn_id) == now
      assert {:ok, "success sync"} = Native.do_sync(db.conn_id, :remote_replica)
      assert {:error, %Error{code: :bad_argument}} = Native.sync_until_frame(db, -1)
    end

    test "that cannot be had are typed errors, and reads go on", context do
      db = follow(context)
      Sqld.kill(context.sqld)
      assert {:error, %Error{code: code}} = Native.sync(db)
      assert code in [:unreachable, :connection_lost]
      assert one(db, "SELECT count(*) FROM t") == 1
      assert err(db, "DELETE FROM t").code in [:unreachable, :connection_lost]
      {:ok, info} = EctoLibSql.replica_info(db)
      assert %Error{} = info.last_error
      EctoLibSql.close(db)
      # The server is away at open.
      db = follow(context, sync_timeout: 3000)
      assert one(db, "SELECT count(*) FROM t") == 1
      Sqld.restart(context.sqld)
      q(db, "INSERT INTO t VALUES (2, 'y')")
      assert one(db, "SELECT count(*) FROM t") == 2
    end

    test "that hang are given up at the caller's time", context do
      db = follow(context)
      Sqld.freeze(context.sqld)
      {ms, answer} = timed(fn -> EctoLibSql.sync(db, timeout: 300) end)
      assert {:error, %Error{code: :timeout}} = answer
      assert ms < 10_000
      {ms, 1} = timed(fn -> one(db, "SELECT count(*) FROM t") end)
      assert ms < 10_000
      Sqld.thaw(context.sqld)
      assert_usable(db)
    end
  end

  describe "what the file does not have yet" do
    setup context do
      db = follow(context)
      other = follow(context, on_stale: :error)
      any = follow(context, read_your_writes: false)
      # No frames, but statements.
      Proxy.always(context.proxy, fn text ->
        if text =~ "ReplicationLog", do: [{:reply, Proxy.http(500, "no")}], else: []
      end)

      q(db, "INSERT INTO t VALUES (2, 'y')")
      {:ok, db: db, other: other, any: any}
    end

    test "is read from the server, an error, or not missed, as configured", context do
      assert {1, 2} = asked(context, fn -> one(context.db, "SELECT count(*) FROM t") end)
      assert {0, error} = asked(context, fn -> err(context.other, "SELECT count(*) FROM t") end)
      assert error.code == :stale and error.transient?
      assert {0, 1} = asked(context, fn -> one(context.any, "SELECT count(*) FROM t") end)
      Proxy.heal(context.proxy)
      assert {0, 2} = asked(context, fn -> one(context.other, "SELECT count(*) FROM t") end)
      assert {0, 2} = asked(context, fn -> one(context.db, "SELECT count(*) FROM t") end)
    end
  end

  describe "a read that waits" do
    test "occupies nobody, and ends with its time-out, an interrupt, its process", context do
      db = follow(context, on_stale: :error, stale_after: 60_000)
      q(db, "INSERT INTO t VALUES (2, 'y')")
      Proxy.always(context.proxy, [:black_hole])
      {ms, error} = timed(fn -> err(db, "SELECT count(*) FROM t", [], timeout: 400) end)
      assert error.code == :stale
      assert ms < 10_000
      task = Task.async(fn -> err(db, "SELECT count(*) FROM t") end)
      Process.sleep(100)
      EctoLibSql.interrupt_connection(db)
      assert Task.await(task, 60_000).code == :interrupted
      pid = spawn(fn -> all(db, "SELECT count(*) FROM t") end)
      Process.sleep(100)
      Process.exit(pid, :kill)
      Proxy.heal(context.proxy)
      Proxy.drop(context.proxy)
      # A connection that was kept is lost once more.
      eventually(fn -> match?({:ok, _, _, _}, EctoLibSql.query(db, "SELECT count(*) FROM t")) end)
      assert one(db, "SELECT count(*) FROM t") == 2
      assert_no_messages()
    end

    test "a hundred of them at once on one VM", context do
      dbs = for _ <- 1..20, do: follow(context)
      q(hd(dbs), "INSERT INTO t VALUES (2, 'y')")

      counts =
        for(db <- dbs, _ <- 1..5, do: Task.async(fn -> one(db, "SELECT count(*) FROM t") end))
        |> Task.await_many(30_000)

      assert Enum.uniq(counts) == [2]
    end
  end

  describe "roles" do
    test "of one file are one", context do
      db = follow(context)
      assert {:already_open, _} = connect_refused(database: context.path)
      EctoLibSql.close(db)
      plain = tmp_path("plain.db")
      other = open(database: plain)
      q(other, "CREATE TABLE own(a)")
      refused = [database: plain, uri: context.proxy.url, sync: true]
      assert {:already_open, _} = connect_refused(refused)
      EctoLibSql.close(other)
      assert {:not_a_replica, _} = connect_refused(refused)
      assert one(open(database: plain), "SELECT count(*) FROM own") == 0
    end

    test "a file with data is replaced where that is asked for, and kept", context do
      plain = open(database: context.path)
      q(plain, "CREATE TABLE own(a)")
      EctoLibSql.close(plain)
      db = follow(context, adopt: :replace)
      assert one(db, "SELECT count(*) FROM t") == 1
      kept = for name <- Path.wildcard(context.path <> "*aside*"), do: name
      assert kept != []
    end

    test "freezing makes a plain database of it", context do
      db = follow(context)
      other = follow(context)
      assert {:error, %Error{code: :already_open}} = Native.freeze_replica(db)
      EctoLibSql.close(other)
      {:ok, trx} = Native.begin(db)
      assert {:error, %Error{code: :in_transaction}} = Native.freeze_replica(trx)
      {:ok, _} = Native.rollback(trx)
      assert {:ok, %State{mode: :local} = db} = EctoLibSql.freeze(db)
      Sqld.kill(context.sqld)
      q(db, "INSERT INTO t VALUES (2, 'own')")
      assert one(db, "SELECT count(*) FROM t") == 2
      assert {:error, %Error{code: :unsupported}} = EctoLibSql.sync(db)
      assert {:error, %Error{code: :unsupported}} = EctoLibSql.freeze(db)
      EctoLibSql.close(db)
      assert one(open(database: context.path), "SELECT count(*) FROM t") == 2
    end
  end

  describe "options" do
    test "that contradict one another say so", context do
      base = [database: context.path, uri: context.proxy.url, sync: true]

      for {more, word} <- [
            {[database: ":memory:"], "plain path"},
            {[database: "file:x.db"], "plain path"},
            {[uri: "ftp://x"], "addresses of servers"},
            {[read_only: true], ":read_only"},
            {[attach: [x: "y.db"]], ":attach"},
            {[mvcc: true], ":mvcc"},
            {[replicas: ["http://x"]], ":replicas"},
            {[journal_mode: :delete], "journal_mode"},
            {[foreign_keys: false], "foreign_keys"}
          ] do
        assert {:bad_argument, message} = connect_refused(Keyword.merge(base, more))
        assert message =~ word
      end

      # This server has no other protocol.
      for more <- [[offline: true, sync_protocol: :v1], [offline: true]],
          {code, message} = connect_refused(Keyword.merge(base, more)) do
        assert code in [:unsupported, :protocol_unsupported]
        assert message =~ "v2"
      end

      assert {:bad_argument, message} = connect_refused(database: context.path, sync_interval: 5)

      assert message =~ "sync_interval" and message =~ "replica"
      assert {:bad_argument, message} = connect_refused(mode: :remote_replica, uri: "http://x")
      assert message =~ ":database"

      assert {:bad_argument, message} =
               connect_refused(mode: :remote_replica, database: context.path)

      assert message =~ ":uri"
      refute File.exists?(context.path)
    end

    test "mode: :remote_replica needs no sync:", context do
      db = open(mode: :remote_replica, database: context.path, uri: context.proxy.url)
      assert one(db, "SELECT count(*) FROM t") == 1
      assert length(frames(context.proxy)) > 0
    end
  end
end
