defmodule Ecto.Adapters.LibSql.ForeignKeys do
  @moduledoc false
  # Which foreign key a statement violated. The engine counts violations and does not say which key they
  # are of; so it is asked again: the rows of the statement, and no others, are looked up key by key.

  alias Ecto.Adapters.LibSql.{Constraints, Sql, Statements, Write}
  alias EctoLibSql.Error

  @savepoint "ecto_libsql_foreign_key"

  @doc "As `Ecto.Adapters.LibSql.Constraints`, with the error itself where a name has to be found."
  def to_constraints(%Error{constraint: %{kind: :foreign_key}} = error, _opts),
    do: [foreign_key: error]

  def to_constraints(error, opts), do: Constraints.to_constraints(error, opts)

  @doc """
  The name of the foreign key that a statement violated, where it has none the one that Ecto gives by
  default; `nil` where the key is in none of the tables next to this one (a cascade went further).
  """
  def find(meta, {operation, schema, filters}, sql, params, opts) do
    opts = [log: false, telemetry_event: nil] ++ Keyword.take(opts, [:timeout])
    table = {meta, schema.prefix, schema.source, opts}

    Ecto.Adapters.SQL.checkout(meta, opts, fn ->
      (operation != :delete && missing_parent(table, sql, params)) ||
        (operation != :insert && child(table, operation, filters, params)) || nil
    end)
  end

  ## A parent that is not there

  # The statement is run once more with its keys deferred, to see its rows as the engine made them, and
  # undone.
  defp missing_parent({_meta, prefix, source, _opts} = table, sql, params) do
    case keys(table, source) do
      [] ->
        nil

      keys ->
        looks = Sql.intersperse_map(keys, ", ", &orphan(&1, prefix, source))
        deferred(table, fn -> violated(table, [sql, " RETURNING " | looks], params, keys) end)
    end
  end

  defp orphan(key, prefix, source) do
    pairs = Enum.zip(key.columns, key.to)

    [
      Enum.map(key.columns, &[column(source, &1), " IS NOT NULL AND "]),
      "NOT EXISTS (SELECT 1 FROM ",
      Sql.quote_table(prefix, key.parent),
      " AS parent WHERE ",
      Sql.intersperse_map(pairs, " AND ", fn {from, to} ->
        [column("parent", to), " = ", column(source, from)]
      end),
      ?)
    ]
  end

  # ROLLBACK TO does not set the pragma back.
  defp deferred(table, fun) do
    %{rows: [[before]]} = query!(table, "PRAGMA defer_foreign_keys")
    query!(table, "SAVEPOINT " <> @savepoint)

    try do
      query!(table, "PRAGMA defer_foreign_keys = ON")
      fun.()
    after
      query!(table, "ROLLBACK TO " <> @savepoint)
      query!(table, "RELEASE " <> @savepoint)
      query!(table, "PRAGMA defer_foreign_keys = #{before}")
    end
  end

  ## A child that is still there

  defp child({_meta, prefix, source, _opts} = table, operation, filters, params) do
    case Enum.filter(children(table), &refuses?(&1, operation)) do
      [] ->
        nil

      keys ->
        {where, params} = where(filters, params)
        looks = Sql.intersperse_map(keys, ", ", &has_child(&1, prefix, source))
        sql = ["SELECT ", looks, " FROM ", Sql.quote_table(prefix, source) | where]
        violated(table, sql, params, keys)
    end
  end

  # The filters' parameters are the last of the statement's.
  defp where(filters, params), do: {Write.where(filters, 1), Enum.take(params, -length(filters))}

  defp refuses?(key, :delete), do: key.on_delete in ["NO ACTION", "RESTRICT"]
  defp refuses?(key, :update), do: key.on_update in ["NO ACTION", "RESTRICT"]

  defp has_child(key, prefix, source) do
    pairs = Enum.zip(key.columns, key.to)

    [
      "EXISTS (SELECT 1 FROM ",
      Sql.quote_table(prefix, key.table),
      " AS child WHERE ",
      Sql.intersperse_map(pairs, " AND ", fn {from, to} ->
        [column("child", from), " = ", column(source, to)]
      end),
      ?)
    ]
  end

  defp violated(table, sql, params, keys) do
    case query(table, sql, params) do
      {:ok, %{rows: rows}} ->
        place = Enum.find_value(rows, fn row -> Enum.find_index(row, &(&1 == 1)) end)
        place && keys |> Enum.at(place) |> name()

      # RESTRICT refuses deferred keys too.
      {:error, %Error{}} ->
        nil
    end
  end

  defp name(%{name: nil} = key), do: Constraints.default([key.table, hd(key.columns)], "fkey")
  defp name(%{name: name}), do: name

  ## What the schema says

  defp children({_meta, prefix, source, _opts} = table) do
    sql = ["SELECT name FROM ", master(prefix), " WHERE type = 'table'"]
    %{rows: rows} = query!(table, sql)

    for [name] <- rows, key <- keys(table, name), same?(key.parent, source), do: key
  end

  defp keys({_meta, prefix, _source, _opts} = table, name) do
    sql = """
    SELECT id, "table", "from", "to", on_update, on_delete
    FROM pragma_foreign_key_list(?1, ?2) ORDER BY id, seq
    """

    {:ok, %{rows: rows}} = query(table, sql, [name, prefix || "main"])
    keys = rows |> Enum.chunk_by(&hd/1) |> Enum.map(&key(&1, table, name))
    if keys == [], do: [], else: put_names(keys, names(table, name))
  end

  defp put_names(keys, names) when length(keys) == length(names),
    do: Enum.zip_with(keys, names, &%{&1 | name: &2})

  defp put_names(keys, _names), do: keys

  # The pragma does not tell names; the text of the table does, and it counts keys from the last one.
  defp names({_meta, prefix, _source, _opts} = table, name) do
    sql = ["SELECT sql FROM ", master(prefix), " WHERE type = 'table' AND name = ?1"]

    case query(table, sql, [name]) do
      {:ok, %{rows: [[text]]}} ->
        text |> Statements.tokens() |> Enum.reject(&match?({:blank, _}, &1)) |> names(nil, [])

      _other ->
        []
    end
  end

  @others ~w(PRIMARY NOT NULL UNIQUE CHECK DEFAULT COLLATE GENERATED AS)

  defp names([{:word, word}, next | rest], pending, found) do
    case String.upcase(word) do
      "CONSTRAINT" -> names(rest, unquoted(next), found)
      "REFERENCES" -> names(rest, nil, [pending | found])
      word when word in @others -> names([next | rest], nil, found)
      _other -> names([next | rest], pending, found)
    end
  end

  defp names([_token | rest], pending, found), do: names(rest, pending, found)
  defp names([], _pending, found), do: found

  defp unquoted({:text, <<quote, _::binary>> = text}) when quote in [?", ?`, ?'] do
    text |> String.slice(1..-2//1) |> String.replace(<<quote, quote>>, <<quote>>)
  end

  defp unquoted({:text, "[" <> _ = text}), do: String.slice(text, 1..-2//1)
  defp unquoted({_kind, text}), do: text

  defp master(nil), do: "sqlite_master"
  defp master(prefix), do: [Sql.quote_name(prefix), ".sqlite_master"]

  defp key([[_id, parent, _from, _to, on_update, on_delete] | _] = rows, table, name) do
    %{
      table: name,
      name: nil,
      parent: parent,
      columns: for([_, _, from | _] <- rows, do: from),
      to: to(for([_, _, _, to | _] <- rows, do: to), parent, table),
      on_update: on_update,
      on_delete: on_delete
    }
  end

  # REFERENCES without columns means the primary key.
  defp to([nil | _], parent, {_meta, prefix, _source, _opts} = table) do
    sql = "SELECT name FROM pragma_table_info(?1, ?2) WHERE pk > 0 ORDER BY pk"
    {:ok, %{rows: rows}} = query(table, sql, [parent, prefix || "main"])
    List.flatten(rows)
  end

  defp to(columns, _parent, _table), do: columns

  defp same?(a, b), do: String.downcase(a, :ascii) == String.downcase(b, :ascii)

  defp column(table, name), do: [Sql.quote_name(table), ?., Sql.quote_name(name)]

  defp query({meta, _prefix, _source, opts}, sql, params),
    do: Ecto.Adapters.SQL.query(meta, IO.iodata_to_binary(sql), params, opts)

  defp query!(table, sql) do
    {:ok, result} = query(table, sql, [])
    result
  end
end
