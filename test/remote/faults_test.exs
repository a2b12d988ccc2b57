defmodule EctoLibSql.Remote.FaultsTest do
  # A network that fails between the driver and a real server: what is answered is what happened.
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target, :http

  import EctoLibSql.DriverHelpers
  import EctoLibSql.Test.RemoteFaults

  alias EctoLibSql.{Error, Native}
  alias EctoLibSql.Test.{Proxy, Sqld, Target}

  @moduletag :sqld
  @moduletag timeout: 300_000

  setup do
    sqld = Sqld.start!()
    proxy = Proxy.start!(to: sqld.port)
    look = dial(sqld.url)
    q(look, "CREATE TABLE t(m TEXT)")
    {:ok, sqld: sqld, proxy: proxy, look: look, db: dial(proxy.url, retry_time: 500)}
  end

  # How many bytes an INSERT's request and its answer have.
  defp sizes(proxy, db) do
    assert {:ok, _} = insert(db, marker())
    before = Proxy.counts(proxy)
    assert {:ok, _} = insert(db, marker())
    later = Proxy.counts(proxy)
    assert later.exchanges == before.exchanges + 1
    {later.to_server - before.to_server, later.to_client - before.to_client}
  end

  defp write_with(%{proxy: proxy, db: db, look: look}, faults, context \\ nil) do
    mark = marker()
    Proxy.next(proxy, faults, mark)
    {answer, ms} = insert(db, mark, timeout: 2_000)
    assert ms <= 2_000 + slack(), "#{inspect(faults)} took #{ms} ms"
    assert Proxy.waiting(proxy) == 0
    count = assert_true(look, mark, answer, context || faults)
    assert_soon_usable(db)
    {answer, count}
  end

  for how <- [:close, :reset] do
    test "a write cut at every byte of its request (#{how})", %{proxy: proxy, db: db} = context do
      {request, _} = sizes(proxy, db)

      for n <- 0..request do
        {_answer, count} = write_with(context, [{unquote(how), :request, n}])
        # What the server has not got whole it has not done.
        assert n == request or count == 0 or retried?(proxy)
      end

      assert_usable(db)
      assert_no_messages()
    end

    test "a write cut at every byte of its answer (#{how})", %{proxy: proxy, db: db} = context do
      {_, answer} = sizes(proxy, db)

      for n <- 0..(answer + 2) do
        {answer, count} = write_with(context, [{unquote(how), :answer, n}])
        # The server has done it: never said to be undone, never done again.
        assert count == 1
        assert answer == :ok or answer.outcome in [:unknown, :committed]
      end

      assert_usable(db)
      assert_no_messages()
    end
  end

  # The last request was sent again, whole.
  defp retried?(proxy) do
    [last, before | _] = Enum.reverse(Proxy.requests(proxy))
    last == before
  end

  test "a read cut at every byte is sent again", %{proxy: proxy, db: db} do
    assert one(db, "SELECT 'first'") == "first"

    for direction <- [:request, :answer], n <- Enum.to_list(0..200//5) ++ [1, 2, 3] do
      mark = marker()
      Proxy.next(proxy, [{:close, direction, n}], mark)
      assert {direction, n, one(db, "SELECT ?", [mark])} == {direction, n, mark}
      assert Proxy.waiting(proxy) == 0
    end

    assert_no_messages()
  end

  test "silence ends at the time-out, and the connection goes on",
       %{proxy: proxy, db: db} = context do
    for faults <- [
          [:black_hole],
          [{:stall, :request, 0}],
          [{:stall, :request, 100}],
          [{:stall, :answer, 0}],
          [{:stall, :answer, 40}],
          [{:stall, :answer, 100}],
          [{:trickle, :request, 40}],
          [{:trickle, :answer, 40}],
          [{:half_close, :request, 50}]
        ] do
      mark = marker()
      Proxy.next(proxy, faults, mark)
      {answer, ms} = insert(db, mark, timeout: 600)
      assert %Error{} = answer
      assert {faults, answer.code} in [{faults, :timeout}, {faults, :connection_lost}]
      assert ms <= 600 + slack(), "#{inspect(faults)} took #{ms} ms"
      assert_true(context.look, mark, answer, faults)
      assert_soon_usable(db)
      assert_no_messages()
    end
  end

  test "half closed answers are broken, not waited for", context do
    for n <- [0, 1, 30, 200] do
      {answer, 1} = write_with(context, [{:half_close, :answer, n}])
      assert %Error{outcome: :unknown} = answer
    end

    assert_usable(context.db)
  end

  test "latency costs time and nothing else", %{proxy: proxy, db: db, look: look} do
    Proxy.always(proxy, [{:delay, 30}])
    for _ <- 1..5, do: assert({:ok, _} = insert(db, marker()))
    assert one(look, "SELECT count(*) FROM t") == 5
    Proxy.always(proxy, [{:trickle, :answer, 4_000}, {:delay, 5}])
    assert one(db, "SELECT count(*) FROM t") == 5
  end

  @html [{"Content-Type", "text/html"}]

  # {what the server seems to say, the codes that may come of it}
  @answers [
    {"500", Proxy.http(500, ~s({"error":"internal"})),
     [:error, :connection_lost, :overloaded, :internal]},
    {"502 of another", Proxy.http(502, "<h1>Bad Gateway</h1>", @html),
     [:unreachable, :overloaded, :connection_lost, :error]},
    {"503", Proxy.http(503, ""), [:overloaded, :unreachable]},
    {"503, Retry-After", Proxy.http(503, "", [{"Retry-After", "1"}]), [:overloaded, :unreachable]},
    {"504", Proxy.http(504, ""), [:unreachable, :overloaded, :timeout, :connection_lost, :error]},
    {"429", Proxy.http(429, ~s({"error":"Too many concurrent requests"})), [:overloaded]},
    {"401", Proxy.http(401, ~s({"error":"Unauthorized"})), [:unauthorized]},
    {"403", Proxy.http(403, ~s({"error":"forbidden"})),
     [:unauthorized, :auth, :permission, :readonly]},
    {"402", Proxy.http(402, ""), [:quota_exceeded]},
    {"404", Proxy.http(404, ~s({"error":"Namespace `x` doesn't exist"})), [:namespace_not_found]},
    {"404 of another", Proxy.http(404, "<h1>Not Found</h1>", @html),
     [:protocol_unsupported, :namespace_not_found, :connection_lost]},
    {"a page", Proxy.http(200, "<html>welcome to the airport</html>", @html),
     [:protocol_unsupported]},
    {"an empty answer", Proxy.http(200, ""), [:protocol_unsupported]},
    {"JSON of another", Proxy.http(200, ~s({"hello":"world"})), [:protocol_unsupported]},
    {"no results", Proxy.http(200, ~s({"baton":null,"base_url":null,"results":[]})),
     [:protocol_unsupported]},
    {"null results", Proxy.http(200, ~s({"baton":null,"results":null})), [:protocol_unsupported]},
    {"half of it", Proxy.http(200, ~s({"baton":null,"results":[{"type":"ok","resp)),
     [:protocol_unsupported, :connection_lost]},
    {"deep nesting", Proxy.http(200, String.duplicate("[", 100_000)), [:protocol_unsupported]},
    {"a redirect", Proxy.http(307, "", [{"Location", "http://127.0.0.1:1/"}]),
     [:protocol_unsupported, :error, :unreachable]},
    {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", [:connection_lost, :protocol_unsupported]},
    {"bytes", :binary.copy(<<0, 255, 13, 10>>, 500), [:connection_lost, :protocol_unsupported]},
    {"a lying length", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}",
     [:connection_lost, :protocol_unsupported]}
  ]

  # By which a server says that it has done nothing: in place of another answer they would be a lie.
  @refusals ["429", "401", "402", "403", "404", "404 of another", "a redirect"]

  for {name, answer, codes} <- @answers,
      way <- [:reply, :replace],
      way == :reply or name not in @refusals do
    answer = IO.iodata_to_binary(answer)

    @tag http: "an answer of HTTP"
    test "#{name}, #{if way == :reply, do: "and nothing was done", else: "in place of what the server said"}",
         %{proxy: proxy, db: db, look: look} do
      mark = marker()
      answer = unquote(answer)

      fault = if unquote(way) == :reply, do: {:reply, answer, :close}, else: {:replace, answer}
      Proxy.always(proxy, fn request -> if request =~ mark, do: [fault], else: [] end)
      {got, ms} = insert(db, mark, timeout: 3_000)
      assert %Error{} = got
      assert got.code in unquote(codes)
      assert ms <= 3_000 + slack()
      count = assert_true(look, mark, got, unquote(name))
      assert count == if(unquote(way) == :reply, do: 0, else: 1)
      Proxy.heal(proxy)
      assert_soon_usable(db)
      assert_no_messages()
    end
  end

  @tag http: "an answer of HTTP"
  test "an overloaded server is asked again, at its own time", %{proxy: proxy, db: db, look: look} do
    for {status, headers} <- [{429, []}, {503, []}, {503, [{"Retry-After", "1"}]}] do
      mark = marker()
      Proxy.next(proxy, [{:reply, Proxy.http(status, "", headers)}], mark)
      before = Proxy.counts(proxy).exchanges
      db = if headers == [], do: db, else: dial(proxy.url, retry_time: 3_000)

      case insert(db, mark, timeout: 5_000) do
        {:ok, ms} ->
          assert Proxy.counts(proxy).exchanges == before + 2
          if headers != [], do: assert(ms >= 1_000)
          assert_true(look, mark, :ok, status)

        # A 503 may be the word of a proxy that has passed the request on.
        {%Error{code: :overloaded, outcome: :unknown}, _} when status == 503 ->
          :ok
      end
    end
  end

  test "a refused address and a black hole are errors in time, and nothing is left", %{
    proxy: proxy,
    db: db
  } do
    Proxy.refuse(proxy)
    Proxy.drop(proxy)
    # One may still be sent on what is being closed.
    {first, ms} = insert(db, marker(), timeout: 1_500)
    assert {first.code, first.outcome} in [unreachable: :none, connection_lost: :unknown]
    assert ms <= 1_500 + slack()
    {answer, ms} = insert(db, marker(), timeout: 1_500)
    assert %Error{code: :unreachable, outcome: :none} = answer
    assert ms <= 1_500 + slack()
    assert_no_messages()

    Proxy.listen(proxy)
    Proxy.always(proxy, [:black_hole])
    opts = [uri: Target.address(proxy.url), connect_timeout: 500, first_byte_timeout: 500]
    {ms, hole} = timed(fn -> EctoLibSql.connect(opts) end)
    assert ms <= 5_000 + slack()
    # Whether connecting asks the server or not: a statement ends in time.
    with {:ok, hole} <- hole do
      {ms, {:error, error, _}} =
        timed(fn -> EctoLibSql.query(hole, "SELECT 1", [], timeout: 500) end)

      assert error.code == :timeout and ms <= 500 + slack()
      EctoLibSql.close(hole)
    end

    assert_no_messages()
    Proxy.heal(proxy)
    assert_soon_usable(db)
  end

  describe "in a transaction" do
    # Which of its requests is cut: one has the text.
    for {name, text, n} <- [
          {"BEGIN, request", "BEGIN", {:request, 30}},
          {"BEGIN, answer", "BEGIN", {:answer, 30}},
          {"a statement, request", "INSERT", {:request, 60}},
          {"a statement, answer", "INSERT", {:answer, 0}},
          {"a statement, late in the answer", "INSERT", {:answer, 250}},
          {"COMMIT, request", "COMMIT", {:request, 60}},
          {"COMMIT, answer", "COMMIT", {:answer, 0}},
          {"COMMIT, late in the answer", "COMMIT", {:answer, 200}}
        ] do
      test "a cut in #{name} leaves all of it or nothing", %{proxy: proxy, db: db, look: look} do
        mark = marker()
        {direction, n} = unquote(n)
        Proxy.next(proxy, [{:close, direction, n}], unquote(text))

        answer =
          with {:ok, trx} <- Native.begin(db),
               {:ok, _, _, trx} <- EctoLibSql.query(trx, "INSERT INTO t VALUES (?)", [mark]),
               {:ok, _, _, trx} <- EctoLibSql.query(trx, "INSERT INTO t VALUES (?)", [mark]),
               {:ok, _} <- Native.commit(trx) do
            :ok
          else
            {:error, %Error{} = error} -> error
            {:error, %Error{} = error, _} -> error
          end

        Proxy.heal(proxy)
        count = one(look, "SELECT count(*) FROM t WHERE m = ?", [mark])

        case answer do
          :ok -> assert count == 2
          %Error{outcome: :none} -> assert count == 0
          %Error{outcome: :unknown} -> assert unquote(text) == "COMMIT" and count in [0, 2]
        end

        assert_soon_usable(db)
        # Nothing holds the server's lock for long.
        assert {:ok, ms} = insert(look, marker(), timeout: 60_000)
        assert ms < 20_000
        assert_no_messages()
      end
    end
  end

  test "a batch cut in its answer was done once", %{proxy: proxy, db: db, look: look} do
    for n <- [0, 20, 150, 400], run <- [&Native.batch/2, &Native.batch_transactional/2] do
      mark = marker()
      Proxy.next(proxy, [{:close, :answer, n}], mark)
      statements = for _ <- 1..3, do: {"INSERT INTO t VALUES (?)", [mark]}
      answer = run.(db, statements)
      count = one(look, "SELECT count(*) FROM t WHERE m = ?", [mark])
      assert count == 3
      assert_soon_usable(db)
      assert match?({:ok, _}, answer) or match?({:error, %Error{outcome: :unknown}}, answer)
    end

    assert_no_messages()
  end

  test "a cursor that breaks is an error, never a shorter result", %{proxy: proxy, sqld: sqld} do
    sql =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 3000) SELECT n FROM c"

    whole = Enum.to_list(1..3000)

    for n <- [0, 100, 150, 5_000, 50_000, 100_000] do
      db = dial(proxy.url, retry_time: 0)
      Proxy.next(proxy, [{:close, :answer, n}], "RECURSIVE")

      case EctoLibSql.query(db, sql) do
        {:error, %Error{}, _} -> :ok
        {:ok, _, result, _} -> assert List.flatten(result.rows) == whole
      end

      assert_soon_usable(db)
    end

    assert Sqld.os_pid(sqld)
    assert_no_messages()
  end
end
