defmodule Ecto.Adapters.LibSql.UpsertTest do
  # on_conflict in each of its forms, and the options by which writes say that nothing was there.
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias Ecto.Changeset

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:code, :string)
      field(:name, :string)
      field(:stock, :integer, default: 0, read_after_writes: true)
      field(:active, :boolean, default: true)
      field(:lock_version, :integer, default: 1)
      field(:shout, :string, read_after_writes: true, writable: :never)
      timestamps(type: :utc_datetime_usec)
    end
  end

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 2, log: false})

    for sql <- [
          """
          CREATE TABLE items (
            id INTEGER PRIMARY KEY, code TEXT NOT NULL, name TEXT, stock INT DEFAULT 0, active INT,
            lock_version INT, shout TEXT AS (upper(name)) STORED, inserted_at TEXT, updated_at TEXT
          )
          """,
          "CREATE UNIQUE INDEX by_code ON items (code)",
          "CREATE UNIQUE INDEX by_name ON items (lower(name)) WHERE active"
        ],
        do: Repo.query!(sql)

    {:ok, item: Repo.insert!(%Item{code: "a", name: "tea", stock: 3})}
  end

  defp insert(fields, opts), do: Repo.insert!(struct(Item, fields), opts)
  defp stored(code \\ "a"), do: Repo.get_by!(Item, code: code)

  test ":raise is the default", %{item: item} do
    assert item.shout == "TEA"
    assert_raise Ecto.ConstraintError, ~r/by_code/, fn -> insert([code: "a"], []) end
    assert_raise Ecto.ConstraintError, ~r/by_name/, fn -> insert([code: "b", name: "TEA"], []) end
  end

  test ":nothing", %{item: item} do
    assert %{id: nil, name: "other"} = insert([code: "a", name: "other"], on_conflict: :nothing)
    opts = [on_conflict: :nothing, conflict_target: :code]
    assert %{id: nil} = insert([code: "a", name: "other"], opts)
    assert stored() == item

    # Of another constraint than the target's, it is none.
    assert_raise Ecto.ConstraintError, ~r/by_name/, fn -> insert([code: "b", name: "tea"], opts) end
  end

  test ":replace_all, {:replace, …}, {:replace_all_except, …}", %{item: item} do
    opts = [conflict_target: :code, returning: true]
    new = insert([code: "a", name: "pot"], [on_conflict: {:replace, [:name, :updated_at]}] ++ opts)
    assert {new.id, new.name, new.stock, new.shout} == {item.id, "pot", 3, "POT"}

    except = {:replace_all_except, [:id, :inserted_at, :stock]}
    new = insert([code: "a", name: "cup", stock: 9], [on_conflict: except] ++ opts)
    assert {new.id, new.name, new.stock, new.inserted_at} == {item.id, "cup", 3, item.inserted_at}

    new = insert([id: 50, code: "a", name: "jug", stock: 9], [on_conflict: :replace_all] ++ opts)
    assert {new.id, new.name, new.stock} == {50, "jug", 9}
    assert stored() == new
    assert Repo.aggregate(Item, :count) == 1
  end

  test "a keyword list, and a query", %{item: item} do
    opts = [conflict_target: [:code], returning: [:stock, :name]]
    set = [set: [name: "pot"], inc: [stock: 2]]
    assert %{stock: 5, name: "pot"} = insert([code: "a", name: "x"], [on_conflict: set] ++ opts)

    query =
      from(i in Item,
        where: i.stock < fragment("excluded.stock"),
        update: [set: [stock: fragment("excluded.stock + ?", i.stock)]]
      )

    assert %{stock: 15} = insert([code: "a", stock: 10], [on_conflict: query] ++ opts)
    assert stored().id == item.id

    # Its condition does not hold: nothing was there.
    stale = fn opts ->
      Repo.insert(%Item{code: "a", stock: 10}, [on_conflict: query, conflict_target: :code] ++ opts)
    end

    assert_raise Ecto.StaleEntryError, fn -> stale.([]) end
    assert {:error, changeset} = stale.(stale_error_field: :stock, stale_error_message: "is enough")
    assert [stock: {"is enough", [stale: true]}] = changeset.errors
    assert {:ok, _} = stale.(allow_stale: true)
    assert stored().stock == 15
  end

  test "targets: expressions and partial indexes", %{item: item} do
    target = {:unsafe_fragment, "(lower(name)) WHERE active"}
    opts = [on_conflict: [inc: [stock: 1]], conflict_target: target, returning: true]
    assert %{id: id, stock: 4} = insert([code: "z", name: "TEA"], opts)
    assert id == item.id
    assert %{stock: 0} = insert([code: "z", name: "TEA", active: false], opts)
  end

  test "insert_all, with counts and what it returns", %{item: item} do
    now = DateTime.utc_now()
    row = fn code, stock -> [code: code, stock: stock, inserted_at: now, updated_at: now] end
    rows = [row.("a", 1), row.("b", 2), row.("b", 3)]
    opts = [on_conflict: [inc: [stock: 10]], conflict_target: :code, returning: [:code, :stock]]
    assert {3, [one, two, three]} = Repo.insert_all(Item, rows, opts)
    assert {one.code, one.stock} == {"a", 13}
    assert {two.code, two.stock, three.stock} == {"b", 2, 12}

    assert {0, []} = Repo.insert_all(Item, rows, on_conflict: :nothing, returning: [:id])

    assert {1, [%{id: id}]} =
             Repo.insert_all(Item, [row.("c", 1) | rows], on_conflict: :nothing, returning: [:id])

    assert id == stored("c").id
    assert stored().id == item.id
  end

  test "optimistic locking", %{item: item} do
    change = fn item, name ->
      item |> Changeset.change(name: name) |> Changeset.optimistic_lock(:lock_version)
    end

    assert {:ok, %{lock_version: 2}} = Repo.update(change.(item, "pot"))
    assert_raise Ecto.StaleEntryError, fn -> Repo.update(change.(item, "cup")) end
    assert {:error, changeset} = Repo.update(change.(item, "cup"), stale_error_field: :name)
    assert [name: {"is stale", [stale: true]}] = changeset.errors

    assert_raise Ecto.StaleEntryError, fn ->
      item |> Changeset.change() |> Changeset.optimistic_lock(:lock_version) |> Repo.delete()
    end

    assert {:ok, _} = Repo.delete(item)
    assert {:ok, _} = Repo.delete(item, allow_stale: true)
    assert {:error, _} = Repo.delete(item, stale_error_field: :id)
  end

  test "insert_or_update, and what is read after writes" do
    changeset = Changeset.change(%Item{}, code: "n", name: "new")
    assert {:ok, %{stock: 0, shout: "NEW"} = item} = Repo.insert_or_update(changeset)

    assert {:ok, %{shout: "NEWER"}} =
             item |> Changeset.change(name: "newer") |> Repo.insert_or_update()

    assert {:ok, %{name: "newest"}} =
             item |> Changeset.change(name: "newest") |> Repo.update(returning: true)
  end

  test "a placeholder in columns of two types is refused, and writes nothing" do
    rows = [%{code: {:placeholder, :p}, stock: {:placeholder, :p}, name: "x"}]

    assert_raise ArgumentError, ~r/columns of the same type/, fn ->
      Repo.insert_all(Item, rows, placeholders: %{p: nil})
    end

    assert Repo.all(Item) |> Enum.map(& &1.name) == ["tea"]
  end
end
