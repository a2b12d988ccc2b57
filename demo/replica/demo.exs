# make demo, its fourth part: local files that follow a server, sqld, which is started here, killed, and started again.
#
#     demo/replica/demo.exs FOLDER
#
# Stops at the first answer that is not the right one.

Code.require_file("../screen.exs", __DIR__)
Code.require_file("../server.exs", __DIR__)
Code.require_file("../words.exs", __DIR__)

defmodule Near do
  import EctoLibSql.Demo.Words
  alias EctoLibSql.Demo.{Screen, Server}
  alias EctoLibSql.Error

  @rows 20_000

  def main([folder]) do
    case System.cmd(Path.expand("../../tools/sqld", __DIR__), [], stderr_to_stdout: true) do
      {program, 0} -> act(String.trim(program), folder)
      {why, _} -> IO.puts("\nThe demonstration of replicas: skipped (#{String.trim(why)})")
    end
  end

  defp act(program, folder) do
    File.rm_rf!(folder)
    File.mkdir_p!(folder)
    Screen.title("Replicas: files of one's own that follow a server")
    data = Path.join(folder, "server")
    {port, url} = Server.start(program, data)
    {:ok, primary} = EctoLibSql.connect(uri: url, retry_time: 15_000)
    fill(primary)
    [a, b] = follow(url, folder)
    own_writes(a, b)
    reads(a, primary)
    Server.stop(port)
    away(a)
    {port, ^url} = Server.start(program, data, url)
    {:ok, primary} = EctoLibSql.connect(uri: url, retry_time: 15_000)
    back(a, b)
    killed(primary, url, Path.join(folder, "killed.db"))
    for db <- [a, b], do: EctoLibSql.close(db)
    Server.stop(port)
    Screen.title("Every answer was the one it had to be")
    IO.puts("")
  end

  defp fill(primary) do
    run(primary, "CREATE TABLE parcel (id INTEGER PRIMARY KEY, place TEXT)")
    {took, _} = timed(fn -> add(primary, 1..@rows) end)
    Screen.done("#{Screen.number(@rows)} rows, written to the server", took)
  end

  defp add(db, range) do
    rows = for i <- range, do: [i, "place #{i} " <> String.duplicate("x", 80)]
    {:ok, _} = EctoLibSql.execute_many(db, "INSERT INTO parcel VALUES (?, ?)", rows)
  end

  defp follow(url, folder) do
    Screen.section("Two replicas: database:, uri: and sync: true")

    for name <- ["a", "b"] do
      path = Path.join(folder, name <> ".db")
      {took, {:ok, db}} = timed(fn -> open(path, url) end)
      {:ok, info} = EctoLibSql.replica_info(db)
      Screen.done("#{name}: fetched, #{Screen.bytes(info.bytes)}, and checked", took)
      check("what it has", one(db, "SELECT count(*) FROM parcel"), @rows)
      db
    end
  end

  defp open(path, url),
    do: EctoLibSql.connect(database: path, uri: url, sync: true, sync_interval: 0)

  defp own_writes(a, b) do
    Screen.section("A write goes to the server, and is read from the file")

    {took, :ok} =
      timed(fn ->
        for i <- 1..100 do
          run(a, "INSERT INTO parcel (place) VALUES ('new')")
          check("one's own write", one(a, "SELECT count(*) FROM parcel"), @rows + i)
        end

        :ok
      end)

    Screen.done("a hundred times by a: a row written, and seen", took)
    check("b, before its sync", one(b, "SELECT count(*) FROM parcel"), @rows)
    {took, {:ok, sync}} = timed(fn -> EctoLibSql.sync(b) end)
    Screen.done("b syncs: #{sync.frames} pages, #{Screen.bytes(sync.bytes)}", took)
    check("b, after it", one(b, "SELECT count(*) FROM parcel"), @rows + 100)
  end

  defp reads(a, primary) do
    Screen.section("A thousand reads, one after another")
    {there, _} = timed(fn -> read_all(primary) end)
    Screen.done("from the server", there)
    {here, _} = timed(fn -> read_all(a) end)
    Screen.done("from the replica's file", here)
  end

  defp read_all(db) do
    for i <- 1..1000,
        do:
          check(
            "a place",
            one(db, "SELECT substr(place, 1, 5) FROM parcel WHERE id = #{i}"),
            "place"
          )
  end

  defp away(a) do
    Screen.section("The server is gone")
    {took, _} = timed(fn -> read_all(a) end)
    Screen.done("a thousand reads from the replica go on", took)

    {:error, %Error{outcome: :none} = error, _} =
      EctoLibSql.query(a, "DELETE FROM parcel", [], timeout: 10_000)

    Screen.fact("a write: #{error.code}, and nothing is stored anywhere")
    check("what is there", one(a, "SELECT count(*) FROM parcel"), @rows + 100)
  end

  defp back(a, b) do
    Screen.section("The server is back")
    run(b, "UPDATE parcel SET place = 'moved' WHERE id = 1")
    check("b sees it", one(b, "SELECT place FROM parcel WHERE id = 1"), "moved")
    {:ok, _} = EctoLibSql.sync(a)
    check("and so does a", one(a, "SELECT place FROM parcel WHERE id = 1"), "moved")
    Screen.fact("b writes, and a has it after its next sync")
  end

  # Another program has the file, and is killed in the midst of its syncs.
  defp killed(primary, url, path) do
    Screen.section("A program is killed (-9) while its replica syncs")

    for round <- 1..3 do
      {port, pid} = child(path, url)
      from = one(primary, "SELECT max(id) FROM parcel")
      for i <- 1..5, do: add(primary, (from + 1 + (i - 1) * 2_000)..(from + i * 2_000))
      Process.sleep(:rand.uniform(20))
      {_, 0} = System.cmd("kill", ["-9", pid])
      receive do: ({^port, {:exit_status, _}} -> :ok)
      {took, {:ok, db}} = timed(fn -> open(path, url) end)
      check("the replica", content(db), content(primary))
      Screen.done("killed; opened again, with all that the server has", took)
      if round == 3, do: check("the file", one(db, "PRAGMA quick_check"), "ok")
      EctoLibSql.close(db)
    end
  end

  defp content(db) do
    {:ok, _, %{rows: rows}, _} =
      EctoLibSql.query(
        db,
        "SELECT count(*), sum(id), sum(length(place)), max(place) FROM parcel",
        []
      )

    rows
  end

  @follower """
  {:ok, _} = Application.ensure_all_started(:ecto_libsql)
  [path, url] = System.argv()
  {:ok, db} = EctoLibSql.connect(database: path, uri: url, sync: true, sync_interval: 0)
  IO.puts(System.pid())
  for _ <- Stream.cycle([1]), do: {:ok, _} = EctoLibSql.sync(db)
  """

  defp child(path, url) do
    folders = for folder <- :code.get_path(), do: ["-pa", List.to_string(folder)]
    args = List.flatten(folders) ++ ["-e", @follower, path, url]
    elixir = System.find_executable("elixir")
    port = Port.open({:spawn_executable, elixir}, [:binary, :exit_status, line: 100, args: args])
    receive do: ({^port, {:data, {:eol, pid}}} -> {port, pid})
  end
end

Near.main(System.argv())
