defmodule Ecto.Adapters.LibSql.DDL.Column do
  @moduledoc false
  # A column's definition.

  alias Ecto.Adapters.LibSql.{ColumnType, Sql}
  alias Ecto.Adapters.LibSql.DDL.{Comment, Default, Reference}

  @doc "The definition of `{:add, name, type, opts}`; settings as of ColumnType, :strict and :composite_key."
  def define(table, {:add, name, type, opts}, settings) do
    check(name, opts)

    [
      Sql.quote_name(name),
      ?\s,
      declare(type, opts, settings),
      Reference.column_level(table, name, type),
      primary_key(type, opts, settings),
      if(not_null?(type, opts, settings), do: " NOT NULL", else: []),
      default(type, opts, settings),
      generated(opts),
      check_text(opts[:check]),
      type |> collation(opts, settings) |> collate(),
      Comment.text(opts[:comment])
    ]
  end

  def define(_table, {change, _name, _type, _opts}, _settings),
    do: raise(ArgumentError, "CREATE TABLE takes add, not #{change}")

  @doc "The declared type of a column, a reference's being that of its key."
  def declare(type, opts, settings) do
    declare = if settings[:strict], do: &ColumnType.declare_strict/3, else: &ColumnType.declare/3
    declare.(base(type), opts, settings)
  end

  @doc "` DEFAULT ...`, or nothing."
  def default(type, opts, settings), do: Default.text(base(type), opts, settings)

  defp base(%Ecto.Migration.Reference{type: type}), do: type
  defp base(type), do: type

  defp check(name, opts) do
    if opts[:generated] && Keyword.has_key?(opts, :default),
      do: raise(ArgumentError, "generated column #{inspect(name)} cannot have a default")

    if opts[:generated] && opts[:primary_key],
      do: raise(ArgumentError, "generated column #{inspect(name)} cannot be a primary key")

    for option <- [:start_value, :increment], opts[option] do
      raise ArgumentError,
            "SQLite's keys count up by one from the greatest there is: #{inspect(name)} cannot have #{inspect(option)}"
    end
  end

  defp primary_key(type, opts, settings) do
    cond do
      opts[:primary_key] != true or settings[:composite_key] -> []
      opts[:autoincrement] -> autoincrement(declare(type, opts, settings))
      true -> " PRIMARY KEY"
    end
  end

  defp autoincrement(declared) do
    if rowid?(declared),
      do: " PRIMARY KEY AUTOINCREMENT",
      else: raise(ArgumentError, "autoincrement needs a primary key of an integer type")
  end

  defp rowid?(declared), do: IO.iodata_to_binary(declared) == "INTEGER"

  @serial [:serial, :bigserial, :smallserial, :identity]

  @doc """
  Whether the column is declared NOT NULL. SQLite lets NULL into every primary key but the single INTEGER
  one, which makes its own values; so a key's column says it. In a key of several columns nothing makes a
  value for a serial column, and Ecto's migrations add one (`id`) where it is not asked for: that one may
  be left out.
  """
  def not_null?(type, opts, settings) do
    cond do
      opts[:null] == false -> true
      opts[:primary_key] != true -> false
      settings[:composite_key] -> type not in @serial
      true -> not rowid?(declare(type, opts, settings))
    end
  end

  ## Generated

  defp generated(opts) do
    case opts[:generated] do
      nil -> []
      sql when is_binary(sql) -> generated(String.trim(sql), opts[:stored])
      other -> raise ArgumentError, ":generated is an SQL expression, not #{inspect(other)}"
    end
  end

  # Ecto's form says all of it; a bare expression is taken too.
  defp generated(sql, stored) do
    cond do
      sql =~ ~r/\AALWAYS\s+AS\b/i -> [" GENERATED ", sql, stored(stored)]
      sql =~ ~r/\AGENERATED\s/i -> [?\s, sql, stored(stored)]
      true -> [" GENERATED ALWAYS AS (", sql, ?), stored(stored)]
    end
  end

  defp stored(true), do: " STORED"
  defp stored(_virtual), do: []

  ## Check and collation

  defp check_text(nil), do: []
  defp check_text(sql) when is_binary(sql), do: [" CHECK (", sql, ?)]

  defp check_text(%{name: name, expr: sql}),
    do: [" CONSTRAINT ", Sql.quote_name(name), " CHECK (", sql, ?)]

  defp check_text([_ | _] = check) do
    if Keyword.keyword?(check), do: check |> Map.new() |> check_text(), else: refuse_check(check)
  end

  defp check_text(other), do: refuse_check(other)

  defp refuse_check(other) do
    raise ArgumentError,
          ":check is an SQL expression, or %{name: name, expr: sql}, not #{inspect(other)}"
  end

  @doc "The collation of a column: what the migration says, else that of the type. `:none`: no word of it."
  def collation(type, opts, settings),
    do: said_collation(opts) || ColumnType.collation(base(type), settings)

  @doc "The collation that the migration says, or `nil`."
  def said_collation(opts), do: opts[:collation] || opts[:collate]

  defp collate(none) when none in [nil, :none], do: []

  defp collate(name) do
    text = to_string(name)

    [
      " COLLATE ",
      if(text =~ ~r/\A[A-Za-z_]+\z/, do: String.upcase(text), else: Sql.quote_name(text))
    ]
  end
end
