defmodule Ecto.Adapters.LibSql.EventsTest do
  # Events of what stands beside a Repo's pool; and what becomes of a shared connection that fails.
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql.Shared
  alias EctoLibSql.{Call, Error}

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  def forward([_, name], measurements, %{database: path} = metadata, {test, path}),
    do: send(test, {name, measurements, metadata})

  def forward(_event, _measurements, _metadata, _config), do: :ok

  setup do
    path = tmp_path()
    id = make_ref()
    events = for name <- [:shared, :health, :query], do: [:ecto_libsql, name]
    :telemetry.attach_many(id, events, &__MODULE__.forward/4, {self(), path})
    on_exit(fn -> :telemetry.detach(id) end)
    start_supervised!({Repo, database: path, pool_size: 3, log: false, events: :all})
    Repo.query!("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    %{path: path}
  end

  defp keeper do
    {table, keeper, _readers, _counters} =
      :persistent_term.get({Shared, Ecto.Adapter.lookup_meta(Repo).pid})

    {table, keeper}
  end

  defp shared(slot) do
    {table, _keeper} = keeper()

    case :ets.lookup(table, slot) do
      [{_slot, %EctoLibSql.State{} = state}] -> state
      _none -> nil
    end
  end

  defp warm do
    eventually(fn ->
      Repo.query!("INSERT INTO t DEFAULT VALUES")
      Repo.query!("SELECT count(*) FROM t")
      stats = EctoLibSql.stats(Repo).shared
      stats.open >= 2 and shared(:writer) != nil
    end)
  end

  defp flush do
    receive do
      _any -> flush()
    after
      0 -> :ok
    end
  end

  test "shared connections come and go", %{path: path} do
    warm()
    assert_received {:shared, %{count: 1}, %{database: ^path, kind: kind, action: :opened}}
    assert kind in [:reader, :writer]
    {_table, keeper} = keeper()
    for _ <- 1..2, do: send(keeper, :look) && :sys.get_state(keeper)
    assert_received {:shared, %{count: 0}, %{action: :closed}}
    assert EctoLibSql.stats(Repo).shared.open == 0
  end

  test "queries by them, and by the pool with its queue" do
    warm()
    flush()
    Repo.query!("INSERT INTO t DEFAULT VALUES")
    assert_received {:query, %{rows: 1} = times, %{shared: true, command: :insert}}
    refute Map.has_key?(times, :queue_time)
    Repo.checkout(fn -> Repo.query!("SELECT 1") end)
    assert_received {:query, _times, %{shared: false, command: :select}}
    # What they leave to the pool is told once.
    Repo.query!("PRAGMA user_version")
    assert_received {:query, %{queue_time: time}, %{shared: false, command: :pragma}}
    assert time > 0
    assert {:error, _} = Repo.query("SELECT nothing FROM t")
    assert_received {:query, _times, %{shared: false, result: :sql}}
    refute_received {:query, _, _}
  end

  test "one that is closed under it is replaced, and the statement is run" do
    warm()
    sick = shared(:writer)
    :ok = EctoLibSql.close(sick)
    flush()
    assert %{num_rows: 1} = Repo.query!("INSERT INTO t DEFAULT VALUES")
    assert_receive {:health, %{count: 1}, %{kind: :writer, code: :closed}}, 5_000
    eventually(fn -> shared(:writer) not in [nil, sick] end)
    assert EctoLibSql.stats(Repo).shared.errors == 1
    uses = EctoLibSql.stats(Repo).shared.uses
    Repo.query!("INSERT INTO t DEFAULT VALUES")
    assert EctoLibSql.stats(Repo).shared.uses == uses + 1
  end

  # Bytes that are no pages any more, as a broken disk gives them.
  test "one whose file is damaged is not used again; the error is the caller's", %{path: path} do
    for _ <- 1..2000, do: Repo.query!("INSERT INTO t DEFAULT VALUES")
    warm()
    # A worker may be at one.
    eventually(fn ->
      Repo.checkout(fn -> Repo.query!("PRAGMA wal_checkpoint(TRUNCATE)").rows == [[0, 0, 0]] end)
    end)

    {:ok, file} = :file.open(path, [:read, :write, :raw, :binary])
    :ok = :file.pwrite(file, 4096, :binary.copy(<<255>>, 4096))
    :ok = :file.close(file)
    {table, _keeper} = keeper()
    before = for {_, %EctoLibSql.State{conn_id: conn}} <- :ets.tab2list(table), do: conn
    flush()

    # Its pages may be in a cache still: with a write they are read anew.
    results =
      for _ <- 1..50 do
        {:ok, _} = EctoLibSql.connect(database: path) |> write_elsewhere()
        Repo.query("SELECT count(*) FROM t")
      end

    assert Enum.any?(results, &match?({:error, %Error{code: :corrupt}}, &1))
    assert_receive {:health, %{count: _}, %{code: :corrupt}}, 5_000
    assert EctoLibSql.stats(Repo).shared.errors >= 1
    left = for {_, %EctoLibSql.State{conn_id: conn}} <- :ets.tab2list(table), do: conn
    assert before -- left != []
  end

  defp write_elsewhere({:ok, db}) do
    {:ok, _, _, db} = EctoLibSql.query(db, "PRAGMA user_version = #{:rand.uniform(1000)}")
    EctoLibSql.close(db)
    {:ok, db}
  end

  test "one that cannot be opened is tried again later, and all goes by the pool", %{path: path} do
    warm()
    {_table, keeper} = keeper()

    :sys.replace_state(keeper, fn state ->
      opts = state.opts.()
      %{state | opts: fn -> Keyword.put(opts, :database, path <> "/nowhere") end}
    end)

    sick = shared(:writer)
    GenServer.cast(keeper, {:sick, :writer, sick.conn_id, :io})
    :sys.get_state(keeper)
    assert shared(:writer) == nil
    assert %{num_rows: 1} = Repo.query!("INSERT INTO t DEFAULT VALUES")
    # A second report of the same one changes nothing.
    GenServer.cast(keeper, {:sick, :writer, sick.conn_id, :io})
    :sys.get_state(keeper)
    assert EctoLibSql.stats(Repo).shared.errors == 1
  end

  test "a keeper that is killed comes again, with its connections and its figures", %{path: path} do
    warm()
    %{uses: uses} = EctoLibSql.stats(Repo).shared
    {_table, keeper} = keeper()
    Process.exit(keeper, :kill)
    Repo.query!("INSERT INTO t DEFAULT VALUES")
    eventually(fn -> elem(keeper(), 1) not in [keeper] end, 2_000)
    warm()
    assert EctoLibSql.stats(Repo).shared.uses >= uses
    stop_supervised!(Repo)
    eventually(fn -> File.ls!(Path.dirname(path)) == [Path.basename(path)] end)
  end

  test "an unknown slot's failure is passed over" do
    warm()
    {_table, keeper} = keeper()
    GenServer.cast(keeper, {:sick, 77, make_ref(), :io})
    assert %{} = :sys.get_state(keeper)
    assert {:ok, _} = Call.execute(shared(:writer).conn_id, nil, "SELECT 1", [], 1000)
  end
end
