defmodule EctoLibSql.Test.Target do
  @moduledoc """
  The tests of a module on a local file, on a server and on a replica of it, by one line:

      defmodule EctoLibSql.Driver.QueryTest do
        use EctoLibSql.Case, async: true
        use EctoLibSql.Test.Target
        import EctoLibSql.DriverHelpers

  makes of the same text a second module, `EctoLibSql.Driver.QueryTest.Remote`, in which `open/1,2` of DriverHelpers
  connects to a server: one sqld for the whole run, with a namespace for each database, `:memory:` or a path; and a
  third, `….Replica`, in which it connects to a file that follows such a namespace. A test that is of files says so,
  and why: it is skipped in both; one that only a replica cannot have is skipped there.

      @tag local: "ATTACH is not a server's"
      @tag unreplicated: "a replica's file has a WAL, and no other journal"

  `remote?/0` and `replica?/0` where an expectation differs. Modules of files only do without the line: attach, config, connect,
  durability, idle_writer, locks, mvcc, native, options, other_programs (locks, files and options of the engine's own),
  hook (in-process callbacks), waiting (who waits for whom inside one VM).
  """

  alias EctoLibSql.Test.Sqld

  defmacro __using__(:remote) do
    quote do
      @moduletag :sqld
      setup do: EctoLibSql.Test.Target.enter(:remote)
    end
  end

  defmacro __using__(:replica) do
    quote do
      @moduletag :sqld
      setup do: EctoLibSql.Test.Target.enter(:replica)
    end
  end

  defmacro __using__(:web_socket) do
    quote do
      setup do: EctoLibSql.Test.Target.enter(:web_socket)
    end
  end

  defmacro __using__([]) do
    quote do
      @after_compile {EctoLibSql.Test.Target, :on_server}
    end
  end

  defmacro __using__(:http) do
    quote do
      @after_compile {EctoLibSql.Test.Target, :by_web_socket}
    end
  end

  @doc false
  def on_server(env, _bytecode) do
    copy(env, :Remote, :remote, [:local])
    copy(env, :Replica, :replica, [:local, :unreplicated])
  end

  @doc false
  def by_web_socket(env, _bytecode), do: copy(env, :WebSocket, :web_socket, [:http])

  # The same text with another name, another line that brought us here, and what is skipped there.
  defp copy(env, name, use, skipped) do
    env.file
    |> File.read!()
    |> Code.string_to_quoted!(file: env.file)
    |> Macro.prewalk(&elsewhere(&1, {env.module, name, use, skipped}))
    |> Code.compile_quoted(env.file)
  end

  defp elsewhere({:defmodule, meta, [{:__aliases__, at, parts}, body]} = ast, {module, name, _, _}) do
    if Module.concat(parts) == module,
      do: {:defmodule, meta, [{:__aliases__, at, parts ++ [name]}, body]},
      else: ast
  end

  defp elsewhere(
         {:use, meta, [{:__aliases__, _, [:EctoLibSql, :Test, :Target]} = target | _]},
         {_, _, use, _}
       ),
       do: {:use, meta, [target, use]}

  defp elsewhere({:@, at, [{tag, meta, [[{skipped, reason}]]}]}, {_, _, _, tags})
       when tag in [:tag, :describetag] do
    if skipped in tags,
      do: {:@, at, [{tag, meta, [[skip: reason]]}]},
      else: {:@, at, [{tag, meta, [[{skipped, reason}]]}]}
  end

  defp elsewhere(ast, _copy), do: ast

  @doc false
  def enter(target) do
    Process.put(__MODULE__, target)
    :ok
  end

  @doc "Whether this test runs against a server. To be asked in the test's own process."
  def remote?, do: Process.get(__MODULE__) == :remote

  @doc "Whether this test runs on a replica. To be asked in the test's own process."
  def replica?, do: Process.get(__MODULE__) == :replica

  @doc "Whether what this test writes is run by a server."
  def served?, do: remote?() or replica?()

  @doc """
  A server's address as this test is to use it: `use EctoLibSql.Test.Target, :http` makes of a module of tests by HTTP
  a second one by WebSocket, without those with `@tag http: "why"`. In the test's process, or a task of it.
  """
  def address("http" <> rest = url) do
    if Enum.any?([self() | Process.get(:"$callers", [])], &web_socket?/1),
      do: "ws" <> rest,
      else: url
  end

  @doc "Whether this test speaks by a WebSocket."
  def web_socket?, do: address("http") == "ws"

  defp web_socket?(pid) do
    {:dictionary, words} = Process.info(pid, :dictionary)
    words[__MODULE__] == :web_socket
  end

  @doc "The options of `EctoLibSql.connect/1` where this test runs, of those for a file."
  def options(opts) do
    case Process.get(__MODULE__) do
      :remote -> remote(opts)
      :replica -> replica(opts)
      _file -> opts
    end
  end

  @doc "The options of `EctoLibSql.connect/1` for a server, of those for a file."
  def remote(opts) do
    {database, rest} = Keyword.pop!(opts, :database)
    %{url: url} = server()
    [uri: url, namespace: namespace(database)] ++ rest
  end

  @doc "The same for a replica: its file has the path that is given, and a namespace for it."
  def replica(opts) do
    {database, rest} = Keyword.pop!(opts, :database)
    %{url: url} = server()
    path = if database == ":memory:", do: EctoLibSql.Case.tmp_path("replica.db"), else: database

    [database: path, uri: url, namespace: namespace(database), sync: true, sync_interval: 0] ++
      rest
  end

  @doc "The one server of the run, with namespaces."
  def server, do: :global.trans({__MODULE__, self()}, &start_server/0, [node()])

  # Of no test's own: it ends after the suite.
  defp start_server do
    with nil <- :persistent_term.get(__MODULE__, nil) do
      {:ok, pid} =
        GenServer.start(Sqld, namespaces: true, args: ["--max-active-namespaces", "100000"])

      :persistent_term.put(__MODULE__, Sqld.info(pid))
      ExUnit.after_suite(fn _ -> GenServer.stop(pid) end)
      Sqld.info(pid)
    end
  end

  # One for each path, and a new one for each ":memory:".
  defp namespace(":memory:"), do: create("memory#{System.unique_integer([:positive])}")

  defp namespace(path) do
    name = "file" <> Integer.to_string(:erlang.phash2(path, 1_000_000_000))

    :global.trans({{__MODULE__, name}, self()}, fn ->
      unless :persistent_term.get({__MODULE__, name}, false), do: create(name)
      :persistent_term.put({__MODULE__, name}, true)
    end)

    name
  end

  defp create(name) do
    Sqld.create_namespace!(server(), name)
    name
  end
end
