defmodule Ecto.Adapters.LibSql.DDLCase do
  @moduledoc false
  # Commands of Ecto.Migration run on a connection, each in a transaction as migrations are.

  use ExUnit.CaseTemplate

  alias Ecto.Adapters.LibSql.DDL
  alias Ecto.Migration.Reference
  alias EctoLibSql.Native

  using do
    quote do
      import EctoLibSql.DriverHelpers
      import Ecto.Adapters.LibSql.DDLCase
      import Ecto.Migration, only: [table: 1, table: 2, constraint: 2, constraint: 3]

      alias Ecto.Adapters.LibSql.DDL
      alias Ecto.Migration.{Index, Reference}
    end
  end

  # Ecto's own asks the running migration for defaults.
  def references(table, opts \\ []), do: struct!(%Reference{table: to_string(table)}, opts)

  @doc "Runs a command, and answers what changed: the SQL without the questions."
  def run(db, command, settings \\ []) do
    {:ok, db} = Native.begin(db)
    me = self()

    try do
      DDL.run(command, settings, &query(db, &1, me))
    rescue
      error ->
        {:ok, _} = Native.rollback(db)
        flush()
        reraise error, __STACKTRACE__
    else
      _rows ->
        {:ok, _} = Native.commit(db)
        flush()
    end
  end

  @doc "As the adapter's: rows, or an exception. Statements that change something are sent to a process."
  def query(db, {:enforce_foreign_keys, on?}, _to) do
    {:ok, before?} = Native.enforce_foreign_keys(db, on?)
    [[if(before?, do: 1, else: 0)]]
  end

  def query(db, sql, to) do
    sql = IO.iodata_to_binary(sql)
    unless String.starts_with?(sql, "SELECT"), do: send(to, {:sql, sql})

    case EctoLibSql.query(db, sql) do
      {:ok, _query, result, _db} -> result.rows
      {:error, error, _db} -> raise error
    end
  end

  defp flush do
    receive do
      {:sql, sql} -> [sql | flush()]
    after
      0 -> []
    end
  end

  @doc "The statements of a command, without a database."
  def offline(command, settings \\ []),
    do: for(sql <- DDL.execute_ddl(command, settings), do: IO.iodata_to_binary(sql))

  @doc "The text of some table `t`, whose keys are of a table `p`. From ExUnit's seed."
  def random_table do
    names =
      Enum.take_random(
        ["a", "\"b c\"", "[d,e]", "`f)`", "\"check\"", "g", "\"x\"\"y\""],
        Enum.random(2..6)
      )

    columns =
      for name <- names,
          do: Enum.join([name | random_column()], Enum.random([" ", "  ", " /* , ( */ ", "\n"]))

    constraints =
      Enum.take_random(
        [
          "UNIQUE (#{hd(names)})",
          "CONSTRAINT \"k,\" CHECK (#{hd(names)} <> 'x,)')",
          "FOREIGN KEY (#{hd(names)}) REFERENCES p (id) ON DELETE SET NULL",
          "PRIMARY KEY (#{Enum.join(Enum.take(names, 2), ", ")})"
        ],
        Enum.random(0..4)
      )

    "CREATE TABLE t (" <>
      Enum.join(columns ++ constraints, Enum.random([", ", ",", ", -- note, (\n "])) <> ")"
  end

  defp random_column do
    type = Enum.random([[], ["TEXT"], ["NUMERIC(5,2)"], ["unsigned big int"]])

    type ++
      Enum.take_random(
        [
          "NOT NULL",
          "CONSTRAINT nn NOT NULL ON CONFLICT ABORT",
          "DEFAULT 'a,b'",
          "DEFAULT -1",
          "DEFAULT (1 + (2))",
          "COLLATE NOCASE",
          "CHECK (1 NOT NULL)",
          "REFERENCES p(id) ON DELETE SET DEFAULT NOT DEFERRABLE",
          "UNIQUE"
        ],
        Enum.random(0..4)
      )
  end
end
