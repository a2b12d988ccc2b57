defmodule EctoLibSql.Call do
  @moduledoc false
  # How a native call comes to its answer. Native code never waits: what would have to wait says so,
  # and the waiting is done here, in `receive`, with the caller's deadline.
  #
  #   :in_use   another process is in the connection: wait for its {ref, :idle}
  #   :async    the call is long: a thread of ours runs it, and sends {ref, answer}
  #   busy      it is another connection's turn to write, or another program's: a thread of ours runs the call
  #             when it is this one's, and sends {ref, answer}; with an engine's code: a lock is held that has
  #             no line (of one who reads): again in a millisecond, until the busy time-out
  #   unauthorized   a server refuses the token: once more, if another can be had
  #
  # Between an answer and the next try nothing of a call is there that an interrupt could find: {:later, seen, _}
  # says how many there were when it came, and it goes on only as long as there are no more. One that waits for
  # another's call to leave the connection has not begun, and is not meant.
  #
  # Whatever happens, no message of ours is left in the caller's mailbox. An answer is {:ok, _}, :ok,
  # {:error, native} or {:abandoned, native}: the call was given up at its deadline while the engine
  # goes on; the connection is in use until the engine returns.

  alias EctoLibSql.{Deadline, Deadlock, NIF, Ownership, Remote, Telemetry}
  require Deadline

  @fast 1
  # The engine is asked to stop at the deadline; this much later nobody waits for it any more.
  @grace 100

  @type timeout_ms :: pos_integer() | :infinity

  @doc "Opens; waits for locks as a call does."
  def open(config, busy_timeout), do: open_until(config, now() + busy_timeout)

  defp open_until(config, until) do
    case open_once(config) do
      {:error, {:busy, _, _, _, _, _, _, _}} = busy ->
        if now() >= until, do: busy, else: open_again(config, until)

      answer ->
        answer
    end
  end

  defp open_once(config) do
    ref = make_ref()

    with :ok <- NIF.open(ref, config) do
      receive do
        {^ref, answer} -> answer
      end
    end
  end

  defp open_again(config, until) do
    pause()
    open_until(config, until)
  end

  @doc "One statement: what runs most."
  def execute(conn, trx, sql, params, timeout, flags \\ 0)

  def execute(conn, trx, sql, params, timeout, flags) when Deadline.is_timeout(timeout) do
    case NIF.execute(conn, trx, sql, params, native(timeout), flags + @fast) do
      {:ok, _} = ok -> ok
      other -> settle(other, conn, :execute, [conn, trx, sql, params], timeout, flags)
    end
  end

  def execute(_conn, _trx, _sql, _params, timeout, _flags), do: refused(timeout)

  @doc "The same, but `:in_use` where another process is in the connection."
  def try_execute(conn, sql, params, timeout, flags) do
    case NIF.execute(conn, nil, sql, params, native(timeout), flags + @fast) do
      {:ok, _} = ok -> ok
      :in_use -> :in_use
      other -> settle(other, conn, :execute, [conn, nil, sql, params], timeout, flags)
    end
  end

  @doc """
  One statement that writes, never fast: where another process is in the connection, it stands in line there, as
  it would have to in any other.
  """
  def execute_in_turn(conn, sql, params, timeout, flags) do
    case NIF.execute(conn, nil, sql, params, native(timeout), flags) do
      {:ok, _} = ok -> ok
      :in_use -> settle(in_line(), conn, :execute, [conn, nil, sql, params], timeout, flags)
      other -> settle(other, conn, :execute, [conn, nil, sql, params], timeout, flags)
    end
  end

  defp in_line do
    message = "database is locked: the turn to write is another process's of this program"
    {:error, :busy |> failure(message, :none) |> put_elem(5, true)}
  end

  @doc "A function of NIF whose last arguments are time-out and flags; args are those before."
  def timed(op, args, timeout, flags \\ 0)

  def timed(op, [conn | _] = args, timeout, flags) when Deadline.is_timeout(timeout) do
    op |> attempt(args, native(timeout), flags) |> settle(conn, op, args, timeout, flags)
  end

  def timed(_op, _args, timeout, _flags), do: refused(timeout)

  defp refused(timeout), do: {:error, failure(:bad_argument, Deadline.refusal(timeout), :none)}

  @doc "A function of NIF without a time-out of its own."
  def plain(op, [conn | _] = args, timeout \\ :infinity) do
    op |> attempt(args, nil, 0) |> settle(conn, op, args, timeout, nil)
  end

  defp native(:infinity), do: 0
  defp native(ms), do: ms

  defp attempt(op, args, nil, _flags), do: apply(NIF, op, args)
  defp attempt(op, args, ms, flags), do: apply(NIF, op, args ++ [ms, flags])

  ## What the first try did not answer

  defp settle(answer, conn, op, args, timeout, flags) do
    answer =
      if final?(answer) do
        answer
      else
        call = %{
          conn: conn,
          op: op,
          args: args,
          flags: flags,
          deadline: deadline(timeout),
          waited: 0,
          seen: nil,
          renewed?: false
        }

        go_on(answer, call)
      end

    answer |> Ownership.look(op, args) |> told(op)
  end

  defp told({failed, native} = answer, op)
       when failed in [:error, :abandoned] and elem(native, 0) == :timeout do
    Telemetry.event(:timeout, %{count: 1}, %{operation: op})
    answer
  end

  defp told(answer, _op), do: answer

  defp final?(:in_use), do: false
  defp final?({:later, _, _}), do: false
  defp final?({:error, {:busy, _, _, _, _, transient?, _, _}}), do: not transient?
  defp final?({:error, {:unauthorized, _, _, _, _, _, _, _}}), do: false
  defp final?(_answer), do: true

  defp deadline(:infinity), do: :infinity
  defp deadline(ms), do: now() + ms

  defp now, do: System.monotonic_time(:millisecond)

  # ms from now, at least 1: 0 says "none" to native code.
  defp left(:infinity), do: :infinity
  defp left(deadline), do: max(deadline - now(), 1)

  defp again(%{flags: nil} = call), do: attempt(call.op, call.args, nil, 0)
  defp again(call), do: attempt(call.op, call.args, native(left(call.deadline)), call.flags)

  defp go_on({:later, seen, answer}, %{seen: nil} = call), do: go_on(answer, %{call | seen: seen})
  defp go_on({:later, _seen, answer}, call), do: go_on(answer, call)

  defp go_on(:in_use, call) do
    with false <- interrupted?(call), :ok <- await_idle(call.conn, call.deadline) do
      call |> again() |> go_on(%{call | seen: nil})
    else
      true -> stopped(call)
      error -> error
    end
  end

  defp go_on(:async, call), do: call |> submit() |> go_on(call)

  # Code 0: the lock is in the hands of a connection of this VM; or in those of another program, and it is this
  # one's turn to wait for it, which it does in line.
  defp go_on({:error, {:busy, 0, _, _, _, true, _, _}} = busy, call) do
    {{how, answer}, duration} = timed(fn -> in_turn(busy, call) end)
    Telemetry.event(:busy, %{duration: duration}, %{result: result(answer)})

    # A turn may have been used by another process that shares the connection: then once more. For another
    # program's lock the thread has waited as long as is to be waited.
    if how == :over or locked?(answer), do: answer, else: go_on(answer, call)
  end

  defp go_on({:error, {:busy, _, _, _, _, true, _, _}} = busy, call) do
    start = now()
    # In all, however often it goes on to wait for its turn in between.
    until = start + max(NIF.busy_timeout(call.conn) - call.waited, 0)
    {answer, duration} = timed(fn -> wait_for_lock(busy, call, until) end)
    call = %{call | waited: call.waited + now() - start}
    Telemetry.event(:busy, %{duration: duration}, %{result: result(answer)})
    if final?(answer) or locked?(answer), do: answer, else: go_on(answer, call)
  end

  # Nothing has run.
  defp go_on({:error, {:unauthorized, _, _, _, _, _, _, _}} = refused, %{renewed?: false} = call) do
    case Remote.renew(call.conn) do
      :ok -> %{call | renewed?: true} |> submit_again()
      {:error, error} -> {:error, failure(error.code, error.message, :none)}
      :none -> refused
    end
  end

  defp go_on(answer, _call), do: answer

  defp submit_again(call), do: call |> again() |> go_on(call)

  ## Another connection's lock

  defp interrupted?(%{seen: nil}), do: false
  defp interrupted?(call), do: rem(interrupts(call), 0x100000000) != call.seen

  defp interrupts(%{op: op, args: [conn, _, stmt | _]}) when op in [:stmt_execute, :cursor_start],
    do: NIF.interrupts(conn) + NIF.interrupts(stmt)

  defp interrupts(%{op: op, args: [conn, stmt | _]})
       when op in [:cursor_fetch, :stmt_reset, :stmt_info],
       do: NIF.interrupts(conn) + NIF.interrupts(stmt)

  defp interrupts(%{conn: conn}), do: NIF.interrupts(conn)

  # Answers what the call answers, or the last :busy.
  defp wait_for_lock(busy, call, until) do
    cond do
      past?(call.deadline) -> {:error, late()}
      now() >= until -> busy
      interrupted?(call) -> stopped(call)
      true -> call |> paused_try() |> wait_on(call, until)
    end
  end

  defp wait_on({:error, {:busy, code, _, _, _, true, _, _}} = busy, call, until) when code != 0,
    do: wait_for_lock(busy, call, until)

  defp wait_on(answer, _call, _until), do: answer

  defp interrupted, do: failure(:interrupted, "the call was interrupted", :none)

  defp late,
    do: failure(:timeout, "another program held the database's lock until the time-out", :none)

  defp past?(:infinity), do: false
  defp past?(deadline), do: now() >= deadline

  defp paused_try(call) do
    pause()
    try_again(call)
  end

  # A call that is long is sent to a thread each time; while it waits for a lock it is short.
  defp try_again(call) do
    case again(call) do
      {:later, _seen, :async} -> submit(call)
      {:later, _seen, busy} -> busy
      other -> other
    end
  end

  defp locked?({:error, {:busy, code, _, _, _, _, _, _}}), do: code != 0
  defp locked?(_answer), do: false

  defp timed(fun) do
    start = System.monotonic_time()
    answer = fun.()
    {answer, System.monotonic_time() - start}
  end

  defp result({:error, native}), do: elem(native, 0)
  defp result({:abandoned, native}), do: elem(native, 0)
  defp result(_answer), do: :ok

  defp pause do
    receive do
    after
      1 -> :ok
    end
  end

  ## The line of those who want to write

  # It is run by a thread of ours when it is its turn, so that the turn needs no process to wake up first.
  # {:ran, answer}, or {:over, error}: the waiting was.
  defp in_turn(busy, call) do
    ref = make_ref()

    case NIF.submit_in_turn(call.conn, ref, call.op, submitted(call), call.seen) do
      :ok -> await_turn(busy, call, ref, line_end(call), Deadlock.callers(), nil)
      error -> {:over, error}
    end
  end

  defp await_turn(busy, call, ref, until, callers, last_look) do
    look = Deadlock.next_look(callers, last_look)

    receive do
      {^ref, :interrupting} -> leave_line(call, ref, &stopped/1, &await_end(&1.conn, ref))
      {^ref, answer} -> {:ran, ended(ref, answer)}
    after
      min(left(until), look) ->
        # Asked before the line is left: then the turn may be anybody's.
        holder = NIF.turn_holder(call.conn)

        cond do
          Deadlock.certain?(holder, callers) ->
            leave_line(call, ref, &deadlock(&1, holder), &await(&1, ref))

          past?(until) ->
            leave_line(call, ref, &too_late(&1, busy, holder), &await(&1, ref))

          true ->
            await_turn(busy, call, ref, until, callers, look)
        end
    end
  end

  defp deadlock(_call, {pid, _ms, _sql} = holder),
    do:
      {:error,
       :erlang.append_element(failure(:would_deadlock, Deadlock.message(pid), :none), holder)}

  # Writers wait for one another as long as their calls may take; those without a time-out, as long as they
  # would for another program's lock.
  defp line_end(%{deadline: :infinity} = call), do: now() + NIF.busy_timeout(call.conn)
  defp line_end(%{deadline: deadline}), do: deadline

  defp leave_line(call, ref, gone, begun) do
    case NIF.cancel_waiting(call.conn, ref) do
      :not_begun -> {:over, ended(ref, gone.(call))}
      :sent -> {:ran, begun.(call)}
    end
  end

  defp stopped(call) do
    case NIF.status(call.conn) do
      {:error, _closed} = closed -> closed
      _open -> {:error, interrupted()}
    end
  end

  defp too_late(call, {:error, busy}, holder) do
    native = if past?(call.deadline), do: late(), else: busy
    {:error, held_by(native, holder)}
  end

  # The error says for whom it waited: in words, and in a ninth element.
  defp held_by(native, nil), do: native

  defp held_by(native, {pid, ms, sql} = holder) do
    who = if pid, do: inspect(pid), else: "another connection of this VM"
    since = if sql, do: ", since its statement #{sql}", else: ""
    message = "database is locked: the turn to write was held by #{who} for #{ms} ms#{since}"
    :erlang.append_element(put_elem(native, 2, message), holder)
  end

  ## Another process in the connection

  defp await_idle(conn, deadline) do
    ref = make_ref()

    case NIF.notify_idle(conn, ref) do
      {:ok, waiter} ->
        receive do
          {^ref, :idle} -> :ok
        after
          left(deadline) -> stop_waiting(waiter, ref)
        end

      error ->
        error
    end
  end

  defp stop_waiting(waiter, ref) do
    if NIF.cancel_idle(waiter) == :sent do
      receive do
        {^ref, :idle} -> :ok
      end
    end

    {:error,
     failure(:timeout, "the connection was in use by another process until the time-out", :none)}
  end

  ## A long call, on a thread of ours

  defp submit(call) do
    ref = make_ref()

    trace = Remote.traceparent(call.conn)

    case NIF.submit(call.conn, ref, call.op, submitted(call), call.seen, trace) do
      :ok -> await(call, ref)
      error -> error
    end
  end

  defp submitted(%{flags: nil} = call), do: call.args
  defp submitted(call), do: call.args ++ [native(left(call.deadline)), call.flags]

  defp await(call, ref) do
    receive do
      {^ref, :interrupting} -> await_end(call.conn, ref)
      {^ref, answer} -> ended(ref, answer)
    after
      grace(call.deadline) -> give_up(call.conn, ref, :timeout)
    end
  end

  defp grace(:infinity), do: :infinity
  defp grace(deadline), do: left(deadline) + @grace

  # Interrupted: the engine mostly stops at once.
  defp await_end(conn, ref) do
    receive do
      {^ref, answer} when answer != :interrupting -> ended(ref, answer)
    after
      @grace -> give_up(conn, ref, :interrupted)
    end
  end

  # Cancelled, or answered at this very moment: then that is the answer.
  defp give_up(conn, ref, code) do
    case NIF.cancel(conn, ref) do
      :sent ->
        receive do
          {^ref, answer} when answer != :interrupting -> ended(ref, answer)
        end

      :not_begun when code == :interrupted ->
        ended(ref, stopped(%{conn: conn}))

      :not_begun ->
        ended(ref, {:error, failure(code, "the call could not begin in time", :none)})

      :cancelled ->
        # The engine goes on: whether it stores anything is not known.
        Telemetry.event(:abandoned, %{count: 1}, %{code: code})
        ended(ref, {:abandoned, failure(code, abandoned_message(code), :unknown)})
    end
  end

  # The one message that may be left over.
  defp ended(ref, answer) do
    receive do
      {^ref, :interrupting} -> answer
    after
      0 -> answer
    end
  end

  defp abandoned_message(:timeout),
    do: "the call took longer than its time-out, and the engine could not be stopped yet"

  defp abandoned_message(:interrupted),
    do: "the call was interrupted, and the engine could not be stopped yet"

  defp failure(code, message, outcome), do: {code, 0, message, nil, nil, false, outcome, nil}

  @doc "Closes and waits until the file is closed, at most `timeout`."
  def close(conn, timeout) do
    ref = make_ref()
    # What cannot be stopped may be closed long after; the message then comes to nobody.
    {told, monitor} = spawn_monitor(fn -> receive(do: ({^ref, :closed} -> :ok)) end)

    case NIF.close(conn, told, ref) do
      :ok ->
        receive do
          {:DOWN, ^monitor, :process, _told, _reason} -> :ok
        after
          timeout ->
            Process.demonitor(monitor, [:flush])
            :still_closing
        end

      error ->
        Process.demonitor(monitor, [:flush])
        Process.exit(told, :kill)
        error
    end
  end

  @doc "Closes without waiting."
  def close_later(conn), do: NIF.close(conn, nil, make_ref())
end
