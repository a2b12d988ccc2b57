defmodule Atlas.Repo.Migrations.ChangeTrips do
  use Ecto.Migration

  def change do
    alter table(:trips) do
      add :notes, :map, default: %{}
    end

    alter table(:stops) do
      modify :nights, :integer, null: false, from: {:integer, null: true}
    end
  end
end
