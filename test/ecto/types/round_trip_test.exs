Code.require_file("types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Types.RoundTripTest do
  # Random values of each type, in Repos of all forms, in plain and in STRICT tables: they come back as they
  # were, are of one storage class, and are found by what they are.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  import Ecto.Adapters.LibSql.TypesCase
  alias Ecto.Adapters.LibSql.TypesCase.{Repo, Thing}

  @fields Thing.__schema__(:fields) -- [:id]
  @embeds [:part, :parts]

  for forms <- all_forms(), strict? <- [false, true] do
    test "#{inspect(forms)}#{if strict?, do: ", STRICT"}" do
      forms = unquote(forms)
      start_repo(forms, strict: unquote(strict?))
      things = for _ <- 1..20, do: Repo.insert!(random_thing())
      assert {20, nil} = Repo.insert_all(Thing, Enum.map(things, &Map.take(&1, @fields)))

      copies = for thing <- things, do: %{thing | id: thing.id + 20}
      assert values(Repo.all(Thing)) == values(things ++ copies)

      for {column, declared} <- columns(forms), class = storage(declared) do
        assert {column, classes(column)} == {column, [class]}
      end

      for thing <- Enum.take(things, 4),
          field <- @fields -- @embeds,
          do: assert_found(thing, field)

      for field <- @fields -- @embeds, do: assert_set(field, Enum.random(things))
      assert_changed(Enum.random(things), Enum.random(things))
    end
  end

  # Embedded structs bring their state with them.
  defp values(things) do
    for thing <- Enum.sort_by(things, & &1.id) do
      thing
      |> Map.take([:id | @fields])
      |> Map.update!(:part, &part/1)
      |> Map.update!(:parts, &part/1)
    end
  end

  defp part(nil), do: nil
  defp part(parts) when is_list(parts), do: Enum.map(parts, &part/1)
  defp part(part), do: Map.drop(part, [:__meta__])

  defp assert_found(thing, field) do
    case Map.fetch!(thing, field) do
      nil ->
        assert thing.id in Repo.all(from(t in Thing, where: is_nil(field(t, ^field)), select: t.id))

      value ->
        for query <- by(field, value) do
          assert thing.id in Repo.all(query), inspect({field, value, Repo.to_sql(:all, query)})
        end

        given = from(t in Thing, limit: 1, select: type(^value, field(t, ^field)))
        assert {field, Repo.all(given)} == {field, [value]}
    end
  end

  defp by(field, value) do
    type = Thing.__schema__(:type, field)
    other = random(field)

    [
      from(t in Thing, where: field(t, ^field) == ^value, select: t.id),
      from(t in Thing, where: field(t, ^field) in ^[other, value], select: t.id),
      from(t in Thing, where: fragment("? = ?", field(t, ^field), type(^value, ^type)), select: t.id),
      from(t in Thing,
        where: t.id in subquery(from(t in Thing, where: field(t, ^field) == ^value, select: t.id)),
        select: t.id
      )
    ] ++ if(match?({:array, _}, type), do: by_element(field, value), else: [])
  end

  defp by_element(:nested, _value), do: []
  defp by_element(:maps, _value), do: []

  defp by_element(field, value) do
    for element <- value, do: from(t in Thing, where: ^element in field(t, ^field), select: t.id)
  end

  defp assert_set(field, %{id: id} = thing) do
    value = random(field)
    query = from(t in Thing, where: t.id == ^id)
    assert {1, nil} = Repo.update_all(query, set: [{field, value}])
    assert Repo.one!(from(t in query, select: field(t, ^field))) == value
    assert thing.id in Repo.all(hd(by(field, value)))
  end

  defp assert_changed(thing, other) do
    changes = Map.take(other, @fields -- @embeds)
    thing = Repo.get!(Thing, thing.id)
    changed = thing |> Ecto.Changeset.change(changes) |> Repo.update!()
    assert values([Repo.get!(Thing, thing.id)]) == values([changed])
    assert {:ok, _} = Repo.delete(changed)
    assert Repo.get(Thing, thing.id) == nil
  end
end
