Code.require_file("migration_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Migration.SettingsTest do
  # What a Repo's settings make of its migrations.
  use Ecto.Adapters.LibSql.MigrationCase, async: true

  describe "a Repo's settings" do
    defmodule Types do
      use Ecto.Migration

      def change do
        create table(:types) do
          add(:u, :uuid, default: "f47ac10b-58cc-4372-a567-0e02b2c3d479")
          add(:b, :binary_id)
          add(:j, :map, default: %{})
          add(:d, :utc_datetime_usec)
          add(:n, :naive_datetime)
        end
      end
    end

    @forms [uuid_type: :text, binary_id_type: :blob, json_type: :jsonb, datetime_type: :integer]

    test "are those it was started with, and its migrations' columns are of their forms" do
      :ok = up(Types)
      plain = text("types")

      assert plain =~
               ~s|"u" BLOB_UUID DEFAULT x'f47ac10b58cc4372a5670e02b2c3d479', "b" TEXT, "j" TEXT_JSON DEFAULT '{}', "d" TEXT_UTC_DATETIME_USEC|

      repo(@forms)
      :ok = up(Types)

      assert text("types") =~
               ~s|"u" TEXT_UUID DEFAULT 'f47ac10b-58cc-4372-a567-0e02b2c3d479', "b" BLOB_UUID, "j" BLOB_JSONB DEFAULT x'0c', "d" INTEGER_UTC_DATETIME_USEC|
    end

    @tag options: [strict_tables: true]
    test "strict_tables: tables are STRICT, unless their options say otherwise" do
      defmodule Strict do
        use Ecto.Migration

        def change do
          create table(:a) do
            add(:d, :decimal)
          end

          create table(:b, options: [strict: false]) do
            add(:d, :decimal)
          end

          create(table(:c, options: "WITHOUT ROWID"))
          create(table(:e, options: [without_rowid: true]))

          alter table(:a) do
            add(:m, :map)
            modify(:d, :decimal, null: false, from: :decimal)
          end

          create(constraint(:a, :positive, check: "d > 0"))
        end
      end

      :ok = up(Strict)
      assert text("schema_migrations") =~ ~r/\) STRICT$/

      assert text("a") ==
               ~s|CREATE TABLE "a" ("id" INTEGER PRIMARY KEY, "d" TEXT NOT NULL COLLATE DECIMAL, "m" TEXT, CONSTRAINT "positive" CHECK (d > 0)) STRICT|

      assert text("b") ==
               ~s|CREATE TABLE "b" ("id" INTEGER PRIMARY KEY, "d" TEXT_DECIMAL COLLATE DECIMAL)|

      assert text("c") =~ ~r/\) WITHOUT ROWID, STRICT$/
      assert text("e") =~ ~r/\) STRICT, WITHOUT ROWID$/
    end

    @tag options: [strict_tables: ["other"], attach: [other: ":memory:"]]
    test "strict_tables may name databases" do
      defmodule Somewhere do
        use Ecto.Migration

        def change do
          create(table(:a))
          create(table(:a, prefix: "other"))
        end
      end

      :ok = up(Somewhere)
      assert text("a") == ~s|CREATE TABLE "a" ("id" INTEGER PRIMARY KEY)|

      assert rows("SELECT sql FROM other.sqlite_schema") == [
               [~s|CREATE TABLE "a" ("id" INTEGER PRIMARY KEY) STRICT|]
             ]
    end

    @tag :capture_log
    @tag options: [strict_tables: :yes]
    test "strict_tables is checked" do
      assert_raise ArgumentError, ~r/strict_tables: is true, false, or a list/, fn -> up(Posts) end
    end
  end
end
