defmodule Ecto.Adapters.LibSql.QueryManyTest do
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql.QueryMany

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 1, log: false})
    :ok
  end

  defp rows(sql, params), do: Repo.query_many!(sql, params) |> Enum.map(& &1.rows)

  test "each statement's result, in order" do
    sql = """
    -- first; still first
    SELECT 'a;b';
    CREATE TABLE books (id INTEGER PRIMARY KEY);
    CREATE TEMP TRIGGER t AFTER INSERT ON books BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT 3; END;
    INSERT INTO books DEFAULT VALUES;
    SELECT 2 /* ; */;
    """

    assert [%{rows: [["a;b"]]}, _table, _trigger, %{num_rows: 1}, %{rows: [[2]]}] =
             Repo.query_many!(sql)

    assert Repo.query_many!("") == []
  end

  test "the first error ends it" do
    sql = "CREATE TABLE t (a); INSERT INTO t VALUES (1); SELECT nothing; INSERT INTO t VALUES (2)"
    assert {:error, %EctoLibSql.Error{message: message}} = Repo.query_many(sql)
    assert message =~ "nothing"
    assert Repo.query!("SELECT a FROM t").rows == [[1]]
  end

  test "parameters are numbered through the text" do
    assert rows("SELECT ?1; SELECT ?2, ?1", [40, 2]) == [[[40]], [[2, 40]]]
    assert rows("SELECT $1; SELECT $2;", [40, 2]) == [[[40]], [[2]]]
    assert rows("SELECT ?; SELECT ?", [40, 2]) == [[[40]], [[2]]]

    assert rows("SELECT ?2, ?2; SELECT ?1, '?', \"?\" FROM (SELECT 3 AS \"?\")", [40, 2]) ==
             [[[2, 2]], [[40, "?", 3]]]
  end

  test "a statement with all the parameters begins again" do
    assert rows("SELECT ?, ?; SELECT ?, ?", [1, 2]) == [[[1, 2]], [[1, 2]]]
  end

  test "by name, each takes what it has" do
    assert rows("SELECT :a; SELECT @b, $a", a: 1, b: 2) == [[[1]], [[2, 1]]]
    assert rows("SELECT :a", %{"a" => 1}) == [[[1]]]
  end

  test "too many and too few" do
    assert {:error, %{code: :parameters, message: message}} = Repo.query_many("SELECT ?1", [1, 2])
    assert message == "the text has 1 parameter, and 2 were given"
    assert {:error, %{code: :parameters}} = Repo.query_many("SELECT 1; SELECT 2", [1])
    assert {:error, %{code: :parameters}} = Repo.query_many("SELECT ?1; SELECT ?2", [1])
  end

  test "the plan" do
    assert QueryMany.plan("SELECT ?3,?1;SELECT ?", [1, 2, 3, 4]) ==
             {:ok, [{"SELECT ?1,?2", [3, 1]}, {"SELECT ?1", [4]}]}

    assert QueryMany.plan("SELECT ?0, $x, ?1", [1]) == {:ok, [{"SELECT ?0, $x, ?1", [1]}]}
  end
end
