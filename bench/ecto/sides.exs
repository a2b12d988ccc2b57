# What the benchmarks of the Ecto adapter share: the Repo of each side, its settings, and the table of figures.

defmodule Bench.OurRepo do
  use Ecto.Repo, otp_app: :bench, adapter: Ecto.Adapters.LibSql
end

if Code.ensure_loaded?(Ecto.Adapters.SQLite3) do
  defmodule Bench.PeerRepo do
    use Ecto.Repo, otp_app: :bench, adapter: Ecto.Adapters.SQLite3
  end
end

defmodule Bench.Sides do
  alias Bench.{OurRepo, PeerRepo}

  @settings [
    journal_mode: :wal,
    synchronous: :normal,
    cache_size: -64_000,
    temp_store: :memory,
    log: false
  ]

  @doc "Ours, and the peer where it is there."
  def repos, do: for(repo <- [OurRepo, PeerRepo], Code.ensure_loaded?(repo), do: repo)

  @doc "Starts a Repo on a new file."
  def start(repo, path, opts) do
    config = [database: path <> ".db", foreign_keys: foreign_keys(repo)] ++ opts ++ @settings
    Application.put_env(:bench, repo, config)
    {:ok, _} = Application.ensure_all_started(:ecto_sql)

    # libSQL's engine sets itself up at its first use, and not for two threads at once: it crashed there.
    if Code.ensure_loaded?(Exqlite.Sqlite3),
      do: {:ok, _} = apply(Exqlite.Sqlite3, :open, [":memory:"])

    {:ok, pid} = repo.start_link()
    pid
  end

  defp foreign_keys(PeerRepo), do: :on
  defp foreign_keys(_repo), do: true

  @doc "Calls fun with a folder that is removed afterwards."
  def in_folder(fun) do
    folder = Path.join(System.tmp_dir!(), "ecto_libsql_bench_#{System.pid()}")
    File.mkdir_p!(folder)

    try do
      fun.(folder)
    after
      File.rm_rf!(folder)
    end
  end

  @doc "The environment's number of rounds."
  def rounds(default), do: "ROUNDS" |> System.get_env("#{default}") |> String.to_integer()

  @doc "What the environment chooses of a list."
  def chosen(name, default) do
    case System.get_env(name) do
      value when value in [nil, ""] -> default
      value -> String.split(value, ",")
    end
  end

  @doc "The machinery, in one line, and what both sides are set to."
  def heading(rounds) do
    info = EctoLibSql.core_info()

    """
    Engine #{info.engine} #{info.engine_version}, Ecto #{Application.spec(:ecto, :vsn)}, \
    Elixir #{System.version()}, OTP #{System.otp_release()}, #{System.schedulers_online()} schedulers, \
    medians of #{rounds} rounds.
    WAL, synchronous NORMAL, a cache of 64 MB, foreign keys on: for both.\
    """
  end

  def median(list), do: list |> Enum.sort() |> Enum.at(div(length(list), 2))

  @doc "The last cells of a line: how many times as good as the peer, what was asked for, whether it is so."
  def verdict(nil, wanted), do: ["-", "#{wanted}", ""]

  def verdict(ratio, wanted) do
    ratio = Float.round(ratio, 2)
    ["#{ratio}", "#{wanted}", if(ratio >= wanted, do: "", else: "missed")]
  end

  def line([title | cells]) do
    [String.pad_trailing(title, 34) | Enum.map(cells, &String.pad_leading(&1, 13))]
    |> IO.iodata_to_binary()
    |> String.trim_trailing()
  end
end
