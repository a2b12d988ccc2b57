defmodule EctoLibSql.Result do
  @moduledoc """
  What a statement answered.

    * `command`: `:select`, `:insert`, `:update`, `:delete`, `:create` (DROP and ALTER too), `:begin`,
      `:commit`, `:rollback`, `:pragma`, `:batch` or `:other`
    * `columns`: their names, also where there are no rows; `nil` for a statement that returns none
    * `rows`: lists of values; `nil` for a statement that returns none
    * `num_rows`: rows returned or, without rows, rows changed
    * `types`: with `declared_types: true` among the options of the call, what the table declares for each
      column (`"TEXT_DECIMAL"`), `nil` for what is no column or has no type; else `nil`

  Values are `nil`, integers, floats, `:infinity`, `:neg_infinity`, and binaries for both text and blobs.
  """

  @type command ::
          :select
          | :insert
          | :update
          | :delete
          | :create
          | :begin
          | :commit
          | :rollback
          | :pragma
          | :batch
          | :unknown
          | :other
          | nil

  @type value :: nil | integer() | float() | binary() | :infinity | :neg_infinity

  @type t :: %__MODULE__{
          command: command(),
          columns: [String.t()] | nil,
          rows: [[value()]] | nil,
          num_rows: non_neg_integer(),
          types: [String.t() | nil] | nil
        }

  defstruct command: nil, columns: nil, rows: nil, num_rows: 0, types: nil

  @doc "A result from a keyword list."
  @spec new(keyword()) :: t()
  def new(fields \\ []), do: struct(%__MODULE__{command: :other}, fields)

  # Of a native result: {command, columns, rows, num_rows, last_rowid, autocommit?}, and perhaps types.
  @doc false
  def from_native({command, columns, rows, num_rows, _rowid, _autocommit?}),
    do: %__MODULE__{command: command, columns: columns, rows: rows, num_rows: num_rows}

  def from_native({command, columns, rows, num_rows, _rowid, _autocommit?, types}) do
    %__MODULE__{
      command: command,
      columns: columns,
      rows: rows,
      num_rows: num_rows,
      types: types
    }
  end
end
