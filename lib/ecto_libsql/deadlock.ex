defmodule EctoLibSql.Deadlock do
  @moduledoc false
  # A call waits for the turn to write, and who has the turn waits for the call:
  #
  #     Repo.transaction(fn -> Task.async(fn -> Repo.insert!(x) end) |> Task.await() end)
  #
  # The insert is on another connection, and neither would end before a time-out. That the holder is among the
  # callers of who waits is not enough: a task that nobody awaits is to wait for its turn like anybody else, and so
  # is one that is awaited only after the transaction. So the holder has to be seen waiting: for a task that it
  # monitors, which is this one or one that this one works for; or for a process that it is starting. Task.yield/2
  # does not count: whoever calls it goes on when its time is over. It may come to that only later: who waits looks again, at growing intervals, and only if somebody could be waiting for it.

  # ms
  @first_look 20
  @last_look 640

  @awaits [:await, :await_receive, :await_many]
  # Of a process that awaits the tasks of a stream; these are monitored by another one.
  @streams [:stream_reduce, :stream_deliver]
  # Of a process that waits until one that it starts is ready.
  @starts [:sync_start, :sync_start_link, :sync_start_monitor]

  @doc """
  The processes that might wait for the calling one, the nearest first. It is one of them itself if it is in a
  transaction, of another connection then.
  """
  @spec callers() :: [pid()]
  def callers, do: myself() ++ pids(:"$callers") ++ pids(:"$ancestors")

  defp myself, do: if(Enum.any?(Process.get(), &transaction?/1), do: [self()], else: [])

  # As Ecto keeps them.
  defp transaction?({_key, %{__struct__: DBConnection, conn_mode: :transaction}}), do: true
  defp transaction?(_other), do: false

  defp pids(key), do: for(who <- Process.get(key, []), pid = pid(who), do: pid)

  defp pid(pid) when is_pid(pid), do: pid
  defp pid(name) when is_atom(name), do: Process.whereis(name)
  defp pid(_other), do: nil

  @doc "After how many ms to look, if the last look was after `last` (nil: none yet); :infinity: not at all."
  @spec next_look([pid()], pos_integer() | nil) :: pos_integer() | :infinity
  def next_look([], _last), do: :infinity
  def next_look(_callers, nil), do: @first_look
  def next_look(_callers, last), do: min(last * 2, @last_look)

  @doc "Whether the one who has the turn, as NIF.turn_holder/1 says, waits for the calling process."
  @spec certain?(tuple() | nil, [pid()]) :: boolean()
  def certain?({pid, _ms, _sql}, callers) when is_pid(pid),
    do: pid in callers and (pid == self() or waits?(pid, callers))

  def certain?(_nobody, _callers), do: false

  @doc "What the one is told that would have waited for `pid`."
  @spec message(pid()) :: String.t()
  def message(pid) when pid == self() do
    "the turn to write is held by a transaction of this process, on another connection: it would wait for itself. " <>
      "Write by that transaction's own Repo or connection, or after it"
  end

  def message(pid) do
    "the turn to write is held by a transaction of #{inspect(pid)}, which waits for this process: neither would " <>
      "go on. Write in the process of the transaction, before it or after it, but not in a task that it awaits"
  end

  defp waits?(pid, callers) do
    case Process.info(pid, [:status, :current_stacktrace, :monitors]) do
      [status: :waiting, current_stacktrace: [{module, function, _, _} | _], monitors: monitors] ->
        for_us?(module, function, monitors, [self() | Enum.take_while(callers, &(&1 != pid))])

      _runs_or_gone ->
        false
    end
  end

  defp for_us?(Task, function, monitors, us),
    do: function in @awaits and Enum.any?(monitors, &(elem(&1, 1) in us))

  defp for_us?(Task.Supervised, function, _monitors, _us), do: function in @streams
  defp for_us?(:proc_lib, function, _monitors, _us), do: function in @starts
  defp for_us?(_module, _function, _monitors, _us), do: false
end
