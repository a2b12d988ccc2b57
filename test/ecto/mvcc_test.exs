defmodule Ecto.Adapters.LibSql.MvccTest do
  # A Repo with `mvcc: true`.
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    path = tmp_path()
    start_supervised!({Repo, database: path, mvcc: true, pool_size: 8, log: false})
    Repo.query!("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT)")
    Repo.insert_all("t", for(id <- 1..4, do: [id: id, a: 0]))
    {:ok, path: path}
  end

  defp sum, do: Repo.aggregate(from(t in "t", select: t.a), :sum, :a)

  # The invariant: what is taken from one row goes to another.
  defp move(opts) do
    Repo.transaction(
      fn ->
        rows = Repo.all(from(t in "t", select: {t.id, t.a}, order_by: t.id))
        assert Enum.sum(for {_, a} <- rows, do: a) == 0
        [{from, a}, {to, b}] = Enum.take_random(rows, 2)
        Repo.query!("UPDATE t SET a = ?2 WHERE id = ?1", [from, a - 1])
        Repo.query!("UPDATE t SET a = ?2 WHERE id = ?1", [to, b + 1])
      end,
      opts
    )
  end

  test "many that read and then write, with retry" do
    1..16
    |> Enum.map(fn _ ->
      Task.async(fn -> for _ <- 1..20, do: {:ok, _} = move(retry: 1, timeout: 60_000) end)
    end)
    |> Task.await_many(120_000)

    assert sum() == 0
  end

  test "without, a conflict is an error, and nothing is lost" do
    answers =
      1..16
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for _ <- 1..20 do
            try do
              elem(move(timeout: 60_000), 0)
            rescue
              error in Error -> error.code
            end
          end
        end)
      end)
      |> Task.await_many(120_000)
      |> List.flatten()
      |> Enum.uniq()

    assert answers -- [:ok, :busy_snapshot] == []
    assert :ok in answers
    assert sum() == 0
  end

  test "a long transaction that reads keeps no writer waiting, and the other way round" do
    {:ok, _} =
      Repo.transaction(fn ->
        assert sum() == 0

        Task.async(fn ->
          Repo.query!("UPDATE t SET a = a + 1")
          {:ok, _} = Repo.transaction(fn -> Repo.query!("UPDATE t SET a = a + 1") end)
        end)
        |> Task.await()

        assert sum() == 0
      end)

    assert sum() == 8

    {:ok, _} =
      Repo.transaction(fn ->
        Repo.query!("UPDATE t SET a = 0")

        Task.async(fn ->
          assert sum() == 8
          assert {:ok, 8} = Repo.transaction(&sum/0)
        end)
        |> Task.await()
      end)

    assert sum() == 0
  end

  test "what cannot be stops the Repo's start" do
    for {opts, words} <- [
          {[database: ":memory:"], "needs a file"},
          {[database: tmp_path(), journal_mode: :delete], "journal_mode: :wal"},
          {[database: tmp_path(), transaction_mode: :immediate], ":transaction_mode"}
        ] do
      opts = [otp_app: :ecto_libsql, repo: Repo, mvcc: true] ++ opts
      error = assert_raise ArgumentError, fn -> Ecto.Adapters.LibSql.init(opts) end
      assert error.message =~ words
    end
  end
end
