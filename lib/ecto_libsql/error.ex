defmodule EctoLibSql.Error do
  # status.def is the list of codes; the core in C and this module read the same file.
  @status_def Path.expand("../../c/include/lsq/status.def", __DIR__)
  @external_resource @status_def

  @statuses Regex.scan(
              ~r/^LSQ_STATUS\(\w+,\s*(\w+),\s*"([^"]*)"\)/m,
              File.read!(@status_def),
              capture: :all_but_first
            )
            |> Enum.reject(&match?(["ok", _], &1))
            |> Enum.map(fn [name, text] -> {String.to_atom(name), text} end)

  @moduledoc """
  What went wrong, as a value that code can decide by.

    * `code`: one of the atoms below
    * `engine_code`: SQLite's extended result code; 0 where the error is the driver's own
    * `message`: what happened, with the engine's own words where it has some
    * `statement`: the SQL, where there is one
    * `offset`: the byte of the SQL where the error begins, or `nil`
    * `statement_number`: which statement of a batch, or which row of `execute_many/4`, from 1; or `nil`
    * `constraint`: `nil`, or a map with `kind` (`:unique`, `:primary_key`, `:foreign_key`, `:check`,
      `:not_null`, `:other`), `table`, `columns` and `name` (of the CHECK, or of the index where no other is
      over the same columns)
    * `transient?`: the same call may succeed later without any change
    * `outcome`: what the failed call left in the database: `:none`, `:committed` or `:unknown`
    * `holder`: of a call that waited for its turn to write until it might wait no longer: who in this VM had
      the turn, `%{pid: pid, ms: milliseconds, statement: sql}`; `pid` is the process whose call took it,
      `statement` the beginning of its SQL, without parameters. Both are `nil` for a checkpoint. Elsewhere
      `holder` is `nil`
    * `sqlite`: `%{code: code, message: message}`, as in EctoLibSql 0.9; or `nil` without an engine code

  Codes:

  #{Enum.map_join(@statuses, "\n", fn {code, text} -> "  * `:#{code}`: #{text}" end)}
  """

  @type code :: unquote(@statuses |> Keyword.keys() |> Enum.reduce(&{:|, [], [&1, &2]}))

  @type constraint :: %{
          kind: :unique | :primary_key | :foreign_key | :check | :not_null | :other,
          table: String.t() | nil,
          columns: [String.t()],
          name: String.t() | nil
        }

  @type t :: %__MODULE__{
          code: code(),
          engine_code: non_neg_integer(),
          message: String.t(),
          statement: String.t() | nil,
          offset: non_neg_integer() | nil,
          statement_number: pos_integer() | nil,
          constraint: constraint() | nil,
          transient?: boolean(),
          outcome: :none | :committed | :unknown,
          holder: %{pid: pid() | nil, ms: non_neg_integer(), statement: String.t() | nil} | nil,
          sqlite: %{code: code(), message: String.t()} | nil
        }

  defexception code: :error,
               engine_code: 0,
               message: "",
               statement: nil,
               offset: nil,
               statement_number: nil,
               constraint: nil,
               transient?: false,
               outcome: :none,
               holder: nil,
               sqlite: nil

  @doc "All codes, with a sentence on each."
  @spec codes() :: [{code(), String.t()}]
  def codes, do: @statuses

  @doc "Whether a constraint of the schema was violated."
  @spec constraint_violation?(t()) :: boolean()
  def constraint_violation?(%__MODULE__{code: code}), do: code == :constraint

  @doc """
  The name of the first column of the violated constraint, or the name of the CHECK; `nil` where there
  is none. The name of the index stands in `error.constraint.name`.
  """
  @spec constraint_name(t()) :: String.t() | nil
  def constraint_name(%__MODULE__{constraint: %{columns: [column | _]}}), do: column
  def constraint_name(%__MODULE__{constraint: %{name: name}}), do: name
  def constraint_name(%__MODULE__{}), do: nil

  @impl true
  def message(%__MODULE__{message: message, statement_number: nil}), do: message

  def message(%__MODULE__{message: message, statement_number: number}),
    do: "#{message} (statement #{number})"

  @at_commit "a key that waits for the commit (DEFERRABLE INITIALLY DEFERRED, or PRAGMA " <>
               "defer_foreign_keys) still lacks its parent; the transaction was rolled back"

  # What the native functions answer.
  @doc false
  def from_native(native, statement \\ nil)

  def from_native({code, engine, message, offset, number, transient?, outcome, constraint}, sql) do
    %__MODULE__{
      code: code,
      engine_code: engine,
      message: message,
      statement: sql,
      offset: offset,
      statement_number: number,
      constraint: constraint(constraint),
      transient?: transient?,
      outcome: outcome,
      sqlite: if(engine != 0, do: %{code: code, message: message})
    }
    |> without_decimals()
  end

  def from_native({_, _, _, _, _, _, _, _, {pid, ms, statement}} = native, sql) do
    error = native |> Tuple.delete_at(8) |> from_native(sql)
    %{error | holder: %{pid: pid, ms: ms, statement: statement}}
  end

  # What decimals compare by and are calculated by, which the driver adds to its own engine, and no server has.
  @decimals ["no such collation sequence: decimal", "no such function: decimal"] ++
              for(name <- ~w(cmp add sub mul div sum avg), do: "no such function: decimal_#{name}")

  @without_decimals "servers do not know decimals, which are text to them. Compare and calculate floats, by " <>
                      "type(x, :float) in queries, or store integers of the smallest unit (cents), or read the " <>
                      "rows and do it in Elixir"

  defp without_decimals(%{message: message} = error) when message in @decimals,
    do: %{error | code: :unsupported, message: "#{message}: #{@without_decimals}"}

  defp without_decimals(error), do: error

  # Of a COMMIT, after which the driver rolls back.
  @doc false
  def at_commit(native) do
    case from_native(native) do
      %{constraint: %{kind: :foreign_key}} = error ->
        %{error | message: error.message <> ": " <> @at_commit}

      error ->
        error
    end
  end

  @doc false
  def new(code, message) when is_atom(code), do: %__MODULE__{code: code, message: message}

  defp constraint(nil), do: nil

  defp constraint({kind, table, columns, name}),
    do: %{kind: kind, table: table, columns: columns, name: name}
end
