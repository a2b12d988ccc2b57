defmodule EctoLibSql.NIFHelp do
  @moduledoc "What the tests of the native functions share, beside `EctoLibSql.Case`."

  import ExUnit.Assertions
  import EctoLibSql.Case, only: [eventually: 1, eventually: 2, execute!: 3]

  alias EctoLibSql.Settled, as: NIF

  @endless "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"

  @doc "A prepared statement."
  def prepare!(conn, sql) do
    {:ok, stmt} = NIF.prepare(conn, sql)
    stmt
  end

  @doc "So many rows of table t, of a column b."
  def fill(conn, count) do
    execute!(
      conn,
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT ?) INSERT INTO t(b) SELECT x FROM c",
      [count]
    )
  end

  @doc "A query without an end; the engine can stop it at any time."
  def endless, do: @endless

  @doc "Sends a query without an end to a thread and waits until it is in the connection."
  def start_endless(conn, timeout \\ 0) do
    ref = make_ref()
    :ok = NIF.submit(conn, ref, :execute, [conn, nil, @endless, [], timeout, 0])
    await_in_use(conn)
    ref
  end

  @doc "Waits until somebody else is in the connection."
  def await_in_use(conn), do: eventually(fn -> NIF.info(conn, false) == :in_use end)

  @doc "The messages of this process, which are then gone."
  def mailbox do
    receive do
      message -> [message | mailbox()]
    after
      0 -> []
    end
  end

  @doc """
  Waits for `{ref, answer}`; `{ref, :interrupting}` may come before it, and never after.
  """
  def answer(ref, timeout \\ 10_000) do
    receive do
      {^ref, :interrupting} -> answer(ref, timeout)
      {^ref, answer} -> answer
    after
      timeout -> flunk("no answer in #{timeout} ms")
    end
  end

  @doc "The code of an error; anything else fails the test."
  def code(
        {:error, {code, engine_code, message, offset, statement, transient?, outcome, constraint}}
      )
      when is_atom(code) and is_integer(engine_code) and is_boolean(transient?) do
    assert is_binary(message) and message != "" and String.valid?(message)
    assert offset == nil or (is_integer(offset) and offset >= 0)
    assert statement == nil or (is_integer(statement) and statement > 0)
    assert outcome in [:none, :committed, :unknown]
    assert constraint == nil or tuple_size(constraint) == 4
    code
  end

  # Of one that waited for its turn in vain: with who had it.
  def code({:error, {_, _, _, _, _, _, _, _, {_pid, ms, _sql}} = native}) when is_integer(ms),
    do: code({:error, Tuple.delete_at(native, 8)})

  def code(other), do: flunk("not an error: #{inspect(other, limit: 20)}")

  @doc "Closes and waits until the file is closed."
  def close!(conn) do
    ref = make_ref()
    :ok = NIF.close(conn, self(), ref)
    assert_receive {^ref, :closed}, 30_000
    :ok
  end

  @doc "How many descriptors of this VM are of a file whose path begins so."
  def descriptors(path) do
    for fd <- File.ls!("/proc/self/fd"),
        {:ok, target} <- [:file.read_link("/proc/self/fd/" <> fd)],
        List.starts_with?(target, String.to_charlist(path)),
        reduce: 0 do
      count -> count + 1
    end
  end

  @doc "Bytes of native memory once nothing changes any more."
  def settled_memory do
    :erlang.garbage_collect()
    settle(NIF.memory(), 0)
  end

  defp settle(memory, 6), do: memory

  defp settle(memory, times) do
    Process.sleep(20)

    case NIF.memory() do
      ^memory -> settle(memory, times + 1)
      other -> settle(other, 0)
    end
  end

  @doc "Waits until native memory is what it was, but for `slack` bytes; fails where it stays above."
  def assert_memory_back(start, slack \\ 4096) do
    try do
      eventually(
        fn ->
          :erlang.garbage_collect()
          NIF.memory().bytes <= start.bytes + slack
        end,
        8_000
      )
    rescue
      ExUnit.AssertionError ->
        flunk("memory was #{inspect(start)} and stays at #{inspect(NIF.memory())}")
    end
  end

  @doc "Runs it in a process of its own; why that ended."
  def run_in_process(fun, timeout \\ 20_000) do
    {pid, monitor} = spawn_monitor(fun)
    assert_receive {:DOWN, ^monitor, :process, ^pid, reason}, timeout
    reason
  end
end
