defmodule Atlas.Repo.Migrations.CreatePlaceNames do
  use Ecto.Migration
  import Ecto.Adapters.LibSql.Migration

  # A full-text index over the names, which triggers of the table keep.
  def change do
    create fts5(:place_names, content: :places, tokenize: "unicode61 remove_diacritics 2") do
      add :name, :text
    end
  end
end
