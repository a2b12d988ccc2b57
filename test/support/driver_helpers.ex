defmodule EctoLibSql.DriverHelpers do
  @moduledoc """
  What the tests of `EctoLibSql` share beyond `EctoLibSql.Case`: connections as states, closed after the
  test; short ways to rows and errors; a second process of the operating system.
  """

  import ExUnit.Assertions

  alias EctoLibSql.{Error, Result}
  alias EctoLibSql.Test.Target

  @doc """
  Opens a connection that is closed after the test; in memory where nothing is said. Of a server, in what
  `EctoLibSql.Test.Target` made.
  """
  def open(opts \\ [])
  def open(path) when is_binary(path), do: open(database: path)

  def open(opts) do
    opts = Keyword.put_new(opts, :database, ":memory:")
    opts = Target.options(opts)
    assert {:ok, state} = EctoLibSql.connect(opts)
    ExUnit.Callbacks.on_exit(fn -> EctoLibSql.close(state) end)
    state
  end

  def open(path, opts), do: open([database: path] ++ opts)

  @doc "The result of a statement that must succeed."
  def q(state, sql, params \\ []) do
    assert {:ok, _query, %Result{} = result, _state} = EctoLibSql.query(state, sql, params)
    result
  end

  @doc "The rows of a statement that must succeed."
  def all(state, sql, params \\ []), do: q(state, sql, params).rows

  @doc "The one value of a statement that must succeed."
  def one(state, sql, params \\ []) do
    assert [[value]] = all(state, sql, params)
    value
  end

  @doc "The error of a statement that must fail."
  def err(state, sql, params \\ [], opts \\ []) do
    assert {:error, %Error{} = error, _state} = EctoLibSql.query(state, sql, params, opts)
    error
  end

  @doc "The connection still works, when what may run on it has ended."
  def assert_usable(state) do
    assert {:ok, _query, %Result{rows: [[1]]}, _state} =
             EctoLibSql.query(%{state | trx_id: nil}, "SELECT 1", [], timeout: 120_000)
  end

  @doc "No message was left in the caller's mailbox."
  def assert_no_messages, do: assert(Process.info(self(), :messages) == {:messages, []})

  @doc "Runs fun and answers {ms, its value}."
  def timed(fun) do
    {us, value} = :timer.tc(fun)
    {div(us, 1000), value}
  end

  @doc "SQL that runs for as long as it is let."
  def endless,
    do: "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

  ## A second process of the operating system

  @doc "Whether a Python with its sqlite3 module is there: what another program would use."
  def python? do
    case System.find_executable("python3") do
      nil -> false
      python -> match?({_, 0}, System.cmd(python, ["-c", "import sqlite3"], stderr_to_stdout: true))
    end
  end

  @doc "Runs SQL on the file from another process, to its end."
  def python_sql!(path, sql) do
    script = """
    import sqlite3, sys
    c = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
    c.executescript(sys.argv[2])
    c.close()
    """

    assert {"", 0} = System.cmd("python3", ["-c", script, path, sql], stderr_to_stdout: true)
  end

  @doc """
  Another process holds what the SQL takes until `release_python/1`, which answers when it has let go.
  """
  def hold_python(path, sql) do
    script = """
    import sqlite3, sys
    c = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
    c.execute(sys.argv[2]).fetchall()
    print("held", flush=True)
    sys.stdin.readline()
    c.execute("ROLLBACK")
    c.close()
    print("gone", flush=True)
    """

    args = [
      :binary,
      :exit_status,
      {:line, 100},
      args: ["-c", script, path, sql]
    ]

    port = Port.open({:spawn_executable, System.find_executable("python3")}, args)
    assert_receive {^port, {:data, {:eol, "held"}}}, 30_000
    port
  end

  def release_python(port) do
    Port.command(port, "\n")
    assert_receive {^port, {:data, {:eol, "gone"}}}, 30_000
    assert_receive {^port, {:exit_status, 0}}, 30_000
  end

  @doc "The code and the message with which a connection with these options is refused."
  def connect_refused(opts) do
    {:error, %Error{code: code} = error} = EctoLibSql.connect(opts)
    {code, error.message}
  end
end
