defmodule Atlas.Repo.Migrations.CreatePlaces do
  use Ecto.Migration

  def change do
    create table(:countries, primary_key: false) do
      add :code, :string, primary_key: true
    end

    create table(:places) do
      add :name, :string, null: false
      add :lat, :float, null: false, check: %{name: "places_lat", expr: "lat BETWEEN -90 AND 90"}
      add :lng, :float, null: false
      add :region, :map
      add :country_code, references(:countries, column: :code, type: :string), null: false
    end

    create index(:places, [:country_code, :name])
  end
end
