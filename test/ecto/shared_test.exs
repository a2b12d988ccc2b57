defmodule Ecto.Adapters.LibSql.SharedTest do
  # Single statements run by connections beside the pool: the same answers, the same errors, the same events,
  # and the pool where it has to be the pool.
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias Ecto.Adapters.LibSql.Shared
  alias EctoLibSql.{Error, NIF}

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:name, :string)
      field(:at, :utc_datetime_usec)
      field(:price, :decimal)
    end
  end

  @long "SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)"

  defp start(opts \\ []) do
    path = tmp_path()
    start_supervised!({Repo, Keyword.merge([database: path, pool_size: 3, log: false], opts)})

    Repo.query!(
      "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE, at TEXT, price TEXT)"
    )

    path
  end

  defp pool, do: Ecto.Adapter.lookup_meta(Repo).pid

  # {slot, state} of what is open.
  defp open do
    case :persistent_term.get({Shared, pool()}, nil) do
      nil -> []
      {table, _keeper, _readers, _counters} -> for {_, %{}} = row <- :ets.tab2list(table), do: row
    end
  end

  # By kind; the processes of a test may run on several schedulers.
  defp uses do
    for {slot, state} <- open(), reduce: %{} do
      uses ->
        {:ok, info} = NIF.info(state.conn_id, true)
        kind = if slot == :writer, do: :writer, else: :reader
        count = info.cache_hits + info.cache_misses
        Map.update(uses, kind, count, &(&1 + count))
    end
  end

  # Opened by and by, when they are first wanted.
  defp warm do
    eventually(fn ->
      Repo.all(Item)
      Repo.insert_all(Item, [[name: nil]])
      match?(%{reader: _, writer: _}, uses())
    end)

    Repo.delete_all(Item)
  end

  defp look(keeper) do
    send(keeper, :look)
    :sys.get_state(keeper)
  end

  defp insert(name), do: "INSERT INTO items (name) VALUES ('#{name}')"

  def forward(_event, measurements, meta, test), do: send(test, {measurements, meta})

  describe "a Repo with a pool" do
    setup do
      %{path: start()}
    end

    test "has its single statements run by shared connections" do
      warm()
      %{reader: reads, writer: writes} = uses()

      item =
        Repo.insert!(%Item{
          name: "a",
          at: ~U[2026-01-02 03:04:05.678900Z],
          price: Decimal.new("1.50")
        })

      for _ <- 1..50, do: assert(Repo.get!(Item, item.id) == item)
      assert %{num_rows: 1} = Repo.query!("UPDATE items SET name = 'b'")
      assert uses().writer == writes + 2
      assert uses().reader > reads + 5
    end

    test "reads what it has just written" do
      warm()

      for n <- 1..500 do
        %{id: id} = Repo.insert!(%Item{name: "n#{n}"})
        assert Repo.get!(Item, id).name == "n#{n}"

        {:ok, _} =
          Repo.transaction(fn ->
            Repo.update_all(from(i in Item, where: i.id == ^id), set: [name: "m#{n}"])
          end)

        assert Repo.get!(Item, id).name == "m#{n}"
      end
    end

    test "has all who write stand in line with its writer" do
      warm()
      %{shared: before, writers: turns} = EctoLibSql.stats(Repo)

      for n <- 1..8 do
        Task.async(fn -> for i <- 1..100, do: Repo.insert!(%Item{name: "#{n} #{i}"}) end)
      end
      |> Task.await_many(60_000)

      assert %{shared: shared, writers: writers} = EctoLibSql.stats(Repo)
      assert shared.uses == before.uses + 800
      assert shared.refusals == before.refusals
      assert writers.turns == turns.turns + 800
      assert writers.waited > turns.waited
      assert %{rows: [[800]]} = Repo.query!("SELECT count(*) FROM items")
    end

    test "tells who waited for its writer in vain for whom" do
      warm()
      test = self()

      holder =
        Task.async(fn ->
          Repo.transaction(fn ->
            Repo.insert!(%Item{name: "first"})
            send(test, :written)
            receive do: (:end -> :ok)
          end)
        end)

      assert_receive :written, 10_000

      waiters =
        for n <- 1..3, do: Task.async(fn -> Repo.query(insert("w#{n}"), [], timeout: 300) end)

      for {:error, error} <- Task.await_many(waiters, 10_000) do
        assert error.code == :timeout
        assert error.message =~ inspect(holder.pid)
      end

      send(holder.pid, :end)
      assert {:ok, _} = Task.await(holder)
      assert %{num_rows: 1} = Repo.query!(insert("after"))
    end

    test "keeps a transaction and a checkout on their connection" do
      warm()

      Repo.transaction(fn ->
        Repo.insert!(%Item{name: "mine"})
        assert [%{name: "mine"}] = Repo.all(Item)
        assert Task.await(Task.async(fn -> Repo.all(Item) end)) == []
        Repo.rollback(:no)
      end)

      assert Repo.all(Item) == []

      Repo.checkout(fn ->
        Repo.query!("CREATE TEMP TABLE mine (a)")
        Repo.query!("INSERT INTO mine VALUES (1)")
        assert %{rows: [[1]]} = Repo.query!("SELECT a FROM mine")
        Repo.query!("DROP TABLE mine")
      end)
    end

    test "sends what a reader refuses to the pool" do
      warm()
      write = "WITH x(a) AS (SELECT 'w') INSERT INTO items (name) SELECT a FROM x"
      assert %{num_rows: 1} = Repo.query!(write)
      assert [%{name: "w"}] = Repo.all(Item)
      assert %{rows: [[0]]} = Repo.query!("PRAGMA user_version")
      assert %{rows: [["ok"]]} = Repo.query!("PRAGMA quick_check")
    end

    test "answers errors as the pool does" do
      warm()
      assert {:error, %Error{code: :sql} = error} = Repo.query("SELECT missing FROM items")
      assert error.message =~ "no such column: missing"
      assert {:error, %Error{code: :sql}} = Repo.query("INSERT INTO missing VALUES (1)")
      assert {:error, %Error{code: :parameters}} = Repo.query("SELECT ?1, ?2", [1])
      Repo.insert!(%Item{name: "once"})

      assert {:error, %Error{code: :constraint, constraint: %{kind: :unique}}} =
               Repo.query("INSERT INTO items (name) VALUES ('once')")

      changeset =
        %Item{name: "once"}
        |> Ecto.Changeset.change()
        |> Ecto.Changeset.unique_constraint(:name, name: "items_name_index")

      assert {:error, %{errors: [name: {"has already been taken", _}]}} = Repo.insert(changeset)
      assert_raise ArgumentError, fn -> Repo.query("SELECT ?1", [self()]) end
    end

    test "a time-out stops the statement, and others go on meanwhile" do
      warm()
      task = Task.async(fn -> Repo.query(@long, [], timeout: 1500) end)
      Process.sleep(50)
      for _ <- 1..50, do: assert(Repo.all(Item) == [])
      assert {:error, %Error{code: :timeout}} = Task.await(task, 20_000)
      eventually(fn -> Repo.all(Item) == [] end)
    end

    test "tells of a statement as ever" do
      warm()
      test = self()
      event = [:ecto_libsql, :shared_test, :query]
      id = make_ref()

      :telemetry.attach(
        id,
        event,
        fn _, measurements, meta, _ -> send(test, {measurements, meta}) end,
        nil
      )

      on_exit(fn -> :telemetry.detach(id) end)
      opts = [telemetry_event: event, telemetry_options: [a: 1]]

      Repo.all(from(i in Item, where: i.name == ^"x"), opts)

      assert_received {%{query_time: time, queue_time: _, total_time: _},
                       %{source: "items", params: ["x"]} = meta}

      assert time > 0
      assert {:ok, %{num_rows: 0}} = meta.result
      assert meta.options == [a: 1]

      Repo.insert!(%Item{name: "x"}, opts)
      assert_received {%{query_time: _}, %{query: "INSERT " <> _, result: {:ok, %{num_rows: 1}}}}
      Repo.query("INSERT INTO items (name) VALUES ('x')", [], opts)
      assert_received {_, %{result: {:error, %Error{code: :constraint}}}}
      refute_received _
    end

    test "closes what is not used, and opens it again" do
      warm()
      {_table, keeper, _readers, _counters} = :persistent_term.get({Shared, pool()})
      look(keeper)
      Repo.insert!(%Item{name: "used"})
      look(keeper)
      assert Map.keys(uses()) == [:writer]
      look(keeper)
      look(keeper)
      assert open() == []
      warm()
      assert Process.alive?(keeper)
    end

    test "refuses a transaction that would stay on a connection of the pool" do
      warm()

      for sql <- ["BEGIN", " begin immediate", "COMMIT", "savepoint a", "ROLLBACK", "/* x */ BEGIN"] do
        assert {:error, %Error{code: :misuse, message: message}} = Repo.query(sql)
        assert message =~ "Repo.transaction"
      end

      Repo.insert!(%Item{name: "stays"})
      assert [%{name: "stays"}] = Repo.all(Item)
    end

    test "keeps its configuration out of what a crash reports" do
      {_table, keeper, _readers, _counters} = :persistent_term.get({Shared, pool()})
      refute inspect(:sys.get_state(keeper), limit: :infinity) =~ "pool_size"
    end

    test "lives on without its keeper" do
      warm()
      {_table, keeper, _readers, _counters} = :persistent_term.get({Shared, pool()})
      Process.exit(keeper, :kill)
      eventually(fn -> not Process.alive?(keeper) end)
      Repo.insert!(%Item{name: "after"})
      assert [%{name: "after"}] = Repo.all(Item)
    end

    test "counts right with many processes, some of which are killed" do
      warm()
      Repo.insert!(%Item{id: 1, name: "0"})

      victims =
        for _ <- 1..8 do
          spawn(fn ->
            for _ <- Stream.cycle([1]), do: Repo.query("UPDATE items SET price = '1' WHERE id = 1")
          end)
        end

      add = "UPDATE items SET name = CAST(name AS INTEGER) + 1 WHERE id = 1"

      adders =
        for _ <- 1..16 do
          Task.async(fn ->
            for _ <- 1..50 do
              Repo.query!(add, [], timeout: 60_000)
              assert %{rows: [[_]]} = Repo.query!("SELECT name FROM items WHERE id = 1")
            end
          end)
        end

      for pid <- victims, do: Process.exit(pid, :kill)
      Task.await_many(adders, 120_000)
      assert Repo.get!(Item, 1).name == "800"
    end

    test "closes its file when it stops", %{path: path} do
      warm()
      stop_supervised!(Repo)
      eventually(fn -> File.ls!(Path.dirname(path)) == [Path.basename(path)] end)
    end
  end

  for {name, opts} <- [
        {"of one connection", [pool_size: 1]},
        {"that says no", [shared_connections: false]},
        {"whose connections a function prepares", [after_connect: {Kernel, :is_map, []}]},
        {"in the sandbox", [pool: Ecto.Adapters.SQL.Sandbox]},
        {"in memory", [database: ":memory:"]}
      ] do
    test "a Repo #{name} has none" do
      opts = unquote(Macro.escape(opts))
      start_supervised!({Repo, [log: false] ++ opts ++ [database: tmp_path(), pool_size: 3]})
      if !opts[:pool], do: for(_ <- 1..20, do: Repo.query!("SELECT 1"))
      assert :persistent_term.get({Shared, pool()}, nil) == nil
    end
  end

  test "with one connection a transaction by hand is its own" do
    start(pool_size: 1)
    assert {:ok, _} = Repo.query("BEGIN")
    assert {:ok, _} = Repo.query("ROLLBACK")
  end

  test "a database that is not in WAL mode is read by the pool" do
    start(journal_mode: :delete)
    for _ <- 1..20, do: assert(Repo.all(Item) == [])
    {table, _keeper, _readers, _counters} = :persistent_term.get({Shared, pool()})
    eventually(fn -> Enum.any?(:ets.tab2list(table), &match?({_slot, :pause}, &1)) end)
    Repo.insert!(%Item{name: "x"})
    assert [%{name: "x"}] = Repo.all(Item)
    assert open() == []
  end
end
