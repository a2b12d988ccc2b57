defmodule EctoLibSql.Driver.HookTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Native, State}

  def prepare(%State{} = state, name, value) do
    EctoLibSql.query(state, "PRAGMA #{name} = #{value}")
  end

  test "is called with the state" do
    test = self()
    hook = fn %State{} = state -> send(test, {:hooked, one(state, "SELECT 40 + 2")}) end
    db = open(on_connect: hook)
    assert_received {:hooked, 42}
    assert_usable(db)
    # Not by a reset.
    {:ok, _} = EctoLibSql.reset_connection(db)
    refute_received {:hooked, _}
  end

  test "prepares the connection, by a function or by {m, f, a}" do
    db = open(on_connect: {__MODULE__, :prepare, ["cache_spill", 0]})
    assert one(db, "PRAGMA cache_spill") == 0

    db =
      open(
        on_connect: fn db -> Native.execute_batch_sql(db, "CREATE TEMP TABLE t (a); SELECT 1") end
      )

    assert all(db, "SELECT * FROM t") == []
  end

  test "comes after settings and attached databases" do
    far = tmp_path("far.db")
    sql = "CREATE TABLE IF NOT EXISTS far.t (a)"
    db = open(attach: [far: far], on_connect: fn db -> q(db, sql) end)
    assert all(db, "SELECT * FROM far.t") == []
  end

  for {name, hook, words} <- [
        {"answers :error", quote(do: fn _ -> :error end), "answered :error"},
        {"answers {:error, reason}", quote(do: fn _ -> {:error, :why} end), ":why"},
        {"answers {:error, reason, state}", quote(do: fn db -> {:error, :why, db} end), ":why"},
        {"raises", quote(do: fn _ -> raise "no such thing" end), "no such thing"},
        {"throws", quote(do: fn _ -> throw(:ball) end), ":ball"},
        {"exits", quote(do: fn _ -> exit(:gone) end), ":gone"},
        {"leaves a transaction open", quote(do: &Native.begin/1), "transaction open"}
      ] do
    test "fails the connect where it #{name}, and leaves nothing open" do
      path = tmp_path()

      assert {:error, %Error{code: :error, message: message}} =
               EctoLibSql.connect(database: path, on_connect: unquote(hook))

      assert message =~ "on_connect failed"
      assert message =~ unquote(words)
      assert eventually(fn -> EctoLibSql.NIFHelp.descriptors(path) == 0 end)
    end
  end

  test "fails the connect with the error of its query" do
    bad = fn db -> EctoLibSql.query(db, "SELEC 1") end

    assert {:error, %Error{code: :sql} = error} =
             EctoLibSql.connect(database: ":memory:", on_connect: bad)

    assert error.message =~ "on_connect failed: "
    assert error.message =~ "SELEC"
    bad = fn db -> EctoLibSql.run(db, "SELEC 1") end
    assert {:error, %Error{code: :sql}} = EctoLibSql.connect(database: ":memory:", on_connect: bad)
    gone = fn db -> EctoLibSql.close(db) end

    assert {:error, %Error{code: :closed}} =
             EctoLibSql.connect(database: ":memory:", on_connect: gone)

    missing = {__MODULE__, :no_such_function, []}

    assert {:error, %Error{message: message}} =
             EctoLibSql.connect(database: ":memory:", on_connect: missing)

    assert message =~ "no_such_function"
  end
end
