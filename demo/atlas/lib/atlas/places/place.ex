defmodule Atlas.Places.Place do
  use Ecto.Schema

  schema "places" do
    field :name, :string
    field :lat, :float
    field :lng, :float
    field :region, :map

    belongs_to :country, Atlas.Places.Country,
      foreign_key: :country_code,
      references: :code,
      type: :string

    many_to_many :labels, Atlas.Places.Label, join_through: "place_labels", on_replace: :delete
  end
end
