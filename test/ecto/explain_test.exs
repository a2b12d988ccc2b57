defmodule Ecto.Adapters.LibSql.ExplainTest do
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  alias Ecto.Adapters.LibSql.Explain

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 1, log: false})
    Repo.query!("CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)")
    Repo.query!("CREATE INDEX by_name ON author (name)")
    Repo.query!("CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INT, title TEXT)")
    :ok
  end

  test "the plan as a tree" do
    name = "x"
    query = from(a in "author", where: a.name == ^name, select: a.id)
    assert Repo.explain(:all, query) == "`--SEARCH a0 USING COVERING INDEX by_name (name=?)"

    ids = from(b in "book", select: b.author_id, order_by: b.title, limit: 3)
    query = from(a in "author", where: a.id in subquery(ids), select: a.name, order_by: a.name)
    text = Repo.explain(:all, query)
    assert text =~ ~r/^\|--SEARCH a0 USING INTEGER PRIMARY KEY/
    assert text =~ ~r/^\|--LIST SUBQUERY 1\n\|  (\|--.*\n\|  )*`--/m
    assert text =~ ~r/\n`--USE TEMP B-TREE FOR ORDER BY\z/
  end

  test "as maps, and the instructions" do
    query = from(a in "author", select: a.name)

    assert [%{"detail" => "SCAN" <> _, "id" => _, "parent" => 0}] =
             Repo.explain(:all, query, format: :map)

    assert [%{"opcode" => "Init"} | _] = Repo.explain(:all, query, opcodes: true, format: :map)

    lines = Repo.explain(:all, query, opcodes: true) |> String.split("\n")
    assert hd(lines) =~ ~r/^addr  opcode +p1  p2  p3/
    assert Enum.any?(lines, &(&1 =~ ~r/^\d+ +OpenRead /))
  end

  test "changes nothing, in a transaction or not" do
    Repo.insert_all("author", [[name: "a"]])
    assert Repo.explain(:update_all, from(a in "author", update: [set: [name: "b"]])) =~ "SCAN a0"
    query = from(a in "author", where: a.id == 1)
    assert {:ok, text} = Repo.explain(:delete_all, query, wrap_in_transaction: false)
    assert text =~ "SEARCH"
    assert Repo.query!("SELECT name FROM author").rows == [["a"]]
  end

  test "what it does not have raises; what others share passes" do
    query = from(a in "author", select: a.name)

    for {opts, message} <- [
          {[analyze: true], ~r/no :analyze/},
          {[format: :yaml], ~r/:format of explain is :text or :map, not :yaml/},
          {[opcodes: 1], ~r/:opcodes of explain is false or true, not 1/}
        ] do
      assert_raise ArgumentError, message, fn -> Repo.explain(:all, query, opts) end
    end

    assert Repo.explain(:all, query, timeout: 5_000, analyze: false, log: false) =~ "SCAN"
  end

  test "no rows are an empty text" do
    assert Explain.format(%{columns: [], rows: []}, {:text, false}) == ""
  end
end
