defmodule Ecto.Adapters.LibSql.Retry do
  @moduledoc false
  # Repo.transaction(fun, retry: n): a transaction that failed because of other writers is run again, from its
  # beginning, up to n times.
  #
  # Again begin those that ended with :busy_snapshot, :busy or a server's :transaction_timeout, whether it was raised or is what the transaction
  # was rolled back with, and of which nothing is left in the database: never where that is not known, nor a
  # nested one, of which the outermost would go on with what the first run left in its variables. In the SQL
  # sandbox a test is one transaction, and its snapshot stays what it is.
  #
  # A run after the first begins IMMEDIATE: it has its turn before it reads, and cannot meet the same conflict.

  alias EctoLibSql.{Error, Telemetry}

  @again [:busy_snapshot, :busy, :transaction_timeout]
  # In ms. Those that were refused together do not come back together.
  @first_pause 4
  @longest_pause 128

  @doc """
  Runs `transaction` (a function of the options) until it ends otherwise or is not to be run any more; `again?`
  is whether this transaction may be run more than once.
  """
  def run(meta, opts, again?, transaction) do
    {times, opts} = Keyword.pop(opts, :retry, 0)
    check(times)

    if times > 0 and again?.(),
      do: tries(1, times, meta, opts, transaction),
      else: transaction.(opts)
  end

  defp check(times) when is_integer(times) and times >= 0, do: :ok

  defp check(other) do
    raise ArgumentError,
          "a transaction's :retry is how often it may be run again, an integer from 0, not #{inspect(other)}"
  end

  defp tries(number, times, _meta, opts, transaction) when number > times, do: transaction.(opts)

  defp tries(number, times, meta, opts, transaction) do
    case attempt(opts, transaction) do
      {:again, code} ->
        pause = pause(number)
        tell(number, times, pause, code, meta)
        tries(number + 1, times, meta, Keyword.put(opts, :mode, :immediate), transaction)

      {:done, answer} ->
        answer
    end
  end

  defp attempt(opts, transaction) do
    answer = transaction.(opts)
    if code = code(answer), do: {:again, code}, else: {:done, answer}
  rescue
    error in Error ->
      if again?(error), do: {:again, error.code}, else: reraise(error, __STACKTRACE__)
  end

  # What Repo.rollback/1 was given; Ecto.Multi gives the operation's name and the values before it, too.
  defp code({:error, %Error{} = error}), do: again?(error) && error.code
  defp code({:error, {_name, %Error{} = error, %{}}}), do: again?(error) && error.code
  defp code(_answer), do: nil

  defp again?(%Error{code: code, outcome: outcome}), do: code in @again and outcome == :none

  defp pause(number) do
    ms = :rand.uniform(min(@first_pause * 2 ** min(number - 1, 10), @longest_pause))

    receive do
    after
      ms -> ms
    end
  end

  defp tell(number, times, pause, code, meta) do
    measurements = %{count: 1, pause: System.convert_time_unit(pause, :millisecond, :native)}
    metadata = %{repo: meta.repo, code: code, attempt: number, left: times - number}
    Telemetry.event(:retry, measurements, metadata)
  end
end
