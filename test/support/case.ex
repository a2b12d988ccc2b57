defmodule EctoLibSql.Case do
  @moduledoc """
  What the tests of the driver share: databases in a folder of the test's own, and connections of NIF.

      use EctoLibSql.Case, async: true
  """

  use ExUnit.CaseTemplate

  alias EctoLibSql.{Call, Options}

  using do
    quote do
      import EctoLibSql.Case
    end
  end

  @doc """
  The path of a database that is not there yet. Its folder, new for each call, is removed after the test.
  """
  def tmp_path(name \\ "test.db") do
    folder = Path.join(System.tmp_dir!(), "ecto_libsql-#{unique()}")
    File.mkdir_p!(folder)
    ExUnit.Callbacks.on_exit(fn -> remove(folder, 100) end)
    Path.join(folder, name)
  end

  # Connections are closed by a thread of the library: it may still have files to write and to remove.
  defp remove(folder, 0), do: File.rm_rf!(folder)

  defp remove(folder, tries) do
    with {:error, _reason, _file} <- File.rm_rf(folder) do
      Process.sleep(20)
      remove(folder, tries - 1)
    end
  end

  # Folders of two VMs, or of a VM that was killed, are not to meet.
  defp unique do
    "#{System.pid()}-#{System.os_time(:microsecond)}-#{System.unique_integer([:positive])}"
  end

  @doc """
  Opens a connection of NIF with the driver's defaults, or with options of `EctoLibSql.connect/1`:
  `connect(path)`, `connect(path, busy_timeout: 0)`, `connect(database: ":memory:")`.
  """
  def connect(path_or_opts, opts \\ [])
  def connect(path, opts) when is_binary(path), do: connect([database: path] ++ opts)

  def connect(opts, []) do
    config = config(opts)
    {:ok, conn} = Call.open(config, config.busy_timeout)
    conn
  end

  @doc "What `EctoLibSql.NIF.open/1` takes, of options."
  def config(opts) do
    {:ok, checked} = Options.validate(opts, strict: true)
    Options.native(checked)
  end

  @doc "Runs one statement to its end, however long, and answers its result."
  def execute!(conn, sql, params \\ []) do
    {:ok, result} = Call.execute(conn, nil, sql, params, :infinity)
    result
  end

  @doc "The rows of one statement."
  def rows!(conn, sql, params \\ []), do: conn |> execute!(sql, params) |> elem(2)

  @doc "Asks again, every few milliseconds, until it is so; `timeout` in ms."
  def eventually(fun, timeout \\ 30_000) do
    until = System.monotonic_time(:millisecond) + timeout
    eventually_until(fun, until)
  end

  defp eventually_until(fun, until) do
    cond do
      fun.() ->
        true

      System.monotonic_time(:millisecond) >= until ->
        ExUnit.Assertions.flunk("it did not become so in time")

      true ->
        Process.sleep(5)
        eventually_until(fun, until)
    end
  end
end
