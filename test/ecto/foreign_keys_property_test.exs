defmodule Ecto.Adapters.LibSql.ForeignKeysPropertyTest do
  # Random schemas with rows that have long lost their parents, and random writes: the key that is named
  # must be one that the statement broke, by a count of orphans before and after.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  @schemas 40
  @writes 30
  @tables ~w(t1 t2 t3 t4)

  @tag timeout: 300_000
  test "the key that is named was broken by the statement" do
    seed()
    named = for _ <- 1..@schemas, do: in_schema(schema())
    # Else the test tests nothing.
    assert Enum.sum(named) > @schemas
  end

  @tag :sqld
  @tag timeout: 300_000
  test "the same on a server" do
    seed()
    named = for _ <- 1..8, do: on_server(schema())
    assert Enum.sum(named) > 8
  end

  defp seed do
    seed = String.to_integer(System.get_env("FK_SEED") || "#{System.unique_integer([:positive])}")
    IO.puts("foreign_keys_property_test: FK_SEED=#{seed}")
    :rand.seed(:exsss, seed)
  end

  defp in_schema(schema) do
    path = tmp_path()
    {:ok, db} = EctoLibSql.connect(database: path, foreign_keys: false)

    for sql <- Enum.map(schema, & &1.sql) ++ rows(schema) ++ triggers(),
        do: EctoLibSql.run(db, sql)

    EctoLibSql.close(db)
    start_supervised!({Repo, database: path, pool_size: 1, log: false})
    named = Enum.count(1..@writes, fn _ -> write(schema) end)
    stop_supervised!(Repo)
    named
  end

  # Keys are enforced there, but for the time of one call that says otherwise.
  defp on_server(schema) do
    sqld = EctoLibSql.Test.Sqld.start!()
    start_supervised!({Repo, uri: sqld.url, pool_size: 1, log: false})
    for sql <- Enum.map(schema, & &1.sql) ++ triggers(), do: Repo.query(sql)
    {:ok, db} = EctoLibSql.connect(uri: sqld.url)

    for sql <- rows(schema),
        do: EctoLibSql.Native.execute_batch_sql(db, "PRAGMA foreign_keys = OFF; " <> sql)

    EctoLibSql.close(db)
    named = Enum.count(1..15, fn _ -> write(schema) end)
    stop_supervised!(Repo)
    EctoLibSql.Test.Sqld.kill(sqld)
    named
  end

  ## What there is

  defp schema, do: for(name <- @tables, do: table(name))

  defp table(name) do
    keys = Enum.take_random([single("a"), single("b"), single("u"), double()], Enum.random(0..2))
    keys = Enum.uniq_by(keys, &hd(&1.columns))

    keys = Enum.map(keys, &Map.put(&1, :name, "#{name}_#{hd(&1.columns)}_fkey"))
    table = %{name: name, keys: keys, kind: one_of(["", "WITHOUT ROWID"])}
    Map.put(table, :sql, table_sql(table))
  end

  defp table_sql(%{name: name, keys: keys, kind: kind}) do
    columns = "id INT NOT NULL, u INT, a INT, b INT, PRIMARY KEY (id), UNIQUE (u), UNIQUE (id, u)"
    "CREATE TABLE #{name} (#{Enum.join([columns | Enum.map(keys, &key_sql/1)], ", ")}) #{kind}"
  end

  defp single(column), do: key([column], [one_of(["id", "u"])])
  defp double, do: key(["a", "b"], ["id", "u"])

  defp key(columns, to) do
    actions = ["NO ACTION", "NO ACTION", "CASCADE", "SET NULL", "RESTRICT"]
    on = fn -> one_of(actions) end
    %{columns: columns, parent: one_of(@tables), to: to, on_delete: on.(), on_update: on.()}
  end

  defp key_sql(key) do
    "FOREIGN KEY (#{Enum.join(key.columns, ", ")}) REFERENCES #{key.parent} (#{Enum.join(key.to, ", ")}) " <>
      "ON DELETE #{key.on_delete} ON UPDATE #{key.on_update}"
  end

  defp rows(schema) do
    for table <- schema, id <- 1..5, do: "INSERT INTO #{table.name} VALUES (#{id}, #{values(3)})"
  end

  defp triggers do
    for number <- 1..2, Enum.random(1..3) == 1 do
      event = one_of(["INSERT", "DELETE", "UPDATE"])
      "CREATE TRIGGER tr#{number} AFTER #{event} ON #{one_of(@tables)} BEGIN #{statement()}; END"
    end
  end

  defp one_of(list), do: Enum.random(list)

  defp values(count),
    do: Enum.map_join(1..count, ", ", fn _ -> one_of([1, 2, 3, 4, 5, 6, "NULL"]) end)

  defp statement do
    table = one_of(@tables)

    case Enum.random(1..6) do
      1 ->
        "INSERT INTO #{table} VALUES (#{Enum.random(5..9)}, #{values(3)})"

      2 ->
        "DELETE FROM #{table} WHERE id = #{Enum.random(1..6)}"

      3 ->
        "DELETE FROM #{table} WHERE id > #{Enum.random(1..6)}"

      4 ->
        "UPDATE #{table} SET #{one_of(~w(a b u))} = #{values(1)} WHERE id = #{Enum.random(1..6)}"

      5 ->
        "UPDATE #{table} SET id = #{Enum.random(1..9)} WHERE id = #{Enum.random(1..6)}"

      6 ->
        "INSERT OR IGNORE INTO #{table} VALUES (3, #{values(3)}) ON CONFLICT (id) DO UPDATE SET a = 6"
    end
  end

  ## What is asked

  # Whether a key was named.
  defp write(schema) do
    sql = statement()
    before = orphans(schema)

    case Repo.query(sql) do
      {:error, %Error{engine_code: 787} = e} ->
        check(schema, e, sql, broken(schema, sql, before))

      {:error, %Error{engine_code: 1811} = e} ->
        check(schema, e, sql, refusing(schema, sql))

      # A server does not say which of the two it was.
      {:error, %Error{constraint: %{kind: :foreign_key}} = e} ->
        check(schema, e, sql, either(schema, sql, before))

      _done_or_other ->
        false
    end
  end

  defp check(schema, error, sql, expected) do
    before = everything()
    meta = Ecto.Adapter.lookup_meta(Repo)
    table = Enum.find(@tables, &(sql =~ ~r/(INTO|FROM|UPDATE) #{&1}/))
    statement = {{nil, table}, [:insert, :update, :delete], sql, []}
    name = Ecto.Adapters.LibSql.Violations.name(error, meta, statement, [])
    assert everything() == before
    assert name in expected, explained(name, expected, sql, schema)
    true
  end

  defp explained(name, expected, sql, schema) do
    definitions = Enum.map_join(schema, "\n", & &1.sql)

    "#{inspect(name)} is none of #{inspect(expected)}, of which one was broken by\n#{sql}\n" <>
      "#{definitions}\n#{inspect(everything(), limit: :infinity)}"
  end

  defp everything do
    for(table <- @tables, do: Repo.query!("SELECT * FROM #{table}").rows) ++
      Repo.query!("SELECT sql FROM sqlite_master WHERE type = 'trigger'").rows
  end

  # The keys with orphans that were none before, or that were and are set again.
  defp broken(schema, sql, before) do
    {:error, names} =
      Repo.transaction(fn ->
        Repo.query!("PRAGMA defer_foreign_keys = ON")
        Repo.query!(sql)
        orphans = orphans(schema)
        new = for {name, rows} <- orphans, rows -- before[name] != [], do: name
        same = for {name, [_ | _]} <- orphans, set?(schema, name, sql), do: name
        Repo.rollback(new ++ same)
      end)

    names
  end

  defp either(schema, sql, before) do
    case refusing(schema, sql) do
      [] -> broken(schema, sql, before)
      names -> names
    end
  end

  # The keys that refuse when no other does.
  defp refusing(schema, sql) do
    rows = Map.new(@tables, &{&1, Repo.query!("SELECT * FROM #{&1}").rows})
    triggers = Repo.query!("SELECT sql FROM sqlite_master WHERE type = 'trigger'").rows

    for table <- schema,
        key <- table.keys,
        "RESTRICT" in [key.on_delete, key.on_update],
        refuses?(alone(schema, key), rows, List.flatten(triggers), sql),
        do: key.name
  end

  defp alone(schema, key),
    do: for(table <- schema, do: %{table | keys: Enum.map(table.keys, &mild(&1, key))})

  defp mild(key, key), do: key

  defp mild(key, _other),
    do: %{key | on_delete: mild(key.on_delete), on_update: mild(key.on_update)}

  defp mild("RESTRICT"), do: "NO ACTION"
  defp mild(action), do: action

  defp refuses?(schema, rows, triggers, sql) do
    {:ok, db} = EctoLibSql.connect(database: ":memory:", foreign_keys: false)
    for table <- schema, do: {:ok, _} = EctoLibSql.run(db, table_sql(table))

    for {table, rows} <- rows, row <- rows do
      {:ok, _} = EctoLibSql.run(db, "INSERT INTO #{table} VALUES (?, ?, ?, ?)", row)
    end

    for trigger <- triggers, do: {:ok, _} = EctoLibSql.run(db, trigger)
    {:ok, _} = EctoLibSql.run(db, "PRAGMA foreign_keys = ON")
    answer = EctoLibSql.run(db, sql)
    EctoLibSql.close(db)
    match?({:error, %Error{engine_code: 1811}}, answer)
  end

  # By the statement; or by a trigger, about which nothing is asked here; or within one table, whose keys
  # the engine checks together.
  defp set?(schema, name, sql) do
    triggers? = Repo.query!("SELECT 1 FROM sqlite_master WHERE type = 'trigger'").rows != []
    [{table, key}] = for table <- schema, key <- table.keys, key.name == name, do: {table, key}

    triggers? or key.parent == table.name or sql =~ "REPLACE" or
      Enum.any?(key.columns, &(sql =~ "SET #{&1} "))
  end

  defp orphans(schema) do
    for table <- schema, key <- table.keys, into: %{} do
      present = Enum.map_join(key.columns, " AND ", &"c.#{&1} IS NOT NULL")

      same =
        Enum.map_join(Enum.zip(key.to, key.columns), " AND ", fn {to, from} ->
          "p.#{to} = c.#{from}"
        end)

      sql =
        "SELECT c.id, #{Enum.map_join(key.columns, ", ", &"c.#{&1}")} FROM #{table.name} c " <>
          "WHERE #{present} AND NOT EXISTS (SELECT 1 FROM #{key.parent} p WHERE #{same})"

      {key.name, Repo.query!(sql).rows}
    end
  end
end
