defmodule Ecto.Adapters.LibSql.MigrationProcessesTest do
  # Processes of the operating system that migrate one database.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers
  alias EctoLibSql.Test.Program

  @script Path.expand("support/migrator.exs", __DIR__)

  defp start(what, path), do: Program.start(@script, [what, path])

  @tag timeout: 240_000
  test "eight migrate at once: each version once, and all end well" do
    path = tmp_path()
    ended = for(_ <- 1..8, do: start("migrate", path)) |> Enum.map(&Program.finish/1)
    assert for({status, text} <- ended, status != 0, do: text) == []

    versions =
      for {_status, text} <- ended,
          [run] = Regex.run(~r/migrated (\[.*\])/, text, capture: :all_but_first),
          do: run

    assert versions |> Enum.map(&elem(Code.eval_string(&1), 0)) |> Enum.concat() |> Enum.sort() == [
             1,
             2,
             3
           ]

    db = open(path)
    assert all(db, "SELECT version FROM ran ORDER BY rowid") == [[1], [2], [3]]
    assert all(db, "SELECT version FROM schema_migrations") == [[1], [2], [3]]
    assert all(db, "SELECT id, title FROM posts") == [[1, "a"], [2, "b"]]
    assert all(db, "PRAGMA integrity_check") == [["ok"]]

    left = path |> Path.dirname() |> File.ls!()
    # Who has met another program stands in line with it, at a file of its own (-lane).
    beside = ["test.db-wal", "test.db-shm", "test.db-lane", "test.db-migrate.lock-lane"]
    assert Enum.sort(left -- beside) == ["test.db", "test.db-migrate.lock"]
  end

  @tag timeout: 120_000
  test "killed while a table is built anew: the old table is there" do
    path = tmp_path()
    assert {0, _text} = "migrate" |> start(path) |> Program.finish()
    db = open(path)
    q(db, "INSERT INTO comments (post_id) VALUES (1), (2)")

    rows = fn ->
      for table <- ~w(sqlite_schema posts comments), do: all(db, "SELECT * FROM #{table}")
    end

    before = rows.()

    port = start("killed", path)
    assert_receive {^port, {:data, "middle" <> _}}, 60_000
    {:os_pid, pid} = Port.info(port, :os_pid)
    {_, 0} = System.cmd("kill", ["-9", "#{pid}"])
    assert {status, _} = Program.finish(port)
    assert status != 0

    assert rows.() == before
    assert all(db, "PRAGMA integrity_check") == [["ok"]]
    q(db, "DELETE FROM posts WHERE id = 1")
    assert all(db, "SELECT post_id FROM comments") == [[2]]
  end
end
