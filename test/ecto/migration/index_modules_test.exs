Code.require_file("migration_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Migration.IndexModulesTest do
  # Spatial indexes and vectors.
  use Ecto.Adapters.LibSql.MigrationCase, async: true

  describe "spatial indexes" do
    defmodule Areas do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        create rtree(:areas) do
          add(:min_x, :float)
          add(:max_x, :float)
          add(:name, :text, auxiliary: true)
          add(:area, :float, auxiliary: true)
        end

        create rtree(:grid, integers: true) do
          add(:x0, :integer)
          add(:x1, :integer)
        end
      end
    end

    test "with columns beside, and of integers" do
      :ok = up(Areas)

      assert text("areas") ==
               ~s|CREATE VIRTUAL TABLE "areas" USING rtree("id", "min_x", "max_x", +"name" TEXT, +"area" REAL)|

      assert text("grid") == ~s|CREATE VIRTUAL TABLE "grid" USING rtree_i32("id", "x0", "x1")|

      Repo.insert_all("areas", [
        %{id: 1, min_x: 0.0, max_x: 2.0, name: "west", area: 1.5},
        %{id: 2, min_x: 3.0, max_x: 4.0, name: "east"}
      ])

      assert Repo.all(
               from(a in "areas", where: a.min_x <= 1.0 and a.max_x >= 1.0, select: {a.name, a.area})
             ) == [{"west", 1.5}]

      # More than a 32-bit float tells apart.
      Repo.insert_all("grid", [%{id: 1, x0: 100_000_001, x1: 100_000_003}])
      assert Repo.all(from(g in "grid", select: {g.x0, g.x1})) == [{100_000_001, 100_000_003}]
      :ok = down(Areas)
      assert objects() == []
    end

    test "columns beside come last" do
      columns = [
        {:add, :id, :id, []},
        {:add, :name, :text, auxiliary: true},
        {:add, :a, :float, []},
        {:add, :b, :float, []}
      ]

      assert_raise ArgumentError, ~r/auxiliary columns behind/, fn ->
        Ecto.Adapters.LibSql.DDL.execute_ddl(
          {:create, Ecto.Adapters.LibSql.Migration.rtree(:t), columns}
        )
      end
    end
  end

  describe "vectors" do
    defmodule Documents do
      use Ecto.Migration
      import Ecto.Adapters.LibSql.Migration

      def change do
        create table(:documents) do
          add(:title, :string)
          add(:embedding, vector(3))
          add(:small, vector(3, :f8))
        end

        create(vector_index(:documents, :embedding))

        create(
          vector_index(:documents, :small,
            name: "near",
            metric: :l2,
            max_neighbors: 8,
            compress_neighbors: :f8,
            alpha: 1.4,
            search_l: 50,
            insert_l: 40
          )
        )
      end
    end

    test "are found by their index" do
      :ok = up(Documents)
      assert text("documents") =~ ~s|"embedding" F32_BLOB(3), "small" F8_BLOB(3)|

      assert text("documents_embedding_index") ==
               ~s|CREATE INDEX "documents_embedding_index" ON "documents" (libsql_vector_idx("embedding"))|

      for {title, vector} <- [{"x", "[1,0,0]"}, {"y", "[0,1,0]"}, {"z", "[0,0,1]"}],
          do:
            Repo.query!(
              "INSERT INTO documents (title, embedding, small) VALUES (?1, vector32(?2), vector8(?2))",
              [title, vector]
            )

      for {index, vector} <- [{"documents_embedding_index", "vector32"}, {"near", "vector8"}] do
        near =
          "SELECT d.title FROM vector_top_k('#{index}', #{vector}('[0.1,0.9,0.3]'), 2) AS n JOIN documents AS d ON d.id = n.id"

        assert rows(near) == [["y"], ["z"]]
      end

      :ok = down(Documents)
      assert objects() == []
    end

    test "what is none is refused" do
      import Ecto.Adapters.LibSql.Migration
      assert vector(1536, :f1bit) == :"F1BIT_BLOB(1536)"
      assert_raise ArgumentError, ~r/dimensions/, fn -> vector(0) end
      assert_raise ArgumentError, ~r/forms/, fn -> vector(3, :f4) end

      for setting <- [metric: :dot, compress_neighbors: :f64, alpha: "1'"] do
        assert_raise ArgumentError, ~r/vector index has no/, fn ->
          vector_index(:t, :e, [setting])
        end
      end
    end
  end
end
