defmodule EctoLibSql.NIF.HostileTest do
  # Whatever is given to a native function: it answers an error or raises ArgumentError, the VM lives
  # on, and the connection works.
  use EctoLibSql.Case, async: false

  import EctoLibSql.NIFHelp

  alias EctoLibSql.Settled, as: NIF

  # The kind of each argument, after the first: a connection. open/1, json_encode/1 and the functions
  # of a statement or waiter alone come below.
  @on_conn [
    execute: [:trx, :sql, :params, :ms, :flags],
    execute_many: [:trx, :sql, :rows, :ms, :flags],
    batch: [:trx, :items, :ms, :flags],
    batch_sql: [:trx, :sql, :ms, :flags],
    begin: [:kind, :ms, :flags],
    commit: [:trx, :ms, :flags],
    rollback: [:trx],
    savepoint: [:trx, :name],
    release: [:trx, :name],
    rollback_to: [:trx, :name],
    enforce_foreign_keys: [:trx, :bool],
    prepare: [:sql],
    stmt_execute: [:trx, :stmt, :params, :ms, :flags],
    stmt_reset: [:stmt],
    stmt_info: [:stmt],
    cursor_start: [:trx, :stmt, :params],
    cursor_fetch: [:stmt, :count, :ms, :flags],
    reset: [],
    set_busy_timeout: [:ms],
    info: [:any],
    notices: [],
    cacheflush: [],
    checkpoint: [:schema, :mode],
    enable_extensions: [:bool],
    load_extension: [:path, :entry],
    interrupt: [],
    busy_timeout: [],
    kept: [],
    set_token: [:name],
    sync: [:until, :ms, :flags],
    set_aside: [:ms, :flags],
    freeze: [],
    replica_info: [],
    status: [],
    turn_holder: [],
    submit: [:ref, :op, :args, :any, :any],
    submit_in_turn: [:ref, :op, :args, :any],
    cancel: [:any],
    cancel_waiting: [:any],
    notify_idle: [:ref],
    close: [:pid, :ref]
  ]

  @direct [
            :prepare,
            :set_busy_timeout,
            :info,
            :notices,
            :interrupt,
            :busy_timeout,
            :kept,
            :set_token,
            :replica_info
          ] ++
            [
              :status,
              :turn_holder,
              :submit,
              :submit_in_turn,
              :cancel,
              :cancel_waiting,
              :notify_idle,
              :close
            ]

  setup do
    conn = connect(tmp_path())
    {:ok, stmt} = NIF.prepare(conn, "SELECT 1")
    {:ok, foreign} = NIF.prepare(connect(":memory:"), "SELECT 1")
    {:ok, waiter} = NIF.notify_idle(conn, ref = make_ref())
    assert_receive {^ref, :idle}
    closed = connect(":memory:")
    close!(closed)
    %{conn: conn, stmt: stmt, others: %{foreign: foreign, waiter: waiter, closed: closed}}
  end

  test "the table has every function" do
    alone = [
      :open,
      :json_encode,
      :interrupts,
      :stmt_finalize,
      :stmt_interrupt,
      :cancel_idle,
      :core_info,
      :memory,
      :file_info,
      :watch_files
    ]

    # Those of four arguments are the same without what an earlier answer has seen.
    exported = NIF.__info__(:functions) |> Keyword.delete(:load)
    exported = exported -- [submit: 4, submit_in_turn: 4]
    assert Enum.sort(Keyword.keys(@on_conn) ++ alone) == Enum.sort(Keyword.keys(exported))
    for {name, kinds} <- @on_conn, do: assert(exported[name] == length(kinds) + 1)
  end

  defp good(:trx, _), do: nil
  defp good(:sql, _), do: "SELECT 1"
  defp good(:params, _), do: []
  defp good(:ms, _), do: 0
  defp good(:flags, _), do: 0
  defp good(:rows, _), do: [[]]
  defp good(:items, _), do: [{"SELECT 1", []}]
  defp good(:kind, _), do: :deferred
  defp good(:name, _), do: "s"
  defp good(:stmt, context), do: context.stmt
  defp good(:count, _), do: 1
  defp good(:any, _), do: true
  defp good(:schema, _), do: nil
  defp good(:mode, _), do: :passive
  defp good(:bool, _), do: false
  defp good(:path, _), do: "/nowhere/none"
  defp good(:entry, _), do: nil
  defp good(:ref, _), do: make_ref()
  defp good(:op, _), do: :execute
  defp good(:args, context), do: [context.conn, nil, "SELECT 1", [], 0, 0]
  defp good(:pid, _), do: nil
  defp good(:until, _), do: nil

  # Whether the contract allows the term there: any of the function's answers is right then.
  defp allowed?(:trx, term, _), do: term == nil
  defp allowed?(:sql, term, _), do: is_binary(term)
  defp allowed?(:params, term, _), do: term == [] or (proper?(term) and Enum.all?(term, &pair?/1))
  defp allowed?(:ms, term, _), do: is_integer(term) and term in 0..0x7FFFFFFF
  defp allowed?(:flags, term, _), do: is_integer(term) and term in 0..0xFFFFFFFF
  # A long list is not looked into but sent to a thread.
  defp allowed?(:rows, term, _), do: term in [[], [[]]] or (proper?(term) and length(term) > 2000)
  defp allowed?(:items, term, _), do: term == [] or (proper?(term) and length(term) > 2000)
  defp allowed?(:kind, _, _), do: false

  defp allowed?(:name, term, _),
    do: is_binary(term) and term != "" and not String.contains?(term, <<0>>)

  defp allowed?(:stmt, _, _), do: false
  defp allowed?(:count, term, _), do: is_integer(term) and term in 1..0xFFFFFFFF
  defp allowed?(:any, _, _), do: true
  defp allowed?(:schema, term, _), do: is_nil(term) or is_binary(term)
  defp allowed?(:mode, _, _), do: false
  defp allowed?(:bool, term, _), do: is_boolean(term)
  defp allowed?(:path, _, _), do: false
  defp allowed?(:entry, term, _), do: is_nil(term)
  defp allowed?(:ref, term, _), do: is_reference(term)
  defp allowed?(:op, _, _), do: false
  defp allowed?(:args, _, _), do: false
  defp allowed?(:pid, term, _), do: is_nil(term) or is_pid(term)
  defp allowed?(:until, term, _), do: is_nil(term) or term in 0..0x7FFFFFFFFFFFFFFF
  defp allowed?(:conn, term, others), do: term == others.closed

  defp proper?([_ | tail]), do: proper?(tail)
  defp proper?(tail), do: tail == []

  defp pair?({name, _}), do: is_atom(name) or is_binary(name)
  defp pair?(_), do: false

  defp hostile(others) do
    deep = Enum.reduce(1..100_000, [], fn _, inner -> [inner] end)
    tuples = Enum.reduce(1..10_000, {}, fn _, inner -> {inner} end)

    [
      nil,
      true,
      false,
      :undefined,
      :"",
      :"nul\0nul",
      :ключ,
      String.to_atom(String.duplicate("€", 255)),
      0,
      -1,
      1,
      0x7FFFFFFF,
      0x80000000,
      0xFFFFFFFF,
      0x100000000,
      0x7FFFFFFFFFFFFFFF,
      0x8000000000000000,
      -0x8000000000000000,
      -0x8000000000000001,
      0xFFFFFFFFFFFFFFFF,
      Integer.pow(2, 100_000),
      -Integer.pow(2, 100_000),
      0.0,
      -0.0,
      1.5,
      1.7976931348623157e308,
      5.0e-324,
      "",
      "text",
      "a\0b",
      "\0",
      <<255>>,
      <<0xED, 0xA0, 0x80>>,
      <<1::3>>,
      <<0::7, "text"::binary, 1::1>>,
      String.duplicate("x", 1_048_576),
      :binary.copy(<<255>>, 1_048_576),
      [],
      [[]],
      [nil],
      [1, 2, 3],
      [1 | 2],
      ["a" | "b"],
      [{"a", 1} | :b],
      ~c"charlist",
      [{:a, 1}],
      [{1, 1}],
      [{"a", self()}],
      [{<<255>>, 1}],
      Enum.to_list(1..5000),
      deep,
      tuples,
      {},
      {:error},
      {:blob, [1 | 2]},
      {:blob, deep},
      {:text, <<255>>},
      {"SELECT 1", []},
      {"SELECT 1", [1 | 2]},
      List.to_tuple(Enum.to_list(1..10_000)),
      %{},
      %{a: 1},
      %{path: 1},
      Map.new(1..1000, &{&1, &1}),
      self(),
      :c.pid(0, 250, 0),
      make_ref(),
      hd(Port.list()),
      fn -> 1 end,
      &String.length/1,
      others.foreign,
      others.waiter,
      others.closed
    ]
  end

  # The answer, :raised, or a failure of the test.
  defp try_call(name, args) do
    apply(NIF, name, args)
  rescue
    ArgumentError -> :raised
  end

  defp assert_refused(answer, what) do
    case answer do
      :raised -> :ok
      {:error, _} -> code(answer)
      other -> flunk("#{what} was taken: #{inspect(other, limit: 10, printable_limit: 100)}")
    end
  end

  defp assert_known(answer, what) do
    case answer do
      known when known in [:raised, :ok, :in_use, :idle, :sent, :cancelled, nil] -> :ok
      {:ok, _} -> :ok
      {:error, _} -> code(answer)
      {:later, seen, :async} when is_integer(seen) -> :ok
      {:later, seen, {:error, _} = busy} when is_integer(seen) -> assert code(busy) == :busy
      {:transaction, number} when is_integer(number) -> :ok
      ms when is_integer(ms) -> :ok
      notices when is_list(notices) -> :ok
      %{forms: %EctoLibSql.Forms{}} -> :ok
      other -> flunk("#{what} answered #{inspect(other, limit: 10)}")
    end
  end

  defp shown(name, position, term),
    do: "#{name}, argument #{position}: #{inspect(term, limit: 5, printable_limit: 30)}"

  defp assert_works(conn) do
    eventually(fn -> NIF.info(conn, false) != :in_use end)
    if match?({:transaction, _}, NIF.status(conn)), do: assert(NIF.rollback(conn, nil) == :ok)
    assert {:ok, {:select, ["1"], [[1]], 1, _, true}} = NIF.execute(conn, nil, "SELECT 1", [], 0, 1)
  end

  test "of file_info and watch_files", %{others: others} do
    for term <- hostile(others) do
      answer = try_call(:file_info, [term])

      assert answer in [:none, :raised] or match?({:ok, %{}}, answer)

      # A stray pid would be told of files from now on.
      unless is_pid(term) or term == nil,
        do: assert_refused(try_call(:watch_files, [term]), inspect(term))
    end

    assert NIF.file_info("/nowhere/at/all") == :none
    assert_raise ArgumentError, fn -> NIF.file_info("a" <> <<0>>) end
  end

  describe "each argument" do
    for {name, kinds} <- @on_conn do
      test "of #{name}", %{others: others} = context do
        name = Function.identity(unquote(name))
        conn = context.conn

        for {kind, position} <- Enum.with_index([:conn | unquote(kinds)]),
            term <- hostile(others) do
          # What closes needs a connection for each call.
          context = if name == :close, do: %{context | conn: connect(":memory:")}, else: context
          good = for kind <- unquote(kinds), do: good(kind, context)
          args = List.replace_at([context.conn | good], position, term)
          answer = try_call(name, args)

          if allowed?(kind, term, others),
            do: assert_known(answer, shown(name, position, term)),
            else: assert_refused(answer, shown(name, position, term))

          if match?({:transaction, _}, NIF.status(conn)), do: NIF.rollback(conn, nil)
        end

        assert_works(conn)
      end
    end

    test "of the functions of one handle", %{conn: conn, others: others, stmt: stmt} do
      for name <- [:stmt_finalize, :stmt_interrupt, :cancel_idle],
          term <- [conn | hostile(Map.delete(others, :none))],
          not (name == :cancel_idle and term == others.waiter),
          not (name != :cancel_idle and term == others.foreign) do
        assert try_call(name, [term]) == :raised
      end

      for term <- hostile(others),
          term not in [others.foreign, others.closed],
          do: assert(try_call(:interrupts, [term]) == :raised)

      assert_raise ArgumentError, fn -> NIF.cancel_idle(stmt) end
      assert_works(conn)
    end

    test "of calls that are submitted", %{conn: conn, others: others} = context do
      for {name, [_ | _] = kinds} <- @on_conn,
          name not in @direct,
          {kind, position} <- Enum.with_index(kinds, 1),
          term <- hostile(others) do
        args = List.replace_at([conn | for(kind <- kinds, do: good(kind, context))], position, term)
        ref = make_ref()
        assert NIF.submit(conn, ref, name, args) == :ok
        answer = answer(ref)

        if allowed?(kind, term, others) and (kind not in [:rows, :items] or length(term) < 2),
          do: assert_known(answer, shown(name, position, term)),
          else: assert_refused(answer, shown(name, position, term))

        if match?({:transaction, _}, NIF.status(conn)), do: NIF.rollback(conn, nil)
      end

      assert_works(conn)
      assert mailbox() == []
    end

    test "of json_encode", %{others: others} do
      for term <- hostile(others),
          wrapped <- [term, [term], {[{"key", term}]}, {[{term, 1}]}, {term}, {[term]}] do
        case try_call(:json_encode, [wrapped]) do
          {:ok, text} -> assert String.valid?(text)
          error -> assert code(error) == :bad_argument
        end
      end
    end
  end

  describe "parameters" do
    defp storable?(term) do
      case term do
        term when is_integer(term) -> term in -0x8000000000000000..0x7FFFFFFFFFFFFFFF
        term when is_float(term) or is_binary(term) -> true
        term when is_atom(term) -> term in [nil, true, false, :infinity, :neg_infinity, :null]
        {:blob, list} when is_list(list) -> bytes?(list)
        _ -> false
      end
    end

    defp bytes?(list) do
      :erlang.iolist_size(list) >= 0
    rescue
      ArgumentError -> false
    end

    test "that cannot be stored are named by their position", %{conn: conn, others: others, stmt: _} do
      {:ok, stmt} = NIF.prepare(conn, "SELECT ?, ?, ?")

      for term <-
            hostile(others) ++
              [:nan, :NaN, {:blob, :x}, {:blob, [256]}, {:blob, [-1]}, {:text, []}, {:x, 1}] do
        for {params, at} <- [
              {[1, 2, term], 3},
              {[{"1", 1}, {"2", 2}, {"3", term}], 3},
              {[1, term, 2], 2}
            ],
            {name, args} <- [
              execute: [conn, nil, "SELECT ?, ?, ?", params, 0, 0],
              execute: [conn, nil, "SELECT ?, ?, ?", params, 0, 1],
              stmt_execute: [conn, nil, stmt, params, 0, 0],
              cursor_start: [conn, nil, stmt, params],
              execute_many: [conn, nil, "SELECT ?, ?, ?", [params], 0, 0],
              batch: [conn, nil, [{"SELECT ?, ?, ?", params}], 0, 0]
            ] do
          answer = try_call(name, args)

          cond do
            storable?(term) ->
              assert_known(answer, shown(name, at, term))

            true ->
              assert code(answer) == :parameters
              assert elem(elem(answer, 1), 2) =~ "parameter #{at} "
          end
        end
      end

      assert NIF.stmt_reset(conn, stmt) == :ok
      assert_works(conn)
    end

    test "too few and too many", %{conn: conn, stmt: stmt} do
      run = fn sql, params -> NIF.execute(conn, nil, sql, params, 0, 0) end
      assert code(run.("SELECT 1", [1])) == :parameters
      assert code(run.("SELECT ?", [])) == :parameters
      assert code(run.("SELECT ?, ?", [1])) == :parameters
      assert code(run.("SELECT ?", Enum.to_list(1..100_000))) == :parameters
      assert code(run.("SELECT ?5", [1])) == :parameters
      assert code(run.("SELECT ?40000", [1])) == :sql
      assert code(run.("SELECT :a", [{"b", 1}])) == :parameters
      assert code(run.("SELECT :a", [{"a", 1}, 2])) == :parameters
      assert code(run.("SELECT :a", [{"a", 1}, {2, 2}])) == :parameters
      assert code(run.("SELECT 1", List.duplicate(1, 1_000_001))) == :parameters
      assert code(NIF.stmt_execute(conn, nil, stmt, [1], 0, 0)) == :parameters
      assert code(NIF.cursor_start(conn, nil, stmt, [1])) == :parameters

      many = 32_766
      marks = Enum.map_join(1..many, ", ", fn _ -> "?" end)

      sql = "SELECT 0 IN (#{marks}) - 1"
      assert rows!(conn, sql, Enum.to_list(0..(many - 1))) == [[0]]
      assert code(run.("SELECT 0 IN (#{marks}, ?, ?)", Enum.to_list(0..many))) in [:sql, :too_big]
      assert_works(conn)
    end

    test "of a size that the engine refuses" do
      conn = connect(tmp_path(), max_length: 100_000)
      big = String.duplicate("x", 100_001)
      assert code(NIF.execute(conn, nil, "SELECT ?", [big], 0, 0)) == :too_big
      assert code(NIF.execute(conn, nil, "SELECT ?", [{:blob, big}], 0, 0)) == :too_big
      assert code(NIF.execute(conn, nil, "SELECT ? || ?", [big, ""], 0, 0)) == :too_big
      zeros = [conn, nil, "SELECT zeroblob(100001)", []]
      assert code(EctoLibSql.Call.timed(:execute, zeros, :infinity)) == :too_big
      assert code(NIF.execute(conn, nil, "SELECT '#{big}'", [], 0, 0)) in [:too_big, :sql]
      assert_works(conn)
    end
  end

  describe "SQL" do
    defp sql_calls(conn, sql) do
      [
        execute: NIF.execute(conn, nil, sql, [], 0, 0),
        fast: NIF.execute(conn, nil, sql, [], 0, 1),
        prepare: NIF.prepare(conn, sql),
        many: NIF.execute_many(conn, nil, sql, [[]], 0, 0),
        batch: NIF.batch(conn, nil, [{sql, []}], 0, 0),
        batch_sql: NIF.batch_sql(conn, nil, sql, 0, 0)
      ]
    end

    test "with NUL or what is not UTF-8", %{conn: conn} do
      for sql <- [
            "SELECT 1\0",
            "\0",
            "SELECT '\0'",
            <<255>>,
            <<"SELECT '", 0xC3, "'">>,
            <<"SELECT 1 --", 0xED, 0xA0, 0x80>>
          ],
          {name, answer} <- sql_calls(conn, sql) do
        assert {name, sql, code(answer)} == {name, sql, :bad_argument}
      end

      assert_works(conn)
    end

    test "with nothing to run", %{conn: conn} do
      for sql <- ["", " ", "\n\t", "-- comment", "/* comment */", "/* open", ";", ";;;", " ; -- x"] do
        answers = sql_calls(conn, sql)
        assert {sql, code(answers[:prepare])} == {sql, :bad_argument}
        assert {:ok, {:other, nil, nil, 0, _, true}} = answers[:execute]
        assert answers[:fast] == answers[:execute]
        assert answers[:batch_sql] == {:ok, []}
        assert {:ok, [{:other, nil, nil, 0, _, true}]} = answers[:batch]
        assert_known(answers[:many], sql)
      end

      assert_works(conn)
    end

    test "of several statements", %{conn: conn} do
      for sql <- [
            "SELECT 1; SELECT 2",
            "SELECT 1;;; SELECT 2;",
            "SELECT 1; nonsense",
            "SELECT 1; -- x\n SELECT 2"
          ] do
        answers = sql_calls(conn, sql)

        for name <- [:execute, :fast, :many, :batch],
            do: assert({name, code(answers[name])} == {name, :sql})

        assert code(answers[:prepare]) in [:bad_argument, :sql]
      end

      assert {:ok, [_, _]} = NIF.batch_sql(conn, nil, "SELECT 1;;; SELECT 2;", 0, 0)
      assert_works(conn)
    end

    test "that is deep or long", %{conn: conn} do
      deep = fn depth ->
        "SELECT " <> String.duplicate("(", depth) <> "1" <> String.duplicate(")", depth)
      end

      for sql <- [
            deep.(500),
            deep.(100_000),
            "SELECT " <> String.duplicate("-", 999) <> "1",
            "SELECT " <> Enum.map_join(1..5000, ",", & &1),
            "SELECT 1" <> String.duplicate(" UNION ALL SELECT 1", 5000),
            "SELECT 1 WHERE 1" <> String.duplicate(" AND 1", 50_000),
            "SELECT '" <> String.duplicate("x", 2_000_000) <> "'",
            String.duplicate("x", 5_000_000)
          ],
          {name, answer} <- sql_calls(conn, sql) do
        assert_known(answer, "#{name} of #{byte_size(sql)} bytes")
      end

      assert code(
               NIF.execute(conn, nil, "SELECT " <> String.duplicate("NOT ", 5000) <> "1", [], 0, 0)
             ) == :sql

      assert_works(conn)
    end

    test "in binaries that do not begin at a byte", %{conn: conn} do
      <<_::3, sql::binary-size(21), _::bitstring>> = <<5::3, "SELECT ? AS a, ?2 AS b", 1::5>>
      assert byte_size(sql) == 21

      <<_::1, param::binary-size(100), _::bitstring>> =
        <<0::1, String.duplicate("p", 100)::binary, 1::7>>

      sql = sql <> "b"
      <<_::1, sql::binary-size(22), _::bitstring>> = <<0::1, sql::binary, 0::7>>
      expected = {:ok, {:select, ["a", "b"], [[param, <<255>>]], 1, 0, true}}
      args = [conn, nil, sql, [param, {:blob, [<<255>>]}], 0, 0]
      assert apply(NIF, :execute, args) == expected
      ref = make_ref()
      assert NIF.submit(conn, ref, :execute, args) == :ok
      assert answer(ref) == expected
    end
  end

  describe "open" do
    test "each field", %{others: others} do
      path = tmp_path()
      config = config(database: path)

      for term <- hostile(others), key <- Map.keys(config) do
        # A text is a path, here under the test's own folder.
        term = if key == :path and is_binary(term), do: path <> term, else: term
        answer = try_call(:open, [Map.put(%{config | path: path}, key, term)])

        case answer do
          {:ok, conn} -> assert close!(conn) == :ok
          error -> assert_refused(error, shown(:open, key, term))
        end
      end

      for term <- hostile(others),
          do: assert_refused(try_call(:open, [term]), shown(:open, 0, term))

      for term <- hostile(others),
          settings <- [[term], [{term, "1"}], [{"cache_size", term}], [{"cache_size", "1"}, term]] do
        case try_call(:open, [%{config | settings: settings}]) do
          {:ok, conn} -> assert is_binary(term) and close!(conn) == :ok
          error -> assert_refused(error, shown(:open, :settings, term))
        end
      end
    end

    test "settings cannot smuggle SQL", %{conn: conn} do
      execute!(conn, "CREATE TABLE t(a)")
      [[_, _, path]] = rows!(conn, "PRAGMA database_list")
      config = config(database: path)

      for setting <- [
            {"cache_size = 1; DROP TABLE t; --", "1"},
            {"cache_size", "1; DROP TABLE t"},
            {"cache_size", "1'; DROP TABLE t; --"},
            {"cache_size(1); DROP TABLE t; --", "1"}
          ] do
        case NIF.open(%{config | settings: [setting]}) do
          {:ok, other} -> close!(other)
          error -> code(error)
        end

        assert rows!(conn, "SELECT count(*) FROM t") == [[0]]
      end
    end
  end

  test "extensions, where they are allowed", %{conn: conn, others: others} do
    assert NIF.enable_extensions(conn, true) == :ok

    for term <- hostile(others) do
      assert_refused(try_call(:load_extension, [conn, term, nil]), shown(:load_extension, 1, term))

      assert_refused(
        try_call(:load_extension, [conn, "/nowhere", term]),
        shown(:load_extension, 2, term)
      )
    end

    assert_works(conn)
  end

  test "anything anywhere", %{conn: conn, others: others} = context do
    # ExUnit has seeded :rand with the seed that it prints.
    terms = List.to_tuple(hostile(others))
    calls = Enum.reject(@on_conn, fn {name, _} -> name in [:close] end)

    for _ <- 1..4000 do
      {name, kinds} = Enum.random(calls)

      args =
        for kind <- kinds,
            do: if(:rand.uniform(3) == 1, do: term(terms, 3), else: good(kind, context))

      assert_known(try_call(name, [conn | args]), Atom.to_string(name))
      if match?({:transaction, _}, NIF.status(conn)), do: NIF.rollback(conn, nil)
    end

    eventually(fn -> NIF.info(conn, false) != :in_use end)
    assert NIF.enable_extensions(conn, false) == :ok
    assert_works(conn)
  end

  # A hostile term, or a list, tuple or map of such.
  defp term(terms, depth) do
    inner = fn -> for _ <- 1..:rand.uniform(3), do: term(terms, depth - 1) end

    case if(depth == 0, do: 0, else: :rand.uniform(8)) do
      1 -> inner.()
      2 -> List.to_tuple(inner.())
      3 -> {Enum.random([:blob, :text, "a", :a]), term(terms, depth - 1)}
      4 -> inner.() ++ term(terms, depth - 1)
      _ -> elem(terms, :rand.uniform(tuple_size(terms)) - 1)
    end
  end
end
