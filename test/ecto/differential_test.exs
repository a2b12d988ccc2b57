for file <- ~w(tables values evaluator chance expressions generator builder shrinker),
    do: Code.require_file("differential/#{file}.exs", __DIR__)

defmodule EctoLibSql.DifferentialTest do
  # Random Ecto queries over small random tables: what the database answers is what a naive evaluator,
  # which knows nothing of SQL, says they mean.
  #
  #     DIFFERENTIAL_SEED=n     the run again
  #     DIFFERENTIAL_ONLY=i     its i-th query alone
  #     DIFFERENTIAL_QUERIES=n  how many
  use ExUnit.Case, async: true

  alias EctoLibSql.Differential.{Builder, Chance, Evaluator, Generator, Shrinker, Tables, Values}

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  # Everything that a Repo may choose, and its other choice.
  @settings [
    [],
    [uuid_type: :text, binary_id_type: :blob, json_type: :jsonb, datetime_type: :integer]
  ]

  # Queries that share their tables.
  @batch 25

  @tag timeout: 600_000
  test "random queries" do
    random(env("DIFFERENTIAL_QUERIES", 10_000), fn _number ->
      [database: ":memory:", pool_size: 1]
    end)
  end

  # Another engine behind another parser. What it cannot do is to be an error, and never another answer.
  @tag :sqld
  @tag timeout: 600_000
  test "random queries to a server" do
    servers = Enum.map(@settings, fn _settings -> EctoLibSql.Test.Sqld.start!() end)

    refused =
      random(env("DIFFERENTIAL_REMOTE", 300), fn number ->
        [uri: Enum.at(servers, number).url, pool_size: 1]
      end)

    IO.puts("differential: #{refused} queries were refused, nearly all for decimals")
  end

  defp random(count, repo) do
    seed = env("DIFFERENTIAL_SEED", :rand.uniform(1_000_000))
    only = env("DIFFERENTIAL_ONLY", nil)
    IO.puts("differential: DIFFERENTIAL_SEED=#{seed}, #{count} queries")

    batches = if only, do: [div(only, @batch)], else: 0..div(count - 1, @batch)
    refused = :counters.new(1, [])

    @settings
    |> Enum.with_index(&{&1, &2, repo.(&2), refused})
    |> Task.async_stream(&worker(&1, batches, seed, only), ordered: false, timeout: :infinity)
    |> Enum.each(fn {:ok, failure} -> if failure, do: flunk(failure) end)

    :counters.get(refused, 1)
  end

  # Or a failure would be a page long.
  test "a query that fails is shrunk to what makes it fail" do
    like? = &(inspect(&1, limit: :infinity) =~ "{:like, ")

    for seed <- 1..300 do
      :rand.seed(:exsss, {seed, 0, 0})
      Chance.reset()
      query = Generator.query()

      if like?.(query) do
        small = Shrinker.shrink(query, like?)
        assert like?.(small)
        assert small |> inspect(limit: :infinity) |> String.length() < 1_000
      end
    end
  end

  defp env(name, default) do
    case System.get_env(name) do
      nil -> default
      text -> String.to_integer(text)
    end
  end

  # Every second batch; nil, or what failed.
  defp worker({settings, number, repo, refused}, batches, seed, only) do
    {:ok, pid} = Repo.start_link([name: nil, log: false] ++ repo ++ settings)
    Process.put(:refused, refused)

    Repo.put_dynamic_repo(pid)
    Tables.create(Repo, collation: repo[:uri] == nil)

    Enum.find_value(batches, fn batch ->
      if rem(batch, 2) == number, do: batch(batch, seed, only, settings)
    end)
  end

  defp batch(batch, seed, only, settings) do
    :rand.seed(:exsss, {seed, batch, 0})
    tables = Tables.random()
    Tables.fill(Repo, tables)

    Enum.find_value((batch * @batch)..(batch * @batch + @batch - 1), fn index ->
      if only in [nil, index] do
        :rand.seed(:exsss, {seed, index, 1})
        Chance.reset()
        query = if :rand.uniform(10) == 1, do: Generator.write(), else: Generator.query()

        failure(query, tables, {seed, index, settings})
      end
    end)
  end

  defp failure(query, tables, run) do
    if differs(query, tables), do: report(query, tables, run)
  rescue
    error ->
      """
      the evaluator fails, at #{inspect(run)}: #{error |> Exception.message() |> String.slice(0, 300)}
      #{inspect(query, pretty: true, limit: :infinity)}
      #{Exception.format_stacktrace(__STACKTRACE__)}
      """
  end

  ## One query

  # nil, or how the answers differ: {kind, text}.
  defp differs(%{write: _kind} = write, tables) do
    case Evaluator.write(write, tables) do
      :open -> nil
      {rows, returned} -> differs(write, {sorted(rows), returned}, write_answer(write))
    end
  end

  defp differs(query, tables), do: differs(query, Evaluator.rows(query, tables), answer(query))

  defp differs(query, expected, {:ok, got}) do
    unless same?(query, expected, got),
      do: {:rows, rows("expected", expected) <> rows("got", got)}
  end

  defp differs(_query, _expected, {:error, error, stacktrace}) do
    if refused?(error) do
      :counters.add(Process.get(:refused), 1, 1)
      nil
    else
      different(error, stacktrace)
    end
  end

  # By a server: decimals, HAVING without GROUP BY, which its parser does not know, and what is too deep for it.
  defp refused?(%EctoLibSql.Error{code: :unsupported}), do: true

  defp refused?(%EctoLibSql.Error{message: message}),
    do: message =~ "near HAVING" or message =~ "parser stack overflow"

  defp refused?(_error), do: false

  defp different(error, stacktrace) do
    kind = {error.__struct__, error |> Exception.message() |> String.slice(0, 30)}
    {kind, Exception.format(:error, error, stacktrace)}
  end

  # The table as the write leaves it, and what it returns; nothing of it stays.
  defp write_answer(%{from: {:table, name}} = write) do
    query = Builder.write(write)

    {:error, answer} =
      Repo.transaction(fn ->
        {_count, rows} =
          if write.write == :delete, do: Repo.delete_all(query), else: Repo.update_all(query, [])

        left = Repo.all({name, Tables.Row})
        Repo.rollback({sorted(left), Enum.map(rows, &values(&1, write))})
      end)

    {:ok, answer}
  rescue
    error -> {:error, error, __STACKTRACE__}
  end

  # Rows of a table as lists, by their ids.
  defp sorted(rows) do
    columns = for type <- Tables.types(), column <- Tables.columns(type), do: column
    rows |> Enum.map(fn row -> Enum.map(columns, &Map.fetch!(row, &1)) end) |> Enum.sort_by(&hd/1)
  end

  defp answer(query) do
    {:ok, query |> Builder.query() |> Repo.all() |> Enum.map(&values(&1, query))}
  rescue
    error -> {:error, error, __STACKTRACE__}
  end

  # A smaller query may mean nothing.
  defp kind(query, tables) do
    with true <- Generator.alike?(query), {kind, _text} <- differs(query, tables), do: kind
  rescue
    _meaningless -> nil
  end

  defp rows(what, {rows, returned}), do: rows(what, rows) <> rows("#{what}, returned", returned)

  defp rows(what, rows),
    do: "#{what}:\n" <> Enum.map_join(rows, &"    #{inspect(&1, limit: :infinity)}\n")

  defp values(row, query),
    do: for(name <- Evaluator.names(query), do: row |> Map.fetch!(name) |> uuid())

  # Ids that Ecto has no type for come as they are stored.
  defp uuid(<<bytes::16-binary>>), do: Ecto.UUID.load!(bytes)
  defp uuid(other), do: other

  defp same?(%{write: _kind}, {expected, expected_returned}, {got, returned}),
    do:
      keys(expected) == keys(got) and
        Enum.sort(keys(expected_returned)) == Enum.sort(keys(returned))

  defp same?(query, expected, got) do
    [expected, got] = Enum.map([expected, got], &keys/1)
    if query.order in [nil, []], do: Enum.sort(expected) == Enum.sort(got), else: expected == got
  end

  defp keys(rows), do: Enum.map(rows, fn row -> Enum.map(row, &Values.key/1) end)

  defp report(query, tables, {seed, index, settings}) do
    kind = kind(query, tables)
    query = Shrinker.shrink(query, &(kind(&1, tables) == kind))
    {_kind, text} = differs(query, tables)

    """
    DIFFERENTIAL_SEED=#{seed} DIFFERENTIAL_ONLY=#{index} shows it again; the Repo has #{inspect(settings)}

    #{inspect(query, pretty: true, limit: :infinity)}

    #{sql(query)}

    #{shown(tables, query)}
    #{text}
    """
  end

  defp sql(query) do
    {sql, params} = to_sql(query)
    "#{sql}\n#{inspect(params, limit: :infinity)}"
  rescue
    error -> Exception.message(error)
  end

  defp to_sql(%{write: kind} = write), do: Repo.to_sql(:"#{kind}_all", Builder.write(write))
  defp to_sql(query), do: Repo.to_sql(:all, Builder.query(query))

  # The columns that the query names.
  defp shown(tables, query) do
    text = inspect(query, limit: :infinity)

    columns =
      for type <- Tables.types(),
          column <- Tables.columns(type),
          text =~ ", :#{column}, ",
          do: column

    for {name, rows} <- tables, text =~ inspect({:table, name}), into: "" do
      "#{name}:\n" <> Enum.map_join(rows, &"    #{inspect(Map.take(&1, [:id | columns]))}\n")
    end
  end
end
