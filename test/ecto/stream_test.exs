defmodule Ecto.Adapters.LibSql.StreamTest do
  # Not beside others: native memory is the whole VM's.
  use EctoLibSql.Case, async: false

  import Ecto.Query, only: [from: 2]

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Row do
    use Ecto.Schema

    schema "rows" do
      field(:text, :string)
      field(:price, :decimal)
    end
  end

  # Of 500 bytes and more each.
  @many 100_000
  @rows 2_000
  @width 400

  setup context do
    start_supervised!({Repo, database: tmp_path(), pool_size: 2, log: false})
    Repo.query!("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT, price TEXT_DECIMAL)")

    Repo.query!(
      """
      WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
      INSERT INTO rows SELECT n, printf('%0*d', ?2, n), n || '.50' FROM n
      """,
      [context[:rows] || @rows, @width],
      timeout: 60_000
    )

    :ok
  end

  # The most that the process, its binaries and native code have beyond what they had, in bytes.
  defp memory_of(fun) do
    :erlang.garbage_collect()
    before = used()
    most = :counters.new(1, [])
    fun.(fn -> :counters.put(most, 1, max(:counters.get(most, 1), used())) end)
    :counters.get(most, 1) - before
  end

  defp used do
    :erlang.garbage_collect()
    {:memory, heap} = Process.info(self(), :memory)
    {:binary, binaries} = Process.info(self(), :binary)
    heap + (binaries |> Enum.map(&elem(&1, 1)) |> Enum.sum()) + EctoLibSql.memory().bytes
  end

  @tag rows: @many
  test "takes as much memory as it reads at once, however long it is" do
    most =
      memory_of(fn measure ->
        {:ok, {count, sum}} =
          Repo.transaction(
            fn ->
              Row
              |> Repo.stream(max_rows: 500)
              |> Enum.reduce({0, 0}, fn row, {count, sum} ->
                if rem(count, 5_000) == 0, do: measure.()
                {count + 1, sum + row.id}
              end)
            end,
            mode: :read,
            timeout: :infinity
          )

        assert {count, sum} == {@many, div(@many * (@many + 1), 2)}
      end)

    assert most < 8_000_000
    # The measure would have seen it.
    assert memory_of(fn measure -> Repo.all(Row, timeout: 60_000) |> tap(fn _ -> measure.() end) end) >
             40_000_000
  end

  test "who stops early leaves nothing behind" do
    {:ok, rows} =
      Repo.transaction(fn -> Row |> Repo.stream(max_rows: 10) |> Enum.take(15) end, mode: :read)

    assert Enum.map(rows, & &1.id) == Enum.to_list(1..15)
    assert %Decimal{} = hd(rows).price
    # Nothing of the cursor is left.
    assert {1, _} = Repo.update_all(from(r in Row, where: r.id == 1), set: [text: "new"])
  end

  test "writers do not wait for a reader that streams" do
    assert {:ok, 3} =
             Repo.transaction(
               fn ->
                 Row
                 |> Repo.stream(max_rows: 10)
                 |> Stream.take(3)
                 |> Enum.map(fn row ->
                   Task.await(Task.async(fn -> Repo.delete!(Repo.get!(Row, row.id + 10)) end))
                   row
                 end)
                 |> length()
               end,
               mode: :read
             )

    assert Repo.aggregate(Row, :count) == @rows - 3
  end

  test "two streams and queries in one transaction" do
    {:ok, pairs} =
      Repo.transaction(
        fn ->
          a = Repo.stream(from(r in Row, where: r.id <= 20, select: r.id), max_rows: 3)
          b = Repo.stream(from(r in Row, where: r.id <= 20, select: 0 - r.id), max_rows: 7)

          for {x, y} <- Enum.zip(a, b) do
            assert %{id: ^x} = Repo.get!(Row, x)
            {x, y}
          end
        end,
        mode: :read
      )

    assert pairs == for(n <- 1..20, do: {n, -n})
  end

  test "with SQL by hand, and preloads in chunks" do
    {:ok, counts} =
      Repo.transaction(
        fn ->
          Repo
          |> Ecto.Adapters.SQL.stream("SELECT id FROM rows WHERE id <= ?1", [25], max_rows: 10)
          |> Enum.map(& &1.num_rows)
        end,
        mode: :read
      )

    assert counts == [10, 10, 5]
  end

  test "needs a transaction" do
    assert_raise RuntimeError, ~r/transaction/, fn -> Row |> Repo.stream() |> Enum.take(1) end
  end
end
