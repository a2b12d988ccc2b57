defmodule Atlas.Trips do
  @moduledoc "Travellers, and the trips that they plan."

  import Ecto.Query
  alias Atlas.Repo
  alias Atlas.Trips.{Stop, Traveller, Trip}
  alias Ecto.{Changeset, Multi}

  ## Travellers

  def register(attrs), do: %Traveller{} |> Traveller.changeset(attrs) |> Repo.insert()

  def update_traveller(traveller, attrs),
    do: traveller |> Traveller.changeset(attrs) |> Repo.update()

  @doc "Removes a traveller who has no trips."
  def remove(traveller) do
    traveller |> Changeset.change() |> Changeset.no_assoc_constraint(:trips) |> Repo.delete()
  end

  def speaking(language) do
    Repo.all(from t in Traveller, where: ^language in t.languages, order_by: t.name)
  end

  ## Trips

  @doc "A trip with its stops."
  def plan(traveller_id, attrs),
    do: %Trip{traveller_id: traveller_id} |> Trip.changeset(attrs) |> Repo.insert()

  def change(trip, attrs), do: trip |> Trip.changeset(attrs) |> Repo.update()

  @doc "A trip with all that belongs to it."
  def get!(id) do
    query =
      from t in Trip,
        join: who in assoc(t, :traveller),
        preload: [traveller: who, stops: [place: [:country, :labels]]]

    Repo.get!(query, id)
  end

  @doc "All trips of a traveller whose title contains a text and which begin in a year; both optional."
  def list(traveller, filters \\ []) do
    conditions =
      Enum.reduce(filters, dynamic(true), fn
        {:title, text}, all ->
          dynamic([t], ^all and ilike(t.title, ^"%#{text}%"))

        {:year, year}, all ->
          dynamic([t], ^all and fragment("strftime('%Y', ?)", t.starts_on) == ^"#{year}")
      end)

    traveller
    |> Ecto.assoc(:trips)
    |> where(^conditions)
    |> order_by(:starts_on)
    |> Repo.all()
  end

  @doc "A new trip with the stops of another one: all of it, or nothing."
  def repeat(trip, attrs) do
    Multi.new()
    |> Multi.insert(:trip, Trip.changeset(%Trip{traveller_id: trip.traveller_id}, attrs))
    |> Multi.insert_all(:stops, Stop, &copies(&1.trip, trip.id))
    |> Multi.update_all(:longer, &stops(&1.trip), inc: [nights: 1])
    |> Multi.run(:nights, fn repo, %{trip: trip} ->
      {:ok, repo.aggregate(stops(trip), :sum, :nights)}
    end)
    |> Repo.transaction()
  end

  defp stops(trip), do: from(s in Stop, where: s.trip_id == ^trip.id)

  defp copies(trip, from_id) do
    from s in Stop,
      where: s.trip_id == ^from_id,
      select: %{
        trip_id: type(^trip.id, :id),
        place_id: s.place_id,
        position: s.position,
        nights: s.nights
      }
  end

  @doc "What each traveller's trips cost, to the cent."
  def budgets do
    Repo.all(
      from t in Trip,
        join: who in assoc(t, :traveller),
        group_by: who.id,
        order_by: who.name,
        select: %{name: who.name, trips: count(t.id), total: sum(t.budget), most: max(t.budget)}
    )
  end

  @doc "One night more wherever a trip stops in a country."
  def stay_longer_in(country) do
    {count, nil} =
      Repo.update_all(
        from(s in Stop, join: p in assoc(s, :place), where: p.country_code == ^country),
        inc: [nights: 1]
      )

    count
  end

  @doc "Takes a country out of all trips."
  def avoid(country) do
    {count, nil} =
      Repo.delete_all(
        from s in Stop, join: p in assoc(s, :place), where: p.country_code == ^country
      )

    count
  end
end
