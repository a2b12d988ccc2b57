defmodule Ecto.Adapters.LibSql.DDL.FTS5 do
  @moduledoc false
  # `options: [fts5: [...]]`: an index for full-text search. With `content:` it has the words of another
  # table's columns, and that table's triggers keep it up to date.

  alias Ecto.Adapters.LibSql.DDL.Virtual
  alias Ecto.Adapters.LibSql.Sql

  @options [:content, :content_rowid, :sync, :tokenize, :prefix, :detail, :columnsize] ++
             [:contentless_delete, :contentless_unindexed]

  @doc "The steps: table, triggers, and the words that are there."
  def create(table, columns, options, if_not_exists?) do
    options = if options == true, do: [], else: options
    check_options(table, options)
    Enum.each(columns, &check_column(table, &1))

    case options[:content] do
      none when none in [nil, ""] -> [virtual(table, columns, options, if_not_exists?)]
      _content -> with_content(table, columns, options, if_not_exists?)
    end
  end

  defp check_options(table, options) do
    for {name, _value} <- options, name not in @options do
      raise ArgumentError,
            "fts5 table #{inspect(table.name)}: there is no option #{inspect(name)}; there are " <>
              Enum.map_join(@options, ", ", &inspect/1)
    end
  end

  defp check_column(table, {_add, name, _type, opts}) do
    if opts[:primary_key] do
      raise ArgumentError,
            "fts5 table #{inspect(table.name)}: its key is the rowid; give the table primary_key: false " <>
              "(column #{inspect(name)})"
    end
  end

  defp virtual(table, columns, options, if_not_exists?) do
    arguments = Enum.map(columns, &column/1) ++ Enum.flat_map(options, &argument/1)
    Virtual.create(table, "fts5", arguments, if_not_exists?)
  end

  defp column({_add, name, _type, opts}),
    do: [Sql.quote_name(name), if(opts[:unindexed], do: " UNINDEXED", else: [])]

  defp argument({:sync, _sync?}), do: []

  defp argument({:prefix, sizes}),
    do: [["prefix=", sizes |> List.wrap() |> Enum.join(" ") |> Sql.quote_string()]]

  defp argument({name, true}), do: [[Atom.to_string(name), "=1"]]
  defp argument({name, false}), do: [[Atom.to_string(name), "=0"]]

  defp argument({name, value}),
    do: [[Atom.to_string(name), ?=, value |> to_string() |> Sql.quote_string()]]

  ## The words of another table

  defp with_content(table, columns, options, if_not_exists?) do
    key = options[:content_rowid]
    steps = &content_steps(table, columns, Keyword.put(options, :content_rowid, &1), if_not_exists?)

    if key, do: steps.(key), else: [ask_key(table, options[:content], steps)]
  end

  defp content_steps(table, columns, options, if_not_exists?) do
    [virtual(table, columns, options, if_not_exists?)] ++
      if(options[:sync] == false, do: [], else: triggers(table, columns, options, if_not_exists?)) ++
      [rebuild(table)]
  end

  # The words there are. Nothing but the index's own name says that it is a command.
  defp rebuild(table) do
    [
      "INSERT INTO ",
      Sql.quote_table(table.prefix, table.name),
      " (",
      Sql.quote_name(table.name),
      ") VALUES ('rebuild')"
    ]
  end

  # The rowid itself would do, but for VACUUM, which numbers anew the rows of a table without such a key.
  defp ask_key(table, content, steps) do
    arguments = [quote_text(content), ", ", quote_text(table.prefix || "main")]

    sql = [
      ["SELECT name FROM pragma_table_info(", arguments, ") WHERE pk AND upper(type) = 'INTEGER' "],
      ["AND NOT EXISTS (SELECT 1 FROM pragma_index_list(", arguments, ") WHERE origin = 'pk')"]
    ]

    next = fn
      [[name]] -> steps.(name)
      _none -> raise ArgumentError, no_key(table, content)
    end

    {:ask, sql, next, fn -> steps.(:id) end}
  end

  defp no_key(table, content) do
    "fts5 table #{inspect(table.name)}: its content #{inspect(content)} has no INTEGER PRIMARY KEY, and " <>
      "VACUUM numbers the rows of such a table anew. Give content_rowid: the column of a unique integer"
  end

  defp quote_text(text), do: text |> to_string() |> Sql.quote_string()

  defp triggers(table, columns, options, if_not_exists?) do
    names = for {_add, name, _type, _opts} <- columns, do: name
    key = options[:content_rowid]
    [insert, delete] = [insert(table, names, key), delete(table, names, key)]

    for {event, condition, body} <- [
          {"INSERT", [], [insert]},
          {"DELETE", [], [delete]},
          {"UPDATE", changed([key | names]), [delete, insert]}
        ] do
      [
        if(if_not_exists?, do: "CREATE TRIGGER IF NOT EXISTS ", else: "CREATE TRIGGER "),
        Sql.quote_table(table.prefix, "#{table.name}_sync_#{String.downcase(event)}"),
        [" AFTER ", event, " ON ", Sql.quote_name(to_string(options[:content])), condition],
        [" BEGIN ", Enum.map(body, &[&1, "; "]), "END"]
      ]
    end
  end

  defp changed(names) do
    [
      " WHEN "
      | Sql.intersperse_map(
          names,
          " OR ",
          &["OLD.", Sql.quote_name(&1), " IS NOT NEW.", Sql.quote_name(&1)]
        )
    ]
  end

  defp insert(table, names, key) do
    [
      ["INSERT INTO ", Sql.quote_name(table.name), " (rowid, ", Sql.quote_names(names)],
      [") VALUES (", values("NEW.", [key | names]), ?)]
    ]
  end

  # The index has not got the text: it has to be told which words go.
  defp delete(table, names, key) do
    name = Sql.quote_name(table.name)

    [
      ["INSERT INTO ", name, " (", name, ", rowid, ", Sql.quote_names(names)],
      [") VALUES ('delete', ", values("OLD.", [key | names]), ?)]
    ]
  end

  defp values(row, names), do: Sql.intersperse_map(names, ", ", &[row, Sql.quote_name(&1)])

  @doc "The condition that a row of the schema is such a trigger of an index."
  def writes(table) do
    [
      "type = 'trigger' AND name LIKE '%\\_sync\\_%' ESCAPE '\\' AND instr(lower(sql), lower(",
      ["BEGIN INSERT INTO ", Sql.quote_name(table), " ("]
      |> IO.iodata_to_binary()
      |> Sql.quote_string(),
      ")) > 0"
    ]
  end
end
