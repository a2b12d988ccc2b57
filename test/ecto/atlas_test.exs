defmodule Ecto.Adapters.LibSql.AtlasTest do
  # The application of demo/atlas, which people copy from, with a few places.
  use EctoLibSql.Case, async: false

  @folder "demo/atlas"

  # Its modules are there when this file is loaded, and not when it is compiled.
  @compile {:no_warn_undefined, [Atlas.Places, Atlas.Trips, Atlas.Repo]}
  alias Atlas.{Places, Repo, Trips}

  @json """
  [{"name": "Zürich", "lat": "47.37", "lng": "8.55", "country": "CH", "admin1": "ZH"},
   {"name": "Bern", "lat": "46.95", "lng": "7.45", "country": "CH", "admin1": "BE"},
   {"name": "Winterthur", "lat": "47.5", "lng": "8.72", "country": "CH", "admin1": "ZH"},
   {"name": "Milan", "lat": "45.46", "lng": "9.19", "country": "IT", "admin1": "09"},
   {"name": "Vaduz", "lat": "47.14", "lng": "9.52", "country": "LI", "admin1": "11"}]
  """

  setup_all do
    {:ok, _, _} = Kernel.ParallelCompiler.compile(Path.wildcard(@folder <> "/lib/**/*.ex"))
    :ok
  end

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 3, log: false})
    migrations = migrations()
    Ecto.Migrator.run(Repo, migrations, :up, all: true, log: false)
    {:ok, {3, 5}} = Places.import(@json)
    %{migrations: migrations}
  end

  # Loaded once: Ecto.Migrator would load them each time.
  defp migrations do
    key = {__MODULE__, :migrations}

    with nil <- :persistent_term.get(key, nil) do
      paths = @folder |> Path.join("priv/repo/migrations/*.exs") |> Path.wildcard()

      migrations =
        for path <- paths do
          {version, _name} = path |> Path.basename() |> Integer.parse()
          [{module, _code}] = Code.compile_file(path)
          {version, module}
        end

      :persistent_term.put(key, migrations)
      migrations
    end
  end

  defp names(list), do: Enum.map(list, & &1.name)

  test "migrations go down and up", %{migrations: migrations} do
    down = Ecto.Migrator.run(Repo, migrations, :down, all: true, log: false)
    assert Enum.sort(down) == Enum.map(migrations, &elem(&1, 0))
    query = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    assert %{rows: [["schema_migrations"]]} = Repo.query!(query)
    assert length(Ecto.Migrator.run(Repo, migrations, :up, all: true, log: false)) == length(down)
  end

  test "places" do
    assert Places.largest_countries(2) == [{"CH", 3}, {"IT", 1}]
    assert names(Places.search("zurich")) == ["Zürich"]
    assert names(Places.search("\" OR *")) == []
    assert names(Places.search("mil", country: "CH")) == []
    assert Places.regions("CH", 1) == [%{region: "ZH", places: 2}]
    assert names(Places.northernmost(2)) == ["Winterthur", "Vaduz"]
    assert [bern] = Places.page("CH", nil, 1)
    assert names(Places.page("CH", bern)) == ["Winterthur", "Zürich"]
    assert {mean, 5} = Places.mean_latitude()
    assert_in_delta mean, 46.884, 0.0001

    # What the triggers keep is found, and only that.
    place = Places.get_place!("Milan", "IT")
    {:ok, _} = place |> Ecto.Changeset.change(name: "Milano") |> Repo.update()
    assert names(Places.search("milano")) == ["Milano"]
    Repo.delete!(place)
    assert Places.search("mil") == []
  end

  test "labels" do
    {:ok, place} = "Bern" |> Places.get_place!("CH") |> Places.label(["capital", "old"])
    {:ok, _} = "Vaduz" |> Places.get_place!("LI") |> Places.label(["Capital"])
    assert [%{uses: 2} = capital] = Places.labels_called("capital")
    {:ok, _} = Places.label(place, ["old"])
    assert names(Repo.preload(place, :labels, force: true).labels) == ["old"]
    assert %{aliases: ["Hauptstadt"]} = Places.add_alias(capital, "Hauptstadt")
    assert names(Places.labels_called("Hauptstadt")) == ["capital"]

    assert {:error, %{errors: [name: {"has already been taken", _}]}} =
             Places.create_label(%{name: "OLD"})
  end

  test "trips" do
    {:ok, ada} =
      Trips.register(%{name: "Ada", email: "a@x", languages: ["it"], passport: %{number: "1"}})

    bern = Places.get_place!("Bern", "CH")
    milan = Places.get_place!("Milan", "IT")

    stops = [
      %{position: 1, nights: 2, place_id: bern.id},
      %{position: 2, nights: 1, place_id: milan.id}
    ]

    plan = %{
      title: "South",
      starts_on: ~D[2025-01-01],
      ends_on: ~D[2025-01-05],
      budget: "0.10",
      stops: stops
    }

    {:ok, trip} = Trips.plan(ada.id, plan)
    {:ok, _} = Trips.plan(ada.id, %{plan | title: "Again", budget: "0.20", stops: []})

    assert %{traveller: %{name: "Ada"}, stops: [%{place: %{name: "Bern"}}, _]} = Trips.get!(trip.id)
    assert [%{title: "South"}] = Trips.list(ada, title: "SOUTH", year: 2025)
    assert [%{name: "Ada", trips: 2}] = Trips.budgets()
    assert names(Trips.speaking("it")) == ["Ada"]

    assert {:ok, %{stops: {2, nil}, nights: 5}} = Trips.repeat(trip, Map.delete(plan, :stops))
    assert Trips.stay_longer_in("IT") == 2
    assert Trips.avoid("CH") == 2
    assert [%{nights: 2, position: 2}] = Trips.get!(trip.id).stops

    assert {:error, %{errors: [trips: {"are still associated with this entry", _}]}} =
             Trips.remove(ada)

    {:ok, _} = Trips.update_traveller(ada, %{passport: %{number: "2"}})
    assert_raise Ecto.StaleEntryError, fn -> Trips.update_traveller(ada, %{name: "x"}) end
    assert Repo.reload!(ada).passport.number == "2"
  end
end
