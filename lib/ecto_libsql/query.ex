defmodule EctoLibSql.Query do
  @moduledoc """
  A statement on its way to a connection.

  Only `statement` matters: prepared statements are kept by the connection's own cache, by their text.

  By way of DBConnection, parameters are encoded before there is a connection: dates and times to ISO 8601
  text, maps to JSON text. `param_types: :forms` leaves them to the connection, whose settings may say
  otherwise (`:datetime_type`, `:json_type`); the Ecto adapter's queries have it.

  `{:enforce_foreign_keys, boolean}` is no SQL: given to `DBConnection.execute/4`, it does what
  `EctoLibSql.Native.enforce_foreign_keys/2` does, and answers one row, `[1]` or `[0]`: what held before. Nor is
  `{:sync, until}`, with an index or nil: `EctoLibSql.sync/2`, which answers the row `[index, frames, bytes]`.
  """

  @type t :: %__MODULE__{
          statement:
            iodata()
            | {:enforce_foreign_keys, boolean()}
            | {:sync, non_neg_integer() | nil}
            | :origin,
          name: term(),
          prepared: term(),
          param_types: term(),
          type: :binary | :text
        }

  defstruct statement: "", name: nil, prepared: nil, param_types: nil, type: :binary

  defimpl String.Chars do
    def to_string(%{statement: name}) when is_atom(name), do: Atom.to_string(name)
    def to_string(%{statement: {name, argument}}), do: "#{name}: #{inspect(argument)}"
    def to_string(%{statement: statement}), do: IO.iodata_to_binary(statement)
  end
end
