Code.require_file("ddl_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.RebuildCase do
  @moduledoc false
  # A table `t`, changed in ways for which it is built anew.

  use ExUnit.CaseTemplate

  import EctoLibSql.DriverHelpers
  import ExUnit.Assertions

  alias Ecto.Adapters.LibSql.DDLCase
  alias EctoLibSql.Native

  using do
    quote do
      use Ecto.Adapters.LibSql.DDLCase, async: true
      import EctoLibSql.Case
      import Ecto.Adapters.LibSql.RebuildCase
      alias EctoLibSql.Native
    end
  end

  setup do: {:ok, db: open()}

  def script(db, sql), do: assert({:ok, _} = Native.execute_batch_sql(db, sql))

  def alter(db, changes, opts \\ []),
    do: DDLCase.run(db, {:alter, Ecto.Migration.table(:t, opts), changes})

  def text(db, name \\ "t"),
    do: one(db, "SELECT sql FROM sqlite_schema WHERE name = ?1", [name])

  def schema(db),
    do: all(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")

  @doc "The settings that a rebuild changes meanwhile."
  def settings(db) do
    for pragma <- ~w(foreign_keys legacy_alter_table ignore_check_constraints defer_foreign_keys),
        do: one(db, "PRAGMA #{pragma}")
  end
end
