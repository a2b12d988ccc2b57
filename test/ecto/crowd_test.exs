defmodule Ecto.Adapters.LibSql.CrowdTest do
  # Many processes that write to one file and read it, with a Repo's default configuration: of this VM, and of
  # several. Nobody is told that the database is locked, nobody is turned away, nobody is passed over for long.
  #
  #     CROWD_TRANSACTIONS=200   of each writing process, in this VM
  #     CROWD_OPENINGS=200       rounds in which 64 connections open a new file
  use EctoLibSql.Case, async: false
  import EctoLibSql.DriverHelpers, only: [open: 1, all: 2, one: 2, q: 2]
  alias EctoLibSql.Test.Program

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @script Path.expand("support/crowd.exs", __DIR__)
  @writers 50
  @readers 50
  @programs 4

  defp env(name, default), do: name |> System.get_env("#{default}") |> String.to_integer()

  defp new_file do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE counter (n INTEGER NOT NULL)")
    q(db, "INSERT INTO counter VALUES (0)")
    q(db, "CREATE TABLE log (id INTEGER PRIMARY KEY, who INTEGER)")
    {path, db}
  end

  describe "in one VM" do
    setup do
      {path, db} = new_file()
      start_supervised!({Repo, database: path, log: false})
      %{db: db}
    end

    @tag timeout: 600_000
    test "fifty that write and fifty that read", %{db: db} do
      times = env("CROWD_TRANSACTIONS", 200)
      # How many have asked for a turn, how many had one.
      counters = :counters.new(2, [:atomics])
      stop = :atomics.new(1, [])
      readers = for n <- 1..@readers, do: Task.async(fn -> read(n, stop, 0) end)

      overtaken =
        for(n <- 1..@writers, do: Task.async(fn -> write(n, times, counters) end))
        |> Task.await_many(:infinity)
        |> List.flatten()
        |> Enum.max()

      :atomics.put(stop, 1, 1)
      slowest = readers |> Task.await_many(60_000) |> Enum.max()

      IO.puts(
        "crowd_test: slowest read #{div(slowest, 1000)} ms; at most #{overtaken} turns went to others " <>
          "between a process's asking and its own, of #{@writers} that ask"
      )

      assert one(db, "SELECT n FROM counter") == @writers * times
      assert all(db, "SELECT who, count(*) FROM log GROUP BY who HAVING count(*) <> #{times}") == []

      # Each of the others has at most one before him, if all of them stood in line already; the rest is what
      # happens between the taking of a number and the asking. Without a line it is hundreds.
      assert overtaken < 5 * @writers
      assert slowest < 5_000_000
    end

    defp write(number, times, counters) do
      for _ <- 1..times do
        had = :counters.get(counters, 2)

        {:ok, others} =
          Repo.transaction(fn ->
            others = :counters.get(counters, 2) - had
            :counters.add(counters, 2, 1)
            %{rows: [[count]]} = Repo.query!("SELECT n FROM counter")
            Repo.query!("UPDATE counter SET n = ?1", [count + 1])
            Repo.query!("INSERT INTO log (who) VALUES (?1)", [number])
            others
          end)

        others
      end
    end

    # µs of the slowest
    defp read(number, stop, slowest) do
      if :atomics.get(stop, 1) == 1 do
        slowest
      else
        start = System.monotonic_time(:microsecond)
        Repo.query!("SELECT count(*) FROM log WHERE id = ?1", [number])
        took = System.monotonic_time(:microsecond) - start
        Process.sleep(1)
        read(number, stop, max(slowest, took))
      end
    end

    # More than the pool has connections: some wait for one, the others for their turn.
    test "thirty have their turns in the order in which they asked", %{db: db} do
      test = self()

      holder =
        Task.async(fn ->
          Repo.transaction(fn ->
            send(test, :holding)
            receive do: (:go -> :ok)
          end)
        end)

      assert_receive :holding, 10_000
      tasks = for n <- 1..30, do: ask(n)
      send(holder.pid, :go)
      Task.await_many([holder | tasks], 60_000)
      assert all(db, "SELECT who FROM log ORDER BY id") == for(n <- 1..30, do: [n])
    end

    defp ask(number) do
      task =
        Task.async(fn ->
          Repo.transaction(fn ->
            Repo.query!("INSERT INTO log (who) VALUES (?1)", [number])
            # The next one has the connection before the one after him has another.
            Process.sleep(20)
          end)
        end)

      eventually(fn -> waits?(task.pid) end)
      task
    end

    # For its turn, or for a connection.
    defp waits?(pid) do
      {:current_stacktrace, stack} = Process.info(pid, :current_stacktrace)

      Enum.any?(stack, fn {module, function, _, _} ->
        {module, function} in [{EctoLibSql.Call, :await_turn}, {DBConnection.Holder, :checkout}]
      end) and Process.info(pid, :status) == {:status, :waiting}
    end
  end

  describe "in several VMs" do
    @tag timeout: 600_000
    test "writers of four programs: no error within busy_timeout" do
      {path, db} = new_file()
      ports = for _ <- 1..@programs, do: Program.start(@script, ["write", path, "12", "50"])
      for port <- ports, do: said(port, "ready")
      for port <- ports, do: Port.command(port, "go\n")
      ended = Enum.map(ports, &Program.finish/1)
      assert for({status, text} <- ended, status != 0, do: text) == []

      longest =
        for {0, text} <- ended do
          assert [ms] = Regex.run(~r/\Alongest (\d+) ms\n\z/, text, capture: :all_but_first)
          String.to_integer(ms)
        end

      IO.puts("crowd_test: the longest call beside other programs took #{Enum.max(longest)} ms")
      assert one(db, "SELECT n FROM counter") == @programs * 12 * 50
      assert all(db, "PRAGMA integrity_check") == [["ok"]]
    end

    # The file is made, put into WAL mode and asked for its locks by all of them at once; whatever one of them
    # logs would stand in what it says.
    @tag timeout: 600_000
    test "sixteen connections of four programs open a new file at once" do
      rounds = env("CROWD_OPENINGS", 3)
      ports = for _ <- 1..@programs, do: Program.start(@script, ["open", "16"])
      for port <- ports, do: said(port, "ready")

      for _ <- 1..rounds do
        path = tmp_path()
        for port <- ports, do: Port.command(port, path <> "\n")
        for port <- ports, do: said(port, "opened")
        db = open(path)
        assert all(db, "SELECT name FROM sqlite_schema") == [["t"]]
        assert all(db, "PRAGMA journal_mode") == [["wal"]]
        EctoLibSql.close(db)
      end

      IO.puts("crowd_test: #{rounds} new files opened by 64 connections each")
      for port <- ports, do: Port.close(port)
    end
  end

  ## Programs

  # That line, and nothing else.
  defp said(port, line) do
    receive do
      {^port, {:data, text}} -> assert text == line <> "\n"
      {^port, {:exit_status, status}} -> flunk("it ended with #{status} instead of #{line}")
    after
      120_000 -> flunk("it does not say #{line}")
    end
  end
end
