defmodule Atlas.Places.Country do
  use Ecto.Schema

  # Its own code is the key: "CH".
  @primary_key {:code, :string, autogenerate: false}
  schema "countries" do
    has_many :places, Atlas.Places.Place, foreign_key: :country_code
  end
end
