defmodule EctoLibSql.Deadline do
  @moduledoc false
  # Until when a call may take, told by its options: to native code, and to DBConnection, whose own timer closes
  # the connection. Ours stops the call before that, and the connection stays.
  #
  # The Ecto adapter takes the time when a call begins, so that waiting for a connection of the pool counts; a
  # callback of DBConnection, which is called when there is one, cannot know it: there the time-out begins with
  # the callback, and ends a little before DBConnection's timer.

  # DBConnection's own default; inside the sandbox's proxy no time-out is given.
  @default 15_000
  # In ms, how much later than ours DBConnection's timer is. It closes what a transaction has left undone.
  @transaction_net 200
  # For single statements ours is enough, but for a disk that answers no more: the thread is then in the kernel.
  # DBConnection counts its queue too, and would close a healthy connection because it came too late.
  @statement_net 30_000
  # Asked for, and not merely no time-out: in ms, the most that native code takes.
  @endless 0x7FFFFFFF

  @doc "Whether native code takes it as a call's time-out."
  defguard is_timeout(timeout)
           when timeout == :infinity or
                  (is_integer(timeout) and timeout >= 0 and timeout <= @endless)

  @doc "What is said of one that is none."
  def refusal(timeout) do
    "the option :timeout is a number of ms, at most #{@endless}, or :infinity, " <>
      "and not #{inspect(timeout)}"
  end

  @doc "The options of a single statement that begins now."
  def statement(opts), do: begin(opts, @statement_net)

  @doc "The options of a transaction that begins now; `default` is its Repo's time-out."
  def transaction(opts, default),
    do: opts |> Keyword.put_new(:timeout, default) |> begin(@transaction_net)

  defp begin([{:until, _} | _] = opts, _net), do: opts

  defp begin(opts, net) do
    case until(opts) do
      nil -> opts
      until -> [{:until, until}, {:timeout, :infinity}, {:deadline, until + net} | opts]
    end
  end

  defp until(opts) do
    case Keyword.get(opts, :timeout) || @default do
      :infinity -> Keyword.get(opts, :deadline)
      ms when is_timeout(ms) -> min(now() + ms, Keyword.get(opts, :deadline))
      other -> raise ArgumentError, refusal(other)
    end
  end

  @doc "How many ms a call has left, by its options; `:over` if it came too late."
  def left(opts) do
    case Keyword.get(opts, :until) do
      nil -> from_now(opts)
      until -> if (ms = until - now()) > 0, do: ms, else: :over
    end
  end

  @doc "The same for the end of a transaction, which there is time for until DBConnection closes it; at least 1."
  def at_end(opts) do
    case Keyword.get(opts, :until) do
      nil -> from_now(opts)
      until -> max(until + @transaction_net - now(), 1)
    end
  end

  @doc """
  The time-out of a call without DBConnection: native code's own where there is none, which servers have (30 s) and
  files have not.
  """
  def direct(opts, state) do
    case Keyword.fetch(opts, :timeout) do
      {:ok, :infinity} when state.mode != :local -> @endless
      {:ok, given} -> given
      :error -> :infinity
    end
  end

  defp from_now(opts) do
    case Keyword.get(opts, :timeout) || @default do
      :infinity -> before(Keyword.get(opts, :deadline))
      ms -> margin(ms)
    end
  end

  defp before(nil), do: @endless
  defp before(deadline), do: margin(deadline - now())

  defp margin(ms), do: max(ms - min(150, div(ms, 2)), 1)

  defp now, do: System.monotonic_time(:millisecond)
end
