# Follows docs/ecto.md word for word, in an empty folder outside the repository, and then docs/concurrency.md,
# docs/remote.md and docs/replicas.md in the project that it has made. The last two need sqld (tools/sqld), and are
# given a free port.
#
#     elixir tools/guide.exs
#     GUIDE_KEEP=1 elixir tools/guide.exs     the folder stays
#
#   * a block whose first line is `# PATH` is that file; `# PATH, at the end`, `# mix.exs, in deps` and
#     `# mix.exs, in project` say where in the file it goes
#   * a block of `sh` is run, line by line
#   * any other block of Elixir is a part of one session in the project; `#=> VALUE` after an expression is
#     what it has to give, `#=> ** (ERROR)` what it raises
#
# Packages come from where this checkout has them: from Hex, or from ECTO_PATH and the others.

defmodule Guide do
  @here Path.expand("..", __DIR__)
  @texts ["docs/ecto.md", "docs/concurrency.md"]
  @served ["docs/remote.md", "docs/replicas.md"]

  def main do
    {packages, 0} = System.cmd(Path.join(@here, "tools/packages"), [], cd: @here)

    if String.trim(packages) == "none" do
      IO.puts("guide: skipped, Ecto is not here")
    else
      folder = Path.join(System.tmp_dir!(), "ecto_libsql_guide_#{System.pid()}")
      File.mkdir_p!(folder)

      try do
        project = Enum.reduce(@texts, folder, &follow/2)
        if server?(folder), do: Enum.reduce(@served, project, &follow/2)
      after
        unless System.get_env("GUIDE_KEEP"), do: File.rm_rf!(folder)
      end
    end
  end

  # sqld by its name, as the text calls it.
  defp server?(folder) do
    case System.cmd(Path.join(@here, "tools/sqld"), [], cd: @here, stderr_to_stdout: true) do
      {path, 0} ->
        bin = Path.join(folder, "bin")
        File.mkdir_p!(bin)
        File.ln_s!(Path.expand(String.trim(path), @here), Path.join(bin, "sqld"))
        System.put_env("PATH", bin <> ":" <> System.get_env("PATH"))
        true

      {why, _} ->
        IO.puts("guide: #{Enum.join(@served, ", ")} skipped: #{String.trim(why)}")
        false
    end
  end

  # The port that the text says may be another program's here.
  defp on_a_free_port(path, text) when path in @served do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    String.replace(text, "127.0.0.1:8080", "127.0.0.1:#{port}")
  end

  defp on_a_free_port(_path, text), do: text

  ## The text

  # {line, language, lines}
  defp blocks(path) do
    path
    |> Path.expand(@here)
    |> File.read!()
    |> then(&on_a_free_port(path, &1))
    |> String.split("\n")
    |> Enum.with_index(1)
    |> blocks([], nil)
  end

  defp blocks([], done, nil), do: Enum.reverse(done)

  defp blocks([{"```" <> language, line} | rest], done, nil),
    do: blocks(rest, done, {line + 1, language, []})

  defp blocks([{"```", _} | rest], done, {line, language, lines}),
    do: blocks(rest, [{line, language, Enum.reverse(lines)} | done], nil)

  defp blocks([{text, _} | rest], done, {line, language, lines}),
    do: blocks(rest, done, {line, language, [text | lines]})

  defp blocks([_prose | rest], done, nil), do: blocks(rest, done, nil)

  ## Following it

  # Answers the project. Each text has a session of its own.
  defp follow(text, folder) do
    IO.puts(text)
    Process.put(:text, text)
    blocks = blocks(text)
    {project, session} = Enum.reduce(blocks, {folder, []}, &step/2)
    run_session(project, session)
    File.rm(Path.join(project, ".session-kept"))
    counts = Enum.frequencies_by(blocks, &kind/1)
    IO.puts("guide: followed; #{Enum.map_join(counts, ", ", fn {kind, n} -> "#{n} #{kind}" end)}")
    project
  end

  defp kind({_, "sh", _}), do: "of commands"
  defp kind({_, "elixir", ["# " <> _ | _]}), do: "files"
  defp kind({_, "elixir", _}), do: "of the session"

  defp step({line, "sh", lines}, {project, session}) do
    run_session(project, session)
    {Enum.reduce(lines, project, &command(&1, &2, line)), []}
  end

  defp step({line, "elixir", ["# " <> place | lines]}, {project, session}) do
    run_session(project, session)
    IO.puts("#{line}: #{place}")
    write(String.split(place, ", "), Path.join(project, hd(String.split(place, ","))), lines)
    {project, []}
  end

  # Blocks without anything between them are run at once.
  defp step({line, "elixir", lines}, {project, session}),
    do: {project, session ++ [{line, Enum.join(lines, "\n")}]}

  defp write([_path], file, lines) do
    File.mkdir_p!(Path.dirname(file))
    File.write!(file, Enum.join(lines, "\n") <> "\n")
  end

  defp write([_path, "at the end"], file, lines),
    do: File.write!(file, "\n" <> Enum.join(lines, "\n") <> "\n", [:append])

  defp write(["mix.exs", "in deps"], file, lines) do
    deps = Enum.map_join(lines, "\n", &dep/1)
    replace(file, ~r/(defp deps do\s+\[).*?(\n\s+\])/s, "\\1\n#{deps}\\2")
  end

  defp write(["mix.exs", "in project"], file, lines),
    do: replace(file, ~r/(def project do\s+\[)/, "\\1\n#{Enum.join(lines, "\n")}")

  defp replace(file, pattern, by) do
    text = File.read!(file)
    true = text =~ pattern
    File.write!(file, String.replace(text, pattern, by, global: false))
  end

  # A package of Hex, or the folder that stands for it.
  defp dep(line) do
    [app] = Regex.run(~r/\{:(\w+),/, line, capture: :all_but_first)

    case if(app == "ecto_libsql", do: @here, else: System.get_env(String.upcase(app) <> "_PATH")) do
      path when path in [nil, ""] -> line
      path -> Regex.replace(~r/"~> [^"]*"/, line, "path: #{inspect(path)}, override: true")
    end
  end

  ## Commands

  defp command("cd " <> folder, project, _line), do: Path.join(project, folder)

  defp command("export " <> assignment, project, line) do
    [name, value] = String.split(assignment, "=", parts: 2)
    {value, 0} = System.cmd("sh", ["-c", "printf %s #{value}"], cd: project)
    IO.puts("#{line}: #{name}=#{value}")
    System.put_env(name, value)
    project
  end

  defp command(command, project, line) do
    IO.puts("#{line}: #{command}")
    sh(command, project)
    project
  end

  # What is meant for this checkout's own mix is not meant for the project's.
  @own ~w(MIX_ENV MIX_BUILD_PATH MAKEFLAGS MAKELEVEL MFLAGS)

  defp sh(command, project) do
    env = for name <- @own, do: {name, nil}

    case System.cmd("sh", ["-euc", command], cd: project, env: env, stderr_to_stdout: true) do
      {_out, 0} -> :ok
      {out, status} -> stop("#{out}\n#{command}: status #{status}")
    end
  end

  defp stop(text) do
    IO.puts(:stderr, text)
    System.halt(1)
  end

  ## The session

  defp run_session(_project, []), do: :ok

  defp run_session(project, session) do
    for {line, _code} <- session, do: IO.puts("#{line}: session")
    File.write!(Path.join(project, ".session"), :erlang.term_to_binary(session))
    runner = Path.join(@here, "tools/guide_session.exs")
    sh("mix run #{runner} .session #{Process.get(:text)}", project)
  end
end

Guide.main()
