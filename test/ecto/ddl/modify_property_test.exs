Code.require_file("ddl_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.DDL.ModifyPropertyTest do
  # The engine's ALTER COLUMN takes a definition to end at the next comma. So: random tables, full of commas,
  # parentheses and comments, a random column of each modified, and nothing but that column has changed.
  # ExUnit's seed makes the same ones again.
  use EctoLibSql.Case, async: true
  use Ecto.Adapters.LibSql.DDLCase

  alias Ecto.Adapters.LibSql.DDL.Definition

  @changes [
    {:decimal, [precision: 10, scale: 2]},
    {:"NUMERIC(5,2)", []},
    {:string, [size: 3]},
    {:integer, [check: "1 IN (1, 2)"]},
    {:integer, [check: %{name: "in, (some", expr: "1 NOT IN (0, 2)"}]},
    {:string, [default: "a,b"]},
    {:string, [default: "(("]},
    {:string, [default: "it's ,)"]},
    {:string, [default: {:fragment, "printf('%d,%d', 1, 2)"}]},
    {:string, [comment: "of a, b ("]},
    {:float, [collate: :nocase, null: true]},
    {:map, [default: %{"a" => [1, 2]}]}
  ]

  defp schema(db), do: one(db, "SELECT sql FROM sqlite_schema WHERE name = 't'")

  defp others(sql, column) do
    for item <- Definition.parse(sql).items, item.name != column, do: item.text
  end

  defp modify(db, path) do
    before = schema(db)
    %{name: column} = before |> Definition.parse() |> Definition.columns() |> Enum.random()
    {type, opts} = change = Enum.random(@changes)
    label = inspect({before, column, change})

    try do
      run(db, {:alter, table(:t), [{:modify, column, type, opts}]})
      assert others(schema(db), column) == others(before, column), label
      modified = schema(db) |> Definition.parse() |> Definition.column(column)
      assert modified != nil, label
      assert_said(Definition.column_constraints(modified), modified, type, opts, label)
    rescue
      # What cannot be, for a key or a generated column, has changed nothing.
      error in [EctoLibSql.Error, ArgumentError, Ecto.MigrationError] ->
        assert schema(db) == before, label
        {:refused, Exception.message(error)}
    after
      {:ok, other} = EctoLibSql.connect(database: path)
      assert all(other, "PRAGMA integrity_check") == [["ok"]], label
      assert one(other, "SELECT count(*) FROM t") == one(db, "SELECT count(*) FROM t")
      EctoLibSql.close(other)
    end
  end

  defp assert_said(constraints, column, type, opts, label) do
    declared = type |> Ecto.Adapters.LibSql.ColumnType.declare(opts) |> IO.iodata_to_binary()
    assert Definition.declared_type(column) == declared, label
    if opts[:check], do: assert(constraints[:check] =~ ~r/IN \(\d, 2\)\)\z/, label)
    if opts[:default], do: assert(constraints[:default] =~ ~r/\ADEFAULT ['(]/, label)
    :changed
  end

  test "modify changes its column and nothing else" do
    path = tmp_path()
    db = open(path)
    q(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")

    results =
      for _table <- 1..100, create(db), _change <- 1..3 do
        modify(db, path)
      end

    changed = Enum.count(results, &(&1 == :changed))
    assert changed > 60, inspect({changed, results |> Enum.uniq() |> Enum.take(5)})
  end

  # Not every random table can be; a row is there where the table lets it.
  defp create(db) do
    q(db, "DROP TABLE IF EXISTS t")

    with {:ok, _, _, _} <- EctoLibSql.query(db, random_table()) do
      EctoLibSql.query(db, "INSERT INTO t DEFAULT VALUES")
      true
    else
      _error -> false
    end
  end

  test "the engine would have cut these definitions" do
    for definition <- [
          "a INTEGER CHECK (a IN (1, 2))",
          "a TEXT DEFAULT 'a,b'",
          "a DECIMAL(10,2)",
          "a TEXT /* a, b */",
          "a TEXT DEFAULT ')'",
          "a INTEGER DEFAULT (max(1, 2))",
          "a TEXT COLLATE NOCASE CHECK (a <> ',') UNIQUE"
        ],
        rest <- ["b TEXT", "b DECIMAL(5,1) DEFAULT 'x,y', CHECK (b IN ('x,y', 'z'))"] do
      db = open()
      q(db, "CREATE TABLE t (#{definition}, #{rest})")
      q(db, "INSERT INTO t (a, b) VALUES (NULL, 'z')")
      run(db, {:alter, table(:t), [{:modify, :a, :"VARCHAR(7,3)", null: true}]})

      assert all(db, "SELECT name, type FROM pragma_table_info('t')") |> hd() == [
               "a",
               "VARCHAR(7,3)"
             ]

      assert String.ends_with?(schema(db), ", #{rest})")
      assert all(db, "SELECT a, b FROM t") == [[nil, "z"]]
      # And once more, the new definition being the one with a comma.
      run(db, {:alter, table(:t), [{:modify, :a, :string, default: "c,d"}]})
      assert String.ends_with?(schema(db), ", #{rest})")
      assert all(db, "PRAGMA integrity_check") == [["ok"]]
    end
  end
end
