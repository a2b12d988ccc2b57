defmodule EctoLibSql.Remote.RecoveryTest do
  # A real server that is killed, restarted, overrun, waited for too long; and tokens that end.
  #
  #     CHAOS_SECONDS=300 STREAM_ROWS=3000000 IDLE_SECONDS=320 mix test test/remote/recovery_test.exs     longer than in the suite
  # Alone: it looks at the memory of the whole library.
  use EctoLibSql.Case, async: false
  use EctoLibSql.Test.Target, :http

  import EctoLibSql.DriverHelpers
  import EctoLibSql.Test.RemoteFaults

  alias EctoLibSql.{Error, Native, State}
  alias EctoLibSql.Test.{Jwt, Proxy, Sqld, Target, TlsFront}

  @moduletag :sqld
  @seconds String.to_integer(System.get_env("CHAOS_SECONDS") || "10")
  @idle String.to_integer(System.get_env("IDLE_SECONDS") || "15")
  @moduletag timeout: 180_000 + 1_000 * @seconds + 1_000 * @idle

  defp server(opts \\ []) do
    sqld = Sqld.start!(opts)
    look = dial(sqld.url)
    q(look, "CREATE TABLE t(m TEXT)")
    {sqld, look}
  end

  # Runs fun in so many processes, which are to end by themselves; what each answered.
  defp crowd(count, fun) do
    1..count
    |> Enum.map(fn i -> Task.async(fn -> fun.(i) end) end)
    |> Task.await_many(:infinity)
  end

  describe "a server killed and restarted every 2 s" do
    @tag :chaos
    test "loses nothing that it acknowledged, does nothing twice, and is used again at once" do
      {sqld, look} = server()
      until = now() + 1_000 * @seconds
      up = :atomics.new(1, signed: true)
      :atomics.put(up, 1, now())
      killer = Task.async(fn -> kill_until(sqld, until, up) end)
      results = crowd(8, fn _ -> write_until(sqld.url, until + 3_000, up) end)
      Task.await(killer, :infinity)
      assert_soon_usable(look)

      written = Enum.flat_map(results, & &1.answers)
      assert length(written) > 8

      counts = Map.new(all(look, "SELECT m, count(*) FROM t GROUP BY m"), fn [m, n] -> {m, n} end)

      for {mark, answer} <- written do
        count = Map.get(counts, mark, 0)

        assert count in allowed(answer),
               "#{mark}: there #{count} times, answered #{inspect(answer)}"
      end

      assert Enum.max(Enum.map(results, & &1.longest)) <= 2_000 + slack()
      assert Enum.max(Enum.map(results, & &1.recovery)) <= 2_000 + slack()
    end

    defp allowed(:ok), do: [1]
    defp allowed(%Error{outcome: :none}), do: [0]
    defp allowed(%Error{outcome: :unknown}), do: [0, 1]

    defp kill_until(sqld, until, up) do
      if now() < until do
        Process.sleep(2_000)
        :atomics.put(up, 1, 0)
        Sqld.kill(sqld)
        Process.sleep(Enum.random(0..300))
        Sqld.restart(sqld)
        :atomics.put(up, 1, now())
        kill_until(sqld, until, up)
      end
    end

    # Every answer; the longest call; how long after a restart a call still failed.
    defp write_until(url, until, up) do
      {:ok, db} = EctoLibSql.connect(uri: Target.address(url), retry_time: 200)
      seen = write_loop(db, until, up, %{answers: [], longest: 0, recovery: 0})
      EctoLibSql.close(db)
      assert_no_messages()
      seen
    end

    defp write_loop(db, until, up, seen) do
      if now() > until do
        seen
      else
        mark = marker()
        begun = now()
        {answer, ms} = insert(db, mark, timeout: 2_000)
        returned = :atomics.get(up, 1)

        failed_after =
          if answer != :ok and returned > 0 and begun > returned, do: now() - returned, else: 0

        if answer != :ok, do: Process.sleep(20)

        write_loop(db, until, up, %{
          answers: [{mark, answer} | seen.answers],
          longest: max(seen.longest, ms),
          recovery: max(seen.recovery, failed_after)
        })
      end
    end
  end

  describe "a server that is gone" do
    test "is an error, and works again when it is back, for the same connection" do
      {sqld, look} = server()
      assert {:ok, trx} = Native.begin(look)
      q(trx, "INSERT INTO t VALUES ('lost')")
      Sqld.kill(sqld)

      assert %Error{code: :unreachable, outcome: :none} = refusal(sqld.url, retry_time: 0)

      Sqld.restart(sqld)
      assert {:error, %Error{code: code}, _} = EctoLibSql.query(trx, "SELECT 1")
      assert code in [:stream_expired, :connection_lost, :unreachable]
      assert_soon_usable(look)
      assert one(look, "SELECT count(*) FROM t") == 0
      assert_no_messages()
    end

    test "and that comes back while a call waits, answers it" do
      {sqld, _look} = server()
      db = dial(sqld.url, retry_time: 60_000)
      Sqld.kill(sqld)
      task = Task.async(fn -> EctoLibSql.query(db, "SELECT 7", [], timeout: 60_000) end)
      Process.sleep(300)
      Sqld.restart(sqld)
      assert {:ok, _, %{rows: [[7]]}, _} = Task.await(task, 60_000)
    end

    test "frozen, it is a time-out; thawed, it goes on" do
      {sqld, look} = server()
      Sqld.freeze(sqld)
      {answer, ms} = insert(look, mark = marker(), timeout: 400)
      Sqld.thaw(sqld)
      assert %Error{code: :timeout, outcome: :unknown} = answer
      assert ms <= 400 + slack()
      assert_usable(look)
      # What was on its way may still come.
      eventually(fn -> one(look, "SELECT count(*) FROM t WHERE m = ?", [mark]) in [0, 1] end)
      assert_no_messages()
    end
  end

  test "idle for 15 s: outside a transaction nothing is seen of it, inside it is over" do
    {sqld, look} = server()
    db = dial(sqld.url)
    reader = dial(sqld.url)
    assert {:ok, _} = insert(db, "before")
    assert {:ok, count} = Native.prepare(reader, "SELECT count(*) FROM t")
    assert {:ok, _, %{rows: [[1]]}, _} = EctoLibSql.query(reader, count, [])
    assert {:ok, write} = Native.prepare(db, "INSERT INTO t VALUES (?)")
    assert {:ok, trx} = Native.begin(look)
    q(trx, "INSERT INTO t VALUES ('inside')")
    Process.sleep(1_000 * @idle)
    assert {:ok, _, %{rows: [[1]]}, _} = EctoLibSql.query(reader, count, [])
    assert {:ok, _, %{num_rows: 1}, _} = EctoLibSql.query(db, write, ["after"])
    assert %Error{code: code, outcome: :none} = err(trx, "SELECT 1")
    assert code in [:stream_expired, :transaction_timeout]
    assert all(look, "SELECT m FROM t ORDER BY m") == [["after"], ["before"]]
    assert_usable(look)
    assert_no_messages()
  end

  test "a transaction of more than 5 s that keeps another waiting is ended, and the next works" do
    {sqld, look} = server()
    db = dial(sqld.url)
    assert {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO t VALUES ('slow')")
    task = Task.async(fn -> insert(look, "quick", timeout: 60_000) end)
    # For it has been ended.
    assert {:ok, _} = Task.await(task, 60_000)

    # What would have been the transaction's is not done by itself.
    assert %Error{code: :transaction_timeout, outcome: :none} =
             err(trx, "INSERT INTO t VALUES ('orphan')")

    assert {:error, %Error{}} = Native.commit(trx)
    assert_usable(db)
    assert {:ok, _} = insert(db, "next")
    assert all(look, "SELECT m FROM t ORDER BY m") == [["next"], ["quick"]]
    assert_no_messages()
  end

  test "a commit of such a transaction says that nothing was stored" do
    {sqld, look} = server()
    db = dial(sqld.url)
    assert {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO t VALUES ('slow')")
    task = Task.async(fn -> insert(look, "quick", timeout: 60_000) end)
    assert {:ok, _} = Task.await(task, 60_000)
    assert {:error, %Error{outcome: :none}} = Native.commit(trx)
    assert all(look, "SELECT m FROM t") == [["quick"]]
    assert_usable(db)
  end

  test "time-outs of statements, in and out of a transaction" do
    {sqld, look} = server()
    db = dial(sqld.url)

    for _ <- 1..3 do
      {ms, error} = timed(fn -> err(db, endless(), [], timeout: 300) end)
      assert %Error{code: :timeout} = error
      assert ms in 250..(300 + slack())
      assert_usable(db)
      assert_no_messages()
    end

    assert {:ok, trx} = Native.begin(db)
    q(trx, "INSERT INTO t VALUES ('in')")
    assert %Error{code: :timeout} = err(trx, endless(), [], timeout: 300)
    # Its stream is busy with what was given up: the transaction is over.
    assert {:error, %Error{}, _} = EctoLibSql.query(trx, "INSERT INTO t VALUES ('late')")
    assert_usable(db)
    assert {:ok, _} = insert(look, "after", timeout: 60_000)
    assert all(look, "SELECT m FROM t") == [["after"]]
    assert_no_messages()
  end

  test "256 processes at once, each with a connection of its own" do
    {sqld, look} = server()
    q(look, "CREATE TABLE n(id INTEGER PRIMARY KEY, x)")
    q(look, "INSERT INTO n SELECT value, value * 7 FROM generate_series(1, 1000)")

    failed =
      crowd(256, fn i ->
        {:ok, db} = EctoLibSql.connect(uri: Target.address(sqld.url), retry_time: 60_000)

        answers =
          for k <- 1..5 do
            id = rem(i * 31 + k * 17, 1000) + 1
            answer = EctoLibSql.query(db, "SELECT x FROM n WHERE id = ?", [id], timeout: 60_000)
            if match?({:ok, _, %{rows: [[x]]}, _} when x == id * 7, answer), do: nil, else: answer
          end

        EctoLibSql.close(db)

        if Process.info(self(), :messages) != {:messages, []},
          do: [:messages],
          else: Enum.reject(answers, &is_nil/1)
      end)

    assert List.flatten(failed) == []
    assert_usable(look)
  end

  describe "tokens" do
    test "that last 5 s, asked for again: no query fails in 12 s of load" do
      key = Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
      asked = :counters.new(1, [])

      # The server takes one for 60 s beyond its end.
      token = fn ->
        :counters.add(asked, 1, 1)
        Jwt.expiring(key, -55)
      end

      until = now() + 12_000

      failed =
        crowd(10, fn _ ->
          {:ok, db} = EctoLibSql.connect(uri: Target.address(sqld.url), auth_token: token)
          failures = read_until(db, until, [])
          EctoLibSql.close(db)
          assert_no_messages()
          failures
        end)

      assert List.flatten(failed) == []

      # Each connection at its beginning, and again when the token had ended: not for every query. A WebSocket is
      # asked for it at its beginning alone.
      assert :counters.get(asked, 1) in if(Target.web_socket?(), do: 10..60, else: 20..60)
    end

    defp read_until(db, until, failures) do
      if now() > until do
        failures
      else
        Process.sleep(10)

        case EctoLibSql.query(db, "SELECT 1") do
          {:ok, _, _, _} -> read_until(db, until, failures)
          {:error, error, _} -> read_until(db, until, [error | failures])
        end
      end
    end

    # Each request of a transaction shows its token; a WebSocket's was shown once.
    test "that ends within a transaction is asked for again, and the transaction goes on" do
      key = Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
      asked = :counters.new(1, [])

      token = fn ->
        :counters.add(asked, 1, 1)
        Jwt.expiring(key, -57)
      end

      db = dial(sqld.url, auth_token: token)
      q(db, "CREATE TABLE t(m TEXT)")
      assert {:ok, trx} = Native.begin(db)
      q(trx, "INSERT INTO t VALUES ('first')")
      before = :counters.get(asked, 1)
      Process.sleep(4_500)
      q(trx, "INSERT INTO t VALUES ('second')")
      Process.sleep(4_500)
      assert {:ok, _} = Native.commit(trx)
      told = :counters.get(asked, 1) - before
      assert told == if(Target.web_socket?(), do: 0, else: 2)
      assert all(db, "SELECT m FROM t ORDER BY m") == [["first"], ["second"]]
      assert_no_messages()
    end

    test "that ends within a transaction, and is the only one" do
      key = Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
      look = dial(sqld.url, auth_token: Jwt.token(key))
      q(look, "CREATE TABLE t(m TEXT)")
      db = dial(sqld.url, auth_token: Jwt.expiring(key, -56))
      assert {:ok, trx} = Native.begin(db)
      q(trx, "INSERT INTO t VALUES ('first')")
      Process.sleep(5_500)

      if Target.web_socket?() do
        q(trx, "INSERT INTO t VALUES ('second')")
        assert {:ok, _} = Native.commit(trx)
        assert one(look, "SELECT count(*) FROM t") == 2
      else
        # The server has said no before anything ran: the transaction is where it was.
        for _ <- 1..2 do
          error = err(trx, "INSERT INTO t VALUES ('second')")
          assert %Error{code: :unauthorized, outcome: :none} = error
        end

        assert {:error, %Error{code: :unauthorized, outcome: :none}} = Native.commit(trx)
        assert {:ok, _} = Native.rollback(trx)
        assert %Error{code: :unauthorized} = err(db, "SELECT 1")
        eventually(fn -> one(look, "SELECT count(*) FROM t") == 0 end)
        assert {:ok, _} = insert(look, "third", timeout: 15_000)
        assert all(look, "SELECT m FROM t") == [["third"]]
      end

      assert_no_messages()
    end

    test "a token that stays wrong is :unauthorized, asked again once, and is in no error" do
      key = Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
      secret = Jwt.token(Jwt.new_key())
      proxy = Proxy.start!(to: sqld.port)
      test = self()

      token = fn ->
        send(test, :asked)
        secret
      end

      error = refusal(proxy.url, auth_token: token)
      assert %Error{code: :unauthorized, outcome: :none} = error
      assert_received :asked
      assert_received :asked
      refute_received :asked
      # A WebSocket begins with two of them.
      assert Proxy.counts(proxy).exchanges <= if(Target.web_socket?(), do: 6, else: 2)
      refute inspect(error, structs: false) =~ secret

      db = dial(Sqld.start!().url, auth_token: secret)
      refute inspect(db, structs: false) =~ secret
    end

    test "a read-only one reads, and says so of a write" do
      key = Jwt.new_key()
      sqld = Sqld.start!(auth_jwt_key: Jwt.public_key(key))
      db = dial(sqld.url, auth_token: Jwt.token(key, a: "ro"))
      assert one(db, "SELECT 1") == 1
      error = err(db, "CREATE TABLE x(a)")
      # Of a WebSocket the server closes the whole for it, and says no word.
      if Target.web_socket?(),
        do: assert(%Error{code: :connection_lost, outcome: :unknown} = error),
        else: assert(%Error{code: :unauthorized, outcome: :none} = error)

      assert_soon_usable(db)
    end
  end

  describe "TLS" do
    test "with an authority of one's own" do
      {sqld, _} = server()
      front = TlsFront.start!(to: sqld.port)
      db = dial(front.url, tls: [ca_file: front.ca_file])
      assert {:ok, _} = insert(db, "x")
      for _ <- 1..5, do: assert(one(db, "SELECT count(*) FROM t") == 1)
      # Connections are kept.
      assert TlsFront.counts(front).connections == 1

      for opts <- [[], [tls: [ca_file: TlsFront.start!(to: sqld.port).ca_file]]] do
        assert %Error{code: :tls, outcome: :none} = refusal(front.url, opts)
      end

      assert one(dial(front.url, tls: [verify: false]), "SELECT 1") == 1
    end

    test "another's name, an old certificate, a client without one, no TLS at all" do
      {sqld, _} = server()

      for opts <- [[names: ["other.example"]], [expired: true]] do
        front = TlsFront.start!([to: sqld.port] ++ opts)
        error = refusal(front.url, tls: [ca_file: front.ca_file])
        assert %Error{code: :tls, outcome: :none} = error
      end

      front = TlsFront.start!(to: sqld.port, client_cert: true)
      own = [cert_file: front.client_cert, key_file: front.client_key]
      assert one(dial(front.url, tls: [ca_file: front.ca_file] ++ own), "SELECT 1") == 1
      # None, and one that another authority has signed.
      other = TlsFront.start!(to: sqld.port)
      strange = [cert_file: other.client_cert, key_file: other.client_key]

      for shown <- [[], strange] do
        error = refusal(front.url, tls: [ca_file: front.ca_file] ++ shown, retry_time: 0)
        assert error.code in [:tls, :connection_lost]
      end

      plain = String.replace(sqld.url, "http:", "https:")
      assert %Error{outcome: :none} = error = refusal(plain, retry_time: 0)
      assert error.code in [:tls, :unreachable, :connection_lost]

      silent = TlsFront.start!(to: sqld.port, silent: true)
      opts = [tls: [ca_file: front.ca_file], connect_timeout: 500, retry_time: 0]
      {ms, error} = timed(fn -> refusal(silent.url, opts) end)
      assert %Error{code: :timeout, outcome: :none} = error
      assert ms <= 500 + slack()
      assert_no_messages()
    end
  end

  test "namespaces are databases of their own" do
    sqld = Sqld.start!(namespaces: true)
    for name <- ["one", "two"], do: Sqld.create_namespace!(sqld, name)
    [a, b] = for name <- ["one", "two"], do: dial(sqld.url, namespace: name)
    q(a, "CREATE TABLE t(m)")
    q(a, "INSERT INTO t VALUES (1)")
    assert %Error{code: :sql} = err(b, "SELECT * FROM t")
    by_address = dial("http://one.localhost:#{sqld.port}")
    assert one(by_address, "SELECT m FROM t") == 1
    assert %Error{code: :namespace_not_found} = refusal(sqld.url, namespace: "three")
  end

  test "an answer that is too large for the server's limit, and the same as a stream" do
    {sqld, _} = server(max_response_size: "100KB")
    db = dial(sqld.url)

    sql =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 50000) SELECT n, 'some text' FROM c"

    assert %Error{code: :response_too_large, outcome: :none} = err(db, sql)
    assert_usable(db)

    {:ok, query, cursor, db} =
      EctoLibSql.handle_declare(%EctoLibSql.Query{statement: sql}, [], [], db)

    assert fetch_all(query, cursor, db, 0) == 50_000

    # Done, though the answer did not fit.
    many = "INSERT INTO t SELECT printf('%0100d', value) FROM generate_series(1, 3000) RETURNING m"
    error = err(db, many)
    assert %Error{code: :response_too_large} = error
    assert error.outcome in [:committed, :unknown]
    assert one(db, "SELECT count(*) FROM t") == 3000
    assert_no_messages()
  end

  @rows String.to_integer(System.get_env("STREAM_ROWS") || "100000")
  @tag timeout: 60_000 + @rows
  test "a long result is streamed in little memory, and may be left early" do
    {sqld, look} = server()
    db = dial(sqld.url)

    sql =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT #{@rows}) SELECT n, 'some text' FROM c"

    opts = [timeout: :infinity]
    query = %EctoLibSql.Query{statement: sql}
    before = memory()
    {:ok, query, cursor, db} = EctoLibSql.handle_declare(query, [], opts, db)
    assert {@rows, most} = stream_all(query, cursor, db, {0, before})
    assert most - before < 64 * 1024 * 1024

    # Nobody reads on: the server's statement ends, and nothing is left of it.
    {:ok, query, cursor, db} = EctoLibSql.handle_declare(query, [], opts, db)
    assert {:cont, %{num_rows: 10}, db} = EctoLibSql.handle_fetch(query, cursor, [max_rows: 10], db)
    EctoLibSql.handle_deallocate(query, cursor, [], db)
    assert_usable(db)
    assert {:ok, ms} = insert(look, "free", timeout: 60_000)
    assert ms < slack()
    assert_no_messages()
  end

  defp stream_all(query, cursor, db, {rows, most}) do
    most = max(most, memory())

    case EctoLibSql.handle_fetch(query, cursor, [max_rows: 5000, timeout: :infinity], db) do
      {:cont, result, db} -> stream_all(query, cursor, db, {rows + result.num_rows, most})
      {:halt, result, _db} -> {rows + result.num_rows, most}
    end
  end

  # This process's and the library's.
  defp memory, do: elem(Process.info(self(), :memory), 1) + EctoLibSql.NIF.memory().bytes

  defp fetch_all(query, cursor, %State{} = db, rows) do
    case EctoLibSql.handle_fetch(query, cursor, [max_rows: 5000], db) do
      {:cont, result, db} ->
        fetch_all(query, cursor, db, rows + result.num_rows)

      {:halt, result, db} ->
        EctoLibSql.handle_deallocate(query, cursor, [], db)
        rows + result.num_rows
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
