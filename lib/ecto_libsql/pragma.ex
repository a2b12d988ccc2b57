defmodule EctoLibSql.Pragma do
  @moduledoc """
  PRAGMAs by name. Those that EctoLibSql has options for are better set at `EctoLibSql.connect/1`: a
  connection then has them again after `EctoLibSql.reset_connection/1`.
  """

  alias EctoLibSql.{Error, Result, State}

  @type answer :: {:ok, Result.t()} | {:error, Error.t()}
  @type name :: atom() | String.t()

  @doc "Any PRAGMA, as SQL."
  @spec query(State.t(), String.t()) :: answer()
  def query(state, sql) do
    case EctoLibSql.query(state, sql) do
      {:ok, _query, result, _state} -> {:ok, with_rows(result)}
      {:error, error, _state} -> {:error, error}
    end
  end

  defp with_rows(result), do: %{result | columns: result.columns || [], rows: result.rows || []}

  ## Foreign keys

  @doc "Enforces foreign keys."
  @spec enable_foreign_keys(State.t()) :: :ok | {:error, Error.t()}
  def enable_foreign_keys(state), do: set_foreign_keys(state, "ON")

  @doc "Stops enforcing foreign keys."
  @spec disable_foreign_keys(State.t()) :: :ok | {:error, Error.t()}
  def disable_foreign_keys(state), do: set_foreign_keys(state, "OFF")

  # Inside a transaction the engine passes it over without a word.
  defp set_foreign_keys(state, value) do
    case EctoLibSql.stats(state) do
      {:error, error} ->
        {:error, error}

      %{autocommit: false} ->
        message = "foreign_keys cannot be changed inside a transaction"
        {:error, Error.new(:in_transaction, message)}

      %{} ->
        with {:ok, _result} <- query(state, "PRAGMA foreign_keys = #{value}"), do: :ok
    end
  end

  @doc "Whether foreign keys are enforced: 0 or 1."
  @spec foreign_keys(State.t()) :: answer()
  def foreign_keys(state), do: query(state, "PRAGMA foreign_keys")

  ## How the file is written

  @doc "Sets the journal mode; the result's row holds the mode that the database has now."
  @spec set_journal_mode(State.t(), :delete | :wal | :memory | :persist | :truncate | :off) ::
          answer()
  def set_journal_mode(state, mode)
      when mode in [:delete, :wal, :memory, :persist, :truncate, :off],
      do: query(state, "PRAGMA journal_mode = #{mode}")

  @doc "The journal mode."
  @spec journal_mode(State.t()) :: answer()
  def journal_mode(state), do: query(state, "PRAGMA journal_mode")

  @doc "Sets how often the disk is waited for."
  @spec set_synchronous(State.t(), :off | :normal | :full | :extra | 0..3) :: answer()
  def set_synchronous(state, level) when level in [:off, :normal, :full, :extra] or level in 0..3,
    do: query(state, "PRAGMA synchronous = #{level}")

  @doc "How often the disk is waited for, as a number from 0 to 3."
  @spec synchronous(State.t()) :: answer()
  def synchronous(state), do: query(state, "PRAGMA synchronous")

  @doc "Sets the size of the page cache: `pages: n`, `kilobytes: n` or `megabytes: n`."
  @spec set_cache_size(State.t(), [{:pages | :kilobytes | :megabytes, pos_integer()}]) :: answer()
  def set_cache_size(state, [{unit, n}]) when is_integer(n) and n > 0 do
    size =
      case unit do
        :pages -> n
        :kilobytes -> -n
        :megabytes -> -n * 1024
      end

    with {:ok, _result} <- query(state, "PRAGMA cache_size = #{size}"), do: cache_size(state)
  end

  @doc "The size of the page cache: pages if positive, KiB if negative."
  @spec cache_size(State.t()) :: answer()
  def cache_size(state), do: query(state, "PRAGMA cache_size")

  @doc "Moves the WAL into the database file; see `EctoLibSql.checkpoint/2`."
  @spec wal_checkpoint(State.t(), :passive | :full | :restart | :truncate) ::
          {:ok, map()} | {:error, Error.t()}
  def wal_checkpoint(state, mode \\ :passive), do: EctoLibSql.checkpoint(state, mode)

  ## What is in the file

  @doc "The columns of a table: cid, name, type, notnull, dflt_value, pk."
  @spec table_info(State.t(), name()) :: answer()
  def table_info(state, table), do: of(state, "table_info", table)

  @doc "The columns of a table, hidden and generated ones too."
  @spec table_xinfo(State.t(), name()) :: answer()
  def table_xinfo(state, table), do: of(state, "table_xinfo", table)

  @doc "The indexes of a table."
  @spec index_list(State.t(), name()) :: answer()
  def index_list(state, table), do: of(state, "index_list", table)

  @doc "The columns of an index."
  @spec index_info(State.t(), name()) :: answer()
  def index_info(state, index), do: of(state, "index_info", index)

  @doc "The foreign keys of a table."
  @spec foreign_key_list(State.t(), name()) :: answer()
  def foreign_key_list(state, table), do: of(state, "foreign_key_list", table)

  @doc "Rows that break a foreign key."
  @spec foreign_key_check(State.t()) :: answer()
  def foreign_key_check(state), do: query(state, "PRAGMA foreign_key_check")

  # As in EctoLibSql 0.9: letters, digits, underscores, and dots behind a schema's name.
  defp of(state, pragma, name) do
    text = to_string(name)

    if Regex.match?(~r/\A[A-Za-z_][A-Za-z0-9_.]*\z/, text) do
      {schema, object} = split(text)
      query(state, ~s|PRAGMA #{schema}#{pragma}("#{object}")|)
    else
      {:error, {:invalid_identifier, name}}
    end
  end

  defp split(text) do
    case String.split(text, ".", parts: 2) do
      [schema, object] -> {~s("#{schema}".), object}
      [object] -> {"", object}
    end
  end

  @doc "All tables and views."
  @spec table_list(State.t()) :: answer()
  def table_list(state), do: query(state, "PRAGMA table_list")

  @doc "The databases of the connection: number, name, file."
  @spec database_list(State.t()) :: answer()
  def database_list(state), do: query(state, "PRAGMA database_list")

  @doc "The number that the file keeps for its user."
  @spec user_version(State.t()) :: answer()
  def user_version(state), do: query(state, "PRAGMA user_version")

  @doc "Sets the number that the file keeps for its user."
  @spec set_user_version(State.t(), integer()) :: answer()
  def set_user_version(state, version) when is_integer(version),
    do: query(state, "PRAGMA user_version = #{version}")

  ## Care

  @doc "Checks the whole file; one row \"ok\" if it is sound."
  @spec integrity_check(State.t()) :: answer()
  def integrity_check(state), do: query(state, "PRAGMA integrity_check")

  @doc "The same without looking into indexes."
  @spec quick_check(State.t()) :: answer()
  def quick_check(state), do: query(state, "PRAGMA quick_check")

  @doc "Lets the engine gather the statistics that it misses."
  @spec optimize(State.t()) :: answer()
  def optimize(state), do: query(state, "PRAGMA optimize")
end
