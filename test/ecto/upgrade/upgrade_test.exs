Code.require_file("old_database.exs", __DIR__)

defmodule EctoLibSql.UpgradeTest do
  use EctoLibSql.Case, async: true

  import Ecto.Query
  alias EctoLibSql.{OldDatabase, Upgrade}
  alias EctoLibSql.OldDatabase.{Item, Owner}
  import EctoLibSql.OldDatabase, only: [brief: 1, upgrade: 1, upgrade: 2]

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql_upgrade_test, adapter: Ecto.Adapters.LibSql
  end

  @owners for letter <- ?a..?c,
              do: %{id: Ecto.UUID.load!(<<255, letter, 0::112>>), name: <<letter>>}

  # In the order of every field.
  @items for n <- 1..5,
             do: %{
               id: n,
               flag: n > 2,
               count: n * 10 - 30,
               ratio: n / 4,
               price: Decimal.new("#{n * 3 - 5}.#{n}"),
               name: "name #{n}",
               cover: <<255, n>>,
               token: Ecto.UUID.load!(<<255, n, 0::112>>),
               ref: "#{n}01d74e4-a8d3-4b6e-8365-eddb4c893327",
               day: Date.add(~D[1969-12-30], n),
               time: Time.add(~T[07:08:09], n),
               time_usec: Time.add(~T[07:08:09.000000], n * 1000, :microsecond),
               naive: NaiveDateTime.add(~N[1969-12-31 23:59:57], n),
               naive_usec: NaiveDateTime.add(~N[1969-12-31 23:59:59.999998], n, :microsecond),
               utc: DateTime.add(~U[2024-05-06 07:08:09Z], n),
               utc_usec: DateTime.add(~U[2024-05-06 07:08:09.999998Z], n, :microsecond),
               meta: %{"n" => n},
               tags: ["t#{n}", "é"],
               kind: if(n > 2, do: :small, else: :large),
               owner_id: Enum.at(@owners, div(n, 2)).id
             }

  setup do
    path = tmp_path("old.db")
    db = OldDatabase.create(path)
    for owner <- @owners, do: OldDatabase.insert(db, Owner, owner)
    for item <- Enum.reverse(@items), do: OldDatabase.insert(db, Item, item)

    OldDatabase.run(
      db,
      "INSERT INTO friends VALUES (?1, ?2)",
      Enum.map(Enum.take(@owners, 2), &Ecto.UUID.dump!(&1.id))
    )

    on_exit(fn -> EctoLibSql.close(db) end)
    {:ok, path: path, db: db}
  end

  defp with_repo(path, opts \\ [], fun) do
    pid =
      start_supervised!({Repo, [database: path, name: nil, pool_size: 1, log: false] ++ opts},
        id: make_ref()
      )

    Repo.put_dynamic_repo(pid)
    fun.()
    GenServer.stop(pid)
  end

  # Read, filter, order, join: each field of each type.
  defp assert_all_there do
    fields = Item.__schema__(:fields)

    assert Repo.all(from(i in Item, order_by: i.id))
           |> Enum.map(&Map.take(&1, fields))
           |> Enum.map(&plain/1) == Enum.map(@items, &plain/1)

    for item <- @items, field <- fields -- [:flag, :kind, :owner_id] do
      value = Map.fetch!(item, field)

      assert {field, Repo.all(from(i in Item, where: field(i, ^field) == ^value, select: i.id))} ==
               {field, [item.id]}

      assert {field, Repo.all(from(i in Item, where: field(i, ^field) in ^[value], select: i.id))} ==
               {field, [item.id]}
    end

    for field <- fields -- [:flag, :meta, :tags, :kind, :owner_id] do
      assert {field, Repo.all(from(i in Item, order_by: field(i, ^field), select: i.id))} ==
               {field, [1, 2, 3, 4, 5]}

      middle = Enum.at(@items, 2)[field]

      assert {field,
              Repo.all(
                from(i in Item, where: field(i, ^field) > ^middle, order_by: i.id, select: i.id)
              )} == {field, [4, 5]}

      assert {field, Repo.one(from(i in Item, select: max(field(i, ^field))))} |> plain() ==
               {field, List.last(@items)[field]} |> plain()
    end

    assert Repo.all(
             from(i in Item,
               where: i.flag == true and i.kind == :small,
               order_by: i.id,
               select: i.id
             )
           ) == [3, 4, 5]

    assert Repo.all(from(i in Item, join: o in assoc(i, :owner), order_by: i.id, select: o.name)) ==
             ["a", "b", "b", "c", "c"]

    assert [%{friends: [%{name: "b"}]}, %{friends: []}, _] =
             Repo.all(from(o in Owner, order_by: o.name, preload: :friends))

    assert Decimal.equal?(Repo.one(from(i in Item, select: sum(i.price))), Decimal.new("21.3"))

    assert ["t3", "é"] in Repo.all(from(i in "items", select: i.tags)) or
             ~s(["t3","é"]) in Repo.all(from(i in "items", select: i.tags))

    assert [%DateTime{} | _] = Repo.all(from(i in "items", select: i.utc))
  end

  # 1.50 and 1.5 are one number; NUMERIC kept the number alone.
  defp plain(%{price: price} = item), do: %{item | price: plain(price)}
  defp plain(%Decimal{} = decimal), do: Decimal.normalize(decimal)
  defp plain({field, value}), do: {field, plain(value)}
  defp plain(other), do: other

  test "values of each type are read, found, sorted and joined, before and after", %{path: path} do
    with_repo(path, &assert_all_there/0)
    assert [{"items", ["price"], :decimal, 5, :mended}] = path |> upgrade(write: true) |> brief()

    with_repo(path, fn ->
      assert_all_there()

      # What is written now keeps its digits, and CHECK, index and view go on comparing numbers.
      price = Decimal.new("12345.678901234567890123456789")
      %{id: id} = Repo.insert!(%Item{price: price})
      assert Repo.get!(Item, id).price == price
      assert_raise Ecto.ConstraintError, fn -> Repo.insert!(%Item{price: Decimal.new("100000")}) end
      assert_raise Ecto.ConstraintError, fn -> Repo.insert!(%Item{price: Decimal.new("-100.5")}) end
      assert Repo.query!("SELECT id FROM dear ORDER BY id").rows == [[5], [id]]

      assert Repo.query!("SELECT id FROM items WHERE price > 6 ORDER BY price").rows == [
               [4],
               [5],
               [id]
             ]
    end)

    assert upgrade(path).findings == []
    assert upgrade(path, write: true).findings == []
  end

  describe "what only the upgrade can bridge" do
    setup %{db: db} do
      owner = %{id: OldDatabase.text_uuid(?o), name: "by chance"}
      OldDatabase.insert(db, Owner, owner)

      item = %{
        id: 9,
        price: Decimal.new("7"),
        cover: "plain text",
        token: OldDatabase.text_uuid(?t),
        owner_id: owner.id
      }

      OldDatabase.insert(db, Item, item)

      OldDatabase.run(db, "INSERT INTO friends VALUES (?1, ?2)", [
        Ecto.UUID.dump!(owner.id),
        Ecto.UUID.dump!(hd(@owners).id)
      ])

      assert [["text", "text", "text"]] =
               OldDatabase.run(
                 db,
                 "SELECT typeof(cover), typeof(token), typeof(owner_id) FROM items WHERE id = 9"
               )

      {:ok, owner: owner, item: item}
    end

    @found [
      {"friends", ["owner_id"], :uuid, 1},
      {"items", ["cover"], :binary, 1},
      {"items", ["owner_id"], :uuid, 1},
      {"items", ["price"], :decimal, 6},
      {"items", ["token"], :uuid, 1},
      {"owners", ["id"], :uuid, 1}
    ]

    test "is read before, and found, sorted and joined after", %{
      path: path,
      item: item,
      owner: owner
    } do
      cover = from(i in Item, where: i.cover == ^"plain text", select: i.id)
      token = from(i in Item, where: i.token == ^item.token, select: i.id)

      joined =
        from(i in Item, join: o in assoc(i, :owner), where: o.id == ^owner.id, select: o.name)

      with_repo(path, fn ->
        assert %{cover: "plain text", token: token_read, owner_id: owner_read} = Repo.get!(Item, 9)
        assert {token_read, owner_read} == {item.token, owner.id}
        assert {Repo.all(cover), Repo.all(token), Repo.all(joined)} == {[], [], []}
      end)

      assert for({t, c, k, n, :found} <- brief(upgrade(path)), do: {t, c, k, n}) |> Enum.sort() ==
               @found

      assert for({t, c, k, n, :mended} <- brief(upgrade(path, write: true)), do: {t, c, k, n})
             |> Enum.sort() == @found

      with_repo(path, fn ->
        assert {Repo.all(cover), Repo.all(token), Repo.all(joined)} == {[9], [9], ["by chance"]}

        assert Repo.all(
                 from(i in Item, where: not is_nil(i.cover), order_by: [desc: i.cover], select: i.id)
               ) == [5, 4, 3, 2, 1, 9]

        assert [%{name: "a"}] = Repo.preload(Repo.get!(Owner, owner.id), :friends).friends
        assert Repo.query!("SELECT * FROM changed").rows == []
        assert Repo.query!("PRAGMA foreign_key_check").rows == []
        assert Repo.query!("PRAGMA integrity_check").rows == [["ok"]]
        Repo.update_all(from(i in Item, where: i.id == 9), set: [name: "changed"])
        assert Repo.query!("SELECT * FROM changed").rows == [[9]]
      end)
    end

    test "a look changes nothing", %{path: path, db: db} do
      :ok = EctoLibSql.close(db)
      before = File.read!(path)
      report = upgrade(path)
      refute report.written?
      assert File.read!(path) == before
      text = Upgrade.format(report)
      assert text =~ "nothing was changed" and text =~ "--write"
      for {table, [column], _kind, _count} <- @found, do: assert(text =~ table and text =~ column)
    end

    test "ids take the form of the Repo", %{path: path, item: item} do
      forms = [uuid_type: :text, binary_id_type: :blob]
      {:ok, _report} = Upgrade.run([database: path] ++ forms, schemas: [Item, Owner], write: true)

      with_repo(path, forms, fn ->
        assert [["text", "blob", "text"]] =
                 Repo.query!(
                   "SELECT DISTINCT typeof(token), typeof(ref), typeof(owner_id) FROM items WHERE id < 9"
                 ).rows

        assert_all_there_of_ids(item)
      end)

      assert {:ok, %{findings: []}} = Upgrade.run([database: path] ++ forms, schemas: [Item, Owner])

      # And back.
      {:ok, _report} = Upgrade.run([database: path], schemas: [Item, Owner], write: true)
      with_repo(path, fn -> assert_all_there_of_ids(item) end)
    end

    defp assert_all_there_of_ids(item) do
      assert Repo.get_by!(Item, token: item.token).id == 9

      for %{id: id, token: token, ref: ref} <- @items,
          do: assert(%{id: ^id} = Repo.get_by!(Item, token: token, ref: ref))

      assert Repo.one(from(i in Item, join: o in assoc(i, :owner), select: count())) == 6
    end

    test "what fails leaves its table, and those that refer to it", %{
      path: path,
      db: db,
      item: item
    } do
      # The same UUID as text and as bytes: 0.9 could not make it, hands can.
      OldDatabase.run(db, "INSERT INTO owners (id) VALUES (CAST(?1 AS BLOB))", [
        Ecto.UUID.dump!(item.owner_id)
      ])

      report = upgrade(path, write: true)
      refute Upgrade.ok?(report)
      by_table = Enum.group_by(report.findings, & &1.table, & &1.status)

      assert by_table == %{
               "owners" => [:failed],
               "items" => List.duplicate(:failed, 4),
               "friends" => [:mended]
             }

      assert Enum.find(report.findings, &(&1.table == "owners")).message =~ "UNIQUE"
      assert Enum.find(report.findings, &(&1.table == "items")).message =~ "owners failed"
      assert Upgrade.format(report) =~ "FAILED"

      assert [["text"]] =
               OldDatabase.run(db, "SELECT DISTINCT typeof(owner_id) FROM items WHERE id = 9")

      OldDatabase.run(db, "DELETE FROM owners WHERE typeof(id) = 'blob' AND name IS NULL")
      assert Upgrade.ok?(upgrade(path, write: true))
      assert upgrade(path).findings == []
    end
  end

  test "decimals keep the digits that floats have", %{path: path, db: db} do
    floats = for _ <- 1..500, do: Float.round(:rand.uniform() * 99_999, Enum.random(0..12))
    floats = [0.1, 1.0e-7, 99_999.99999999999, 1.5e-300 | floats]

    for {float, n} <- Enum.with_index(floats, 100),
        do: OldDatabase.run(db, "INSERT INTO items (id, price) VALUES (?1, ?2)", [n, float])

    # Without a trigger the column is changed in place, with one the table is built anew.
    OldDatabase.run(db, "CREATE TABLE plain AS SELECT id, price FROM items WHERE false")
    OldDatabase.run(db, "ALTER TABLE plain ADD COLUMN exact DECIMAL(30,10)")
    OldDatabase.run(db, "INSERT INTO plain SELECT id, NULL, price FROM items WHERE id >= 100")

    assert Upgrade.ok?(upgrade(path, write: true))

    with_repo(path, fn ->
      prices = Repo.all(from(i in Item, where: i.id >= 100, order_by: i.id, select: i.price))
      assert Enum.map(prices, &Decimal.to_float/1) == floats

      assert Repo.all(from(p in "plain", order_by: p.id, select: p.exact)) == prices
      sql = "SELECT type FROM pragma_table_info('plain') WHERE name = 'exact'"
      assert Repo.query!(sql).rows == [["TEXT_DECIMAL(30,10)"]]
      assert Repo.query!("SELECT DISTINCT typeof(price) FROM items").rows == [["text"]]

      assert Repo.query!("SELECT type FROM pragma_table_info('items') WHERE name = 'price'").rows ==
               [["TEXT_DECIMAL"]]

      assert [%Decimal{} | _] = Repo.all(from(i in "items", select: i.price))
    end)
  end

  test "columns that no schema has are reported, and mended when they are named", %{
    path: path,
    db: db
  } do
    uuid = Ecto.UUID.dump!(OldDatabase.text_uuid(?l))
    OldDatabase.run(db, "INSERT INTO loose VALUES ('text', ?1), (NULL, 'sixteen letters!')", [uuid])

    report = upgrade(path)
    assert {"loose", ["data"], :unknown, 1, :left} in brief(report)
    assert {"loose", ["key"], :unknown, 1, :left} in brief(report)
    assert Upgrade.format(report) =~ "--column loose.data:binary"

    columns = [{"loose", "data", :binary}, {"loose", "key", :uuid}]

    assert {"loose", ["data"], :binary, 1, :mended} in brief(
             upgrade(path, write: true, columns: columns)
           )

    sql = "SELECT typeof(data), typeof(key) FROM loose WHERE data IS NOT NULL"
    assert [["blob", "blob"]] = OldDatabase.run(db, sql)
  end

  test "what cannot be looked at says why" do
    assert {:error, "no file: " <> _} = Upgrade.run(database: "/nowhere/at/all.db")
    assert {:error, message} = Upgrade.run(database: ":memory:")
    assert message =~ "memory"
    path = tmp_path()
    File.write!(path, String.duplicate("no database", 1000))
    assert {:error, message} = Upgrade.run(database: path)
    assert message =~ "not a database"
    assert_raise ArgumentError, fn -> Upgrade.run([database: path], orphans: :burn) end
    assert_raise ArgumentError, fn -> Upgrade.run([database: path], columns: [{"t", :c, :uuid}]) end
    assert_raise ArgumentError, fn -> Upgrade.run([database: path], wirte: true) end
  end

  describe "mix ecto_libsql.upgrade" do
    setup %{path: path} do
      app = :ecto_libsql_upgrade_test
      :application.load({:application, app, vsn: ~c"1", modules: [Item, Owner, Upgrade]})
      Application.put_env(app, Repo, database: path)
      shell = Mix.shell()
      Mix.shell(Mix.Shell.Process)
      on_exit(fn -> Mix.shell(shell) end)
      :ok
    end

    defp task(args), do: Mix.Tasks.EctoLibsql.Upgrade.run(["-r", inspect(Repo)] ++ args)

    test "looks, mends, and leaves nothing running", %{db: db} do
      running = Application.started_applications() |> Enum.map(&elem(&1, 0))
      task([])
      assert_received {:mix_shell, :info, [text]}
      assert text =~ "price: 5 decimals" and text =~ "nothing was changed"
      # As texts the prices do not keep to the table's CHECK.
      assert_raise Mix.Error, fn -> task(["--write", "--no-collation"]) end
      assert_received {:mix_shell, :info, [text]}
      assert text =~ "FAILED" and text =~ "CHECK"
      assert [["real"]] = OldDatabase.run(db, "SELECT DISTINCT typeof(price) FROM items")
      task(["--write"])
      assert_received {:mix_shell, :info, [text]}
      assert text =~ "all is mended"
      task(["--write"])
      assert_received {:mix_shell, :info, [text]}
      assert text =~ "nothing of EctoLibSql 0.9"

      assert Application.started_applications() |> Enum.map(&elem(&1, 0)) == running
      assert Process.whereis(Repo) == nil
    end

    test "says what it does not understand" do
      for args <- [["--orphans", "burn"], ["--column", "x"], ["--column", "t.c:text"], ["more"]] do
        assert_raise Mix.Error, fn -> task(args) end
      end

      Application.put_env(:ecto_libsql_upgrade_test, Repo, database: "/nowhere.db")
      assert_raise Mix.Error, ~r/no file/, fn -> task([]) end
    end
  end
end
