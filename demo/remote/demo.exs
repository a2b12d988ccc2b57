# make demo, its third part: the same calls against a server, sqld, which is started here, and stopped.
#
#     demo/remote/demo.exs FOLDER
#
# Stops at the first answer that is not the right one.

Code.require_file("../screen.exs", __DIR__)
Code.require_file("../server.exs", __DIR__)
Code.require_file("../words.exs", __DIR__)

defmodule Far do
  import EctoLibSql.Demo.Words
  alias EctoLibSql.Demo.{Screen, Server}
  alias EctoLibSql.{Error, Native}

  def main([folder]) do
    case System.cmd(Path.expand("../../tools/sqld", __DIR__), [], stderr_to_stdout: true) do
      {program, 0} -> act(String.trim(program), folder)
      {why, _} -> IO.puts("\nThe demonstration of servers: skipped (#{String.trim(why)})")
    end
  end

  defp act(program, folder) do
    File.rm_rf!(folder)
    File.mkdir_p!(Path.dirname(folder))
    Screen.title("A server: the same calls, over a network")
    {port, url} = Server.start(program, folder)
    # Its own patience waits until the server is there.
    {took, {:ok, db}} = timed(fn -> EctoLibSql.connect(uri: url, retry_time: 15_000) end)
    Screen.done("sqld started, and asked for the first time", took)

    tables(db)
    one_round_trip(db)
    many_at_once(url)
    a_stream(db)
    transactions(db)
    with_ecto(url)
    Server.stop(port)
    gone(db)
    Screen.title("Every answer was the one it had to be, and the server is gone")
    IO.puts("")
  end

  defp tables(db) do
    Screen.section("Statements")

    run(
      db,
      "CREATE TABLE parcel (id INTEGER PRIMARY KEY, code TEXT UNIQUE, grams INTEGER CHECK (grams > 0))"
    )

    {took, {:ok, _}} = timed(fn -> EctoLibSql.execute_many(db, insert(), rows(1..5_000)) end)
    Screen.done("5,000 rows in one request, all or none", took)
    check("rows", one(db, "SELECT count(*) FROM parcel"), 5_000)

    {:error, %Error{code: :constraint, constraint: constraint}, _db} =
      EctoLibSql.query(db, insert(), ["P1", 5])

    check("the constraint", {constraint.kind, constraint.columns}, {:unique, ["code"]})

    Screen.fact(
      "a code twice: #{constraint.kind} constraint on #{constraint.table}.#{hd(constraint.columns)}"
    )
  end

  defp insert, do: "INSERT INTO parcel (code, grams) VALUES (?, ?)"
  defp rows(range), do: Enum.map(range, &["P#{&1}", &1])

  defp one_round_trip(db) do
    Screen.section("A transaction of ten statements")

    {slow, :ok} =
      timed(fn ->
        {:ok, trx} = Native.begin(db, behavior: :immediate)
        for i <- 1..10, do: run(trx, "UPDATE parcel SET grams = grams + 1 WHERE id = #{i}")
        {:ok, _} = Native.commit(trx)
        :ok
      end)

    Screen.done("begin, ten updates, commit: twelve requests", slow)
    items = for i <- 1..10, do: {"UPDATE parcel SET grams = grams - 1 WHERE id = ?", [i]}
    {quick, {:ok, _results}} = timed(fn -> Native.batch_transactional(db, items) end)
    Screen.done("as a batch: one request", quick)
    check("the first parcel", one(db, "SELECT grams FROM parcel WHERE id = 1"), 1)
  end

  defp many_at_once(url) do
    Screen.section("200 processes, each with a connection, reading at once")

    {took, sums} =
      timed(fn ->
        1..200
        |> Task.async_stream(&ask_five(url, &1), max_concurrency: 200, timeout: 60_000)
        |> Enum.map(fn {:ok, sum} -> sum end)
      end)

    check("what they read", sums, Enum.map(1..200, &(&1 * 5)))
    Screen.done("1,000 reads; threads that waited for them: one", took)
  end

  defp ask_five(url, id) do
    {:ok, db} = EctoLibSql.connect(uri: url)
    sum = Enum.sum(for _ <- 1..5, do: one(db, "SELECT grams FROM parcel WHERE id = #{id}"))
    EctoLibSql.close(db)
    sum
  end

  @big "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n"

  defp a_stream(db) do
    Screen.section("A stream of 50,000 rows")

    {took, sum} =
      timed(fn ->
        query = %EctoLibSql.Query{statement: @big}
        {:ok, query, cursor, db} = EctoLibSql.handle_declare(query, [], [], db)
        sum = fetch(query, cursor, db, 0)
        {:ok, _, _db} = EctoLibSql.handle_deallocate(query, cursor, [], db)
        sum
      end)

    check("their sum", sum, 50_000 * 50_001 / 2)
    Screen.done("1,000 at a time; what was not asked for waited on the server's side", took)
  end

  defp fetch(query, cursor, db, sum) do
    {more, result, db} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 1_000], db)
    sum = Enum.reduce(result.rows, sum, fn [i], sum -> sum + i end)
    if more == :cont, do: fetch(query, cursor, db, sum), else: sum
  end

  defp transactions(db) do
    Screen.section("What was not committed never was")
    {:ok, trx} = Native.begin(db)
    run(trx, "DELETE FROM parcel")
    check("inside", one(trx, "SELECT count(*) FROM parcel"), 0)
    {:ok, _} = Native.rollback(trx)
    check("outside", one(db, "SELECT count(*) FROM parcel"), 5_000)
    Screen.fact("5,000 parcels deleted in a transaction, and there again after its rollback")
  end

  if Code.ensure_loaded?(Ecto.Schema) do
    defmodule Repo do
      use Ecto.Repo, otp_app: :far, adapter: Ecto.Adapters.LibSql
    end

    defmodule Tables do
      use Ecto.Migration

      def change do
        create table(:letters) do
          add(:to, :string, null: false)
          add(:sent_at, :utc_datetime)
        end

        create(unique_index(:letters, [:to]))
      end
    end

    defp with_ecto(url) do
      import Ecto.Query
      Screen.section("Ecto #{Application.spec(:ecto, :vsn)}: the adapter line, and uri:")
      Application.put_env(:far, Repo, uri: url, pool_size: 5, log: false)
      {:ok, _} = Application.ensure_all_started(:ecto_sql)
      {:ok, pid} = Repo.start_link()
      {took, :ok} = timed(fn -> Ecto.Migrator.up(Repo, 1, Tables, log: false) end)
      Screen.done("a migration, under the lease that keeps migrators apart", took)
      letters = for name <- ~w(Ada Grace Edsger), do: %{to: name, sent_at: ~U[2026-01-01 12:00:00Z]}
      check("letters", Repo.insert_all("letters", letters), {3, nil})
      query = from(l in "letters", where: like(l.to, "%d%"), order_by: l.to, select: l.to)
      check("those with a d", Repo.all(query), ["Ada", "Edsger"])
      Screen.fact("Repo.all: #{Enum.join(Repo.all(query), ", ")}")
      Supervisor.stop(pid)
    end
  else
    defp with_ecto(_url), do: Screen.fact("with Ecto: skipped, Ecto is not here")
  end

  defp gone(db) do
    {:error, %Error{code: :unreachable, outcome: :none} = error, _db} =
      EctoLibSql.query(db, "SELECT 1", [], timeout: 1_500)

    Screen.section("And when the server is gone")
    Screen.fact("#{error.code}: #{String.slice(error.message, 0, 60)}…")
  end
end

Far.main(System.argv())
