defmodule EctoLibSql.Driver.LocksTest do
  # POSIX locks belong to the process: any open and close of a database's file in the VM would drop
  # them all, and another program would then take the database for its own.
  use EctoLibSql.Case, async: true

  import EctoLibSql.DriverHelpers

  @moduletag skip: if(not python?(), do: "there is no python3 to be the other program")

  # What another program answers: the sum of a statement's rows, or the error's text.
  defp other_program(path, sql) do
    script = """
    import sqlite3, sys
    db = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
    try:
        print(*[row[0] for row in db.execute(sys.argv[2])])
    except sqlite3.OperationalError as error:
        print(error)
    db.close()
    """

    {answer, 0} = System.cmd("python3", ["-c", script, path, sql])
    String.trim(answer)
  end

  defp touch(path) do
    File.read!(path)
    File.cp!(path, path <> ".copy")
    File.open!(path, [:read, :write], fn _file -> :ok end)
  end

  test "reading the file in the VM loses nothing in WAL mode" do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE t (a)")
    q(db, "INSERT INTO t VALUES (1)")
    touch(path)
    # The last to close would delete the WAL under us.
    assert other_program(path, "SELECT sum(a) FROM t") == "1"
    q(db, "INSERT INTO t VALUES (2)")
    touch(path)
    assert other_program(path, "SELECT sum(a) FROM t") == "3"
    assert all(db, "PRAGMA integrity_check") == [["ok"]]
  end

  test "nor the lock of a transaction with a rollback journal" do
    path = tmp_path()
    db = open(path, journal_mode: :delete)
    q(db, "CREATE TABLE t (a)")
    q(db, "BEGIN IMMEDIATE")
    q(db, "INSERT INTO t VALUES (1)")
    touch(path)
    assert other_program(path, "INSERT INTO t VALUES (5)") =~ "locked"
    q(db, "COMMIT")
    assert other_program(path, "SELECT sum(a) FROM t") == "1"
  end
end
