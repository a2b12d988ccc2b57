defmodule EctoLibSql.State do
  @moduledoc """
  A connection, as the functions of `EctoLibSql` take and give it.

  The values are opaque: `conn_id` is a handle that the VM frees when nobody holds it any more; `trx_id`
  is the open transaction, or `nil`; `begun` is how and when it began, and whose it is. Any process may use a
  connection; calls take turns. A transaction is for whoever has a state with its `trx_id`; one of a pool is for
  the process that began it. `events` is whether calls are told as events, and since when a transaction is open.
  """

  @type t :: %__MODULE__{
          conn_id: reference(),
          trx_id: integer() | nil,
          mode: mode(),
          sync: :enable_sync | :disable_sync,
          begun: {integer(), atom(), integer(), pid() | nil} | nil,
          events: nil | {String.t(), nil | {integer(), atom()}}
        }

  @type mode :: :local | :remote | :remote_replica | :unknown

  @enforce_keys [:conn_id]
  defstruct [:conn_id, :trx_id, mode: :local, sync: :disable_sync, begun: nil, events: nil]

  # Of the options it was opened with, what the driver needs later: database, transaction_mode,
  # long_transaction, forms.
  @doc false
  @spec kept(t()) :: map()
  def kept(%__MODULE__{conn_id: conn}), do: EctoLibSql.NIF.kept(conn)

  @doc """
  The kind of connection that options ask for: `:mode` where it is given; else a replica with `:uri`,
  `:database` and `:sync`, a remote one with `:uri` and `:auth_token` (or `:uri` alone), a local one with
  `:database`.
  """
  @spec detect_mode(keyword()) :: mode()
  def detect_mode(opts) do
    given = fn key -> Keyword.get(opts, key) != nil end

    cond do
      opts[:mode] in [:local, :remote, :remote_replica] ->
        opts[:mode]

      given.(:uri) and given.(:database) and given.(:sync) ->
        :remote_replica

      given.(:uri) and given.(:auth_token) ->
        :remote

      given.(:database) ->
        :local

      given.(:uri) ->
        :remote

      true ->
        :unknown
    end
  end

  @doc "`:enable_sync` if `sync: true` is among the options."
  @spec detect_sync(keyword()) :: :enable_sync | :disable_sync
  def detect_sync(opts), do: if(opts[:sync] == true, do: :enable_sync, else: :disable_sync)
end
