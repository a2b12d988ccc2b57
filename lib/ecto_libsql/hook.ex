defmodule EctoLibSql.Hook do
  @moduledoc false
  # The option :on_connect: code of the application that prepares a connection nobody else has yet.

  alias EctoLibSql.{Error, NIF}

  @doc "Calls it; whatever goes wrong in it is an error."
  def call(nil, _state), do: :ok

  def call(hook, state) do
    case answer(hook, state) do
      {:error, %Error{} = error} -> refuse(error, error.message)
      {:error, %Error{} = error, _state} -> refuse(error, error.message)
      {:error, reason} -> refuse(nil, "it answered {:error, #{inspect(reason)}}")
      {:error, reason, _} -> refuse(nil, "it answered {:error, #{inspect(reason)}, _}")
      :error -> refuse(nil, "it answered :error")
      {:caught, banner} -> refuse(nil, banner)
      {:answered, _other} -> look(state)
    end
  end

  defp answer(hook, state) do
    case run(hook, state) do
      :error -> :error
      error when elem(error, 0) == :error -> error
      other -> {:answered, other}
    end
  catch
    kind, reason -> {:caught, Exception.format_banner(kind, reason, __STACKTRACE__)}
  end

  defp run({module, function, args}, state), do: apply(module, function, [state | args])
  defp run(fun, state), do: fun.(state)

  defp look(state) do
    case NIF.status(state.conn_id) do
      :idle -> :ok
      {:transaction, _trx} -> refuse(nil, "it left a transaction open")
      {:error, native} -> refuse(Error.from_native(native), "it closed the connection")
    end
  end

  defp refuse(nil, why), do: {:error, Error.new(:error, "on_connect failed: " <> why)}
  defp refuse(error, why), do: {:error, %{error | message: "on_connect failed: " <> why}}
end
