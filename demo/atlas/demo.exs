# make demo, its second part: an application with Ecto, laid out as Phoenix would have it. lib/atlas has its
# contexts and schemas, priv/repo/migrations what makes its tables. This file uses it, says what comes of
# it, and stops at the first answer that is not the right one.
#
#     demo/atlas/demo.exs CITIES_JSON DATABASE

Code.require_file("../screen.exs", __DIR__)

unless Code.ensure_loaded?(Ecto.Schema) do
  IO.puts("Atlas, the demonstration of the Ecto adapter: skipped, Ecto is not here")
  System.halt(0)
end

{:ok, _, _} = Kernel.ParallelCompiler.compile(Path.wildcard(__DIR__ <> "/lib/**/*.ex"))

defmodule Atlas.Demo do
  import Ecto.Query
  alias Atlas.Places.{Label, Place}
  alias Atlas.{Places, Repo, Trips}
  alias Atlas.Trips.{Stop, Traveller, Trip}
  alias EctoLibSql.Demo.Screen

  @migrations Path.join(__DIR__, "priv/repo/migrations")

  def main([json, path]) do
    Application.put_env(:atlas, Repo, database: path, pool_size: 5, log: false)
    {:ok, _} = Application.ensure_all_started(:ecto_sql)
    _ = Repo.__adapter__().storage_down(Repo.config())
    :ok = Repo.__adapter__().storage_up(Repo.config())
    {:ok, _} = Repo.start_link()

    Screen.title("Atlas: an application with Ecto #{Application.spec(:ecto, :vsn)}")
    migrate()
    load(File.read!(json))
    ask()
    labels()
    ada = travellers()
    trips(ada)
    multi(ada)
    whole_tables()
    constraints(ada)
    down_and_up(path <> "-copy")
    Screen.title("Every answer was the one it had to be. The database is #{path}")
    IO.puts("  Data: GeoNames, geonames.org, CC BY 4.0\n")
  end

  ## Tables and data

  defp migrate do
    Screen.section("Migrations")

    {took, versions} =
      :timer.tc(fn -> Ecto.Migrator.run(Repo, migrations(), :up, all: true, log: false) end)

    check("versions", versions, for({version, _module} <- migrations(), do: version))
    Screen.done("up", took)
  end

  # As `mix ecto.migrate` finds them; here they are run more than once, and loaded once.
  defp migrations do
    case :persistent_term.get(__MODULE__, nil) do
      nil ->
        paths = @migrations |> Path.join("*.exs") |> Path.wildcard()
        :persistent_term.put(__MODULE__, Enum.map(paths, &migration/1))
        migrations()

      migrations ->
        migrations
    end
  end

  defp migration(path) do
    {version, _name} = path |> Path.basename() |> Integer.parse()
    [{module, _code}] = Code.compile_file(path)
    {version, module}
  end

  defp load(json) do
    Screen.section("Countries and places: two INSERTs, whose rows are a query over the JSON text")
    {took, {:ok, {countries, places}}} = :timer.tc(fn -> Places.import(json) end)
    check("countries", countries, 246)
    check("places", Repo.aggregate(Place, :count), places)
    Screen.done("#{Screen.number(places)} places, indexed and searchable", took)
  end

  ## Queries

  defp ask do
    Screen.section("Queries: groups, full text, JSON, windows, pages, a stream")
    check("largest countries", Places.largest_countries(3), US: 17_343, IT: 10_053, MX: 8_947)

    found = timed("search", fn -> Places.search("zurich", country: "CH") end)
    check("\"zurich\" in Switzerland", hd(found).name, "Zürich")

    regions = timed("regions", fn -> Places.regions("CH", 3) end)
    check("the largest region of Switzerland", hd(regions).region, "ZH")

    north = timed("northernmost", fn -> Places.northernmost(2) end)
    check("the northernmost places of all countries", names(north), ["Longyearbyen", "Dikson"])

    plan = Repo.explain(:all, from(p in Place, where: p.country_code == "CH" and p.name == "Bern"))

    check("the plan of a query has the index", plan =~ "places_country_code_name_index", true)

    first = Places.page("IS", nil, 5)
    second = Places.page("IS", List.last(first), 5)
    check("two pages are one of twice the size", first ++ second, Places.page("IS", nil, 10))

    {mean, count} = timed("mean latitude", fn -> Places.mean_latitude() end)
    check("a stream reads all of them", count, Repo.aggregate(Place, :count))

    check(
      "and the database agrees",
      Float.round(mean, 6),
      round6(Repo.aggregate(Place, :avg, :lat))
    )
  end

  defp round6(float), do: Float.round(float, 6)

  defp labels do
    Screen.section("Labels: many to many, upserts, arrays")
    zurich = Places.get_place!("Zürich", "CH")
    bern = Places.get_place!("Bern", "CH")
    {:ok, zurich} = Places.label(zurich, ["lake", "large"])
    {:ok, _bern} = Places.label(bern, ["Large", "capital"])
    check("labels of Zürich", names(Repo.preload(zurich, :labels).labels), ["lake", "large"])
    check("\"large\" was made once, used twice", Repo.get_by!(Label, name: "LARGE").uses, 2)

    {:ok, zurich} = Places.label(zurich, ["lake"])

    check("labels can be taken off", names(Repo.preload(zurich, :labels, force: true).labels), [
      "lake"
    ])

    lake = Repo.get_by!(Label, name: "lake")
    check("an array grows", Places.add_alias(lake, "See").aliases, ["See"])
    check("and is searched", names(Places.labels_called("See")), ["lake"])
  end

  ## The second context

  defp travellers do
    Screen.section("Travellers: UUIDs, embeds, enums, arrays, optimistic locks")

    {:ok, ada} =
      Trips.register(%{
        name: "Ada",
        email: "ada@example.org",
        languages: ["en", "it"],
        passport: %{number: "X1", expires_on: "2031-05-06"}
      })

    read = Repo.get!(Traveller, ada.id)
    check("what is read is what was written", read, Repo.reload!(ada))
    check("a date within JSON", read.passport.expires_on, ~D[2031-05-06])
    check("who speaks Italian", names(Trips.speaking("it")), ["Ada"])

    {:ok, _} = Trips.update_traveller(ada, %{status: :away})
    stale = fn -> Trips.update_traveller(ada, %{name: "Augusta"}) end
    check("who comes late is told so", raised(stale), Ecto.StaleEntryError)
    Repo.get!(Traveller, ada.id)
  end

  defp trips(ada) do
    Screen.section("Trips: nested changesets and preloads, decimals, dynamic queries")
    zurich = Places.get_place!("Zürich", "CH")
    milan = Places.get_place!("Milan", "IT")

    {:ok, trip} =
      Trips.plan(ada.id, %{
        title: "To the South",
        starts_on: ~D[2025-04-01],
        ends_on: ~D[2025-04-09],
        budget: "1200.10",
        stops: [
          %{position: 1, nights: 3, place_id: zurich.id},
          %{position: 2, nights: 5, place_id: milan.id}
        ]
      })

    read = Trips.get!(trip.id)
    check("its traveller", read.traveller.name, "Ada")
    check("its stops, in order", names(Enum.map(read.stops, & &1.place)), ["Zürich", "Milan"])
    check("their countries", Enum.map(read.stops, & &1.place.country.code), ["CH", "IT"])
    check("their labels", names(hd(read.stops).place.labels), ["lake"])
    check("places through stops", names(Repo.preload(trip, :places).places), ["Zürich", "Milan"])

    [first, _second] = read.stops
    {:ok, changed} = Trips.change(read, %{stops: [%{id: first.id, nights: 4}]})
    check("one stop changed, one removed", Enum.map(Trips.get!(changed.id).stops, & &1.nights), [4])

    {:ok, _} = Trips.change(changed, %{notes: %{"seat" => %{"row" => 12, "window" => true}}})
    query = from t in Trip, where: t.notes["seat"]["window"] == true, select: t.notes["seat"]["row"]
    check("a path into JSON", Repo.all(query), [12])

    {:ok, _} =
      Trips.plan(ada.id, %{
        title: "Home",
        starts_on: "2026-01-01",
        ends_on: "2026-01-02",
        budget: "0.20"
      })

    check("trips of 2025", titles(Trips.list(ada, year: 2025)), ["To the South"])
    check("trips with \"home\"", titles(Trips.list(ada, title: "HOME")), ["Home"])

    [total] = Trips.budgets()
    check("sums to the last digit", total.total, Decimal.new("1200.30"))
    check("maxima are those of numbers", total.most, Decimal.new("1200.10"))
  end

  defp multi(ada) do
    Screen.section("Transactions: all of it, or nothing")
    [south | _] = Trips.list(ada, year: 2025)
    attrs = %{title: "Again", starts_on: ~D[2027-04-01], ends_on: ~D[2027-04-09], budget: 900}

    {:ok, done} = Trips.repeat(south, attrs)
    check("a trip repeated, a night longer", {elem(done.stops, 0), done.nights}, {1, 5})

    before = {count(Trip), count(Stop)}
    {:error, :trip, changeset, _} = Trips.repeat(south, %{attrs | ends_on: ~D[2027-03-01]})
    check("what is refused says why", errors(changeset), ends_on: "is before the start")
    check("and leaves nothing", {count(Trip), count(Stop)}, before)

    {:error, :enough} =
      Repo.transaction(fn ->
        Repo.delete_all(Stop)
        {:error, :inner} = Repo.transaction(fn -> Repo.rollback(:inner) end)
        Repo.rollback(:enough)
      end)

    check("rolled back", {count(Trip), count(Stop)}, before)
  end

  defp whole_tables do
    Screen.section("UPDATE and DELETE limited by a join")
    check("no stop is in Italy", Trips.stay_longer_in("IT"), 0)
    check("two stops in Switzerland last longer", Trips.stay_longer_in("CH"), 2)
    check("and they alone", Repo.aggregate(Stop, :sum, :nights), 11)
    check("none is deleted that is elsewhere", Trips.avoid("IT"), 0)
    check("they are still there", count(Stop), 2)
  end

  defp constraints(ada) do
    Screen.section("Constraints: each kind comes back as an error of its field")
    place = Places.get_place!("Bern", "CH")
    days = %{title: "t", starts_on: ~D[2025-01-01], ends_on: ~D[2025-01-02], budget: 1}
    stop = %{position: 1, nights: 1, place_id: place.id}

    {:error, unique} = Trips.register(%{name: "A", email: "ada@example.org"})
    check("unique", errors(unique), email: "has already been taken")

    {:error, check} = Trips.plan(ada.id, Map.put(days, :stops, [%{stop | nights: 0}]))
    check("check, of a stop", errors(hd(check.changes.stops)), nights: "must be positive")

    {:error, foreign} = Trips.plan(ada.id, Map.put(days, :stops, [%{stop | place_id: 0}]))
    check("foreign key", errors(hd(foreign.changes.stops)), place_id: "does not exist")

    {:error, assoc} = Trips.plan(Ecto.UUID.generate(), days)
    check("of an association", errors(assoc), traveller: "does not exist")

    {:error, several} = Trips.plan(ada.id, Map.put(days, :stops, [stop, stop]))

    check("unique, of several columns", errors(Enum.at(several.changes.stops, 1)),
      position: "has already been taken"
    )

    {:error, children} = Trips.remove(ada)
    check("no_assoc", errors(children), trips: "are still associated with this entry")
  end

  # Of a copy, which a second pool of the same Repo opens.
  defp down_and_up(path) do
    Screen.section("Migrations of a copy, down and up again")
    File.rm(path)
    Repo.query!("VACUUM INTO ?1", [path])
    {:ok, copy} = Repo.start_link(name: nil, database: path)
    Repo.put_dynamic_repo(copy)
    check("the copy has all places", Repo.aggregate(Place, :count), 171_075)
    check("all versions go down", length(run(copy, :down)), length(migrations()))
    %{rows: tables} = Repo.query!("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    check("what is left", List.flatten(tables), ["schema_migrations"])
    check("and up", length(run(copy, :up)), length(migrations()))
    Repo.put_dynamic_repo(Repo)
    Supervisor.stop(copy)
  end

  defp run(copy, direction) do
    Ecto.Migrator.run(Repo, migrations(), direction, all: true, log: false, dynamic_repo: copy)
  end

  ## Small things

  defp check(what, true, true), do: Screen.fact("✓ #{what}")
  defp check(what, same, same), do: Screen.fact("✓ #{what}: #{short(same)}")

  # Pairs as a keyword list read better, and countries are text.
  defp check(what, [{text, _} | _] = got, [{atom, _} | _] = expected)
       when is_binary(text) and is_atom(atom),
       do: check(what, got, for({key, value} <- expected, do: {to_string(key), value}))

  defp check(what, got, expected), do: wrong(what, got, expected)

  defp wrong(what, got, expected) do
    raise "#{what}: #{inspect(got)}, where #{inspect(expected)} was expected"
  end

  defp short(%Decimal{} = value), do: to_string(value)
  defp short(%_{}), do: "the same"
  defp short([%_{} | _] = list), do: "the same #{length(list)}"

  defp short(value) do
    text = if is_binary(value), do: value, else: inspect(value, charlists: :as_lists)
    if String.length(text) > 48, do: String.slice(text, 0, 47) <> "…", else: text
  end

  defp timed(what, fun) do
    {took, result} = :timer.tc(fun)
    Screen.done(what, took)
    result
  end

  defp raised(fun) do
    fun.()
  rescue
    error -> error.__struct__
  end

  defp errors(changeset), do: for({field, {message, _}} <- changeset.errors, do: {field, message})
  defp names(list), do: Enum.map(list, & &1.name)
  defp titles(list), do: Enum.map(list, & &1.title)
  defp count(schema), do: Repo.aggregate(schema, :count)
end

Atlas.Demo.main(System.argv())
