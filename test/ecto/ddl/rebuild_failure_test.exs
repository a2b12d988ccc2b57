Code.require_file("rebuild_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.RebuildFailureTest do
  use Ecto.Adapters.LibSql.RebuildCase

  describe "whatever happens" do
    setup %{db: db} do
      script(db, """
      CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX t_a ON t (a);
      CREATE TABLE c (t_id REFERENCES t (id) ON DELETE CASCADE); CREATE TABLE log (n);
      CREATE TRIGGER logged AFTER DELETE ON t BEGIN INSERT INTO log VALUES (OLD.a); END;
      INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1), (2)
      """)

      :ok
    end

    @command {:alter, %Ecto.Migration.Table{name: "t"},
              [{:remove, :id, :id, []}, {:add, :k, :integer, [primary_key: true]}]}
    @check {:create, %Ecto.Migration.Constraint{table: "t", name: :k, check: "id > 0"}}

    # The statements of a change, each of which fails in turn; the error is rescued, and the transaction
    # goes on: it finds the old table.
    test "an error at any statement leaves the old table and all settings", %{db: db} do
      rows = &{all(&1, "SELECT * FROM t"), all(&1, "SELECT * FROM c"), all(&1, "SELECT * FROM log")}
      before = {schema(db), settings(db), rows.(db)}
      count = statements(db)
      assert count > 10

      for failing <- 1..count do
        {:ok, trx} = Native.begin(db)
        counter = :counters.new(1, [])

        assert_raise RuntimeError, "number #{failing}", fn ->
          DDL.run(@check, [], fn sql ->
            :counters.add(counter, 1, 1)
            if :counters.get(counter, 1) == failing, do: raise("number #{failing}")
            query(trx, sql, self())
          end)
        end

        assert {schema(trx), rows.(trx)} == {elem(before, 0), elem(before, 2)},
               "statement #{failing}"

        q(trx, "INSERT INTO log VALUES (1)")
        q(trx, "DELETE FROM log")
        {:ok, _} = Native.commit(trx)
        assert {schema(db), settings(db), rows.(db)} == before, "statement #{failing}"
      end
    end

    defp statements(db) do
      {:ok, trx} = Native.begin(db)
      counter = :counters.new(1, [])

      DDL.run(@check, [], fn sql ->
        :counters.add(counter, 1, 1)
        query(trx, sql, self())
      end)

      {:ok, _} = Native.rollback(trx)
      :counters.get(counter, 1)
    end

    test "the key is gone, and the children say so", %{db: db} do
      assert_raise ArgumentError, ~r/foreign key of "c" \(t_id\) refers to/, fn ->
        run(db, @command)
      end

      key = {:alter, table(:t), [{:modify, :id, :integer, primary_key: false}]}

      assert_raise Ecto.MigrationError,
                   ~r/foreign key of "c" \(t_id\) to "t" refers to columns/,
                   fn ->
                     run(db, key)
                   end

      assert all(db, "SELECT * FROM c") == [[1], [2]]
    end

    test "enforcement that was off stays off", %{db: db} do
      q(db, "PRAGMA foreign_keys = OFF")
      run(db, @check)
      assert hd(settings(db)) == 0
    end

    test "where keys cannot be switched off it says what to do instead", %{db: db} do
      {:ok, trx} = Native.begin(db)

      query = fn
        {:enforce_foreign_keys, _} -> raise %EctoLibSql.Error{code: :unsupported, message: "no"}
        sql -> query(trx, sql, self())
      end

      message = ~r/ALTER COLUMN.*by hand/s
      assert_raise ArgumentError, message, fn -> DDL.run(@check, [], query) end
      {:ok, _} = Native.rollback(trx)
    end

    test "there is no SQL for it without a database" do
      assert_raise ArgumentError, ~r/builds table "t" anew.*run the migration/, fn ->
        DDL.execute_ddl(@check)
      end

      assert_raise ArgumentError, ~r/builds table "t" anew/, fn -> DDL.execute_ddl(@command) end
    end
  end
end
