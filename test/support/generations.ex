defmodule EctoLibSql.Test.Generations do
  @moduledoc """
  A server of replication protocol v2 for tests: `test/support/generations.py`, which needs python3.

      @moduletag :generations               # left out, with one line that says so, where there is none

      server = Generations.start!()
      server.url                            #=> "http://127.0.0.1:23917"
      Generations.control(server, do: "checkpoint")

  It ends with the test that started it, and with the VM; its folder goes, too.
  """

  use GenServer, restart: :temporary

  alias EctoLibSql.Test.Sqld

  defstruct [:url, :port]

  @program Path.expand("generations.py", __DIR__)

  # Its standard input ends with the VM.
  @tied "exec 3<&0; \"$@\" </dev/null 3<&- & (cat <&3; kill -9 $!) >/dev/null 2>&1; wait"

  @doc "For test_helper.exs: the tags to leave out; says why where there are some."
  def exclude do
    if System.find_executable("python3") do
      []
    else
      IO.puts("Tests of replication protocol v2 skipped: there is no python3")
      [:generations]
    end
  end

  @doc "Starts one, under the test's supervisor, and waits until it answers."
  def start!(opts \\ []) do
    pid =
      ExUnit.Callbacks.start_supervised!(Supervisor.child_spec({__MODULE__, opts}, id: make_ref()))

    GenServer.call(pid, :info)
  end

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, timeout: 60_000)

  @doc "What its class Control is asked: `[do: \"faults\", faults: %{...}]`, ... Answers its text."
  def control(%__MODULE__{port: port}, request) do
    {200, answer} = Sqld.http(port, "POST", "/control", json(Map.new(request)), [], 30_000)
    answer
  end

  defp json(map) when is_map(map),
    do: [
      "{",
      map |> Enum.map(fn {k, v} -> [json(to_string(k)), ":", json(v)] end) |> Enum.intersperse(","),
      "}"
    ]

  defp json(text) when is_binary(text), do: [?", String.replace(text, "\"", "\\\""), ?"]
  defp json(other), do: to_string(other)

  @impl true
  def init(_opts) do
    Process.flag(:trap_exit, true)
    first_start(5)
  end

  defp first_start(tries) do
    port = Enum.random(12_000..32_000)
    dir = Path.join(System.tmp_dir!(), "generations-#{System.unique_integer([:positive])}-#{port}")
    File.mkdir_p!(dir)
    python = System.find_executable("python3")
    args = [python, @program, "--dir", Path.join(dir, "data"), "--port", to_string(port)]

    tie =
      Port.open({:spawn_executable, "/bin/sh"}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        {:line, 200},
        args: ["-c", @tied, "generations" | args],
        env: [{'LD_PRELOAD', false}]
      ])

    case await(tie, "") do
      :ok ->
        {:ok, %{tie: tie, dir: dir, info: %__MODULE__{url: "http://127.0.0.1:#{port}", port: port}}}

      {:error, _text} when tries > 1 ->
        first_start(tries - 1)

      {:error, text} ->
        {:stop, text}
    end
  end

  defp await(tie, text) do
    receive do
      {^tie, {:data, {_, "listening" <> _}}} -> :ok
      {^tie, {:data, {_, line}}} -> await(tie, text <> line <> "\n")
      {^tie, {:exit_status, status}} -> {:error, "#{text}ended with #{status}"}
    after
      30_000 -> {:error, text <> "it does not answer"}
    end
  end

  @impl true
  def handle_call(:info, _from, state), do: {:reply, state.info, state}

  # What it prints is for people who look for the reason of a failure.
  @impl true
  def handle_info({_tie, {:data, {_, line}}}, state) do
    IO.puts(:stderr, "generations.py: " <> line)
    {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    if Port.info(state.tie), do: Port.close(state.tie)
    File.rm_rf(state.dir)
  end
end
