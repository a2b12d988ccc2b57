defmodule Ecto.Adapters.LibSql.DynamicRepoTest do
  # One Repo module with many databases, and many Repo modules with one.
  use EctoLibSql.Case, async: true

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql

    @replicas [__MODULE__.Replica1, __MODULE__.Replica2]
    def replica, do: Enum.random(@replicas)

    for replica <- @replicas do
      defmodule replica do
        use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql, read_only: true
      end
    end
  end

  defmodule Shadow do
    use Ecto.Repo,
      otp_app: :ecto_libsql,
      adapter: Ecto.Adapters.LibSql,
      default_dynamic_repo: Ecto.Adapters.LibSql.DynamicRepoTest.Repo
  end

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:name, :string)
      field(:token, Ecto.UUID)
    end
  end

  defmodule Migration do
    use Ecto.Migration

    def change do
      create table(:items) do
        add(:name, :string)
        add(:token, :uuid)
      end
    end
  end

  defp start(opts) do
    opts = [pool_size: 2, log: false] ++ opts
    start_supervised!(%{id: make_ref(), start: {Repo, :start_link, [opts]}})
  end

  defp names, do: Item |> Repo.all() |> Enum.map(& &1.name) |> Enum.sort()

  test "a database for each tenant, without names" do
    tenants =
      for n <- 1..3 do
        pid = start(name: nil, database: tmp_path("tenant#{n}.db"))
        Repo.put_dynamic_repo(pid)

        assert [1] =
                 Ecto.Migrator.run(Repo, [{1, Migration}], :up,
                   all: true,
                   dynamic_repo: pid,
                   log: false
                 )

        Repo.insert!(%Item{name: "of #{n}"})
        {n, pid}
      end

    for {n, pid} <- tenants do
      Repo.put_dynamic_repo(pid)
      assert Repo.get_dynamic_repo() == pid
      assert names() == ["of #{n}"]
    end

    # Each process chooses for itself.
    for {n, pid} <- tenants do
      Task.async(fn ->
        Repo.put_dynamic_repo(pid)
        assert {:ok, ["of " <> _]} = Repo.transaction(fn -> names() end)
        names()
      end)
      |> Task.await()
      |> then(&assert &1 == ["of #{n}"])
    end
  end

  test "by name, with options of its own" do
    path = tmp_path()
    start(name: :writer, database: path)
    Repo.put_dynamic_repo(:writer)
    Repo.query!("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, token)")
    Repo.insert!(%Item{name: "a", token: Ecto.UUID.generate()})

    start(name: :reader, database: path, read_only: true)
    Repo.put_dynamic_repo(:reader)
    assert names() == ["a"]
    assert_raise EctoLibSql.Error, ~r/readonly|read-only/, fn -> Repo.insert!(%Item{name: "b"}) end
  end

  test "two that run at once do not share transactions" do
    [a, b] = for n <- 1..2, do: start(name: nil, database: tmp_path("#{n}.db"))

    for pid <- [a, b] do
      Repo.put_dynamic_repo(pid)
      Repo.query!("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, token)")
    end

    Repo.put_dynamic_repo(a)

    Repo.transaction(fn ->
      Repo.insert!(%Item{name: "in a"})
      Repo.put_dynamic_repo(b)
      refute Repo.in_transaction?()
      Repo.insert!(%Item{name: "in b"})
      Repo.put_dynamic_repo(a)
      Repo.rollback(:back)
    end)

    assert names() == []
    Repo.put_dynamic_repo(b)
    assert names() == ["in b"]
  end

  test "read replicas: several Repos, and one in their place" do
    path = tmp_path()
    start_supervised!({Repo, database: path, pool_size: 1, log: false})
    Repo.query!("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, token)")

    for replica <- [Repo.Replica1, Repo.Replica2],
        do: start_supervised!({replica, database: path, read_only: true, pool_size: 2, log: false})

    refute function_exported?(Repo.Replica1, :insert, 2)
    Repo.insert!(%Item{name: "a"})
    for _ <- 1..5, do: assert([%{name: "a"}] = Repo.replica().all(Item))
    assert_raise EctoLibSql.Error, fn -> Repo.Replica1.query!("DELETE FROM items") end

    # As in tests, where all of them share the primary's connection.
    assert [%{name: "a"}] = Shadow.all(Item)

    Repo.transaction(fn ->
      Repo.insert!(%Item{name: "b"})
      assert length(Shadow.all(Item)) == 2
      assert length(Repo.replica().all(Item)) == 1
    end)
  end

  test "disconnect_all opens new connections" do
    start_supervised!({Repo, database: tmp_path(), pool_size: 1, log: false})
    Repo.query!("CREATE TEMP TABLE mine (a)")
    Repo.disconnect_all(0)

    eventually(fn ->
      match?(
        {:error, %EctoLibSql.Error{message: "no such table" <> _}},
        Repo.query("SELECT * FROM mine")
      )
    end)
  end
end
