defmodule EctoLibSql.Test.Program do
  @moduledoc false
  # Another program of the operating system, in Elixir, with what this one has loaded.

  import ExUnit.Assertions, only: [flunk: 1]

  @doc "Starts a script. What it prints comes to the caller as messages of the port."
  def start(script, args) do
    paths = for path <- :code.get_path(), path = to_string(path), path =~ "/lib/", do: ["-pa", path]

    Port.open({:spawn_executable, System.find_executable("elixir")}, [
      :binary,
      :exit_status,
      :stderr_to_stdout,
      args: List.flatten(paths) ++ [script | args]
    ])
  end

  @doc "Waits for its end: `{status, what it printed}`."
  def finish(port, text \\ "") do
    receive do
      {^port, {:data, more}} -> finish(port, text <> more)
      {^port, {:exit_status, status}} -> {status, text}
    after
      300_000 -> flunk("no end: " <> text)
    end
  end
end
