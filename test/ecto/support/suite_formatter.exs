defmodule EctoLibSql.SuiteFormatter do
  # An ExUnit formatter: one line a suite with how many of its tests passed, a total, and each failure in
  # a file. `only: regex` in SUITE_SHOW prints failures of those suites as well.

  use GenServer

  @impl true
  def init(opts) do
    log = Application.fetch_env!(:ecto_libsql, :suite_log)
    {:ok, %{log: File.open!(log, [:write, :utf8]), opts: opts, suites: %{}, failed: 0}}
  end

  @impl true
  def handle_cast({:test_finished, test}, state) do
    passed? = test.state == nil
    suite = suite(test)
    state = update_in(state.suites[suite], &count(&1, passed?))
    {:noreply, if(passed?, do: state, else: note(state, suite, test))}
  end

  def handle_cast({:suite_finished, _times}, state) do
    for {suite, {passed, total}} <- Enum.sort(state.suites), do: line(suite, passed, total)

    {passed, total} =
      Enum.reduce(state.suites, {0, 0}, fn {_, {p, t}}, {ps, ts} -> {p + ps, t + ts} end)

    IO.puts("adapter: #{passed} of #{total}")
    File.close(state.log)
    {:noreply, state}
  end

  def handle_cast(_event, state), do: {:noreply, state}

  defp count(nil, passed?), do: count({0, 0}, passed?)
  defp count({passed, total}, true), do: {passed + 1, total + 1}
  defp count({passed, total}, false), do: {passed, total + 1}

  defp line(suite, passed, total) do
    IO.puts(String.pad_trailing(suite, 20) <> "#{passed} of #{total}")
  end

  # "sql/migration", "cases/repo".
  defp suite(test) do
    file = test.tags.file
    Path.join(Path.basename(Path.dirname(file)), Path.basename(file, ".exs"))
  end

  defp note(state, suite, test) do
    IO.puts(state.log, "## #{suite}:#{test.tags.line} #{test.name}")
    IO.puts(state.log, text(test, state.failed + 1))
    %{state | failed: state.failed + 1}
  end

  defp text(%{state: {:failed, failures}} = test, number),
    do: ExUnit.Formatter.format_test_failure(test, failures, number, 100, fn _key, text -> text end)

  defp text(%{state: other}, _number), do: inspect(other)
end
