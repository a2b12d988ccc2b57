defmodule Ecto.Adapters.LibSql.Migration do
  @moduledoc """
  What SQLite and libSQL have beyond the tables and indexes of `Ecto.Migration`: full-text indexes, spatial
  indexes, vectors, views and triggers.

      defmodule Shop.Repo.Migrations.Search do
        use Ecto.Migration
        import Ecto.Adapters.LibSql.Migration

        def change do
          create fts5(:posts_words, content: :posts, tokenize: "porter unicode61") do
            add :title, :text
            add :body, :text
          end
        end
      end

  `fts5/2`, `rtree/2` and `vector_index/3` give tables and indexes of `Ecto.Migration`: they are created,
  dropped, prefixed and reversed as any other. Views and triggers have functions of their own, which
  `change/0` reverses too.

  ## Full-text search

      create fts5(:posts_words, content: :posts) do
        add :title, :text
        add :body, :text
        add :author, :text, unindexed: true
      end

      from p in "posts",
        join: w in "posts_words", on: field(w, :rowid) == p.id,
        where: fragment("posts_words MATCH ?", ^"ecto NEAR sqlite"),
        order_by: fragment("bm25(posts_words)"),
        select: p.title

  With `content:` the index holds the words of that table's columns, which have the same names: it begins
  with the rows that are there, and three triggers of the table keep it up to date. Dropping the index drops
  them.

  ## Nearest neighbours

      create table(:documents) do
        add :embedding, vector(384)
      end

      create vector_index(:documents, :embedding, metric: :cosine)

      SELECT id FROM vector_top_k('documents_embedding_index', vector32('[…]'), 10)

  ## Boxes

      create rtree(:areas) do
        add :min_x, :float
        add :max_x, :float
        add :min_y, :float
        add :max_y, :float
        add :name, :text, auxiliary: true
      end

      from a in "areas", where: a.min_x <= 13.4 and a.max_x >= 13.4, select: a.name

  ## Views and triggers

      create_view(:published, "SELECT id, title FROM posts WHERE published")

      create_trigger(:posts_touched, \"""
      AFTER UPDATE OF title ON posts BEGIN
        UPDATE posts SET edits = edits + 1 WHERE id = NEW.id;
      END
      \""")

  A view or trigger that reads a column stands in the way of removing it: drop it in the same migration, and
  create it again.
  """

  alias Ecto.Adapters.LibSql.Sql
  alias Ecto.Migration.{Index, Table}

  ## Full-text search

  @doc """
  A table of FTS5, for `create` and `drop`. A column with `unindexed: true` is kept, but not searched.

  Options:

    * `:content` - the table whose columns are indexed; `""` for an index that keeps no text
    * `:content_rowid` - the column that is that table's rowid; by default its INTEGER PRIMARY KEY
    * `:sync` - `false`: no triggers on that table
    * `:tokenize` - such as `"porter unicode61"` or `"trigram"`
    * `:prefix` - lengths of prefixes that are to be found quickly, `[2, 3]`
    * `:detail` - `:full`, `:column` or `:none`; `:columnsize`, `:contentless_delete` and
      `:contentless_unindexed` - booleans; see the documentation of FTS5
    * `:database` - the attached database that it is in, the `:prefix` of other tables
  """
  @spec fts5(atom() | String.t(), keyword()) :: Table.t()
  def fts5(name, opts \\ []) do
    {database, opts} = Keyword.pop(opts, :database)
    %Table{name: to_string(name), prefix: database, primary_key: false, options: [fts5: opts]}
  end

  @doc """
  A table of the R*Tree module, for `create` and `drop`: an `id`, which need not be named, and the least and
  the greatest value of one to five dimensions. Behind them, columns with `auxiliary: true` are kept and not
  searched.

  Options: `:integers`, `true` for 32-bit integers instead of 32-bit floats; `:prefix`.
  """
  @spec rtree(atom() | String.t(), keyword()) :: Table.t()
  def rtree(name, opts \\ []) do
    kind = if opts[:integers], do: :i32, else: true
    %Table{name: to_string(name), prefix: opts[:prefix], options: [rtree: kind]}
  end

  ## Vectors

  @vectors %{
    f64: "F64_BLOB",
    f32: "F32_BLOB",
    f16: "F16_BLOB",
    bf16: "FB16_BLOB",
    f8: "F8_BLOB",
    f1bit: "F1BIT_BLOB"
  }

  @doc """
  The type of a column of vectors, by their dimensions and the form of their numbers: `:f64`, `:f32`, `:f16`,
  `:bf16`, `:f8` or `:f1bit`. STRICT tables do not have it.
  """
  @spec vector(pos_integer(), atom()) :: atom()
  def vector(dimensions, form \\ :f32)

  def vector(dimensions, form)
      when is_integer(dimensions) and dimensions in 1..65_536 and is_map_key(@vectors, form),
      do: :"#{@vectors[form]}(#{dimensions})"

  def vector(dimensions, form) do
    raise ArgumentError,
          "a vector has 1 to 65536 dimensions and one of the forms #{inspect(Map.keys(@vectors))}, " <>
            "not #{inspect(dimensions)} of #{inspect(form)}"
  end

  @index_settings [:metric, :max_neighbors, :compress_neighbors, :alpha, :search_l, :insert_l]
  @metrics %{cosine: "cosine", l2: "l2"}
  @compressed %{
    f1bit: "float1bit",
    f8: "float8",
    f16: "float16",
    bf16: "floatb16",
    f32: "float32"
  }

  @doc """
  An index for the nearest vectors of a column, for `create` and `drop`.

  Options: those of `Ecto.Migration.index/3` (`:name` is `TABLE_COLUMN_index` by default), and

    * `:metric` - `:cosine` (the default) or `:l2`
    * `:max_neighbors` - how many neighbours a vector knows: fewer make a smaller index that finds less
    * `:compress_neighbors` - in which form it knows them: `:f1bit`, `:f8`, `:f16`, `:bf16`, `:f32`
    * `:alpha`, `:search_l`, `:insert_l` - numbers; see the documentation of libSQL
  """
  @spec vector_index(atom() | String.t(), atom() | String.t(), keyword()) :: Index.t()
  def vector_index(table, column, opts \\ []) do
    {settings, opts} = Keyword.split(opts, @index_settings)
    arguments = [Sql.quote_name(to_string(column)) | Enum.map(settings, &index_setting/1)]
    expression = IO.iodata_to_binary(["libsql_vector_idx(", Enum.intersperse(arguments, ", "), ?)])
    opts = Keyword.put_new(opts, :name, "#{table}_#{column}_index")
    Ecto.Migration.index(table, [expression], opts)
  end

  defp index_setting({:metric, metric}) when is_map_key(@metrics, metric),
    do: Sql.quote_string("metric=#{@metrics[metric]}")

  defp index_setting({:compress_neighbors, form}) when is_map_key(@compressed, form),
    do: Sql.quote_string("compress_neighbors=#{@compressed[form]}")

  defp index_setting({name, number})
       when name not in [:metric, :compress_neighbors] and is_number(number),
       do: Sql.quote_string("#{name}=#{number}")

  defp index_setting({name, value}),
    do: raise(ArgumentError, "a vector index has no #{inspect(name)} of #{inspect(value)}")

  ## Views

  @doc """
  Creates a view: its name, and the SELECT that it is. Options: `:prefix`.

  Reversed, it drops the view.
  """
  def create_view(name, select, opts \\ []) do
    create = ["CREATE VIEW ", qualified(name, opts), " AS ", select]
    execute(create, drop("VIEW", name, opts))
  end

  @doc """
  Drops a view. With the SELECT that it was it can be reversed.
  """
  def drop_view(name, select \\ nil, opts \\ []) do
    create = if select, do: ["CREATE VIEW ", qualified(name, opts), " AS ", select]
    execute(drop("VIEW", name, opts), create)
  end

  ## Triggers

  @doc """
  Creates a trigger: its name, and what stands behind that in CREATE TRIGGER. Options: `:prefix`.

  Reversed, it drops the trigger.
  """
  def create_trigger(name, definition, opts \\ []) do
    create = ["CREATE TRIGGER ", qualified(name, opts), ?\s, definition]
    execute(create, drop("TRIGGER", name, opts))
  end

  @doc """
  Drops a trigger. With the definition that it had it can be reversed.
  """
  def drop_trigger(name, definition \\ nil, opts \\ []) do
    create = if definition, do: ["CREATE TRIGGER ", qualified(name, opts), ?\s, definition]
    execute(drop("TRIGGER", name, opts), create)
  end

  defp drop(kind, name, opts), do: ["DROP ", kind, ?\s, qualified(name, opts)]

  # As tables have it: the migration's own prefix, if none is given.
  defp qualified(name, opts),
    do: Sql.quote_table(Keyword.get_lazy(opts, :prefix, &Ecto.Migration.prefix/0), to_string(name))

  defp execute(up, nil), do: up |> IO.iodata_to_binary() |> Ecto.Migration.execute()

  defp execute(up, down),
    do: Ecto.Migration.execute(IO.iodata_to_binary(up), IO.iodata_to_binary(down))
end
