defmodule Atlas.Repo.Migrations.CreateLabels do
  use Ecto.Migration

  def change do
    create table(:labels) do
      add :name, :string, null: false, collate: :nocase
      add :uses, :integer, null: false, default: 0
      add :aliases, {:array, :string}, null: false, default: []
    end

    create unique_index(:labels, [:name])

    create table(:place_labels, primary_key: false) do
      add :place_id, references(:places, on_delete: :delete_all), primary_key: true
      add :label_id, references(:labels, on_delete: :delete_all), primary_key: true
    end

    create index(:place_labels, [:label_id])
  end
end
