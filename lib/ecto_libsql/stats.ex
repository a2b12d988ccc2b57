defmodule EctoLibSql.Stats do
  @moduledoc """
  What `EctoLibSql.stats/2` answers for a Repo or a pool.

    * `database`: the path of the file, or `nil` where it is not known or in memory
    * `pool`: of DBConnection's pool: `size` (`nil` where it is not known), `ready` connections, `busy` ones,
      and processes `waiting` for one
    * `shared`: of the connections that stand beside a Repo's pool, or `nil`: how many are `open`, how many
      statements they ran (`uses`), how many they left to the pool (`refusals`: somebody else was in the
      reader, or it could not run there), and how many of those were because a connection failed (`errors`)

  The others are of all connections of this VM to the file, whichever Repo has them, since the first of them was
  opened; `nil` where no connection has it open, or it is in memory.

    * `connections`: how many
    * `writers`: those who write to a file take turns. How many `turns` were taken, how many of them were
      `waited` for and how long in all (`wait_time`, in native units), how many processes are `waiting` now, and a
      histogram of the waits: `[{ms, count}]`, how many were shorter than so many milliseconds, but not than those
      before; `:infinity` for the longest
    * `holder`: who has the turn, or `nil`: `%{pid: who, held: ms, statement: sql}`, the statement that took it, or
      `nil` for a checkpoint
    * `statements`: of the connections' caches of prepared statements, `hits` and `misses`; and `fast`, how many
      ran on the caller's own scheduler
    * `memory`: bytes of the connections' page caches (`page_cache`), after each one's last longer call, and of
      all native memory of the driver in this VM (`native`)
    * `wal`: `bytes` of the file, `pages` after the last commit, and whether it is `pinned`: as the event
      `[:ecto_libsql, :wal_pinned]` tells
    * `oldest_reader`: the connection that has read the same state of the database for longest, in a transaction,
      by a stream or by one statement: `%{age: ms, pid: who}`, or `nil` where nobody reads now
    * `checkpoints`: how many a thread of ours has taken; and the `last_checkpoint`, or `nil`: `ago` and `duration`
      in ms, `mode`, `pages` that the WAL had and how many of them were `done`
    * `replica`: of a file that follows a server, what `EctoLibSql.replica_info/1` answers; `nil` for others, and
      while all connections of the pool are taken
  """

  alias EctoLibSql.{Error, NIF, Query, State}

  @typedoc "A figure that is counted up or measured."
  @type count :: non_neg_integer()

  @type pool :: %{size: count() | nil, ready: count(), busy: count() | nil, waiting: count()}

  @type shared :: %{open: count(), uses: count(), refusals: count(), errors: count()}

  @type writers :: %{
          turns: count(),
          waited: count(),
          waiting: count(),
          wait_time: count(),
          histogram: [{number() | :infinity, count()}]
        }

  @type checkpoint :: %{
          ago: count(),
          duration: float(),
          mode: :passive | :full | :restart | :truncate,
          pages: count(),
          done: count()
        }

  @type t :: %{
          database: String.t() | nil,
          pool: pool(),
          shared: shared() | nil,
          connections: count() | nil,
          writers: writers() | nil,
          holder: %{pid: pid() | nil, held: count(), statement: String.t() | nil} | nil,
          statements: %{hits: count(), misses: count(), fast: count()} | nil,
          memory: %{page_cache: count() | nil, native: count()},
          wal: %{bytes: count(), pages: count(), pinned: boolean()} | nil,
          oldest_reader: %{age: count(), pid: pid() | nil} | nil,
          checkpoints: count() | nil,
          last_checkpoint: checkpoint() | nil,
          replica: map() | nil
        }

  # What native code calls the waits by: LSQ_WAITS.
  @waits [0.1, 1, 10, 100, 1000, 10_000, :infinity]

  # Known at run time only: the driver does without them.
  @ecto Ecto.Adapter
  @adapter Ecto.Adapters.LibSql.Connection
  @shared Ecto.Adapters.LibSql.Shared
  @pools DBConnection

  @doc false
  @spec of(term(), keyword()) :: t() | {:error, Error.t()}
  def of(target, opts) do
    with {:ok, found} <- find(target, opts), do: figures(found)
  end

  ## Which pool

  # A Repo (by its module, name or pid) has told Ecto where its pool is; else it is one of DBConnection's.
  defp find(target, opts) do
    case lookup(target) do
      {:ok, %{sql: @adapter, pid: pool} = meta} -> {:ok, repo(pool, meta)}
      {:ok, _other} -> {:error, unknown(target, "its adapter is not Ecto.Adapters.LibSql")}
      :none -> plain(target, opts)
    end
  end

  defp lookup(target) when is_atom(target) or is_pid(target) do
    if Code.ensure_loaded?(@ecto),
      do: {:ok, apply(@ecto, :lookup_meta, [dynamic(target)])},
      else: :none
  rescue
    _not_a_repo in [RuntimeError, ArgumentError] -> :none
  end

  defp lookup(_name), do: :none

  # What `put_dynamic_repo` says of the calling process.
  defp dynamic(target) do
    if is_atom(target) and Code.ensure_loaded?(target) and
         function_exported?(target, :get_dynamic_repo, 0),
       do: target.get_dynamic_repo(),
       else: target
  end

  defp repo(pool, meta) do
    settings = Map.get(meta, :settings, [])

    %{
      pool: pool,
      module: pool_module(settings),
      size: Keyword.get(settings, :pool_size, 10) * Keyword.get(settings, :pool_count, 1),
      of: file(settings),
      replica?: settings[:mode] == :remote_replica
    }
  end

  # The sandbox is no pool by itself.
  defp pool_module(settings) do
    case Keyword.get(settings, :pool, DBConnection.ConnectionPool) do
      Ecto.Adapters.SQL.Sandbox -> DBConnection.Ownership
      module -> module
    end
  end

  defp file(settings) do
    case apply(Ecto.Adapters.LibSql.DatabaseFile, :locate, [settings]) do
      {:file, path} -> path
      _memory -> nil
    end
  end

  defp plain(target, opts) do
    with {:ok, pool} <- alive(target),
         :ok <- ours(pool, target) do
      module = Keyword.get(opts, :pool, DBConnection.ConnectionPool)

      known = %{
        pool: pool,
        module: module,
        size: opts[:pool_size],
        of: opts[:database],
        replica?: false
      }

      {:ok, if(known.of && known.size, do: known, else: ask(known))}
    end
  end

  defp alive(target) do
    case whereis(target) do
      pid when is_pid(pid) -> {:ok, pid}
      _none -> {:error, unknown(target, "there is no such Repo, process or name")}
    end
  end

  defp whereis(pid) when is_pid(pid), do: if(Process.alive?(pid), do: pid)
  defp whereis(name) when is_atom(name) and name != nil, do: Process.whereis(name)
  defp whereis({:global, _} = name), do: GenServer.whereis(name)
  defp whereis({:via, _, _} = name), do: GenServer.whereis(name)
  defp whereis(_other), do: nil

  defp ours(pool, target) do
    case Code.ensure_loaded?(@pools) && apply(@pools, :connection_module, [pool]) do
      {:ok, EctoLibSql} -> :ok
      {:ok, module} -> {:error, unknown(target, "it is a pool of #{inspect(module)}")}
      _none -> {:error, unknown(target, "the process is no pool of DBConnection")}
    end
  end

  defp unknown(target, why) do
    Error.new(
      :bad_argument,
      "there are statistics of a Repo with Ecto.Adapters.LibSql, of a pool of EctoLibSql, and of a connection; " <>
        "not of #{inspect(target)}: #{why}"
    )
  end

  # What a pool was started with, its connections know. If none is free nobody waits for one.
  defp ask(known) do
    opts = [queue: false, timeout: 5000, pool: known.module]

    case apply(@pools, :execute, [known.pool, %Query{statement: :origin}, [], opts]) do
      {:ok, _query, %{rows: [[size, conn]]}} -> %{known | size: known.size || size, of: conn}
      {:error, _none_free} -> known
    end
  catch
    # The pool has ended meanwhile.
    :exit, _reason -> known
  end

  @doc false
  # The answer to the query `:origin`, of which a connection knows.
  def origin(state), do: [State.kept(state)[:pool_size], state.conn_id]

  ## Figures

  defp figures(found) do
    with {:ok, pool} <- pool(found) do
      found.of
      |> info()
      |> file_figures()
      |> Map.merge(%{database: database(found.of), pool: pool, shared: shared(found.pool)})
      |> Map.put(:replica, replica(found))
    end
  end

  # The sandbox counts its owners' connections beside those of the pool behind it.
  defp pool(%{size: size} = found) do
    metrics = apply(@pools, :get_connection_metrics, [found.pool, [pool: found.module]])
    pools = for %{source: {:pool, _}} = metric <- metrics, do: metric
    ready = pools |> Enum.map(& &1.ready_conn_count) |> Enum.sum()
    waiting = metrics |> Enum.map(& &1.checkout_queue_length) |> Enum.sum()
    busy = if size, do: max(size - ready, 0)
    {:ok, %{size: size, ready: ready, busy: busy, waiting: waiting}}
  catch
    :exit, _reason -> {:error, unknown(found.pool, "the pool has ended")}
  end

  defp shared(pool) do
    if Code.ensure_loaded?(@shared), do: apply(@shared, :stats, [pool])
  end

  # Each connection knows it: one beside the pool, which is in nobody's way; else one of the pool, and if none is free
  # nobody waits for one.
  defp replica(%{of: conn}) when is_reference(conn), do: replica_of(conn)

  defp replica(%{replica?: true} = found) do
    with nil <- beside(found.pool) do
      case ask(%{found | of: nil}) do
        %{of: conn} when is_reference(conn) -> replica_of(conn)
        _none_free -> nil
      end
    end
  end

  defp replica(_no_replica), do: nil

  defp beside(pool) do
    with conn when is_reference(conn) <- apply(@shared, :any, [pool]), do: replica_of(conn)
  end

  defp replica_of(conn) do
    case EctoLibSql.Replica.info(conn) do
      {:ok, info} -> info
      {:error, _no_replica} -> nil
    end
  end

  defp database(path) when is_binary(path), do: path
  defp database(_conn), do: nil

  defp info(nil), do: nil

  defp info(of) do
    case NIF.file_info(of) do
      {:ok, info} -> info
      :none -> nil
    end
  end

  defp file_figures(nil) do
    %{
      connections: nil,
      writers: nil,
      holder: nil,
      statements: nil,
      memory: %{page_cache: nil, native: NIF.memory().bytes},
      wal: nil,
      oldest_reader: nil,
      checkpoints: nil,
      last_checkpoint: nil
    }
  end

  defp file_figures(info) do
    %{
      connections: info.connections,
      writers: %{
        turns: info.turns,
        waited: info.waited,
        waiting: info.line,
        wait_time: System.convert_time_unit(info.wait_ns, :nanosecond, :native),
        histogram: Enum.zip(@waits, info.waits)
      },
      holder: holder(info.holder),
      statements: %{hits: info.cache_hits, misses: info.cache_misses, fast: info.fast_runs},
      memory: %{page_cache: info.page_cache_bytes, native: NIF.memory().bytes},
      wal: %{bytes: max(info.wal_bytes, 0), pages: info.wal_pages, pinned: info.wal_pinned},
      oldest_reader: oldest_reader(info),
      checkpoints: info.checkpoints,
      last_checkpoint: last_checkpoint(info)
    }
  end

  defp holder(nil), do: nil
  defp holder({pid, held, statement}), do: %{pid: pid, held: held, statement: statement}

  defp oldest_reader(%{oldest_reader_ns: nil}), do: nil

  defp oldest_reader(info),
    do: %{age: div(info.oldest_reader_ns, 1_000_000), pid: info.oldest_reader_pid}

  defp last_checkpoint(%{checkpoint_ago_ns: nil}), do: nil

  defp last_checkpoint(info) do
    %{
      ago: div(info.checkpoint_ago_ns, 1_000_000),
      duration: info.checkpoint_ns / 1_000_000,
      mode: info.checkpoint_mode,
      pages: info.checkpoint_pages,
      done: info.checkpoint_done
    }
  end

  @doc false
  # Of one connection.
  @spec of_connection(State.t()) :: map() | {:error, Error.t()}
  def of_connection(state) do
    with {:ok, info} <- EctoLibSql.Connection.plain(:info, [state.conn_id, true]),
         do: with_replica(info, state)
  end

  defp with_replica(info, %{mode: :remote_replica} = state) do
    with {:ok, replica} <- EctoLibSql.Replica.info(state.conn_id),
         do: Map.put(info, :replica, replica)
  end

  defp with_replica(info, _state), do: info
end
