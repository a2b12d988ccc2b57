for file <- ["shop.exs"], do: Code.require_file("capabilities/#{file}", __DIR__)

defmodule EctoLibSql.CapabilitiesTest do
  # The capability table, docs/capabilities.md: what Ecto has, what we do of it, and what raises, each row
  # run on a database. CAPABILITIES=write writes the document, else it has to be what the rows say.
  #
  # To add a row: capabilities/*.exs. A row's example is a query, or calls the Repo.
  use EctoLibSql.Case, async: true

  alias EctoLibSql.Capabilities.Shop
  alias EctoLibSql.Capabilities.Shop.Repo

  @document Path.expand("../../docs/capabilities.md", __DIR__)

  @parts for part <- ["queries", "writes", "types"],
             do:
               {part,
                "capabilities/#{part}.exs" |> Path.expand(__DIR__) |> Code.eval_file() |> elem(0)}

  @intro """
  # What the Ecto adapter does, and what it refuses

  Every row was run: this document is made by `test/ecto/capabilities_test.exs`, and `make test` compares
  it. What cannot be expressed raises `Ecto.QueryError` when the query is planned; nothing is left out of a
  query.

  Examples are queries, or calls of a Repo, over two schemas: `Author` (name, boss_id) and `Post` (title,
  visits, price: decimal, score: float, public, day: date, at and at_usec: date-times in UTC, naive, tags:
  array, meta: map, token: UUID, code: binary id).
  """

  setup do
    start_supervised!({Repo, database: tmp_path(), pool_size: 1, log: false})
    Shop.fill(Repo)
    :ok
  end

  for {part, sections} <- @parts, {section, rows} <- sections, row <- rows do
    @row row
    test "#{part}, #{section}: #{elem(row, 0)}" do
      if runs?(@row), do: check(@row)
    end
  end

  test "docs/capabilities.md" do
    document = document()

    if System.get_env("CAPABILITIES") == "write",
      do: File.write!(@document, document),
      else: assert(File.read!(@document) == document, "CAPABILITIES=write makes it")
  end

  ## Rows

  defp runs?({_feature, _does, _example, _gives}), do: true

  defp runs?({_feature, _does, _example, _gives, [{:since, since} | has]}) do
    {:ok, vsn} = :application.get_key(:ecto, :vsn)
    Version.compare(to_string(vsn), since) != :lt or Enum.any?(has, &exported?/1)
  end

  defp exported?({:has, {module, function, arity}}),
    do: Code.ensure_loaded?(module) and function_exported?(module, function, arity)

  defp check(row) do
    case {elem(row, 1), elem(row, 3)} do
      {:raises, names} -> assert raised(row) =~ names
      {_does, gives} -> assert run(row) == gives
    end
  end

  defp raised(row) do
    error = assert_raise Ecto.QueryError, fn -> run(row) end
    error.message |> String.split(" in query:") |> hd()
  end

  # Nothing that a row writes stays.
  defp run(row) do
    {:error, gives} =
      Repo.transaction(fn ->
        case eval(elem(row, 2)) do
          %Ecto.Query{} = query -> query |> Repo.all() |> Repo.rollback()
          gives -> Repo.rollback(gives)
        end
      end)

    gives
  end

  defp eval(code) do
    header = "import Ecto.Query; alias EctoLibSql.Capabilities.Shop.{Author, Post, Repo}; "
    {value, _binding} = Code.eval_string(header <> code)
    value
  end

  ## The document

  defp document do
    sections = for {_part, sections} <- @parts, section <- sections, do: section(section)
    IO.iodata_to_binary([@intro | sections])
  end

  defp section({title, rows}) do
    [
      "\n## ",
      title,
      "\n\n| feature | what we do | example |\n|---|---|---|\n" | Enum.map(rows, &line/1)
    ]
  end

  defp line(row) do
    ["| ", cell(elem(row, 0)), " | ", does(row), " | `", row |> elem(2) |> code(), "` |\n"]
  end

  defp does({_feature, :raises, _example, _names} = row),
    do: ["raises: ", row |> raised() |> cell()]

  defp does({_feature, does, _example, _gives}), do: cell(does)

  defp does({_feature, does, _example, _gives, [{:since, since} | _has]}),
    do: Enum.join([does, "Ecto #{since}"] |> Enum.reject(&(&1 == "")), "; ")

  defp cell(text), do: String.replace(text, "|", "\\|")

  defp code(text),
    do: text |> String.split("\n", trim: true) |> Enum.map_join(" ", &String.trim/1) |> cell()
end
