defmodule EctoLibSql.Usage do
  # The application of the usage tests: schemas with each kind of field and association, and people.

  alias Ecto.Changeset
  alias EctoLibSql.Usage.{Comment, Group, Line, Org, Post, Profile, Repo, User}

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Reversed do
    use Ecto.Type
    def type, do: :string
    def cast(text) when is_binary(text), do: {:ok, text}
    def dump(text), do: {:ok, String.reverse(text)}
    def load(text), do: {:ok, String.reverse(text)}
  end

  defmodule Address do
    use Ecto.Schema
    @primary_key false
    embedded_schema do
      field(:street, :string)
      field(:since, :date)
      field(:fee, :decimal)
      field(:seen_at, :utc_datetime_usec)
    end

    def changeset(address, attrs), do: Changeset.cast(address, attrs, [:street, :since, :fee])
  end

  defmodule User do
    use Ecto.Schema

    schema "users" do
      field(:name, :string)
      field(:email, :string)
      field(:age, :integer)
      field(:active, :boolean)
      field(:role, Ecto.Enum, values: [:admin, :guest])
      field(:level, Ecto.Enum, values: [low: 1, high: 2])
      field(:roles, {:array, Ecto.Enum}, values: [:a, :b])
      field(:uid, Ecto.UUID)
      field(:secret, Reversed)
      field(:data, :binary)
      field(:tags, {:array, :string})
      field(:uids, {:array, Ecto.UUID})
      field(:meta, :map)
      field(:wakes, :time_usec)
      field(:lock_version, :integer, default: 1)
      embeds_one(:address, Address, on_replace: :update)
      embeds_many(:addresses, Address, on_replace: :delete)
      has_many(:posts, Post)
      has_many(:comments, through: [:posts, :comments])
      has_one(:profile, Profile, on_replace: :delete)
      many_to_many(:groups, Group, join_through: "users_groups", on_replace: :delete)
      timestamps()
    end
  end

  defmodule Profile do
    use Ecto.Schema

    schema "profiles" do
      field(:bio, :string)
      belongs_to(:user, User)
    end
  end

  defmodule Group do
    use Ecto.Schema

    schema "groups" do
      field(:name, :string)
      many_to_many(:users, User, join_through: "users_groups")
    end
  end

  defmodule Post do
    use Ecto.Schema

    schema "posts" do
      field(:title, :string)
      field(:votes, :integer)
      belongs_to(:user, User)
      has_many(:comments, Comment)
      timestamps(type: :utc_datetime_usec)
    end
  end

  defmodule Comment do
    use Ecto.Schema

    schema "comments" do
      field(:text, :string)
      belongs_to(:post, Post)
      belongs_to(:parent, Comment)
      has_many(:replies, Comment, foreign_key: :parent_id)
    end
  end

  defmodule Line do
    use Ecto.Schema
    @primary_key false
    schema "lines" do
      field(:order, :integer, primary_key: true)
      field(:number, :integer, primary_key: true)
      field(:count, :integer, source: :quantity)
      field(:total, :integer, read_after_writes: true)
    end
  end

  defmodule Org do
    use Ecto.Schema
    @primary_key {:id, :binary_id, autogenerate: true}
    @foreign_key_type :binary_id
    schema "orgs" do
      field(:name, :string)
      field(:deleted_at, :utc_datetime)
      belongs_to(:parent, Org)
      has_many(:children, Org, foreign_key: :parent_id)
    end
  end

  defmodule Migration do
    use Ecto.Migration

    def change do
      create table(:users) do
        for name <- [:name, :email, :role, :secret], do: add(name, :string)
        for name <- [:age, :level], do: add(name, :integer)
        for name <- [:meta, :address], do: add(name, :map)
        for name <- [:roles, :tags], do: add(name, {:array, :string})
        add(:active, :boolean)
        add(:uid, :uuid)
        add(:uids, {:array, :uuid})
        add(:data, :binary)
        add(:wakes, :time_usec)
        add(:lock_version, :integer, default: 1)
        add(:addresses, {:array, :map})
        timestamps()
      end

      create(unique_index(:users, [:email]))

      create table(:profiles) do
        add(:bio, :string)
        add(:user_id, references(:users, on_delete: :restrict))
      end

      create table(:groups) do
        add(:name, :string)
      end

      create table(:users_groups, primary_key: false) do
        add(:user_id, references(:users, on_delete: :delete_all))
        add(:group_id, references(:groups, on_delete: :delete_all))
      end

      create table(:posts) do
        add(:title, :string)
        add(:votes, :integer)
        add(:user_id, references(:users, on_delete: :delete_all))
        timestamps(type: :utc_datetime_usec)
      end

      create table(:comments) do
        add(:text, :string)
        add(:post_id, references(:posts, on_delete: :delete_all))
        add(:parent_id, references(:comments))
      end

      create table(:lines, primary_key: false) do
        add(:order, :integer, primary_key: true)
        add(:number, :integer, primary_key: true)
        add(:quantity, :integer, default: 1)
        add(:total, :integer, generated: "ALWAYS AS (quantity * 10) STORED")
      end

      create table(:orgs, primary_key: false) do
        add(:id, :binary_id, primary_key: true)
        add(:name, :string)
        add(:deleted_at, :utc_datetime)
        add(:parent_id, references(:orgs, type: :binary_id))
      end

      create(unique_index(:orgs, ["lower(name)"], name: :orgs_name, where: "deleted_at IS NULL"))
    end
  end

  @doc "Starts the Repo, with its tables."
  def start(path) do
    ExUnit.Callbacks.start_supervised!({Repo, database: path, pool_size: 3, log: false})
    :ok = Ecto.Migrator.up(Repo, 1, Migration, log: false)
  end

  @doc """
  Users Ann, Bob and Cyd; Ann has posts 1 and 3, Bob post 2, each with two comments.
  """
  def people do
    [ann, bob, _cyd] =
      for {name, age} <- [{"Ann", 30}, {"Bob", 40}, {"Cyd", nil}],
          do: Repo.insert!(%User{name: name, email: "#{name}@x", age: age, active: name == "Ann"})

    for {user, n} <- [{ann, 1}, {bob, 2}, {ann, 3}] do
      comments = [%Comment{text: "#{n}a"}, %Comment{text: "#{n}b"}]
      Repo.insert!(%Post{title: "p#{n}", votes: n, user_id: user.id, comments: comments})
    end

    ann
  end
end
