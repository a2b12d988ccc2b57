# Mix has consolidated the protocols of our project, without the drivers of this benchmark: here they are
# opened, and closed again with those, as they are in an application.

defmodule Bench.Protocols do
  @protocols [DBConnection.Query, String.Chars]

  def open do
    :code.del_path(String.to_charlist(Mix.Project.consolidation_path()))

    for protocol <- @protocols do
      :code.purge(protocol)
      :code.delete(protocol)
    end
  end

  @doc "With the implementations on the code path and `others`, which are in memory alone."
  def close(others) do
    for protocol <- @protocols do
      impls = Protocol.extract_impls(protocol, :code.get_path())
      {:ok, code} = Protocol.consolidate(protocol, others ++ impls)
      {:module, _} = :code.load_binary(protocol, ~c"consolidated", code)
      true = Protocol.consolidated?(protocol)
    end
  end
end

Bench.Protocols.open()
