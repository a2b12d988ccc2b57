defmodule EctoLibSql.Remote.SqldTest do
  use EctoLibSql.Case, async: true

  import EctoLibSql.Test.RemoteFaults

  alias EctoLibSql.Test.{Proxy, Sqld}

  @moduletag :sqld

  defp pipeline(sqld, sql) do
    body = ~s|{"requests":[{"type":"execute","stmt":{"sql":"#{sql}"}},{"type":"close"}]}|
    {200, answer} = Sqld.http(sqld.port, "POST", "/v3/pipeline", body)
    answer
  end

  defp alive?(os_pid),
    do: match?({_, 0}, System.cmd("kill", ["-0", "#{os_pid}"], stderr_to_stdout: true))

  defp await_dead(os_pid, tries \\ 500) do
    cond do
      not alive?(os_pid) -> :ok
      tries == 0 -> flunk("process #{os_pid} is still there")
      true -> Process.sleep(20) && await_dead(os_pid, tries - 1)
    end
  end

  test "starts, keeps its data over a kill and a stop, and takes its folder with it" do
    sqld = Sqld.start!()
    assert pipeline(sqld, "CREATE TABLE t(a)") =~ ~s("type":"ok")
    assert pipeline(sqld, "INSERT INTO t VALUES (41)") =~ ~s("affected_row_count":1)

    first = Sqld.os_pid(sqld)
    Sqld.kill(sqld)
    refute alive?(first)
    assert Sqld.os_pid(sqld) == nil
    assert {:error, :econnrefused} = Sqld.http(sqld.port, "GET", "/health")

    assert :ok = Sqld.restart(sqld)
    assert pipeline(sqld, "SELECT a + 1 FROM t") =~ ~s("42")
    Sqld.stop(sqld)
    assert :ok = Sqld.restart(sqld)
    assert pipeline(sqld, "SELECT a + 1 FROM t") =~ ~s("42")

    last = Sqld.os_pid(sqld)
    assert File.dir?(sqld.dir)
    ref = Process.monitor(sqld.pid)
    GenServer.stop(sqld.pid)
    assert_receive {:DOWN, ^ref, _, _, _}
    refute alive?(last)
    refute File.exists?(sqld.dir)
  end

  test "a frozen server answers nothing until it thaws" do
    sqld = Sqld.start!()
    Sqld.freeze(sqld)
    assert {:error, :timeout} = Sqld.http(sqld.port, "GET", "/health", "", [], 300)
    Sqld.thaw(sqld)
    assert {200, _} = Sqld.http(sqld.port, "GET", "/health")
  end

  test "who waits until a connection is usable waits for a silent server, and for nothing else" do
    sqld = Sqld.start!()
    proxy = Proxy.start!(to: sqld.port)
    db = dial(proxy.url, retry_time: 0, connect_timeout: 3_000, first_byte_timeout: 3_000)

    # It is up long before the server answers.
    Sqld.freeze(sqld)
    thaw = Task.async(fn -> Process.sleep(9_000) && Sqld.thaw(sqld) end)
    assert_soon_usable(db, 1_000)
    Task.await(thaw, 60_000)

    Proxy.refuse(proxy)
    Proxy.drop(proxy)
    error = assert_raise ExUnit.AssertionError, fn -> assert_soon_usable(db, 500) end
    assert error.message =~ "still not usable" and error.message =~ "GET /health answers {200"
  end

  test "a port that another holds, where it was asked for, is an error with what the server said" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    Process.flag(:trap_exit, true)
    assert {:error, text} = Sqld.start_link(port: port)
    assert text =~ "sqld does not start" and text =~ "Address already in use"
  end

  test "namespaces are made by the admin address" do
    sqld = Sqld.start!(namespaces: true)
    assert :ok = Sqld.create_namespace!(sqld, "tenant1")
    body = ~s|{"requests":[{"type":"execute","stmt":{"sql":"CREATE TABLE t(a)"}}]}|
    answer = Sqld.http(sqld.port, "POST", "/v3/pipeline", body, [{"Host", "tenant1.localhost"}])
    assert {200, text} = answer
    assert text =~ ~s("type":"ok")
  end

  test "no server outlives its VM, even where that is killed" do
    dir = tmp_path("sqld")

    script = """
    {:ok, pid} = EctoLibSql.Test.Sqld.start_link(dir: #{inspect(dir)})
    sqld = EctoLibSql.Test.Sqld.info(pid)
    IO.puts("\#{System.pid()} \#{EctoLibSql.Test.Sqld.os_pid(sqld)}")
    Process.sleep(:infinity)
    """

    paths = for path <- :code.get_path(), p = to_string(path), p =~ "ecto_libsql", do: ["-pa", p]
    args = List.flatten(paths) ++ ["-e", script]
    options = [:binary, :exit_status, {:line, 1000}, args: args]
    vm = Port.open({:spawn_executable, System.find_executable("elixir")}, options)
    assert_receive {^vm, {:data, {:eol, line}}}, 60_000
    [vm_pid, server] = String.split(line)
    assert alive?(server)
    {_, 0} = System.cmd("kill", ["-KILL", vm_pid])
    assert_receive {^vm, {:exit_status, _}}, 30_000
    await_dead(server)
  end
end
