defmodule EctoLibSql.MixProject do
  use Mix.Project

  @version "1.0.0-dev"

  # What the Ecto side needs. An entry becomes {app, path: p, override: true} when APP_PATH is set;
  # ECTO_LIBSQL_DEPS=none leaves all of them out, and the driver is built alone.
  @packages [
    {:telemetry, "~> 1.0"},
    {:decimal, "~> 2.0 or ~> 3.0"},
    {:jason, "~> 1.4", optional: true},
    {:db_connection, "~> 2.7"},
    {:ecto, "~> 3.13"},
    {:ecto_sql, "~> 3.13"}
  ]

  def project do
    [
      app: :ecto_libsql,
      version: @version,
      elixir: "~> 1.14",
      description: "Ecto adapter and driver for libSQL and Turso",
      package: package(),
      deps: deps(),
      aliases: [test: &test/1],
      compilers: [:lsq_native] ++ Mix.compilers(),
      elixirc_paths: elixirc_paths(),
      build_path: build_path(),
      # Debian installs PropEr beside OTP's own applications; pruning would hide it from the tests.
      prune_code_paths: false
    ]
  end

  def application, do: [mod: {EctoLibSql.Application, []}, extra_applications: applications()]

  # The tests' TLS and tokens.
  defp applications, do: if(Mix.env() == :test, do: [:logger, :crypto, :ssl], else: [:logger])

  defp package do
    [
      licenses: ["Apache-2.0"],
      files: ~w(lib c/include c/src c/nif c/c.mk c/lsq.map c/lsq.pc.in engine tools Makefile mix.exs
                .formatter.exs LICENSE README.md)
    ]
  end

  defp driver_only?, do: System.get_env("ECTO_LIBSQL_DEPS") == "none"

  defp deps, do: if(driver_only?(), do: [], else: Enum.map(@packages, &dep/1))

  defp dep(package) do
    app = elem(package, 0)

    case System.get_env(String.upcase("#{app}_path")) do
      path when path in [nil, ""] -> package
      path -> {app, path: path, override: true}
    end
  end

  # lib/ecto_libsql needs OTP alone, lib/db_connection and lib/ecto need the packages of their name.
  @driver ["lib/ecto_libsql.ex", "lib/ecto_libsql"]

  defp elixirc_paths do
    lib = if driver_only?(), do: @driver, else: ["lib"]
    if Mix.env() == :test, do: lib ++ ["test/support"], else: lib
  end

  # Builds that differ in their modules or in their NIF lie side by side.
  defp build_path do
    parts = [
      if(driver_only?(), do: "driver"),
      variant("ECTO_LIBSQL_ENGINE", "libsql"),
      variant("ECTO_LIBSQL_BUILD", "release")
    ]

    Path.join(["_build" | Enum.reject(parts, &is_nil/1)])
  end

  defp variant(name, usual) do
    case System.get_env(name) do
      value when value in [nil, "", usual] -> nil
      value -> value
    end
  end

  # Tests that need DBConnection or Ecto lie in test/db_connection and test/ecto.
  defp test(args) do
    named? = Enum.any?(args, &(&1 |> String.split(":") |> hd() |> File.exists?()))
    Mix.Task.run("test", if(driver_only?() and not named?, do: args ++ driver_tests(), else: args))
  end

  defp driver_tests do
    Path.wildcard("test/**/*_test.exs")
    |> Enum.reject(&String.starts_with?(&1, ["test/db_connection/", "test/ecto/"]))
  end
end

defmodule Mix.Tasks.Compile.LsqNative do
  @shortdoc "Builds the engine, the C library and the NIF"
  @moduledoc false
  use Mix.Task.Compiler

  # `make` decides what is to be done, and does nothing when nothing changed. It runs in the folder
  # of this file, also when this project is a dependency of another.
  @impl true
  def run(_args) do
    make = System.find_executable("gmake") || System.find_executable("make")
    make || Mix.raise("ecto_libsql: make is needed to build the native code")

    args = [
      "--no-print-directory",
      "nif",
      "NIF_OUT=" <> Path.join(Mix.Project.app_path(), "priv"),
      "BUILD=" <> env("ECTO_LIBSQL_BUILD", "release"),
      "ENGINE=" <> env("ECTO_LIBSQL_ENGINE", "libsql")
    ]

    # A make above us has given its own flags and jobs to its children; this one starts afresh.
    opts = [
      cd: __DIR__,
      env: [{"MAKEFLAGS", nil}, {"MAKELEVEL", nil}, {"MFLAGS", nil}],
      stderr_to_stdout: true,
      into: IO.stream(:stdio, :line)
    ]

    case System.cmd(make, args, opts) do
      {_, 0} -> {:ok, []}
      {_, status} -> Mix.raise("ecto_libsql: the native build failed (make answered #{status})")
    end
  end

  defp env(name, default) do
    case System.get_env(name) do
      value when value in [nil, ""] -> default
      value -> value
    end
  end
end
