Code.require_file("query_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Query.MinusTest do
  # The minus before an expression.
  use ExUnit.Case, async: true
  use Ecto.Adapters.LibSql.QueryCase

  defp one(db, expr),
    do: db |> rows(from(p in Post, where: p.id == 1, select: ^%{v: expr})) |> hd() |> hd()

  test "of numbers, whatever they are", %{db: db} do
    five = 5
    assert one(db, dynamic([p], -p.visits)) == -10
    assert one(db, dynamic([p], -p.score)) == -1.5
    assert one(db, dynamic([p], -p.price)) == "-1.25"
    assert one(db, dynamic([p], -(p.visits + 1))) == -11
    assert one(db, dynamic([p], -type(^five, :integer))) == -5
    assert one(db, dynamic([p], -fragment("?", p.visits))) == -10
    assert one(db, dynamic([p], -max(p.visits))) == -10
  end

  test "of what has one already", %{db: db} do
    five = -5
    assert one(db, dynamic([p], -(-p.visits))) == 10
    assert one(db, dynamic([p], -(-p.price))) == "1.25"
    assert one(db, dynamic([p], p.visits - -p.visits)) == 20
    assert one(db, dynamic([p], p.visits - -(-p.visits))) == 0
    assert one(db, dynamic([p], p.visits - -1)) == 11
    assert one(db, dynamic([p], p.visits - ^five)) == 15
    assert one(db, dynamic([p], -fragment("-?", p.visits))) == 10
  end

  test "in every clause", %{db: db} do
    assert rows(db, from(p in Post, where: -p.visits < -10, order_by: -p.id, select: p.id)) == [
             [3],
             [2]
           ]

    assert rows(
             db,
             from(p in Post, group_by: -p.visits, order_by: -p.visits, select: {-p.visits, count()})
           ) == [[-20, 2], [-10, 1]]

    assert rows(db, from(p in "posts", where: -p.visits == -10, select: -p.visits)) == [[-10]]

    run(
      db,
      from(p in Post, where: -p.id == -1, update: [set: [visits: -p.visits, price: -p.price]]),
      nil,
      :update_all
    )

    assert raw(db, "SELECT visits, price FROM posts WHERE id = 1") == [[-10, -1.25]]
  end
end
