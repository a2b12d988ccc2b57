defmodule Ecto.Adapters.LibSql.ForeignKeysCase do
  @moduledoc false
  # A Repo of the test's own, and the name of the foreign key that a write violates.

  use ExUnit.CaseTemplate

  import EctoLibSql.Case
  import Ecto.Query, only: [from: 2]
  alias Ecto.Adapters.LibSql.Sql
  alias EctoLibSql.Error

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  using do
    quote do
      import EctoLibSql.Case
      import Ecto.Adapters.LibSql.ForeignKeysCase
      alias Ecto.Adapters.LibSql.ForeignKeysCase.Repo
    end
  end

  setup do
    path = tmp_path()
    repo = start_supervised!({Repo, database: path, name: nil, pool_size: 1, log: false})
    Repo.put_dynamic_repo(repo)
    {:ok, path: path}
  end

  def sql(statements), do: for(sql <- List.wrap(statements), do: Repo.query!(sql))

  @doc "Tables as they were for years before anybody enforced foreign keys."
  def unenforced(path, statements) do
    {:ok, db} = EctoLibSql.connect(database: path, foreign_keys: false)
    for sql <- statements, do: {:ok, _} = EctoLibSql.run(db, sql)
    EctoLibSql.close(db)
  end

  def insert(table, row), do: fn -> Repo.insert_all(table, [row]) end
  def delete(table, id), do: fn -> Repo.delete_all(from(t in table, where: t.id == ^id)) end

  def update(table, id, set),
    do: fn -> Repo.update_all(from(t in table, where: t.id == ^id), set: set) end

  @doc "The name, the same in a transaction and outside of one, and nothing left behind."
  def violated(fun) do
    before = everything()
    error = assert_raise Error, fun
    assert everything() == before

    {:ok, again} =
      Repo.transaction(fn ->
        again = assert_raise Error, fun
        assert everything() == before
        again
      end)

    assert again == error
    assert %{kind: :foreign_key, name: name, table: table, columns: [_ | _]} = error.constraint
    assert error.message == "FOREIGN KEY constraint failed: #{name}"
    assert is_binary(table)
    name
  end

  defp everything do
    tables =
      for [name] <- Repo.query!("SELECT name FROM sqlite_master WHERE type = 'table'").rows,
          do: {name, Repo.query!(["SELECT * FROM ", Sql.quote_name(name)]).rows}

    {tables, Repo.query!("SELECT * FROM sqlite_temp_master").rows,
     Repo.query!("PRAGMA defer_foreign_keys").rows}
  end
end
