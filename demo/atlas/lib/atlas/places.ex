defmodule Atlas.Places do
  @moduledoc "Countries, their places, and labels that people put on them."

  import Ecto.Query
  alias Atlas.Places.{Country, Label, Place}
  alias Atlas.Repo

  @doc """
  Loads a JSON array of places, `[{"name": …, "lat": …, "lng": …, "country": …, "admin1": …}, …]`: two
  INSERTs whose rows come from a query over the text itself. Answers how many countries and places.
  """
  def import(json) do
    Repo.transaction(
      fn ->
        {countries, _} = Repo.insert_all(Country, countries(json), on_conflict: :nothing)
        {places, _} = Repo.insert_all(Place, places(json))
        {countries, places}
      end,
      timeout: :infinity
    )
  end

  defp countries(json) do
    from e in fragment("json_each(?)", ^json),
      distinct: true,
      select: %{code: fragment("? ->> 'country'", e.value)}
  end

  defp places(json) do
    from e in fragment("json_each(?)", ^json),
      select: %{
        name: fragment("? ->> 'name'", e.value),
        lat: type(fragment("? ->> 'lat'", e.value), :float),
        lng: type(fragment("? ->> 'lng'", e.value), :float),
        country_code: fragment("? ->> 'country'", e.value),
        region: fragment("json_object('admin1', ? ->> 'admin1')", e.value)
      }
  end

  def get_place!(name, country) do
    query = from p in Place, where: p.name == ^name and p.country_code == ^country, order_by: p.id
    query |> first() |> Repo.one!()
  end

  @doc "The countries with the most places."
  def largest_countries(limit) do
    Repo.all(
      from c in Country,
        join: p in assoc(c, :places),
        group_by: c.code,
        order_by: [desc: count(p.id), asc: c.code],
        limit: ^limit,
        select: {c.code, count(p.id)}
    )
  end

  @doc "Places whose names match, wherever the accents are; the best matches first."
  def search(text, opts \\ []) do
    # Quoted, so that nothing in it is taken for an operator; the star lets the last word go on.
    match = ~s("#{String.replace(text, "\"", "\"\"")}"*)

    from(p in Place,
      join: n in "place_names",
      on: n.rowid == p.id,
      where: fragment("? MATCH ?", n.name, ^match),
      order_by: [asc: n.rank, asc: p.id],
      limit: ^Keyword.get(opts, :limit, 10)
    )
    |> in_country(opts[:country])
    |> Repo.all()
  end

  defp in_country(query, nil), do: query
  defp in_country(query, code), do: where(query, [p], p.country_code == ^code)

  @doc "How many places each region of a country has: the region stands in JSON."
  def regions(country, limit) do
    Repo.all(
      from p in Place,
        where: p.country_code == ^country,
        group_by: selected_as(:region),
        order_by: [desc: count(), asc: selected_as(:region)],
        limit: ^limit,
        select: %{region: selected_as(p.region["admin1"], :region), places: count()}
    )
  end

  @doc "The northernmost places, one of each country: a window in a subquery."
  def northernmost(limit) do
    ranked =
      from p in Place,
        windows: [country: [partition_by: p.country_code, order_by: [desc: p.lat]]],
        select: %{id: p.id, rank: row_number() |> over(:country)}

    Repo.all(
      from p in Place,
        join: r in subquery(ranked),
        on: r.id == p.id,
        where: r.rank == 1,
        order_by: [desc: p.lat],
        limit: ^limit
    )
  end

  @doc "One page of a country's places by name, after the last one of the page before."
  def page(country, after_place \\ nil, size \\ 20) do
    Place
    |> in_country(country)
    |> after_place(after_place)
    |> order_by([p], asc: p.name, asc: p.id)
    |> limit(^size)
    |> Repo.all()
  end

  defp after_place(query, nil), do: query

  defp after_place(query, %Place{name: name, id: id}),
    do: where(query, [p], p.name > ^name or (p.name == ^name and p.id > ^id))

  @doc "The mean of all latitudes, row by row: the table may be larger than memory."
  def mean_latitude do
    {:ok, {sum, count}} =
      Repo.transaction(
        fn ->
          from(p in Place, select: p.lat)
          |> Repo.stream(max_rows: 1000)
          |> Enum.reduce({0.0, 0}, fn lat, {sum, count} -> {sum + lat, count + 1} end)
        end,
        mode: :read
      )

    {sum / count, count}
  end

  ## Labels

  def create_label(attrs), do: %Label{} |> Label.changeset(attrs) |> Repo.insert()

  @doc "Puts labels on a place, by their names: those that there are not are made."
  def label(%Place{} = place, names) do
    place
    |> Repo.preload(:labels)
    |> Ecto.Changeset.change()
    |> Ecto.Changeset.put_assoc(:labels, Enum.map(names, &use_label/1))
    |> Repo.update()
  end

  # Made, or counted once more.
  defp use_label(name) do
    Repo.insert!(%Label{name: name, uses: 1},
      on_conflict: [inc: [uses: 1]],
      conflict_target: :name,
      returning: true
    )
  end

  @doc "Another name for a label."
  def add_alias(%Label{id: id}, name) do
    {1, [label]} =
      Repo.update_all(from(l in Label, where: l.id == ^id, select: l), push: [aliases: name])

    label
  end

  def labels_called(name) do
    Repo.all(from l in Label, where: l.name == ^name or ^name in l.aliases, order_by: l.id)
  end
end
