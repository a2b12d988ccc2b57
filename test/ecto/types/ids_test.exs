Code.require_file("types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Types.IdsTest do
  # UUIDs and binary ids as keys: what writes one and what looks for one agree, wherever it stands, in
  # either form, in STRICT tables too. Among them are ids whose digits read as a number or as infinity.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  import Ecto.Adapters.LibSql.TypesCase
  alias Ecto.Adapters.LibSql.TypesCase.Repo
  alias EctoLibSql.Forms

  defmodule Named do
    use Ecto.Schema
    @primary_key {:id, :binary_id, autogenerate: false}
    schema("named", do: [])
  end

  defmodule Keys do
    # The same schemas with keys of one type or the other.
    defmacro __using__(type) do
      [owner, pet, card] =
        for name <- [Owner, Pet, Card], do: Module.concat(__CALLER__.module, name)

      quote do
        def owner, do: unquote(owner)
        def pet, do: unquote(pet)
        def card, do: unquote(card)
        def type, do: unquote(type)

        defmodule unquote(card) do
          use Ecto.Schema

          embedded_schema do
            field(:number, unquote(type))
          end
        end

        defmodule unquote(owner) do
          use Ecto.Schema
          @primary_key {:id, unquote(type), autogenerate: true}
          @foreign_key_type unquote(type)

          schema "owners" do
            field(:name, :string)
            field(:code, unquote(type))
            field(:codes, {:array, unquote(type)})
            has_many(:pets, unquote(pet), foreign_key: :owner_id)
            embeds_one(:card, unquote(card))

            many_to_many(:friends, __MODULE__,
              join_through: "friends",
              join_keys: [a_id: :id, b_id: :id]
            )
          end
        end

        defmodule unquote(pet) do
          use Ecto.Schema
          @primary_key {:id, unquote(type), autogenerate: true}
          @foreign_key_type unquote(type)

          schema "pets" do
            field(:name, :string)
            belongs_to(:owner, unquote(owner))
          end
        end
      end
    end
  end

  defmodule Uuid do
    use Keys, Ecto.UUID
  end

  defmodule BinaryId do
    use Keys, :binary_id
  end

  for keys <- [Uuid, BinaryId],
      form <- [:blob, :text],
      strict? <- [false, true] do
    test "#{inspect(keys.type())} as #{form}#{if strict?, do: ", STRICT"}" do
      keys = unquote(keys)
      start(keys.type(), unquote(form), unquote(strict?))
      for _ <- 1..25, do: check(keys, keys.type(), unquote(form))
    end
  end

  defp start(type, form, strict?) do
    option = if type == :binary_id, do: :binary_id_type, else: :uuid_type
    options = [{option, form}]
    start_repo(options)
    forms = Forms.of(options)
    stored = if type == :binary_id, do: forms.binary_id, else: forms.uuid
    declared = if strict?, do: String.upcase("#{stored}"), else: String.upcase("#{stored}_uuid")
    strict = if strict?, do: "STRICT", else: ""

    for sql <- [
          "CREATE TABLE owners (id #{declared} PRIMARY KEY, name TEXT, code #{declared} UNIQUE, codes TEXT, card TEXT) #{strict}",
          "CREATE TABLE pets (id #{declared} PRIMARY KEY, name TEXT, owner_id #{declared} REFERENCES owners) #{strict}",
          "CREATE TABLE friends (a_id #{declared} REFERENCES owners, b_id #{declared} REFERENCES owners) #{strict}"
        ],
        do: Repo.query!(sql)
  end

  defp check(keys, type, form) do
    {owners, pets, cards} = {keys.owner(), keys.pet(), keys.card()}
    id = numeric_uuid()
    code = numeric_uuid()
    card = struct(cards, number: code)

    given =
      Repo.insert!(struct(owners, id: id, name: "given", code: code, codes: [code, id], card: card))

    made =
      Repo.insert!(
        struct(owners, name: "made", pets: [struct(pets, name: "a"), struct(pets, name: "b")])
      )

    # insert_all makes up ids of Ecto's own type alone.
    made_up = fn row -> if type == :binary_id, do: row, else: [{:id, uuid()} | row] end
    rows = Enum.map([[name: "all", codes: []], [name: "all", code: uuid()]], made_up)
    assert {2, [%{id: <<_::36-binary>>}, _]} = Repo.insert_all(owners, rows, returning: [:id])

    # As they are stored.
    assert Repo.query!(
             "SELECT DISTINCT typeof(id) FROM owners UNION SELECT typeof(owner_id) FROM pets"
           ).rows == [["#{form}"]]

    assert [[^form]] =
             Repo.query!("SELECT DISTINCT typeof(code) FROM owners WHERE code IS NOT NULL").rows
             |> Enum.map(&Enum.map(&1, fn name -> String.to_atom(name) end))

    # Found by key, by field, by lists, by a fragment, in arrays, by a query inside.
    assert %{code: ^code, codes: [^code, ^id], card: %{number: ^code, id: card_id}} =
             Repo.get!(owners, id)

    assert {:ok, _} = Ecto.UUID.cast(card_id)
    assert Repo.get!(owners, made.id).name == "made"
    assert Repo.get_by!(owners, code: code).id == id
    assert [^id] = Repo.all(from(o in owners, where: o.id in ^[id, uuid()], select: o.id))
    assert [^id] = Repo.all(from(o in owners, where: o.id == type(^id, ^type), select: o.id))

    assert [^id] =
             Repo.all(
               from(o in owners,
                 where: fragment("? = ?", o.code, type(^code, ^type)),
                 select: type(o.id, ^type)
               )
             )

    assert [^id] = Repo.all(from(o in owners, where: ^code in o.codes, select: o.id))
    assert [^id] = Repo.all(from(o in owners, where: o.code in o.codes, select: o.id))

    assert [^id] =
             Repo.all(
               from(o in owners,
                 where: o.id in subquery(from(i in owners, where: i.code == ^code, select: i.id)),
                 select: o.id
               )
             )

    assert [^id] =
             Repo.all(from(o in owners, where: o.code == ^code, select: coalesce(o.id, o.code)))

    # Foreign keys: associations, preloads, joins, a parent that is not there.
    assert [%{name: "a"}, %{name: "b"}] =
             Repo.preload(Repo.get!(owners, made.id), :pets).pets |> Enum.sort_by(& &1.name)

    assert [%{owner: %{name: "made"}} | _] =
             Repo.all(from(p in pets, where: p.owner_id == ^made.id, preload: :owner))

    assert 2 =
             Repo.one(
               from(p in pets, join: o in assoc(p, :owner), where: o.id == ^made.id, select: count())
             )

    given =
      given
      |> Repo.preload(:friends)
      |> Ecto.Changeset.change()
      |> Ecto.Changeset.put_assoc(:friends, [made])
      |> Repo.update!()

    made_id = made.id
    assert [%{id: ^made_id}] = Repo.preload(Repo.get!(owners, id), :friends).friends

    {:error, changeset} =
      struct(pets, owner_id: uuid())
      |> Ecto.Changeset.change()
      |> Ecto.Changeset.foreign_key_constraint(:owner_id)
      |> Repo.insert()

    assert [owner_id: {"does not exist", _}] = changeset.errors

    # Changed, upserted, deleted by key.
    assert %{code: nil} = given |> Ecto.Changeset.change(code: nil) |> Repo.update!()

    Repo.insert!(struct(owners, id: id, name: "twice", code: code),
      on_conflict: {:replace, [:name, :code]},
      conflict_target: :id
    )

    assert %{name: "twice", code: ^code} = Repo.get!(owners, id)

    assert {1, [%{id: ^id}]} =
             Repo.update_all(from(o in owners, where: o.id == ^id, select: o), set: [code: uuid()])

    assert {1, nil} = Repo.delete_all(from(f in "friends", where: f.a_id == type(^id, ^type)))
    assert {:ok, _} = Repo.delete(given)
    assert Repo.get(owners, id) == nil
  end

  describe ":binary_id" do
    test "as text is any text of the application's; as bytes it is a UUID, and anything else an error" do
      start_repo([])
      Repo.query!("CREATE TABLE named (id TEXT PRIMARY KEY)")

      for id <- ["a", "sixteen-letters!", "größe-16-bytes!", String.duplicate("x", 36), "123e4567"] do
        Repo.insert!(%Named{id: id})
        assert Repo.get!(Named, id).id == id
      end

      start_repo(binary_id_type: :blob)
      Repo.query!("CREATE TABLE named (id BLOB PRIMARY KEY)")
      id = uuid()
      Repo.insert!(%Named{id: id})
      assert Repo.get!(Named, String.upcase(id)).id == id

      # Printable bytes, and two Repos in one process.
      digits = "33333333-3333-3333-3333-333333333333"
      Repo.insert!(%Named{id: digits})
      bytes = Repo.get_dynamic_repo()
      start_repo([])
      texts = Repo.get_dynamic_repo()
      Repo.query!("CREATE TABLE named (id TEXT PRIMARY KEY)")
      Repo.insert!(%Named{id: "3333333333333333"})

      for _ <- 1..2 do
        Repo.put_dynamic_repo(bytes)
        assert Repo.get!(Named, digits).id == digits

        assert {:ok, [^digits]} =
                 Repo.transaction(fn ->
                   from(n in Named, where: n.id == ^digits, select: n.id)
                   |> Repo.stream()
                   |> Enum.to_list()
                 end)

        Repo.put_dynamic_repo(texts)
        assert [%{id: "3333333333333333"}] = Repo.all(Named)
      end

      Repo.put_dynamic_repo(bytes)

      for call <- [
            fn -> Repo.get(Named, "no-uuid") end,
            fn -> Repo.get(Named, "sixteen-letters!") end,
            fn -> Repo.get(Named, String.duplicate("0", 32)) end,
            fn -> Repo.insert!(%Named{id: "no-uuid"}) end
          ] do
        assert %EctoLibSql.Error{code: :parameters, message: message} = catch_error(call.())
        assert message =~ "no UUID"
      end

      assert {:error, %EctoLibSql.Error{}} =
               Repo.transaction(fn -> Repo.rollback(catch_error(Repo.get(Named, "x"))) end)

      assert [_, _] = Repo.all(Named)
    end
  end
end
