defmodule Atlas.Trips.Trip do
  use Ecto.Schema
  import Ecto.Changeset

  schema "trips" do
    field :title, :string
    field :starts_on, :date
    field :ends_on, :date
    field :budget, :decimal
    field :notes, :map, default: %{}

    belongs_to :traveller, Atlas.Trips.Traveller, type: Ecto.UUID
    has_many :stops, Atlas.Trips.Stop, preload_order: [asc: :position], on_replace: :delete
    has_many :places, through: [:stops, :place]
    timestamps(type: :utc_datetime_usec)
  end

  def changeset(trip, attrs) do
    trip
    |> cast(attrs, [:title, :starts_on, :ends_on, :budget, :notes, :traveller_id])
    |> cast_assoc(:stops)
    |> validate_required([:title, :starts_on, :ends_on, :budget])
    |> check_constraint(:ends_on, name: :trips_end_after_start, message: "is before the start")
    |> assoc_constraint(:traveller)
  end
end
