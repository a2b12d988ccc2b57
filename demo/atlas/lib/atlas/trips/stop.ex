defmodule Atlas.Trips.Stop do
  use Ecto.Schema
  import Ecto.Changeset

  schema "stops" do
    field :position, :integer
    field :nights, :integer

    belongs_to :trip, Atlas.Trips.Trip
    belongs_to :place, Atlas.Places.Place
  end

  def changeset(stop, attrs) do
    stop
    |> cast(attrs, [:position, :nights, :place_id])
    |> validate_required([:position, :nights, :place_id])
    |> foreign_key_constraint(:place_id)
    |> check_constraint(:nights, name: :stops_nights_positive, message: "must be positive")
    |> unique_constraint([:trip_id, :position], error_key: :position)
  end
end
