defmodule Ecto.Adapters.LibSql.Library do
  @moduledoc false
  # A small application's schemas, and the migration that makes their tables.

  alias Ecto.Adapters.LibSql.Library.{Author, Book, Desk}

  defmodule Author do
    use Ecto.Schema

    schema "authors" do
      field(:name, :string)
      field(:email, :string)
      field(:age, :integer)
      field(:token, Ecto.UUID, autogenerate: true)
      has_many(:books, Book)
      has_one(:desk, Desk)
      timestamps(type: :utc_datetime_usec)
    end
  end

  defmodule Book do
    use Ecto.Schema

    schema "books" do
      field(:title, :string)
      field(:edition, :integer)
      field(:price, :decimal)
      field(:copies, :integer, default: 0)
      field(:cover, :binary)
      field(:tags, {:array, :string}, default: [])
      field(:meta, :map)
      field(:printed, :date)
      belongs_to(:author, Author)
    end
  end

  defmodule Desk do
    use Ecto.Schema

    @primary_key {:code, :string, autogenerate: false}
    schema "the-desks" do
      belongs_to(:author, Author)
    end
  end

  defmodule Migration do
    use Ecto.Migration

    def change do
      create table(:authors) do
        add(:name, :string, null: false)
        add(:email, :string)
        add(:age, :integer, check: %{name: "age_is_possible", expr: "age > 0 AND age < 150"})
        add(:token, :uuid)
        timestamps(type: :utc_datetime_usec)
      end

      create(unique_index(:authors, [:name]))
      create(unique_index(:authors, ["lower(email)"], name: :authors_email_index))

      create table(:books) do
        add(:title, :string)
        add(:edition, :integer)
        add(:price, :decimal)
        add(:copies, :integer, default: 5, check: %{name: "copies_are_there", expr: "copies >= 0"})
        add(:cover, :binary)
        add(:tags, {:array, :string})
        add(:meta, :map)
        add(:printed, :date)
        add(:author_id, references(:authors))
      end

      create(unique_index(:books, [:title, :edition], where: "title IS NOT NULL"))

      create table(:"the-desks", primary_key: false) do
        add(:code, :string, primary_key: true)
        add(:author_id, references(:authors, on_delete: :restrict))
      end
    end
  end
end
