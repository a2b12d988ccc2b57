defmodule EctoLibSql.Driver.TransactionTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, Result, State}

  setup do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE t(a)")
    {:ok, path: path, db: db, other: open(path, busy_timeout: 0)}
  end

  defp insert(db, n), do: q(db, "INSERT INTO t VALUES (?)", [n])
  defp stored(db), do: db |> all("SELECT a FROM t ORDER BY a") |> List.flatten()

  describe "Native" do
    test "begins, commits, rolls back", %{db: db} do
      assert {:ok, %State{} = trx} = Native.begin(db)
      assert %{trx | trx_id: nil} == db
      assert trx.trx_id != nil
      insert(trx, 1)
      assert {:ok, "commit success"} = Native.commit(trx)
      assert {:ok, trx} = Native.begin(db)
      insert(trx, 2)
      assert {:ok, "rollback success"} = Native.rollback(trx)
      assert stored(db) == [1]
    end

    @tag local: "its mode is another"
    test "keeps mode and sync of the state", %{db: db} do
      db = %{db | sync: :enable_sync}
      assert {:ok, %State{mode: :local, sync: :enable_sync} = trx} = Native.begin(db)
      assert {:ok, _, %State{sync: :enable_sync}} = EctoLibSql.handle_rollback([], trx)
    end

    # Whether another connection may begin to write, and may write, meanwhile.
    for {behavior, other_writes?} <- [
          deferred: true,
          immediate: false,
          exclusive: false,
          read: true,
          read_only: true
        ] do
      if not other_writes?,
        do: @tag(local: "a server lets a second writer wait, and ends the first one's transaction")

      test "behavior: #{behavior}", %{db: db, other: other} do
        assert {:ok, trx} = Native.begin(db, behavior: unquote(behavior))
        assert stored(trx) == []
        answer = EctoLibSql.query(other, "INSERT INTO t VALUES (7)")

        if unquote(other_writes?) do
          assert {:ok, _, _, _} = answer
          assert stored(trx) == []
        else
          assert {:error, %Error{code: :busy}, _} = answer
        end

        if unquote(behavior) in [:read, :read_only],
          do: assert(%Error{code: :readonly} = err(trx, "INSERT INTO t VALUES (1)"))

        assert {:ok, _} = Native.rollback(trx)
        assert stored(db) == if(unquote(other_writes?), do: [7], else: [])
      end
    end

    test "a snapshot is taken at begin, not at the first read", %{db: db, other: other} do
      {:ok, trx} = Native.begin(db, behavior: :read)
      insert(other, 1)
      assert stored(trx) == []
      {:ok, _} = Native.commit(trx)
      assert stored(db) == [1]
      {:ok, deferred} = Native.begin(db)
      insert(other, 2)
      assert stored(deferred) == [1, 2]
      {:ok, _} = Native.commit(deferred)
    end

    test "get_is_autocommit is the engine's own word", %{db: db} do
      assert Native.get_is_autocommit(db) == true
      {:ok, trx} = Native.begin(db)
      assert Native.get_is_autocommit(db) == false
      q(trx, "COMMIT")
      assert Native.get_is_autocommit(db) == true
      assert {:error, %Error{code: :no_transaction}} = Native.commit(trx)
    end

    test "an error that the engine rolls back by itself is seen", %{db: db} do
      q(db, "CREATE TABLE u(a UNIQUE ON CONFLICT ROLLBACK)")
      q(db, "INSERT INTO u VALUES (1)")
      {:ok, trx} = Native.begin(db)
      insert(trx, 1)
      assert %Error{code: :constraint} = err(trx, "INSERT INTO u VALUES (1)")
      assert Native.get_is_autocommit(db)
      # What follows is not run as if nothing had happened.
      assert %Error{code: :no_transaction} = err(trx, "INSERT INTO t VALUES (2)")
      assert {:idle, %State{trx_id: nil}} = EctoLibSql.handle_status([], trx)
      assert {:ok, %Result{}, %State{trx_id: nil}} = EctoLibSql.handle_rollback([], trx)
      assert stored(db) == []
    end

    test "other statements of the connection are in the transaction too", %{db: db} do
      {:ok, trx} = Native.begin(db)
      insert(db, 1)
      {:ok, _} = Native.rollback(trx)
      assert stored(db) == []
    end

    test "is bounded by timeout:, when it must wait", %{db: db, path: path} do
      {:ok, _} = Native.begin(db, behavior: :immediate)
      waiting = open(path, busy_timeout: 60_000)
      {ms, answer} = timed(fn -> Native.begin(waiting, behavior: :immediate, timeout: 50) end)
      assert {:error, %Error{code: code}} = answer
      assert code in [:busy, :timeout]
      assert ms in 30..20_000
    end
  end

  describe "savepoints" do
    test "nest, release, roll back to", %{db: db} do
      {:ok, trx} = Native.begin(db)
      insert(trx, 1)
      assert :ok = Native.create_savepoint(trx, "a")
      insert(trx, 2)
      assert :ok = Native.create_savepoint(trx, "b")
      insert(trx, 3)
      assert :ok = Native.rollback_to_savepoint_by_name(trx, "b")
      insert(trx, 4)
      assert :ok = Native.rollback_to_savepoint_by_name(trx, "b")
      assert :ok = Native.release_savepoint_by_name(trx, "b")
      assert stored(trx) == [1, 2]
      assert :ok = Native.rollback_to_savepoint_by_name(trx, "a")
      assert :ok = Native.release_savepoint_by_name(trx, "a")
      assert {:error, %Error{}} = Native.release_savepoint_by_name(trx, "a")
      assert {:ok, _} = Native.commit(trx)
      assert stored(db) == [1]
    end

    test "may have any name", %{db: db} do
      for name <- [
            "a b",
            "\"",
            "'",
            ";--",
            "SELECT",
            "ä𝄞",
            "a\"\"b",
            "1",
            "a%s%w\\",
            String.duplicate("n", 1000)
          ] do
        {:ok, trx} = Native.begin(db)
        assert :ok = Native.create_savepoint(trx, name)
        insert(trx, 1)
        assert :ok = Native.rollback_to_savepoint_by_name(trx, name)
        assert :ok = Native.release_savepoint_by_name(trx, name)
        assert {:ok, _} = Native.commit(trx)
      end

      assert stored(db) == []
    end

    @tag local: "another code: the server does not tell this from other errors of SQL"
    test "that are not there are an error, and the transaction stays", %{db: db} do
      {:ok, trx} = Native.begin(db)
      insert(trx, 1)

      for fun <- [&Native.release_savepoint_by_name/2, &Native.rollback_to_savepoint_by_name/2] do
        assert {:error, %Error{code: :error, message: message}} = fun.(trx, "absent")
        assert message =~ "absent"
      end

      assert {:ok, _} = Native.commit(trx)
      assert stored(db) == [1]
    end

    test "need a transaction", %{db: db} do
      for fun <- [
            &Native.create_savepoint/2,
            &Native.release_savepoint_by_name/2,
            &Native.rollback_to_savepoint_by_name/2
          ] do
        assert {:error, %Error{code: :no_transaction, message: "No active transaction" <> _}} =
                 fun.(db, "s")
      end

      assert Native.get_is_autocommit(db)
    end
  end

  describe "as DBConnection calls it" do
    @tag local: "a server lets a second writer wait, and ends the first one's transaction after 5 s"
    test "begin is immediate, unless opts[:mode] says otherwise", %{db: db, other: other} do
      for {opts, other_writes?} <- [
            {[], false},
            # The SQL sandbox asks for this.
            {[mode: :transaction], true},
            {[mode: :immediate], false},
            {[mode: :exclusive], false},
            {[mode: :deferred], true},
            {[mode: :read], true},
            {[mode: :read_only], true}
          ] do
        assert {:ok, %Result{command: :begin}, %State{} = trx} = EctoLibSql.handle_begin(opts, db)
        assert {:transaction, ^trx} = EctoLibSql.handle_status([], trx)
        answer = EctoLibSql.query(other, "INSERT INTO t VALUES (1)")
        assert {opts, elem(answer, 0)} == {opts, if(other_writes?, do: :ok, else: :error)}

        assert {:ok, %Result{command: :rollback}, %State{trx_id: nil}} =
                 EctoLibSql.handle_rollback([], trx)
      end
    end

    test "commit", %{db: db} do
      {:ok, _, trx} = EctoLibSql.handle_begin([], db)
      {:ok, _, _, trx} = EctoLibSql.handle_execute("INSERT INTO t VALUES (1)", [], [], trx)

      assert {:ok, %Result{command: :commit}, %State{trx_id: nil} = db} =
               EctoLibSql.handle_commit([], trx)

      assert stored(db) == [1]
    end

    test "what does not fit is told by the status", %{db: db} do
      assert {:idle, %State{trx_id: nil}} = EctoLibSql.handle_commit([], db)
      assert {:ok, %Result{}, %State{trx_id: nil}} = EctoLibSql.handle_rollback([], db)
      assert {:idle, _} = EctoLibSql.handle_begin([mode: :savepoint], db)
      {:ok, _, trx} = EctoLibSql.handle_begin([], db)
      assert {:transaction, %State{}} = EctoLibSql.handle_begin([], trx)
      {:ok, _, _} = EctoLibSql.handle_rollback([], trx)
    end

    test "savepoints", %{db: db} do
      {:ok, _, trx} = EctoLibSql.handle_begin([], db)
      insert(trx, 1)
      assert {:ok, %Result{command: :begin}, trx} = EctoLibSql.handle_begin([mode: :savepoint], trx)
      insert(trx, 2)
      assert {:ok, %Result{}, trx} = EctoLibSql.handle_rollback([mode: :savepoint], trx)
      assert {:ok, _, trx} = EctoLibSql.handle_begin([mode: :savepoint], trx)
      insert(trx, 3)
      assert {:ok, %Result{}, trx} = EctoLibSql.handle_commit([mode: :savepoint], trx)
      assert {:ok, _, db} = EctoLibSql.handle_commit([], trx)
      assert stored(db) == [1, 3]
    end

    test "a commit that a constraint stops rolls back", %{db: db} do
      q(db, "CREATE TABLE p(id INTEGER PRIMARY KEY)")
      q(db, "CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
      {:ok, _, trx} = EctoLibSql.handle_begin([], db)
      q(trx, "INSERT INTO c VALUES (9)")
      assert {:error, error, %State{trx_id: nil} = db} = EctoLibSql.handle_commit([], trx)

      assert %Error{code: :constraint, outcome: :none, constraint: %{kind: :foreign_key}} = error
      assert error.message =~ ~r/^FOREIGN KEY constraint failed: .*INITIALLY DEFERRED.*rolled back/
      assert {:idle, db} = EctoLibSql.handle_status([], db)
      assert all(db, "SELECT * FROM c") == []

      # The next transaction knows nothing of it.
      {:ok, _, trx} = EctoLibSql.handle_begin([], db)
      q(trx, "INSERT INTO p VALUES (9)")
      assert {:ok, _, _} = EctoLibSql.handle_commit([], trx)
    end

    test "so does one that readers keep waiting for too long" do
      opts = [database: tmp_path(), journal_mode: :delete, busy_timeout: 0]
      {:ok, db} = EctoLibSql.connect(opts)
      {:ok, other} = EctoLibSql.connect(opts)
      q(db, "CREATE TABLE t(a)")
      {:ok, reader} = Native.begin(other, behavior: :read)
      {:ok, _, trx} = EctoLibSql.handle_begin([], db)
      q(trx, "INSERT INTO t VALUES (1)")

      assert {:error, %Error{code: :busy, transient?: true}, db} = EctoLibSql.handle_commit([], trx)

      assert {:idle, db} = EctoLibSql.handle_status([], db)
      {:ok, _} = Native.rollback(reader)
      assert all(db, "SELECT * FROM t") == []
    end
  end

  @tag local: "what a PRAGMA does is the server's to say"
  test "a snapshot refuses PRAGMAs that write", %{db: db, path: path} do
    {:ok, trx} = Native.begin(db, behavior: :read)

    for sql <- ["user_version = 9", "application_id = 7", "schema_version = 99", "optimize"] do
      assert %Error{code: :readonly} = err(trx, "PRAGMA " <> sql)
    end

    assert %Error{code: :readonly} = err(trx, "SELECT * FROM pragma_optimize")
    assert all(trx, "PRAGMA user_version") == [[0]]
    {:ok, _} = Native.commit(trx)
    assert one(open(path), "PRAGMA user_version") == 0
    q(db, "PRAGMA user_version = 9")
    assert one(open(path), "PRAGMA user_version") == 9
  end
end
