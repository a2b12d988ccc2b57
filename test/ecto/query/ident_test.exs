Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.IdentTest do
  # UUIDs beside binary ids and texts, each stored as bytes or as text.
  use Ecto.Adapters.LibSql.QueryCase, async: true

  defmodule Row do
    use Ecto.Schema

    schema "ids" do
      field(:uuid, Ecto.UUID)
      field(:binary_id, :binary_id)
      field(:string, :string)
    end
  end

  @uuids [
    "00000000-0000-0000-0000-000000000000",
    "601d74e4-a8d3-4b6e-8365-eddb4c893327",
    "ffffffff-ffff-4fff-bfff-ffffffffffff"
  ]

  for uuid <- [:bytes, :text], id <- [:bytes, :text] do
    describe "UUIDs as #{uuid}, binary ids as #{id}" do
      setup %{db: db} do
        raw(db, "CREATE TABLE ids (id INTEGER PRIMARY KEY, uuid, binary_id, string TEXT)")

        for {value, id} <- Enum.with_index(@uuids, 1) do
          row = [id, stored(value, unquote(uuid)), stored(value, unquote(id)), value]
          {:ok, _, _, _} = EctoLibSql.query(db, "INSERT INTO ids VALUES (?1, ?2, ?3, ?4)", row)
        end

        if unquote(id) == :text,
          do: raw(db, "INSERT INTO ids VALUES (4, NULL, 'abc', 'abc'), (5, NULL, 'abcd', NULL)")

        :ok
      end

      test "compare by what they are", %{db: db} do
        for left <- [:uuid, :binary_id, :string], right <- [:uuid, :binary_id, :string] do
          assert {left, right, pairs(db, left, right, :==)} == {left, right, equal(db, left, right)}

          if left != right and :string not in [left, right] do
            assert ordered(db, left, right, :<) == [[1, 2], [1, 3], [2, 3]]
            assert ordered(db, left, right, :>=) == [[1, 1], [2, 1], [2, 2], [3, 1], [3, 2], [3, 3]]
          end
        end

        different = pairs(db, :binary_id, :uuid, :!=)

        assert for([a, b] <- different, a <= 3, do: [a, b]) ==
                 for(a <- 1..3, b <- 1..3, a != b, do: [a, b])

        assert for([a, b] <- different, a > 3, do: b) ==
                 if(unquote(id) == :text, do: [1, 2, 3, 1, 2, 3], else: [])
      end

      test "lists, subqueries and parameters", %{db: db} do
        sub = from(r in Row, select: r.binary_id)

        assert rows(db, from(r in Row, where: r.uuid in subquery(sub), select: r.id)) == [
                 [1],
                 [2],
                 [3]
               ]

        assert rows(db, from(r in Row, where: r.uuid in [r.string, r.binary_id], select: r.id)) == [
                 [1],
                 [2],
                 [3]
               ]

        uuid = Enum.at(@uuids, 1)
        assert rows(db, from(r in Row, where: r.uuid in ^[uuid], select: r.id)) == [[2]]

        assert rows(db, from(r in Row, where: coalesce(r.uuid, r.uuid) == ^uuid, select: r.id)) == [
                 [2]
               ]

        assert rows(db, from(r in Row, where: type(r.binary_id, Ecto.UUID) == r.uuid, select: r.id)) ==
                 [[1], [2], [3]]

        assert rows(db, from(r in Row, where: r.id == 2, select: type(r.uuid, :string))) == [[uuid]]

        assert rows(db, from(r in Row, where: r.id == 2, select: type(r.binary_id, :string))) == [
                 [uuid]
               ]

        list = [%{uuid: uuid, id: uuid}]
        values = from(v in values(list, %{uuid: Ecto.UUID, id: :binary_id}))

        assert rows(db, from(v in values, join: r in Row, on: r.binary_id == v.uuid, select: r.id)) ==
                 [[2]]

        assert rows(db, from(v in values, join: r in Row, on: v.id == r.uuid, select: r.id)) == [
                 [2]
               ]
      end
    end
  end

  defp stored(uuid, :text), do: uuid
  defp stored(uuid, :bytes), do: {:blob, Ecto.UUID.dump!(uuid)}

  defp pairs(db, left, right, op) do
    left = dynamic([a], field(a, ^left))
    right = dynamic([_a, b], field(b, ^right))

    condition =
      case op do
        :== -> dynamic(^left == ^right)
        :!= -> dynamic(^left != ^right)
        :< -> dynamic(^left < ^right)
        :>= -> dynamic(^left >= ^right)
      end

    query = from(a in Row, join: b in Row, on: true, where: ^condition, select: [a.id, b.id])
    db |> rows(query) |> Enum.sort()
  end

  # Texts that are no UUID sort before all bytes.
  defp ordered(db, left, right, op),
    do: for([a, b] <- pairs(db, left, right, op), a <= 3 and b <= 3, do: [a, b])

  defp equal(db, left, right) do
    for [a, b] <- raw(db, "SELECT a.id, b.id FROM ids AS a, ids AS b"),
        l = value(db, a, left),
        r = value(db, b, right),
        l == r,
        do: [a, b]
  end

  defp value(db, id, column) do
    case raw(db, "SELECT #{column} FROM ids WHERE id = #{id}") do
      [[<<bytes::16-binary>>]] -> Ecto.UUID.load!(bytes)
      [[other]] -> other
    end
  end

  test "types that do not go together are refused" do
    assert refused(from(r in Row, update: [set: [uuid: r.binary_id]]), :update_all) =~ "type/2"
    assert refused(from(r in Row, select: coalesce(r.uuid, r.binary_id))) =~ "type/2"
    assert refused(from(r in Row, select: type(r.uuid, :integer))) =~ "fragment"
  end

  test "an index on the left side serves", %{db: db} do
    raw(db, "CREATE TABLE ids (id INTEGER PRIMARY KEY, uuid BLOB, binary_id TEXT, string TEXT)")
    raw(db, "CREATE INDEX ids_id ON ids (binary_id)")
    query = from(r in Row, join: s in Row, on: r.binary_id == s.uuid, select: r.id)
    {sql, _params} = sql(query)
    assert inspect(raw(db, "EXPLAIN QUERY PLAN " <> sql)) =~ "INDEX ids_id"
  end
end
