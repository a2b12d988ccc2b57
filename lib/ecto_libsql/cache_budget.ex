defmodule EctoLibSql.CacheBudget do
  @moduledoc false
  # `cache_budget: bytes`, for all connections that a pool has to its database: each gets an equal part of it as its
  # `cache_size`. The engine's page caches belong to connections and know nothing of one another; to share one it
  # would lock it at each page.

  # Below, a connection would read most pages again for each statement.
  @least 65_536

  @doc "The options of a connection, its part made of the budget; or the error."
  def share(%{cache_budget: nil} = checked, _opts), do: {:ok, checked}

  def share(%{cache_budget: budget} = checked, opts) do
    connections = connections(opts)

    case div(budget, connections) do
      part when part >= @least -> {:ok, %{checked | cache_size: -div(part, 1024)}}
      _little -> {:error, message(budget, connections)}
    end
  end

  # :connections is the adapter's to say, which may have more of them than the pool.
  defp connections(opts), do: opts[:connections] || opts[:pool_size] || 1

  defp message(budget, connections) do
    "option :cache_budget is #{budget} bytes, for #{connections} connections: at least #{@least} are needed for " <>
      "each (#{@least * connections}); else have fewer connections (:pool_size)"
  end
end
