Code.require_file("support/usage.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.UsageTest do
  # What applications do with Ecto: the answers are those that its documentation promises.
  use EctoLibSql.Case, async: false

  import Ecto.Query
  import EctoLibSql.Usage
  alias Ecto.{Changeset, Multi}
  alias EctoLibSql.Usage.{Address, Group, Line, Org, Post, Profile, Repo, User}

  setup do: start(tmp_path())

  describe "schemas" do
    test "every kind of field comes back as it was" do
      uid = Ecto.UUID.generate()
      seen_at = ~U[2024-05-06 07:08:09.123456Z]

      user =
        Repo.insert!(%User{
          name: "é\0",
          role: :admin,
          level: :high,
          roles: [:b, :a],
          uid: uid,
          uids: [uid],
          secret: "abc",
          data: <<0, 255>>,
          tags: ["x", "\"y\\"],
          wakes: ~T[07:08:09.000001],
          meta: %{"a" => %{"b" => [1, 1.5, nil, true]}},
          address: %Address{
            street: "s",
            since: ~D[2020-01-01],
            fee: Decimal.new("1.50"),
            seen_at: seen_at
          },
          addresses: [%Address{street: "1"}, %Address{street: "2"}]
        })

      assert Repo.get!(User, user.id) == user |> Repo.reload!()
      fields = User.__schema__(:fields) -- [:inserted_at, :updated_at]
      assert Map.take(Repo.get!(User, user.id), fields) == Map.take(user, fields)
      assert %{rows: [["cba", "admin", 2]]} = Repo.query!("SELECT secret, role, level FROM users")
      assert Repo.get_by!(User, secret: "abc", role: :admin, level: :high).id == user.id
      assert [_] = Repo.all(from(u in User, where: u.uid in ^[uid] and ^uid in u.uids))
      assert [_] = Repo.all(from(u in User, where: u.data == ^<<0, 255>> and u.name == ^"é\0"))
    end

    test "embeds are cast, updated and replaced" do
      user = Repo.insert!(%User{address: %Address{street: "s", since: ~D[2020-01-01]}})
      attrs = %{address: %{fee: "2.5"}, addresses: [%{street: "n"}]}

      {:ok, _} =
        user
        |> Changeset.cast(attrs, [])
        |> Changeset.cast_embed(:address)
        |> Changeset.cast_embed(:addresses)
        |> Repo.update()

      assert %{address: %{street: "s", fee: fee}, addresses: [%{street: "n"}]} = Repo.reload!(user)
      assert Decimal.equal?(fee, "2.5")

      query =
        from(u in User, where: u.address["since"] == "2020-01-01", select: u.address["street"])

      assert Repo.all(query) == ["s"]
    end

    test "keys of several columns, other names of columns, generated columns" do
      line = Repo.insert!(%Line{order: 1, number: 1, count: 4})
      assert line.total == 40
      assert {:ok, %{total: 50}} = line |> Changeset.change(count: 5) |> Repo.update()
      assert Repo.all(from(l in Line, where: l.count == 5, select: l.total)) == [50]
      assert {1, [6]} = Repo.update_all(from(l in Line, select: l.count), inc: [count: 1])

      assert {:error, %{errors: [number: {"has already been taken", _}]}} =
               %Line{order: 1, number: 1}
               |> Changeset.change()
               |> Changeset.unique_constraint(:number, name: :lines_pkey)
               |> Repo.insert()

      upsert = [on_conflict: {:replace, [:count]}, conflict_target: [:order, :number]]
      assert Repo.insert!(%Line{order: 1, number: 1, count: 7}, upsert).total == 70
      assert {:ok, _} = Repo.delete(line)
      assert Repo.aggregate(Line, :count) == 0
    end

    test "trees, by ids of text" do
      tree = [%Org{name: "a"}, %Org{name: "b", children: [%Org{name: "c"}]}]
      root = Repo.insert!(%Org{name: "root", children: tree})
      read = Org |> Repo.get!(root.id) |> Repo.preload(children: [:children, :parent])
      assert [%{name: "a"}, %{name: "b", children: [c]}] = Enum.sort_by(read.children, & &1.name)
      assert Enum.all?(read.children, &(&1.parent.name == "root"))

      assert Repo.all(from(o in "orgs", where: o.id == type(^c.id, :binary_id), select: o.name)) ==
               ["c"]

      top = from(o in Org, where: o.id == ^root.id, select: %{id: o.id, depth: 0})

      below =
        from(o in Org,
          join: t in "tree",
          on: o.parent_id == t.id,
          select: %{id: o.id, depth: t.depth + 1}
        )

      query =
        from(o in Org, join: t in "tree", on: t.id == o.id, order_by: [t.depth, o.name])
        |> recursive_ctes(true)
        |> with_cte("tree", as: ^union_all(top, ^below))
        |> select([o, t], {o.name, t.depth})

      assert Repo.all(query) == [{"root", 0}, {"a", 1}, {"b", 1}, {"c", 2}]
    end

    test "soft deletes: an index over what is not deleted" do
      taken = fn name ->
        %Org{name: name}
        |> Changeset.change()
        |> Changeset.unique_constraint(:name, name: :orgs_name)
        |> Repo.insert()
      end

      assert {:ok, org} = taken.("One")
      assert {:error, %{errors: [name: {"has already been taken", _}]}} = taken.("ONE")
      {1, _} = Repo.update_all(Org, set: [deleted_at: ~U[2024-01-01 00:00:00Z]])
      assert {:ok, _} = taken.("ONE")
      assert Repo.aggregate(from(o in Org, where: is_nil(o.deleted_at)), :count) == 1
      assert Repo.reload!(org).deleted_at == ~U[2024-01-01 00:00:00Z]
    end

    test "optimistic locks" do
      user = Repo.insert!(%User{name: "n"})

      change = fn user ->
        user
        |> Changeset.change(age: 1)
        |> Changeset.optimistic_lock(:lock_version)
        |> Repo.update()
      end

      assert {:ok, %{lock_version: 2}} = change.(user)
      assert_raise Ecto.StaleEntryError, fn -> change.(user) end
    end
  end

  describe "associations" do
    test "preloads of preloads, by queries and by joins" do
      people()
      nested = Repo.all(from(u in User, order_by: u.id, preload: [posts: [comments: :replies]]))

      shape = fn users ->
        for u <- users, do: for(p <- u.posts, do: for(c <- p.comments, do: c.text))
      end

      expected = [[["1a", "1b"], ["3a", "3b"]], [["2a", "2b"]], []]
      assert shape.(nested) == expected

      joined =
        from(u in User,
          left_join: p in assoc(u, :posts),
          left_join: c in assoc(p, :comments),
          order_by: [u.id, p.id, c.id],
          preload: [posts: {p, comments: c}]
        )

      assert shape.(Repo.all(joined)) == expected
      assert [4, 2, 0] = for(u <- Repo.preload(nested, :comments), do: length(u.comments))

      best = from(p in Post, windows: [w: [partition_by: p.user_id, order_by: [desc: p.votes]]])
      best = select(best, [p], %{id: p.id, rank: row_number() |> over(:w)})
      best = from(p in Post, join: b in subquery(best), on: b.id == p.id and b.rank == 1)
      users = Repo.all(from(u in User, order_by: u.id, preload: [posts: ^best]))
      assert for(u <- users, p <- u.posts, do: p.title) == ["p3", "p2"]
    end

    test "put_assoc of each kind" do
      user = Repo.preload(people(), [:groups, :profile])
      put = fn user, key, value -> user |> Changeset.change() |> Changeset.put_assoc(key, value) end
      {:ok, user} = user |> put.(:groups, [%Group{name: "g"}, %Group{name: "h"}]) |> Repo.update()
      {:ok, user} = user |> put.(:groups, [hd(user.groups)]) |> Repo.update()
      assert [%{name: "g"}] = Repo.preload(user, :groups, force: true).groups
      assert Repo.aggregate("users_groups", :count) == 1

      {:ok, user} = user |> put.(:profile, %Profile{bio: "1"}) |> Repo.update()
      {:ok, user} = user |> put.(:profile, %Profile{bio: "2"}) |> Repo.update()
      assert [%{bio: "2"}] = Repo.all(Profile)
      assert [_] = Repo.all(Ecto.assoc(user, [:posts, :comments]) |> where(text: "1a"))
    end

    test "a parent whose key is referred to with RESTRICT" do
      user = people()
      Repo.insert!(%Profile{user_id: user.id})

      assert {:error, %{errors: [profile: {"is still associated with this entry", _}]}} =
               user
               |> Changeset.change()
               |> Changeset.no_assoc_constraint(:profile)
               |> Repo.delete()

      Repo.delete_all(Profile)
      assert {:ok, _} = Repo.delete(user)
      assert Repo.aggregate(Post, :count) == 1
    end
  end

  describe "writes" do
    test "upserts of each form" do
      people()
      now = ~N[2024-01-01 00:00:00]
      row = %{name: "new", email: "Ann@x", age: 1, inserted_at: now, updated_at: now}
      ann = fn -> Repo.get_by!(User, email: "Ann@x") end
      insert = fn opts -> Repo.insert_all(User, [row], [conflict_target: :email] ++ opts) end

      assert insert.(on_conflict: :nothing) == {0, nil}
      assert insert.(on_conflict: {:replace, [:age]}) == {1, nil}
      assert %{name: "Ann", age: 1} = ann.()
      assert {1, [%{age: 3}]} = insert.(on_conflict: [inc: [age: 2]], returning: [:age])

      query = from(u in User, update: [set: [age: fragment("? + excluded.age", u.age)]])
      assert insert.(on_conflict: query) == {1, nil}
      assert insert.(on_conflict: where(query, [u], u.age > 100)) == {0, nil}
      assert ann.().age == 4

      assert insert.(on_conflict: {:replace_all_except, [:id, :email]}) == {1, nil}
      assert %{name: "new", age: 1, id: 1} = ann.()

      assert_raise ArgumentError, ~r/names columns/, fn ->
        target = {:constraint, :users_email_index}
        Repo.insert_all(User, [row], on_conflict: :nothing, conflict_target: target)
      end
    end

    test "updates and deletes by joins, CTEs and subqueries" do
      people()
      joined = from(p in Post, join: u in assoc(p, :user), where: u.name == "Ann")
      named = from([p, u] in joined, update: [set: [title: u.name], inc: [votes: ^10]])
      assert Repo.update_all(named, []) == {2, nil}
      query = from(p in Post, order_by: p.id, select: {p.title, p.votes})
      assert Repo.all(query) == [{"Ann", 11}, {"p2", 2}, {"Ann", 13}]

      best = from(p in Post, where: p.votes == 13, select: %{id: p.id})
      best = Post |> with_cte("best", as: ^best) |> join(:inner, [p], b in "best", on: b.id == p.id)
      assert Repo.delete_all(best) == {1, nil}

      without =
        from(u in User, left_join: p in assoc(u, :posts), where: is_nil(p.id), select: u.name)

      assert Repo.delete_all(without) == {1, ["Cyd"]}

      first = from(p in Post, order_by: p.id, limit: 1, select: p.id)
      assert Repo.delete_all(from(p in Post, where: p.id in subquery(first))) == {1, nil}
      assert [%{title: "p2"}] = Repo.all(Post)
    end

    test "transactions of many steps" do
      steps =
        Multi.new()
        |> Multi.insert(:user, %User{name: "u"})
        |> Multi.insert_all(:posts, Post, &posts(&1.user))
        |> Multi.update_all(:more, fn %{user: user} -> Ecto.assoc(user, :posts) end, inc: [votes: 1])
        |> Multi.run(:sum, fn repo, _ -> {:ok, repo.aggregate(Post, :sum, :votes)} end)

      assert {:ok, %{posts: {2, nil}, more: {2, nil}, sum: 5}} = Repo.transaction(steps)
      failing = Multi.run(steps, :no, fn _, _ -> {:error, :no} end)
      assert {:error, :no, :no, %{sum: 10}} = Repo.transaction(failing)
      assert Repo.aggregate(Post, :count) == 2

      assert Repo.transaction(fn ->
               Repo.delete_all(Post)
               {:error, _} = Repo.query("SELECT no_such_column")
               Repo.transaction(fn -> Repo.rollback(:inner) end)
             end) == {:error, :rollback}

      assert Repo.aggregate(Post, :count) == 2
    end

    defp posts(user) do
      now = DateTime.utc_now()
      for n <- 1..2, do: %{votes: n, user_id: user.id, inserted_at: now, updated_at: now}
    end
  end
end
