defmodule EctoLibSql.Query do
  @moduledoc """
  A statement on its way to a connection.

  Only `statement` matters: prepared statements are kept by the connection's own cache, by their text.
  """

  @type t :: %__MODULE__{
          statement: String.t(),
          name: term(),
          prepared: term(),
          param_types: term(),
          type: :binary | :text
        }

  defstruct statement: "", name: nil, prepared: nil, param_types: nil, type: :binary

  defimpl String.Chars do
    def to_string(%{statement: statement}), do: IO.iodata_to_binary(statement)
  end
end
