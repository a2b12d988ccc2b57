defmodule EctoLibSql.Demo.Words do
  # Short words of the acts with a server.

  def run(db, sql), do: {:ok, _, _, _} = EctoLibSql.query(db, sql, [])

  def one(db, sql) do
    {:ok, _, %{rows: [[value]]}, _} = EctoLibSql.query(db, sql, [])
    value
  end

  def timed(fun), do: :timer.tc(fun)

  def check(what, got, wanted) do
    if got != wanted do
      IO.puts(:stderr, "#{what}: #{inspect(got)} instead of #{inspect(wanted)}")
      System.halt(1)
    end
  end
end
