defmodule EctoLibSql.Telemetry do
  @moduledoc """
  The driver's events, given to `:telemetry` where that application runs. All begin with `:ecto_libsql`; times are in
  native units (`System.convert_time_unit/3`); `database` is the option of that name.

  Ecto's own `[:my_app, :repo, :query]` stays what it is. What it cannot say, how long a statement waited for its turn
  to write, whether it was prepared already, is here.

  | event | measurements | metadata |
  |---|---|---|
  | `:connect`: a connection was opened, or could not be | `duration` | `mode`, `database`, `result`: `:ok` or an error's code |
  | `:disconnect`: one of a pool was closed | `duration`: of the closing | `database`, `reason`: an error's code, or `:error` |
  | `:setting_refused`: a database cannot have a setting | `count` | `database`, `name`, `asked`, `got` |
  | `:query`: a statement, or a piece of a stream | see below | see below |
  | `:transaction`: one has ended | `duration` from its begin, `turn_time` | `database`, `mode`, `result`: `:commit`, `:rollback`, `:disconnect`, or the code of the error that ended it |
  | `:savepoint`: of a nested transaction, or of the sandbox | `duration`, `turn_time` | `database`, `operation`: `:begin`, `:commit` or `:rollback`; `result` |
  | `:retry`: a transaction of a Repo failed because of other writers and is run again, as its `:retry` asks | `count`, `pause` | `repo`, `code`: `:busy_snapshot` or `:busy`, `attempt`: the number of the run that failed, `left`: how many more there may be after the next |
  | `:busy`: a call waited for its turn to write, or for another program's lock | `duration` | `result`: `:ok` or an error's code |
  | `:timeout`: a call's time-out has passed | `count` | `operation` of the native library |
  | `:abandoned`: a call was given up because the engine could not be stopped in time | `count` | `code`: `:timeout`, `:interrupted` or `:closed` |
  | `:idle_writer`: an immediate or exclusive transaction was held for longer than the option `:long_transaction` says, and has written nothing | `duration` | `database`, `mode`, `ended`: `:commit`, `:rollback` or `:disconnect` |
  | `:violation`: something was used by whom it does not belong to, and refused. With the error `:wrong_connection` a `:statement`, `:cursor` or `:transaction` was used with another connection than its own; with `:not_owner` (kind `:owner`) a transaction by another process than its `owner`, which is known where a pool began it. `EctoLibSql.violations/0` counts them | `count` | `kind`, `pid`, `owner`: a pid or nil, `database` |
  | `:checkpoint`: a thread of ours wrote pages of the WAL to the file | `duration`, `pages`: in the WAL, `checkpointed`: of them in the file now | `database`: the file's path, `mode`: `:passive`, `:restart` or `:truncate` |
  | `:wal_pinned`: the WAL has become eight times as long as `:wal_autocheckpoint` says, since somebody reads a state of the database that is so old. Told once, until the WAL has begun anew, which it does when the reader has come to its end | `pages`, `bytes`, `age`: how long he has, or nil where it is a process of another VM | `database`: the file's path, `pid`: who, or nil |
  | `:server_retry`: a call to a server failed and is sent again, as `:retry_time` allows | `count`, `pause`: ms until then | `server`: its address, `code`: what it met |
  | `:server_down`: five calls on end found no server at an address: it is not asked until it answers a probe, which is sent every half second | `count` | `server`, `code` |
  | `:server_up`: it answers again | `count`, `down`: ms that it was not asked | `server` |
  | `:server_no_socket`: a connection to a `ws://` address uses HTTP | `count` | `server`, `code`: `:protocol_unsupported`, the server refused a WebSocket, and it is so for good; `:connection_lost`, it ended before it was greeted, and it is so for half a minute |
  | `:replica_synced`: a sync has brought something into a replica's file | `duration`, `frames`: pages, `bytes`: over the network, `index`: of the file | `database`: the file's path |
  | `:replica_pushed`: the server has taken what was written offline | as `:replica_synced`; `frames`: pages, `bytes`: that were sent | `database` |
  | `:replica_failed`: a sync failed | `count` | `database`, `code`, `message` |
  | `:replica_rebuilt`: a replica's file was not followed up | as `:replica_synced` | `database`; `how`: `:made`, it was fetched as a whole; `:replaced`, the server has another history, and all content was replaced under open connections; `:set_aside`, something on the disk did not fit together, or was given up with `EctoLibSql.set_aside/2`, is kept as `aside` and will be fetched anew. `code` and `message`: what was wrong |
  | `:replica_stale`: a read waited in vain for what this VM had written, and the server was asked instead | `count` | `database`, `code` and `message` of what kept the file behind, `index`: of the file |
  | `:shared`: a connection beside a Repo's pool was opened or closed | `count` of those that are open now | `database`, `kind`: `:reader` or `:writer`, `action`: `:opened`, `:closed` (nobody used it), `:failed` (it could not be opened, and is tried again after a while) |
  | `:health`: a shared connection failed, and is not used again before another was opened in its place | `count` of such failures of the Repo | `database`, `kind`, `code` of the error |

  ## Those of each call

  `:query`, `:transaction` and `:savepoint` are told by connections with the option `events: :all`, since they cost a
  few microseconds each, whether anybody listens or not (`bench/events.exs`); without it they cost nothing.

  Measurements of `:query`: `duration` in the driver, `execute_time` of it in native code and waiting for it,
  `turn_time` of that waiting for the turn to write or for another program's lock, `decode_time`, and `queue_time`,
  before it, for a connection of the pool (only where the adapter took the time; a shared connection has no queue);
  `rows` that were returned or changed. A stream's pieces have no `decode_time`.

  Metadata: `database`, `statement`, `command` as in `EctoLibSql.Result` (`:fetch`: a piece of a stream; nil: it failed),
  `prepared`: whether the connection had the statement in its cache, `fast`: whether it ran on the caller's own
  scheduler, `shared`: whether on a connection beside the pool, `in_transaction`, and `result`: `:ok` or an error's
  code. No parameters: those may be secrets. A statement that a shared connection left to the pool is told once, by
  the pool.

  The events come in the process that made the call, but for `:checkpoint`, `:wal_pinned`, `:server_…`, `:replica_…`, `:shared` and those of a
  pool's connecting.

  `config :ecto_libsql, :events, fun` sends all events to a function of three arguments instead of `:telemetry`.
  """

  # process dictionary: how long the call that is observed has waited so far.
  @waited {__MODULE__, :waited}

  @doc false
  @spec event(atom(), map(), map()) :: :ok
  def event(name, measurements, metadata) do
    if name == :busy, do: add_waited(measurements.duration)

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

  @doc false
  # An observed call begins: now, and from now on its waiting is summed up.
  def start do
    Process.put(@waited, 0)
    System.monotonic_time()
  end

  @doc false
  # How long it has waited; the sum is forgotten.
  def waited, do: Process.delete(@waited) || 0

  defp add_waited(duration) do
    with sum when sum != nil <- Process.get(@waited), do: Process.put(@waited, sum + duration)
  end
end
