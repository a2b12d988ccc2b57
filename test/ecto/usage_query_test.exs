Code.require_file("support/usage.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.UsageQueryTest do
  # The queries that applications write, in the many ways that Ecto has to say them.
  use EctoLibSql.Case, async: false

  import Ecto.Query
  import EctoLibSql.Usage
  alias EctoLibSql.Usage.{Post, Repo, User}

  setup do: start(tmp_path())

  test "groups, aggregates, filters, windows" do
    people()

    query =
      from(u in User,
        left_join: p in assoc(u, :posts),
        group_by: u.id,
        order_by: u.id,
        select: {u.name, count(p.id), sum(p.votes), filter(count(p.id), p.votes > 1)}
      )

    assert Repo.all(query) == [{"Ann", 2, 4, 1}, {"Bob", 1, 2, 1}, {"Cyd", 0, nil, 0}]
    assert [{"Ann", 2, 4, 1}] = Repo.all(having(query, [u, p], sum(p.votes) > 2))
    assert Repo.aggregate(Post, :avg, :votes) == 2.0
    assert Repo.aggregate(from(p in Post, order_by: p.id, limit: 2), :sum, :votes) == 3
    assert Repo.aggregate(from(p in Post, where: false), :max, :votes) == nil

    query =
      from(p in Post,
        order_by: p.id,
        windows: [w: [partition_by: p.user_id, order_by: p.id]],
        select: {p.id, p.votes |> lag() |> over(:w), p.votes |> sum() |> over(:w), over(count())}
      )

    assert Repo.all(query) == [{1, nil, 1, 3}, {2, nil, 2, 3}, {3, 1, 4, 3}]
  end

  test "dynamic parts" do
    people()
    any = Enum.reduce([1, 3], dynamic(false), &dynamic([p], ^&2 or p.votes == ^&1))
    order = [desc: dynamic([p], fragment("? % 3", p.votes)), asc: :id]
    fields = %{title: dynamic([p], p.title), twice: dynamic([p], p.votes * 2)}
    query = from(p in Post, where: ^any, order_by: ^order, select: ^fields)
    assert Repo.all(query) == [%{title: "p1", twice: 2}, %{title: "p3", twice: 6}]

    field = :votes
    query = from(p in Post, where: field(p, ^field) > 1, group_by: ^[:user_id], select: count())
    assert Enum.sort(Repo.all(query)) == [1, 1]

    named = from(p in Post, as: :post, join: u in assoc(p, :user), as: :user)
    query = from([user: u, post: p] in named, where: u.name == "Bob", select: p.title)
    assert Repo.all(query) == ["p2"]
  end

  test "subqueries everywhere" do
    people()
    count = from(p in Post, where: p.user_id == parent_as(:user).id, select: count())
    query = from(u in User, as: :user, order_by: u.id, select: {u.name, subquery(count)})
    assert Repo.all(query) == [{"Ann", 2}, {"Bob", 1}, {"Cyd", 0}]

    some = from(p in Post, where: p.user_id == parent_as(:user).id and p.votes > 2)
    assert Repo.all(from(u in User, as: :user, where: exists(some), select: u.name)) == ["Ann"]

    users = from(p in Post, where: p.votes == 2, select: p.user_id)
    assert Repo.all(from(u in User, where: u.id in subquery(users), select: u.name)) == ["Bob"]

    most = from(p in Post, select: max(p.votes))
    assert Repo.all(from(p in Post, where: p.votes == subquery(most), select: p.title)) == ["p3"]
    assert Repo.all(from(p in Post, where: p.votes >= all(most), select: p.title)) == ["p3"]

    all = from(u in User, select: %{name: u.name, at: u.inserted_at, active: u.active})
    query = from(s in subquery(all), where: s.active, select: s)
    assert [%{name: "Ann", active: true, at: %NaiveDateTime{}}] = Repo.all(query)
  end

  test "what two queries have together, and lists of values" do
    people()
    names = from(u in User, select: u.name)
    titles = from(p in Post, select: p.title)
    query = from(q in names, union_all: ^titles, order_by: [desc: fragment("1")], limit: 2)
    assert Repo.all(query) == ["p3", "p2"]
    writers = from(p in Post, select: p.user_id)
    assert Repo.all(from(u in User, select: u.id, except: ^writers)) == [3]

    values = [%{name: "Bob", points: 5}]
    types = %{name: :string, points: :integer}

    query =
      from(u in User,
        join: v in values(values, types),
        on: v.name == u.name,
        select: {u.name, v.points}
      )

    assert Repo.all(query) == [{"Bob", 5}]
    query = from(p in Post, distinct: p.user_id, order_by: [desc: p.votes], select: p.title)
    assert Enum.sort(Repo.all(query)) == ["p2", "p3"]
  end

  test "paths into JSON" do
    Repo.insert!(%User{name: "j", meta: %{"n" => 2, "s" => "2", "l" => [%{"x" => false}]}})
    Repo.insert!(%User{name: "k", meta: %{"n" => 10}})
    assert Repo.all(from(u in User, order_by: u.meta["n"], select: u.name)) == ["j", "k"]
    assert Repo.all(from(u in User, where: u.meta["l"][0]["x"] == false, select: u.name)) == ["j"]

    assert Repo.all(from(u in User, where: u.meta["s"] == "2", select: u.meta["l"])) == [
             [%{"x" => false}]
           ]

    assert Repo.all(from(u in User, where: is_nil(u.meta["s"]), select: u.name)) == ["k"]
    key = "n"
    assert Repo.all(from(u in User, where: u.meta[^key] > 2, select: u.meta[^key])) == [10]
    assert Repo.one(from(u in User, select: sum(type(u.meta["n"], :integer)))) == 12
  end

  test "pages, by offset and by key" do
    people()
    ids = fn query -> query |> order_by(:id) |> select([p], p.id) |> Repo.all() end
    assert ids.(from(p in Post, offset: 1)) == [2, 3]
    assert ids.(from(p in Post, offset: 1, limit: 1)) == [2]
    assert ids.(from(p in Post, where: {p.votes, p.id} > {1, 1})) == [2, 3]
    assert Repo.one(Post |> order_by(:votes) |> last()).title == "p3"
    assert Repo.all(Post |> order_by(:id) |> reverse_order() |> select([p], p.id)) == [3, 2, 1]
    assert Repo.exists?(Post) and not Repo.exists?(where(Post, votes: 9))
  end

  test "fragments: sources, columns, lists, identifiers" do
    people()
    query = from(p in Post, join: u in assoc(p, :user), order_by: p.id, limit: 1)
    assert Repo.all(select(query, [p, u], fragment("?.name || ?", u, p.title))) == ["Annp1"]
    column = "title"
    query = from(p in Post, where: fragment("? IN (?)", p.votes, splice(^[1, 3])), order_by: p.id)
    assert Repo.all(select(query, [p], fragment("?", identifier(^column)))) == ["p1", "p3"]

    each = from(e in fragment("json_each(?)", ^"[5, 6]"), select: e.value, where: e.key > 0)
    assert Repo.all(each) == [6]

    voted = from(p in Post, join: u in assoc(p, :user), where: p.votes == 1)
    own = select(voted, [p], fragment("?.title", p))
    assert Repo.update_all(own, set: [title: "t"]) == {1, ["t"]}
    joined = select(voted, [_, u], fragment("?.name", u))
    assert_raise Ecto.QueryError, fn -> Repo.update_all(joined, inc: [votes: 1]) end
  end
end
