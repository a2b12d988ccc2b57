defmodule Atlas.Repo.Migrations.CreateTrips do
  use Ecto.Migration

  def change do
    create table(:travellers, primary_key: false) do
      add :id, :uuid, primary_key: true
      add :name, :string, null: false
      add :email, :string, null: false
      add :status, :string, null: false
      add :languages, {:array, :string}, null: false, default: []
      add :passport, :map
      add :lock_version, :integer, null: false, default: 1
      timestamps(type: :utc_datetime)
    end

    create unique_index(:travellers, [:email])

    create table(:trips) do
      add :title, :string, null: false
      add :starts_on, :date, null: false

      add :ends_on, :date,
        null: false,
        check: %{name: "trips_end_after_start", expr: "ends_on >= starts_on"}

      add :budget, :decimal, null: false, collate: :decimal
      add :traveller_id, references(:travellers, type: :uuid), null: false
      timestamps(type: :utc_datetime_usec)
    end

    create index(:trips, [:traveller_id])

    create table(:stops) do
      add :trip_id, references(:trips, on_delete: :delete_all), null: false
      add :place_id, references(:places), null: false
      add :position, :integer, null: false
      add :nights, :integer, check: %{name: "stops_nights_positive", expr: "nights > 0"}
    end

    create unique_index(:stops, [:trip_id, :position])
  end
end
