defmodule Atlas.Repo.Migrations.CreatePlaceNames do
  use Ecto.Migration

  # A full-text index over the names, which triggers keep. What Ecto has no words for is written as SQL,
  # for both directions.
  def change do
    execute(
      """
      CREATE VIRTUAL TABLE place_names USING fts5(
        name, content = 'places', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
      )
      """,
      "DROP TABLE place_names"
    )

    execute(
      """
      CREATE TRIGGER place_names_insert AFTER INSERT ON places BEGIN
        INSERT INTO place_names (rowid, name) VALUES (new.id, new.name);
      END
      """,
      "DROP TRIGGER place_names_insert"
    )

    execute(
      """
      CREATE TRIGGER place_names_delete AFTER DELETE ON places BEGIN
        INSERT INTO place_names (place_names, rowid, name) VALUES ('delete', old.id, old.name);
      END
      """,
      "DROP TRIGGER place_names_delete"
    )

    execute(
      """
      CREATE TRIGGER place_names_update AFTER UPDATE OF name ON places BEGIN
        INSERT INTO place_names (place_names, rowid, name) VALUES ('delete', old.id, old.name);
        INSERT INTO place_names (rowid, name) VALUES (new.id, new.name);
      END
      """,
      "DROP TRIGGER place_names_update"
    )
  end
end
