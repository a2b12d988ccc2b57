defmodule EctoLibSql.Settled do
  @moduledoc """
  The functions of `EctoLibSql.NIF` by their names and arguments, but that each waits for its answer
  where the native one says that it is long; and `open/1`, which waits for the connection.

      alias EctoLibSql.Settled, as: NIF
  """

  alias EctoLibSql.NIF

  def open(config) do
    ref = make_ref()

    with :ok <- NIF.open(ref, config) do
      receive do
        {^ref, answer} -> answer
      end
    end
  end

  # Without a connection there is nothing to wait for.
  for {name, 0} <- NIF.__info__(:functions), name != :load do
    defdelegate unquote(name)(), to: NIF
  end

  for {name, arity} <- NIF.__info__(:functions), arity > 0, name not in [:load, :open] do
    args = Macro.generate_arguments(arity, __MODULE__)

    def unquote(name)(unquote_splicing(args)) do
      case NIF.unquote(name)(unquote_splicing(args)) do
        {:later, _seen, :async} -> submitted(unquote(name), unquote(args))
        {:later, _seen, busy} -> busy
        answer -> answer
      end
    end
  end

  defp submitted(name, [conn | _] = args) do
    ref = make_ref()

    with :ok <- NIF.submit(conn, ref, name, args) do
      receive do
        {^ref, answer} when answer != :interrupting -> ended(ref, answer)
      end
    end
  end

  # It may have been told of an interrupt before.
  defp ended(ref, answer) do
    receive do
      {^ref, :interrupting} -> answer
    after
      0 -> answer
    end
  end
end
