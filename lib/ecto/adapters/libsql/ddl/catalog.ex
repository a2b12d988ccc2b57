defmodule Ecto.Adapters.LibSql.DDL.Catalog do
  @moduledoc false
  # What the schema holds of one table: its definition, its indexes, its triggers.

  alias Ecto.Adapters.LibSql.DDL.{Definition, Tokens, Trigger}
  alias Ecto.Adapters.LibSql.Sql

  defstruct [:table, :schema, :definition] ++
              [indexes: [], triggers: [], on_delete: [], references: []]

  @doc "The question for `new/2`."
  def question(table) do
    schema = Sql.quote_table(schema(table), "sqlite_schema")
    of_table = ["tbl_name = ", Sql.quote_string(to_string(table.name)), " COLLATE NOCASE"]

    [
      ["SELECT type, name, sql, rowid FROM ", schema, " WHERE sql IS NOT NULL AND "],
      [of_table, " AND type <> 'view' UNION ALL "],
      ["SELECT 'temp', name, sql, rowid FROM sqlite_temp_schema WHERE type = 'trigger' AND "],
      [of_table, " UNION ALL SELECT 'on_delete', name, sql, rowid FROM ", schema],
      [" WHERE ", Trigger.writes(table.name), " UNION ALL "],
      ["SELECT 'reference', m.name, k.\"from\", k.\"to\" FROM ", schema, " AS m, "],
      ["pragma_foreign_key_list(m.name, ", Sql.quote_string(schema(table)), ") AS k "],
      ["WHERE m.type = 'table' AND k.\"table\" = ", Sql.quote_string(to_string(table.name))],
      " COLLATE NOCASE ORDER BY 4"
    ]
  end

  @doc "The database that a table is in."
  def schema(table), do: to_string(table.prefix || "main")

  @doc "The answer's rows; `nil` where there is no such table."
  def new(table, rows) do
    {references, rows} = Enum.split_with(rows, &(hd(&1) == "reference"))
    objects = Enum.group_by(rows, &hd/1, fn [_type, name, sql, _rowid] -> {name, sql} end)

    with [{name, sql}] <- objects["table"] do
      %__MODULE__{
        table: %{table | name: name},
        schema: schema(table),
        definition: Definition.parse(sql),
        indexes: Map.get(objects, "index", []),
        triggers: triggers(objects, schema(table)),
        on_delete: for({name, _sql} <- Map.get(objects, "on_delete", []), do: name),
        references: for([_type, child, from, to] <- references, do: {child, from, to})
      }
    end
  end

  # Those of a temporary table are found twice.
  defp triggers(objects, schema) do
    Enum.uniq(
      for {type, in_schema} <- [{"trigger", schema}, {"temp", "temp"}],
          {name, sql} <- Map.get(objects, type, []),
          do: {in_schema, name, sql}
    )
  end

  @doc "Whether an UPDATE of the table fires a trigger."
  def update_trigger?(catalog) do
    Enum.any?(catalog.triggers, fn {_schema, _name, sql} ->
      words = for {:word, word} <- Tokens.flat(sql), do: String.upcase(word)
      words |> Enum.take_while(&(&1 != "BEGIN")) |> Enum.member?("UPDATE")
    end)
  end

  @doc "The indexes that speak of a column."
  def indexes_of(catalog, column) do
    Enum.filter(catalog.indexes, fn {_name, sql} -> sql |> indexed() |> Tokens.mentions?(column) end)
  end

  # From the parenthesis on: before it stand the names of index and table.
  defp indexed(sql) do
    sql |> Tokens.flat() |> Enum.drop_while(&(&1 != {:text, "("})) |> Tokens.text()
  end

  @created ~r/\A(CREATE\s+(?:VIRTUAL\s+TABLE|TABLE|UNIQUE\s+INDEX|INDEX|TRIGGER|VIEW)\s+)(.*)\z/is

  @doc "A text of the schema, which has no name of a database, with one before the object's own."
  def with_schema(sql, schema) do
    [_all, create, rest] = Regex.run(@created, sql)
    [create, Sql.quote_name(schema), ?., rest]
  end
end
