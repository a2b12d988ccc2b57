defmodule Ecto.Adapters.LibSql.StorageTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias Ecto.Adapters.LibSql.{DatabaseFile, Storage}

  test "up, in a folder that is not there; status; down" do
    path = tmp_path("deep/er/a.db")
    opts = [database: path, pool_size: 3, otp_app: :x]
    assert Storage.storage_status(opts) == :down
    assert Storage.storage_down(opts) == {:error, :already_down}

    assert Storage.storage_up(opts) == :ok
    assert Storage.storage_status(opts) == :up
    assert Storage.storage_up(opts) == {:error, :already_up}
    assert File.ls!(Path.dirname(path)) == ["a.db"]

    assert Storage.storage_down(opts) == :ok
    assert Storage.storage_status(opts) == :down
    assert File.ls!(Path.dirname(path)) == []
  end

  test "a new database is empty and in WAL mode, with the options that only a new one takes" do
    path = tmp_path()
    assert Storage.storage_up(database: path, page_size: 8192, read_only: true) == :ok
    db = open(path)
    assert one(db, "PRAGMA journal_mode") == "wal"
    assert one(db, "PRAGMA page_size") == 8192
    assert one(db, "SELECT count(*) FROM sqlite_schema") == 0
  end

  test "what lies beside it goes too, and nothing else" do
    path = tmp_path()

    names =
      for end_ <-
            ~w(-wal -shm -journal -lane -migrate.lock -migrate.lock-lane -info -client_wal_index),
          do: path <> end_

    File.write!(path, "")
    for file <- [path <> "-mine" | names], do: File.write!(file, "")
    assert Storage.storage_down(database: path) == :ok
    assert File.ls!(Path.dirname(path)) == ["test.db-mine"]
  end

  test "attached databases are made with it, and stay" do
    path = tmp_path("main.db")
    other = Path.join([Path.dirname(path), "others", "other.db"])
    opts = [database: path, attach: [other: other]]
    assert Storage.storage_up(opts) == :ok
    assert File.exists?(other)
    assert Storage.storage_down(opts) == :ok
    assert File.exists?(other)
    assert {:error, message} = Storage.storage_up(database: path, attach: [other: 1])
    assert message =~ "attach"
  end

  test "file: URIs name the same file" do
    path = tmp_path("a b.db")
    uri = "file:" <> String.replace(path, " ", "%20") <> "?mode=rwc"
    assert Storage.storage_up(database: uri) == :ok
    assert File.exists?(path)
    assert Storage.storage_status(database: "file://" <> path) == :up

    assert Storage.storage_down(database: "file://localhost" <> String.replace(path, " ", "%20")) ==
             :ok

    refute File.exists?(path)
  end

  test "in memory there is nothing to make nor to remove" do
    for database <- [":memory:", "file:x?mode=memory&cache=shared", "file::memory:"] do
      assert DatabaseFile.locate(database: database) == :memory
      assert Storage.storage_up(database: database) == {:error, :already_up}
      assert Storage.storage_status(database: database) == :up
      assert Storage.storage_down(database: database) == {:error, :already_down}
    end
  end

  test "a server's database is the server's" do
    opts = [uri: "libsql://x.turso.io", auth_token: "t"]
    assert Storage.storage_up(opts) == {:error, :already_up}
    assert Storage.storage_status(opts) == :up
    assert {:error, "a database on a server" <> _} = Storage.storage_down(opts)
  end

  test "without :database the answer says so" do
    for fun <- [&Storage.storage_up/1, &Storage.storage_down/1, &Storage.storage_status/1] do
      assert {:error, "option :database is missing" <> _} = fun.([])
      assert {:error, "option :database is missing" <> _} = fun.(database: "")
    end
  end

  test "what goes wrong is said in words" do
    path = tmp_path()
    File.write!(path, "")
    assert {:error, message} = Storage.storage_up(database: path <> "/below.db")
    assert message =~ "cannot create the folder"
    assert {:error, message} = Storage.storage_up(database: path <> "2", busy_timeout: -1)
    assert message =~ "busy_timeout"

    File.mkdir!(path <> "-wal")
    assert {:error, message} = Storage.storage_down(database: path)
    assert message =~ "cannot remove"
    assert File.exists?(path)
  end
end
