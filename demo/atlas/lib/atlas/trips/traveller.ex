defmodule Atlas.Trips.Traveller do
  use Ecto.Schema
  import Ecto.Changeset

  # Stored as the 16 bytes of a UUID, made by Ecto.
  @primary_key {:id, Ecto.UUID, autogenerate: true}
  schema "travellers" do
    field :name, :string
    field :email, :string
    field :status, Ecto.Enum, values: [:active, :away], default: :active
    field :languages, {:array, :string}, default: []
    field :lock_version, :integer, default: 1

    embeds_one :passport, Passport, on_replace: :update, primary_key: false do
      field :number, :string
      field :expires_on, :date
    end

    has_many :trips, Atlas.Trips.Trip
    timestamps(type: :utc_datetime)
  end

  def changeset(traveller, attrs) do
    traveller
    |> cast(attrs, [:name, :email, :status, :languages])
    |> cast_embed(:passport, with: &passport_changeset/2)
    |> validate_required([:name, :email])
    |> validate_format(:email, ~r/@/)
    |> unique_constraint(:email)
    |> optimistic_lock(:lock_version)
  end

  defp passport_changeset(passport, attrs) do
    passport |> cast(attrs, [:number, :expires_on]) |> validate_required(:number)
  end
end
