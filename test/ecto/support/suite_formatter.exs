defmodule EctoLibSql.SuiteFormatter do
  # An ExUnit formatter for Ecto's suites: one line a suite with how many of its tests passed, a total,
  # and each failure in a file. Of other configurations than the full one only the total is printed, and what
  # should not have failed.

  use GenServer

  alias EctoLibSql.SuiteConfig

  @doc "The tests that failed and should not have, once the suites are run."
  def unexpected, do: :persistent_term.get({__MODULE__, :unexpected}, [:not_finished])

  @impl true
  def init(opts) do
    settings = Application.fetch_env!(:ecto_libsql, :suites)
    log = File.open!(settings[:output] <> ".log", [:write, :utf8])
    {:ok, %{settings: Map.new(settings), log: log, opts: opts, suites: %{}, failed: []}}
  end

  @impl true
  def handle_cast({:test_finished, test}, state) do
    passed? = test.state == nil
    suite = suite(test)
    state = update_in(state.suites[suite], &count(&1, passed?))
    {:noreply, if(passed?, do: state, else: note(state, suite, test))}
  end

  def handle_cast({:suite_finished, _times}, state) do
    File.close(state.log)
    config = state.settings.config
    unexpected = Enum.reject(state.failed, &SuiteConfig.beyond?(config, &1))
    if config == :full, do: print_suites(state)
    if config in [:full, :server, :replica], do: print_unexpected(state, unexpected)
    File.write!(state.settings.output <> ".txt", figures(state))
    :persistent_term.put({__MODULE__, :unexpected}, unexpected)
    IO.puts(closing(state))
    {:noreply, state}
  end

  def handle_cast(_event, state), do: {:noreply, state}

  defp count(nil, passed?), do: count({0, 0}, passed?)
  defp count({passed, total}, true), do: {passed + 1, total + 1}
  defp count({passed, total}, false), do: {passed, total + 1}

  # "sql/migration", "cases/repo".
  defp suite(test) do
    file = test.tags.file
    Path.join(Path.basename(Path.dirname(file)), Path.basename(file, ".exs"))
  end

  defp note(state, suite, test) do
    IO.puts(state.log, "## #{suite}:#{test.tags.line} #{test.name}")
    IO.puts(state.log, text(test, length(state.failed) + 1))
    %{state | failed: state.failed ++ [{suite, test.name}]}
  end

  defp text(%{state: {:failed, failures}} = test, number),
    do: ExUnit.Formatter.format_test_failure(test, failures, number, 100, fn _key, text -> text end)

  defp text(%{state: other}, _number), do: inspect(other)

  defp print_suites(state) do
    for {suite, {passed, total}} <- Enum.sort(state.suites),
        do: IO.puts(String.pad_trailing(suite, 20) <> "#{passed} of #{total}")
  end

  defp print_unexpected(state, unexpected) do
    for {suite, name} <- unexpected, do: IO.puts("failed: #{suite} #{name}")
    if unexpected != [], do: IO.puts("how: #{state.settings.output}.log")
  end

  defp closing(state) do
    case state.settings.config do
      :full -> "adapter: #{sum(state)}"
      config -> "adapter with the #{config} configuration: #{sum(state)}"
    end
  end

  defp sum(state) do
    {passed, total} =
      Enum.reduce(state.suites, {0, 0}, fn {_, {p, t}}, {ps, ts} -> {p + ps, t + ts} end)

    "#{passed} of #{total}"
  end

  # What tools/ecto-test makes a table of: versions, the sum, who failed.
  defp figures(state) do
    versions = for app <- [:ecto, :ecto_sql], do: "#{Application.spec(app, :vsn)}"
    versions = versions ++ [System.version(), System.otp_release()]
    failed = for {suite, name} <- Enum.sort(state.failed), do: "#{suite}: #{name}"
    Enum.join([Enum.join(versions, " "), sum(state) | failed], "\n") <> "\n"
  end
end
