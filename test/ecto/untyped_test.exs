defmodule Ecto.Adapters.LibSql.UntypedTest do
  # Lists that are written without a schema: arrays, and never bytes.
  use EctoLibSql.Case, async: true
  import Ecto.Query

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 1, log: false})
    Repo.query!("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT_ARRAY)")
    :ok
  end

  defp stored, do: Repo.query!("SELECT typeof(a), a FROM t ORDER BY id").rows

  test "insert_all stores JSON, and reads it again" do
    lists = [[1, 2], [], ["a", nil, "ü"], [1.5, true], [[1], [2, 3]], [%{"k" => [1]}], [300]]
    rows = for list <- lists, do: [a: list]
    assert Repo.insert_all("t", rows) == {length(lists), nil}
    assert Enum.map(stored(), &hd/1) |> Enum.uniq() == ["text"]
    assert Repo.all(from(t in "t", order_by: t.id, select: t.a)) == lists
  end

  test "elements are what columns hold" do
    list = [~D[2024-05-06], ~U[2024-05-06 07:08:09Z], Decimal.new("1.50")]
    Repo.insert_all("t", [%{a: list}])
    assert stored() == [["text", ~s|["2024-05-06","2024-05-06T07:08:09Z","1.50"]|]]
  end

  test "a charlist is the list of numbers that it is; bytes are said to be some" do
    Repo.insert_all("t", [[a: ~c"ab"], [a: {:blob, "ab"}]])
    assert stored() == [["text", "[97,98]"], ["blob", "ab"]]
  end

  test "what JSON cannot hold is refused" do
    for list <- [[k: 1], [<<255>>], [self()]] do
      assert_raise ArgumentError, ~r/JSON/, fn -> Repo.insert_all("t", [[a: list]]) end
    end

    assert stored() == []
  end

  test "with placeholders, with columns left out, with RETURNING" do
    rows = [%{id: 1, a: {:placeholder, :list}}, %{id: 2}, %{id: 3, a: [3]}]

    assert Repo.insert_all("t", rows, placeholders: %{list: ["x"]}, returning: [:id]) ==
             {3, [%{id: 1}, %{id: 2}, %{id: 3}]}

    assert stored() == [["text", ~s|["x"]|], ["null", nil], ["text", "[3]"]]
  end

  test "update_all, and fragments" do
    Repo.insert_all("t", [[a: nil]])
    list = [1, 2]
    Repo.update_all(from(t in "t", update: [set: [a: ^list]]), [])
    assert stored() == [["text", "[1,2]"]]
    Repo.update_all("t", set: [a: ["b"]])
    assert stored() == [["text", ~s|["b"]|]]
    names = ["a", "b"]
    query = from(t in fragment("json_each(?)", ^names), select: t.value)
    assert Repo.all(query) == names
  end
end
