defmodule Ecto.Adapters.LibSql.DDL.Comment do
  @moduledoc false
  # SQLite has no COMMENT ON, but it keeps the text of CREATE as it was written, comments in it too.

  @doc "A comment as it stands in CREATE TABLE, CREATE INDEX and a column's definition."
  def text(nil), do: []

  def text(comment) when is_binary(comment) do
    if String.contains?(comment, ["*/", <<0>>]),
      do: raise(ArgumentError, "a comment in SQL cannot hold #{inspect(comment)}")

    [" /* ", comment, " */"]
  end

  @doc "What was created keeps its text: its comment cannot be changed."
  def refuse(nil, _what), do: :ok

  def refuse(_comment, what) do
    raise ArgumentError,
          "SQLite cannot change the comment of #{what}; comments stand in the text of its CREATE"
  end
end
