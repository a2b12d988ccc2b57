defmodule EctoLibSql.Differential.Chance do
  @moduledoc false
  # What the generator leaves to chance.

  @ordered [:int, :float, :dec, :str, :date, :naive, :naive_usec, :utc, :utc_usec, :uuid, :bid]
  @directions [:asc, :desc, :asc_nulls_first, :asc_nulls_last, :desc_nulls_first, :desc_nulls_last]

  @doc "The types that have an order."
  def ordered, do: @ordered

  def orderable, do: Enum.random(@ordered ++ [:bool])
  def direction, do: Enum.random(@directions)
  def chance(n), do: :rand.uniform(n) == 1
  def name, do: String.to_atom("t#{fresh()}")

  def fresh do
    n = Process.get(__MODULE__, 0)
    Process.put(__MODULE__, n + 1)
    n
  end

  def reset, do: Process.put(__MODULE__, 0)
end
