defmodule Atlas.Places.Label do
  use Ecto.Schema
  import Ecto.Changeset

  schema "labels" do
    field :name, :string
    field :uses, :integer, default: 0
    field :aliases, {:array, :string}, default: []

    many_to_many :places, Atlas.Places.Place, join_through: "place_labels"
  end

  def changeset(label, attrs) do
    label
    |> cast(attrs, [:name, :aliases])
    |> validate_required(:name)
    |> unique_constraint(:name)
  end
end
