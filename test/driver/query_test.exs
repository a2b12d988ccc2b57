defmodule EctoLibSql.Driver.QueryTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Query, Result}

  setup do: {:ok, db: open()}

  describe "values" do
    for {name, given, got, type} <- [
          {"nil", nil, nil, "null"},
          {":null", :null, nil, "null"},
          {"an integer", 42, 42, "integer"},
          {"the largest integer", 9_223_372_036_854_775_807, 9_223_372_036_854_775_807, "integer"},
          {"the smallest integer", -9_223_372_036_854_775_808, -9_223_372_036_854_775_808,
           "integer"},
          {"a float", 1.5, 1.5, "real"},
          {"a float that is whole", 2.0, 2.0, "real"},
          {"the largest float", 1.7976931348623157e308, 1.7976931348623157e308, "real"},
          {"the smallest float", 5.0e-324, 5.0e-324, "real"},
          {":infinity", :infinity, :infinity, "real"},
          {":neg_infinity", :neg_infinity, :neg_infinity, "real"},
          {"true", true, 1, "integer"},
          {"false", false, 0, "integer"},
          {"text", "grün 𝄞", "grün 𝄞", "text"},
          {"the empty text", "", "", "text"},
          {"text with a NUL", "a\0b", "a\0b", "text"},
          {"bytes that are no text", <<0, 255, 1>>, <<0, 255, 1>>, "blob"},
          {"a blob that is text", {:blob, "text"}, "text", "blob"},
          {"an empty blob", {:blob, ""}, "", "blob"},
          {"a blob of bytes", {:blob, [1, 2, 255]}, <<1, 2, 255>>, "blob"},
          {"a blob of iodata", {:blob, [1, "ab", [[2]]]}, <<1, "ab", 2>>, "blob"},
          {"a list of bytes", [1, 2, 255], <<1, 2, 255>>, "blob"},
          {"a text that says so", {:text, "x"}, "x", "text"},
          {"a date", ~D[2024-02-29], "2024-02-29", "text"},
          {"a time", ~T[23:59:59.123], "23:59:59.123", "text"},
          {"a naive date-time", ~N[2024-02-29 12:00:00], "2024-02-29T12:00:00", "text"},
          {"a naive date-time with µs", ~N[2024-02-29 12:00:00.000001],
           "2024-02-29T12:00:00.000001", "text"},
          {"a UTC date-time", ~U[2024-02-29 12:00:00Z], "2024-02-29T12:00:00Z", "text"},
          {"a UTC date-time with µs", ~U[2024-02-29 12:00:00.123456Z],
           "2024-02-29T12:00:00.123456Z", "text"},
          {"a map", %{"a" => [1, nil, true, %{b: 1.5}]}, ~s({"a":[1,null,true,{"b":1.5}]}), "text"},
          {"an empty map", %{}, "{}", "text"}
        ] do
      if given in [:infinity, :neg_infinity], do: @tag(local: "JSON has no infinite numbers")

      test name <> ", in and out", %{db: db} do
        given = unquote(Macro.escape(given))
        got = unquote(Macro.escape(got))

        assert all(db, "SELECT ?1, typeof(?1)", [given]) == [[got, unquote(type)]]
        q(db, "CREATE TABLE t(a)")
        assert %Result{num_rows: 1} = q(db, "INSERT INTO t VALUES (:a)", a: given)
        assert all(db, "SELECT a, typeof(a) FROM t") == [[got, unquote(type)]]
        # The same from the statement cache and from the fast path.
        for _ <- 1..10, do: assert(all(db, "SELECT a FROM t") == [[got]])
      end
    end

    test "-0.0 keeps its sign", %{db: db} do
      # Compilers before OTP 27 take the two literals for one.
      for bits <- [<<0::64>>, <<1::1, 0::63>>] do
        <<zero::float>> = bits
        assert <<one(db, "SELECT ?", [zero])::float>> == bits
      end
    end

    @tag local: "a server sends infinity as null"
    test "NaN is NULL, as the engine has it", %{db: db} do
      assert one(db, "SELECT 9e999 - 9e999") == nil
      assert one(db, "SELECT 9e999") == :infinity
    end

    test "a long text and a long blob", %{db: db} do
      text = String.duplicate("ä", 1_000_000)
      blob = :binary.copy(<<255, 0>>, 1_000_000)
      assert all(db, "SELECT ?, ?", [text, blob]) == [[text, blob]]
    end

    test "that cannot be stored name their position and leave the connection alone", %{db: db} do
      for {value, word} <- [
            {9_223_372_036_854_775_808, "64 bits"},
            {-9_223_372_036_854_775_809, "64 bits"},
            {:atom, "atom"},
            {{1, 2}, "{1,2}"},
            {{:blob, :x}, "blob"},
            {{:blob, [256]}, "blob"},
            {{:text, <<255>>}, "text"},
            {[1, 256], "256"},
            {self(), "<"},
            {make_ref(), "#Ref"},
            {fn -> 1 end, "#Fun"},
            {1..2, "Range"}
          ] do
        assert %Error{code: :parameters, message: message} = err(db, "SELECT ?, ?", [1, value])
        assert message =~ "parameter 2"
        assert message =~ word
      end

      assert_usable(db)
    end

    test "a Decimal is text, by its library", %{db: db} do
      decimal = %{__struct__: Decimal, sign: 1, coef: 15, exp: -1}

      if Code.ensure_loaded?(Decimal) do
        assert one(db, "SELECT ?", [decimal]) == "1.5"
      else
        # Whoever has a Decimal has its library; a struct of that name without one is a caller's bug.
        assert_raise UndefinedFunctionError, fn -> EctoLibSql.query(db, "SELECT ?", [decimal]) end
      end

      assert_usable(db)
    end

    test "a map that JSON cannot hold raises ArgumentError", %{db: db} do
      for map <- [%{a: {1, 2}}, %{a: self()}, %{a: <<255>>}, %{a: 1..2}] do
        assert_raise ArgumentError, ~r/JSON/, fn -> EctoLibSql.query(db, "SELECT ?", [map]) end
      end

      assert_usable(db)
    end
  end

  describe "named parameters" do
    for prefix <- [":", "@", "$"] do
      test "with #{prefix}, from a keyword list, maps and pairs", %{db: db} do
        sql = "SELECT #{unquote(prefix)}name AS a, #{unquote(prefix)}b"

        for params <- [
              [name: 1, b: 2],
              [b: 2, name: 1],
              %{name: 1, b: 2},
              %{"name" => 1, "b" => 2},
              %{:name => 1, "b" => 2},
              %{(unquote(prefix) <> "name") => 1, (unquote(prefix) <> "b") => 2},
              [{"name", 1}, {"b", 2}]
            ] do
          assert all(db, sql, params) == [[1, 2]]
        end
      end
    end

    test "used twice are given once", %{db: db} do
      assert all(db, "SELECT :a, :a, :b", b: 2, a: 1) == [[1, 1, 2]]
    end

    test "that the statement does not have are passed over", %{db: db} do
      assert all(db, "SELECT :a", a: 1, b: 2) == [[1]]
      assert all(db, "SELECT :a", %{"a" => 1, "z" => %{}}) == [[1]]
      assert all(db, "SELECT 1", a: 1) == [[1]]
    end

    test "that are missing are named", %{db: db} do
      assert %Error{code: :parameters, message: message} = err(db, "SELECT :a, :bcd", a: 1)
      assert message =~ ":bcd"
      assert %Error{code: :parameters, message: message} = err(db, "SELECT @who", %{})
      assert message =~ "@who" or message =~ "1"
      # Case matters.
      assert %Error{code: :parameters} = err(db, "SELECT :Name", name: 1)
    end

    test "are values like any others", %{db: db} do
      assert all(db, "SELECT :d, :m, :x, typeof(:x)",
               d: ~D[2024-01-01],
               m: %{a: 1},
               x: {:blob, "b"}
             ) == [["2024-01-01", ~s({"a":1}), "b", "blob"]]

      assert all(db, "SELECT :d", [{"d", ~D[2024-01-01]}]) == [["2024-01-01"]]
    end

    test "may be called text and blob", %{db: db} do
      sql = "SELECT :text, :blob, :id"
      assert all(db, sql, %{text: "t", blob: "b", id: 1}) == [["t", "b", 1]]
      assert all(db, sql, %{"text" => "t", "blob" => "b", "id" => 1}) == [["t", "b", 1]]
      assert all(db, sql, text: "t", blob: "b", id: 1) == [["t", "b", 1]]
      assert all(db, sql, blob: "b", id: 1, text: "t") == [["t", "b", 1]]
      assert all(db, "SELECT :blob, :text", %{text: "t", blob: "b"}) == [["b", "t"]]
      assert all(db, "SELECT :text", %{text: 5}) == [[5]]
    end

    test "have names of any letters", %{db: db} do
      assert all(db, "SELECT :größe, :名", größe: 1, 名: 2) == [[1, 2]]
      assert all(db, "SELECT :größe, :名", %{"größe" => 1, "名" => 2}) == [[1, 2]]
    end

    test "are found in strings and comments by nobody", %{db: db} do
      assert all(db, "SELECT ':no', :a /* :no */ -- :no\n", a: 1) == [[":no", 1]]
    end

    test "mixed with others in one list", %{db: db} do
      assert %Error{code: :parameters} = err(db, "SELECT ?, ?", [1, {:a, 2}])
      assert_raise ArgumentError, fn -> EctoLibSql.query(db, "SELECT ?, ?", [{:a, 2}, 1]) end
    end

    test "for a bare ? are missing", %{db: db} do
      assert %Error{code: :parameters} = err(db, "SELECT ?", a: 1)
    end
  end

  describe "parameters by position" do
    test "are as many as the statement has", %{db: db} do
      for {sql, params} <- [
            {"SELECT ?", []},
            {"SELECT ?", [1, 2]},
            {"SELECT 1", [1]},
            {"SELECT ?3", [1]}
          ] do
        assert %Error{code: :parameters} = err(db, sql, params)
      end

      assert all(db, "SELECT ?2, ?1", [1, 2]) == [[2, 1]]
      assert all(db, "SELECT :b, :a", [1, 2]) == [[1, 2]]
      assert all(db, "SELECT ?3", [1, 2, 3]) == [[3]]
    end

    @tag local: "the server's engine has limits of its own"
    test "up to the engine's limit", %{db: db} do
      list = Enum.to_list(1..5000)

      sql =
        ("SELECT " <> Enum.map_join(list, " + ", fn _ -> "?" end)) |> String.replace(" + ", ", ")

      sql =
        "SELECT count(*) FROM (VALUES " <>
          Enum.map_join(list, ", ", fn _ -> "(?)" end) <>
          ")" <>
          String.slice(sql, 0, 0)

      assert one(db, sql, list) == 5000
    end

    test "of another kind raise", %{db: db} do
      for params <- [5, "x", :a, {1}, ~D[2024-01-01]] do
        assert_raise ArgumentError, fn -> EctoLibSql.query(db, "SELECT ?", params) end
      end
    end
  end

  describe "results" do
    test "of nothing keep their columns", %{db: db} do
      q(db, "CREATE TABLE t(a, b)")

      assert %Result{command: :select, columns: ["a", "x"], rows: [], num_rows: 0} =
               q(db, "SELECT a, b AS x FROM t")

      assert %Result{command: :update, columns: ["a"], rows: [], num_rows: 0} =
               q(db, "UPDATE t SET b = 1 RETURNING a")
    end

    test "count rows returned or changed", %{db: db} do
      q(db, "CREATE TABLE t(a)")

      assert %Result{num_rows: 3, rows: nil, columns: nil} =
               q(db, "INSERT INTO t VALUES (1), (2), (3)")

      assert %Result{num_rows: 3, rows: [[1], [2], [3]]} = q(db, "SELECT a FROM t")
      assert %Result{num_rows: 2, rows: nil} = q(db, "UPDATE t SET a = 0 WHERE a > 1")
      assert %Result{num_rows: 0} = q(db, "DELETE FROM t WHERE a = 9")
      assert %Result{num_rows: 2, rows: [[0], [0]]} = q(db, "DELETE FROM t WHERE a = 0 RETURNING a")
      assert %Result{num_rows: 0, rows: nil} = q(db, "CREATE TABLE u(a)")
    end

    test "may have the same column twice, and none of a name", %{db: db} do
      assert %Result{columns: ["a", "a", "1 + 1"], rows: [[1, 2, 2]]} =
               q(db, "SELECT 1 AS a, 2 AS a, 1 + 1")
    end

    test "of many rows are all there and in order", %{db: db} do
      sql =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 50000) SELECT n, 'x' || n FROM c"

      result = q(db, sql)
      assert result.num_rows == 50_000
      assert result.rows == for(n <- 1..50_000, do: [n, "x#{n}"])
    end

    test "of many columns", %{db: db} do
      sql = "SELECT " <> Enum.map_join(1..1500, ", ", &"#{&1} AS c#{&1}")
      assert %Result{columns: columns, rows: [row]} = q(db, sql)
      assert row == Enum.to_list(1..1500)
      assert List.last(columns) == "c1500"
    end
  end

  describe "command" do
    @statements [
      {"SELECT 1", :select},
      {" \n-- a comment\n/* b */ select 1", :select},
      {"WITH x AS (SELECT 1) SELECT * FROM x", :select},
      {"VALUES (1)", :select},
      {"INSERT INTO t VALUES (1)", :insert},
      {"REPLACE INTO t VALUES (1)", :insert},
      {"INSERT INTO t VALUES (1) RETURNING a", :insert},
      {"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", :insert},
      {"UPDATE t SET a = 2", :update},
      {"WITH x AS (SELECT 1) UPDATE t SET a = 2 RETURNING a", :update},
      {"DELETE FROM t", :delete},
      {"WITH x AS (SELECT 1) DELETE FROM t", :delete},
      {"CREATE TABLE IF NOT EXISTS u(a)", :create},
      {"ALTER TABLE u ADD COLUMN b", :create},
      {"DROP TABLE u", :create},
      {"PRAGMA user_version", :pragma},
      {"PRAGMA user_version = 5", :pragma},
      {"BEGIN", :begin},
      {"COMMIT", :commit},
      {"BEGIN IMMEDIATE", :begin},
      {"ROLLBACK", :rollback},
      {"BEGIN", :begin},
      {"END", :commit},
      {"EXPLAIN SELECT 1", :select},
      {"ANALYZE", :other}
    ]

    @tag local: "a server has no ANALYZE"
    test "is told on every path", %{db: db} do
      q(db, "CREATE TABLE t(a)")

      Enum.reduce(@statements, db, fn {sql, command}, db ->
        assert {:ok, _, %Result{command: got}, db} = EctoLibSql.query(db, sql)
        assert {sql, got} == {sql, command}
        db
      end)

      Enum.reduce(@statements, db, fn {sql, command}, db ->
        assert {:ok, _, %Result{command: got}, db} = EctoLibSql.handle_execute(sql, [], [], db)
        assert {sql, got} == {sql, command}
        db
      end)

      for {sql, command} <- @statements, command in [:select, :insert, :update, :delete] do
        assert {:ok, stmt} = EctoLibSql.Native.prepare(db, sql)
        assert {:ok, _, %Result{command: ^command}, _} = EctoLibSql.query(db, stmt)
        assert {:ok, %Result{command: ^command}} = EctoLibSql.execute_many(db, sql, [[]])
      end
    end
  end

  describe "statements may be" do
    test "iodata, a Query, or prepared", %{db: db} do
      iodata = ["SEL", [?E, "CT"], " ", "1"]

      assert {:ok, %Query{statement: "SELECT 1"}, %Result{rows: [[1]]}, _} =
               EctoLibSql.query(db, iodata)

      query = %Query{statement: iodata, name: "n"}
      assert {:ok, ^query, %Result{rows: [[1]]}, _} = EctoLibSql.query(db, query)
      assert to_string(query) == "SELECT 1"

      {:ok, stmt} = EctoLibSql.Native.prepare(db, iodata)
      assert {:ok, %Query{prepared: ^stmt}, %Result{rows: [[1]]}, _} = EctoLibSql.query(db, stmt)

      assert {:ok, [1]} = EctoLibSql.query_one(db, iodata)
      assert {:ok, _} = EctoLibSql.run(db, iodata)
      assert {:ok, %Result{rows: [[1]]}} = EctoLibSql.execute_many(db, iodata, [[]])
      assert {:ok, [%Result{rows: [[1]]}]} = EctoLibSql.Native.batch(db, [{iodata, []}])
      assert {:ok, [%{"rows" => [[1]]}]} = EctoLibSql.Native.execute_batch_sql(db, iodata)

      assert {:ok, %Query{statement: "SELECT 1"}, %Result{}, _} =
               EctoLibSql.handle_execute(iodata, [], [], db)
    end

    test "one at a time", %{db: db} do
      assert [[1]] = all(db, "SELECT 1; ; -- that is all\n")
      assert %Error{code: :sql, message: message} = err(db, "SELECT 1; SELECT 2")
      assert message =~ "one statement" or message =~ "more than one"
      q(db, "CREATE TABLE t(a)")
      assert %Error{} = err(db, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
      assert one(db, "SELECT count(*) FROM t") == 0
    end

    test "empty, which does nothing", %{db: db} do
      for sql <- ["", "  ", "-- nothing", "/* nothing */", ";"] do
        assert q(db, sql) == %Result{command: :other, columns: nil, rows: nil, num_rows: 0}
        assert {:error, %Error{code: :no_row}} = EctoLibSql.query_one(db, sql)
      end
    end

    test "neither with a NUL nor something else than UTF-8", %{db: db} do
      for sql <- ["SELECT 1\0", "\0", "SELECT '\xFF'", <<255>>] do
        assert %Error{code: :bad_argument} = err(db, sql)
        assert {:error, %Error{code: :bad_argument}} = EctoLibSql.Native.prepare(db, sql)
        assert {:error, %Error{code: :bad_argument}} = EctoLibSql.execute_many(db, sql, [[]])
        assert {:error, %Error{code: :bad_argument}} = EctoLibSql.Native.execute_batch_sql(db, sql)
      end

      assert_usable(db)
    end
  end

  describe "query_one" do
    setup %{db: db} do
      q(db, "CREATE TABLE t(a)")
      q(db, "INSERT INTO t VALUES (1), (2), (3)")
      :ok
    end

    test "answers the row", %{db: db} do
      assert {:ok, [2, "x"]} = EctoLibSql.query_one(db, "SELECT a, 'x' FROM t WHERE a = :a", a: 2)
      {:ok, stmt} = EctoLibSql.Native.prepare(db, "SELECT a FROM t WHERE a = ?")
      assert {:ok, [3]} = EctoLibSql.query_one(db, stmt, [3])
    end

    @tag local: "a server cannot undo what has written more rows than one"
    test "no row, many rows", %{db: db} do
      {:ok, stmt} = EctoLibSql.Native.prepare(db, "SELECT a FROM t WHERE a > ?")

      for sql <- ["SELECT a FROM t WHERE a > ?", stmt], _ <- 1..5 do
        assert {:error, %Error{code: :no_row}} = EctoLibSql.query_one(db, sql, [3])
        assert {:error, %Error{code: :many_rows}} = EctoLibSql.query_one(db, sql, [1])
        assert {:ok, [3]} = EctoLibSql.query_one(db, sql, [2])
      end

      assert {:error, %Error{code: :sql}} = EctoLibSql.query_one(db, "SELECT nothing")
      assert {:error, %Error{code: :no_row}} = EctoLibSql.query_one(db, "UPDATE t SET a = a")
    end

    @tag local: "a server sends all rows of a statement, or none"
    test "stops at the second row of what would never end", %{db: db} do
      sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"
      assert {:error, %Error{code: :many_rows}} = EctoLibSql.query_one(db, sql, [], timeout: 5000)
    end

    @tag local: "a server cannot undo what has written more rows than one"
    test "that fails has changed nothing", %{db: db} do
      before = all(db, "SELECT * FROM t")
      two = "INSERT INTO t VALUES (8), (9) RETURNING a"
      assert {:error, %Error{code: :many_rows, outcome: :none}} = EctoLibSql.query_one(db, two)

      assert {:error, %Error{code: :many_rows}} =
               EctoLibSql.query_one(db, "DELETE FROM t RETURNING a")

      assert {:error, %Error{code: :no_row}} = EctoLibSql.query_one(db, "DELETE FROM t")
      assert all(db, "SELECT * FROM t") == before
      assert EctoLibSql.Native.get_is_autocommit(db)

      # Inside a transaction, whose own changes stay.
      {:ok, trx} = EctoLibSql.Native.begin(db)
      q(trx, "INSERT INTO t VALUES (4)")
      assert {:error, %Error{code: :many_rows}} = EctoLibSql.query_one(trx, two)
      {:ok, stmt} = EctoLibSql.Native.prepare(trx, two)
      assert {:error, %Error{code: :many_rows}} = EctoLibSql.query_one(trx, stmt)
      assert {:ok, _} = EctoLibSql.Native.commit(trx)
      assert all(db, "SELECT * FROM t") == before ++ [[4]]
    end

    @tag local: "a server cannot undo what has written more rows than one"
    test "of one row changes it", %{db: db} do
      assert {:ok, [7]} = EctoLibSql.query_one(db, "INSERT INTO t VALUES (7) RETURNING a")
      assert one(db, "SELECT count(*) FROM t") == 4
    end
  end

  describe "run" do
    test "runs anything", %{db: db} do
      assert {:ok, db} = EctoLibSql.run(db, "CREATE TABLE t(a)")
      assert {:ok, db} = EctoLibSql.run(db, "INSERT INTO t VALUES (:a)", a: 1)
      assert {:ok, db} = EctoLibSql.run(db, "SELECT * FROM t")
      assert {:ok, db} = EctoLibSql.run(db, "PRAGMA user_version = 3")
      assert {:error, %Error{code: :sql}} = EctoLibSql.run(db, "SELECT nothing")
      assert {:ok, db} = EctoLibSql.run(db, "BEGIN")
      assert is_integer(db.trx_id)
      assert {:ok, db} = EctoLibSql.run(db, "COMMIT")
      assert db.trx_id == nil
      assert all(db, "SELECT * FROM t") == [[1]]
    end
  end

  describe "execute_many" do
    setup %{db: db} do
      q(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b CHECK (b <> 'no'))")
      :ok
    end

    @insert "INSERT INTO t VALUES (?, ?)"

    test "runs a statement for each row", %{db: db} do
      rows = for n <- 1..3000, do: [n, "b#{n}"]

      assert {:ok, %Result{command: :insert, num_rows: 3000, rows: nil}} =
               EctoLibSql.execute_many(db, @insert, rows)

      assert all(db, "SELECT * FROM t ORDER BY a") == rows
    end

    test "with names, values of every kind, and rows that come back", %{db: db} do
      sql = "INSERT INTO t VALUES (:a, :b) RETURNING b"
      rows = [[a: 1, b: ~D[2024-01-01]], %{a: 2, b: nil}, %{"a" => 3, "b" => %{x: 1}}]

      assert {:ok, %Result{num_rows: 3, columns: ["b"], rows: rows}} =
               EctoLibSql.execute_many(db, sql, rows)

      assert rows == [["2024-01-01"], [nil], [~s({"x":1})]]
    end

    @tag local: "the columns of what is not run are not asked for"
    test "of no rows does nothing", %{db: db} do
      assert {:ok, %Result{num_rows: 0}} = EctoLibSql.execute_many(db, @insert, [])

      assert {:ok, %Result{columns: ["b"], rows: []}} =
               EctoLibSql.execute_many(db, "INSERT INTO t VALUES (?, ?) RETURNING b", [])
    end

    test "outside a transaction stores all or none", %{db: db} do
      rows = [[1, "a"], [2, "no"], [3, "c"]]

      assert {:error, %Error{code: :constraint, statement_number: 2} = error} =
               EctoLibSql.execute_many(db, @insert, rows)

      assert Exception.message(error) =~ "(statement 2)"
      assert error.statement == @insert
      assert one(db, "SELECT count(*) FROM t") == 0
      assert EctoLibSql.Native.get_is_autocommit(db)
    end

    test "inside a transaction keeps what ran before", %{db: db} do
      {:ok, trx} = EctoLibSql.Native.begin(db)

      assert {:error, %Error{statement_number: 3}} =
               EctoLibSql.execute_many(trx, @insert, [[1, "a"], [2, "b"], [3, "no"]])

      assert {:ok, %Result{num_rows: 1}} = EctoLibSql.execute_many(trx, @insert, [[4, "d"]])
      {:ok, _} = EctoLibSql.Native.commit(trx)
      assert all(db, "SELECT a FROM t") == [[1], [2], [4]]
    end

    test "names the row whose parameters are wrong", %{db: db} do
      for {rows, number} <- [
            {[[1, "a"], [2]], 2},
            {[[1, "a"], [2, self()]], 2},
            {[[1, "a"], [2, "b"], [a: 3]], 3}
          ] do
        assert {:error, %Error{code: :parameters, statement_number: ^number}} =
                 EctoLibSql.execute_many(db, @insert, rows)
      end

      assert one(db, "SELECT count(*) FROM t") == 0
    end

    test "stops at its time-out", %{db: db} do
      sql =
        "INSERT INTO t(b) SELECT count(*) FROM (WITH RECURSIVE c(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT n FROM c)"

      assert {:error, %Error{code: :timeout}} =
               EctoLibSql.execute_many(db, sql, for(_ <- 1..10_000, do: [1]), timeout: 50)

      eventually(fn -> EctoLibSql.Native.get_is_autocommit(db) end)
      assert one(db, "SELECT count(*) FROM t") == 0
    end
  end

  test "handle_execute gives the query back and ignores options", %{db: db} do
    query = %Query{statement: "SELECT :a AS a", name: "x"}

    assert {:ok, ^query, %Result{command: :select, columns: ["a"], rows: [[1]], num_rows: 1}, ^db} =
             EctoLibSql.handle_execute(query, %{a: 1}, [anything: 1], db)

    assert {:error, %Error{code: :parameters}, ^db} = EctoLibSql.handle_execute(query, %{}, [], db)
    assert {:ok, ^query, ^db} = EctoLibSql.handle_prepare(query, [], db)
    assert {:ok, %Result{}, ^db} = EctoLibSql.handle_close(query, [], db)
  end

  test "SQL that begins and ends a transaction is seen by the state", %{db: db} do
    q(db, "CREATE TABLE t(a)")
    {:ok, _, _, db} = EctoLibSql.query(db, "BEGIN")
    assert is_integer(db.trx_id)
    {:ok, _, _, db} = EctoLibSql.query(db, "INSERT INTO t VALUES (1)")
    assert is_integer(db.trx_id)
    {:ok, _, _, db} = EctoLibSql.query(db, "ROLLBACK")
    assert db.trx_id == nil
    {:ok, _, _, db} = EctoLibSql.query(db, "SAVEPOINT s")
    assert is_integer(db.trx_id)
    {:ok, _, _, db} = EctoLibSql.query(db, "RELEASE s")
    assert db.trx_id == nil
    assert all(db, "SELECT * FROM t") == []
  end

  test "Result.new/1 and the structs' keys" do
    assert Result.new(rows: [[1]], num_rows: 1) ==
             %Result{command: :other, columns: nil, rows: [[1]], num_rows: 1}

    assert %Result{} == %Result{command: nil, columns: nil, rows: nil, num_rows: 0}

    assert %Query{} |> Map.from_struct() |> Map.keys() |> Enum.sort() ==
             [:name, :param_types, :prepared, :statement, :type]

    assert %Query{}.type == :binary
  end
end
