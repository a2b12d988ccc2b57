defmodule EctoLibSql.Telemetry do
  @moduledoc """
  The driver's events, given to `:telemetry` where that application runs.

    * `[:ecto_libsql, :connect]`: `%{duration: native}` with `%{mode: mode, database: text, result: :ok |
      code}`
    * `[:ecto_libsql, :busy]`: a call waited for its turn to write, or for another program's lock, `%{duration: native}` with
      `%{result: :ok | code}`
    * `[:ecto_libsql, :abandoned]`: a call was given up because the engine could not be stopped in time,
      `%{count: 1}` with `%{code: :timeout | :interrupted | :closed}`
    * `[:ecto_libsql, :idle_writer]`: an immediate or exclusive transaction was held for longer than the
      option `:long_transaction` says, and has written nothing, `%{duration: native}` with `%{database:
      text, mode: :immediate | :exclusive, ended: :commit | :rollback | :disconnect}`
    * `[:ecto_libsql, :retry]`: a transaction of a Repo failed because of other writers and is run again, as its
      `:retry` asks, `%{count: 1, pause: native}` with `%{repo: module, code: :busy_snapshot | :busy, attempt: n,
      left: n}`: the number of the run that failed, and how many more there may be after the next
    * `[:ecto_libsql, :checkpoint]`: a thread of ours wrote pages of the WAL to the file, `%{duration: native, pages:
      n, checkpointed: n}`, of how many pages in the WAL how many are in the file now, with `%{database: text, mode:
      :passive | :restart | :truncate}`
    * `[:ecto_libsql, :wal_pinned]`: the WAL has become eight times as long as `:wal_autocheckpoint` says, since
      somebody reads a state of the database that is so old, `%{pages: n, bytes: n, age: native | nil}` with
      `%{database: text, pid: pid | nil}`: how long that has been, and by whom, where it is a process of this VM. It
      is told once, until the WAL has begun anew, which it does when the reader has come to its end
    * `[:ecto_libsql, :setting_refused]`: a database cannot have a setting, `%{count: 1}` with
      `%{database: text, name: text, asked: text, got: text}`
    * `[:ecto_libsql, :violation]`: something was used by whom it does not belong to, and refused, `%{count: 1}` with
      `%{kind: kind, pid: pid, owner: pid | nil, database: text}`. With the error `:wrong_connection` a `:statement`,
      `:cursor` or `:transaction` was used with another connection than its own; with `:not_owner` (kind `:owner`)
      a transaction by another process than its `owner`, which is known where a pool began it. `EctoLibSql.violations/0` counts them

  `config :ecto_libsql, :events, fun` sends them to a function of three arguments instead.
  """

  @doc false
  @spec event(atom(), map(), map()) :: :ok
  def event(name, measurements, metadata) do
    case Application.get_env(:ecto_libsql, :events, :telemetry) do
      fun when is_function(fun, 3) ->
        fun.([:ecto_libsql, name], measurements, metadata)

      :telemetry ->
        if running?(),
          do: apply(:telemetry, :execute, [[:ecto_libsql, name], measurements, metadata])
    end

    :ok
  end

  # Where it is not started, as in mix ecto.create, it would say so in the log each time.
  defp running?, do: Process.whereis(:telemetry_handler_table) != nil
end
