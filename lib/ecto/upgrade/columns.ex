defmodule EctoLibSql.Upgrade.Columns do
  @moduledoc false
  # The tables of a database, their columns, and what these hold, as far as anything says it.

  alias Ecto.Adapters.LibSql.ColumnType
  alias EctoLibSql.Upgrade.DB

  @kinds [:binary, :uuid, :binary_id, :decimal]

  @doc "Whether a module is a schema of a table."
  def schema?(module) do
    Code.ensure_loaded?(module) and function_exported?(module, :__schema__, 1) and
      is_binary(module.__schema__(:source))
  end

  @doc """
  Tables: `%{name, rowid, columns, keys}`, parents before their children where that can be. `rowid` is the
  name that the rowid has, nil where there is none; a column is `%{name, type, affinity, null?, kind,
  known?}`; a key `%{id, parent, from, to, on_delete}`.
  """
  def list(db, schemas, given) do
    said = said(schemas, given)

    db
    |> tables()
    |> Enum.map(&table(db, &1, said))
    |> spread()
    |> sort()
  end

  # %{{table, column} => kind}; nil: a schema has it as something else.
  defp said(schemas, given) do
    fields = for schema <- schemas, field <- fields(schema), do: field
    joins = for schema <- schemas, field <- joins(schema), do: field
    given = for {table, column, kind} <- given, do: {table, column, kind}

    # Of several, one that can be mended; and what was given, above all.
    (fields ++ joins)
    |> Enum.sort_by(fn {_table, _column, kind} -> if kind in @kinds, do: 1, else: 0 end)
    |> Kernel.++(given)
    |> Map.new(fn {table, column, kind} ->
      {{fold(table), fold(column)}, if(kind in @kinds, do: kind)}
    end)
  end

  defp fields(schema) do
    for field <- schema.__schema__(:fields) do
      source = schema.__schema__(:field_source, field) |> to_string()
      {schema.__schema__(:source), source, Ecto.Type.type(schema.__schema__(:type, field))}
    end
  end

  # The tables of many_to_many have no schema.
  defp joins(schema) do
    for name <- schema.__schema__(:associations),
        %Ecto.Association.ManyToMany{join_through: table} = assoc when is_binary(table) <-
          [schema.__schema__(:association, name)],
        {{column, key}, owner} <- Enum.zip(assoc.join_keys, [assoc.owner, assoc.related]) do
      {table, to_string(column), Ecto.Type.type(owner.__schema__(:type, key))}
    end
  end

  defp tables(db) do
    sql = """
    SELECT l.name, l.wr FROM pragma_table_list AS l
    WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    ORDER BY l.name
    """

    DB.rows(db, sql)
  end

  defp table(db, [name, without_rowid], said) do
    # Generated columns (hidden 2 and 3) follow the others.
    sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1) WHERE hidden = 0"
    columns = for row <- DB.rows(db, sql, [name]), do: column(row, name, said)
    names = MapSet.new(columns, &fold(&1.name))

    %{
      name: name,
      rowid: if(without_rowid == 0, do: Enum.find(~w(rowid _rowid_ oid), &(&1 not in names))),
      columns: columns,
      keys: keys(db, name)
    }
  end

  defp column([name, type, not_null, key], table, said) do
    place = {fold(table), fold(name)}

    %{
      name: name,
      type: type,
      affinity: ColumnType.affinity(type),
      null?: not_null == 0 and key == 0,
      kind: Map.get(said, place) || by_name(type, Map.has_key?(said, place)),
      known?: Map.has_key?(said, place)
    }
  end

  # In 0.9 decimals were declared so, and nothing else was.
  defp by_name(type, false) do
    if String.upcase(type) =~ ~r/\A(DECIMAL|NUMERIC)\b/, do: :decimal
  end

  defp by_name(_type, true), do: nil

  defp keys(db, table) do
    sql = """
    SELECT id, "table", "from", "to", on_delete FROM pragma_foreign_key_list(?1) ORDER BY id, seq
    """

    for [[id, parent, _from, _to, on_delete] | _] = rows <-
          db |> DB.rows(sql, [table]) |> Enum.chunk_by(&hd/1) do
      %{
        id: id,
        parent: parent,
        from: Enum.map(rows, &Enum.at(&1, 2)),
        to: Enum.map(rows, &Enum.at(&1, 3)),
        on_delete: on_delete
      }
    end
  end

  ## What refers to an id is one, and what is referred to

  @ids [:uuid, :binary_id]

  defp spread(tables) do
    kinds = for t <- tables, c <- t.columns, c.kind in @ids, into: %{}, do: {at(t, c.name), c.kind}
    pairs = for t <- tables, key <- t.keys, pair <- pairs(t, key), do: pair
    kinds = fixpoint(kinds, pairs)

    for table <- tables do
      columns =
        for column <- table.columns do
          %{column | kind: column.kind || kinds[at(table, column.name)]}
        end

      %{table | columns: columns}
    end
  end

  # A key without columns is of the parent's primary key: a column that such a key refers to has a name
  # that nobody says, and is left to its schema.
  defp pairs(table, key) do
    for {from, to} <- Enum.zip(key.from, key.to), to != nil do
      {at(table, from), {fold(key.parent), fold(to)}}
    end
  end

  defp fixpoint(kinds, pairs) do
    more =
      Enum.reduce(pairs, kinds, fn {a, b}, kinds ->
        case {kinds[a], kinds[b]} do
          {nil, kind} when kind != nil -> Map.put(kinds, a, kind)
          {kind, nil} when kind != nil -> Map.put(kinds, b, kind)
          _both_or_none -> kinds
        end
      end)

    if more == kinds, do: kinds, else: fixpoint(more, pairs)
  end

  defp at(table, column), do: {fold(table.name), fold(column)}

  ## Parents first

  defp sort(tables), do: sort(tables, [])

  defp sort([], sorted), do: Enum.reverse(sorted)

  defp sort(tables, sorted) do
    names = MapSet.new(tables, &fold(&1.name))

    {ready, waiting} =
      Enum.split_with(tables, fn table ->
        Enum.all?(table.keys, fn key ->
          fold(key.parent) == fold(table.name) or fold(key.parent) not in names
        end)
      end)

    # A circle of keys has no first.
    if ready == [],
      do: sort(tl(waiting), [hd(waiting) | sorted]),
      else: sort(waiting, Enum.reverse(ready) ++ sorted)
  end

  @doc "Where in the order a table comes."
  def place(tables, name), do: Enum.find_index(tables, &(&1.name == name))

  @doc "The tables that one refers to, by their own names."
  def parents(tables, name) do
    table = Enum.find(tables, &(&1.name == name))
    parents = MapSet.new(table.keys, &fold(&1.parent))
    for %{name: other} <- tables, other != name, fold(other) in parents, do: other
  end

  defp fold(name), do: String.downcase(name, :ascii)
end
