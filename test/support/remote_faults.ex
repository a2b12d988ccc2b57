defmodule EctoLibSql.Test.RemoteFaults do
  @moduledoc """
  What the tests of servers that fail share. The rule that all of them look at: a write that was answered is there
  once; one whose error says `outcome: :none` is not there; one of `:unknown` is there once or not. Nothing is there
  twice.
  """

  import ExUnit.Assertions
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.Error
  alias EctoLibSql.Test.Target

  @doc "A connection to this address, closed after the test."
  def dial(url, opts \\ []) do
    assert {:ok, db} = EctoLibSql.connect([uri: Target.address(url)] ++ opts)
    ExUnit.Callbacks.on_exit(fn -> EctoLibSql.close(db, wait: false) end)
    db
  end

  @doc "The error with which an address is refused: at once, or at the first statement."
  def refusal(url, opts) do
    with {:ok, db} <- EctoLibSql.connect([uri: Target.address(url)] ++ opts) do
      error = err(db, "SELECT 1")
      EctoLibSql.close(db)
      error
    else
      {:error, %Error{} = error} -> error
    end
  end

  @doc "The connection is used again within a second or two: its server may just have been given up, or be on its way."
  def assert_soon_usable(db, tries \\ 100) do
    case EctoLibSql.query(%{db | trx_id: nil}, "SELECT 1") do
      {:ok, _, _, _} ->
        :ok

      {:error, error, _} ->
        assert tries > 0, "still not usable: #{inspect(error)}"
        Process.sleep(20)
        assert_soon_usable(db, tries - 1)
    end
  end

  @doc "A text that no other write of the run has; all are of one length."
  def marker do
    "mark" <> String.pad_leading("#{System.unique_integer([:positive])}", 15, "0")
  end

  @doc "One INSERT of the marker: `{answer, ms}`, where answer is `:ok` or the error."
  def insert(db, marker, opts \\ []) do
    {ms, answer} = timed(fn -> EctoLibSql.query(db, "INSERT INTO t VALUES (?)", [marker], opts) end)

    case answer do
      {:ok, _, %{num_rows: 1}, _} -> {:ok, ms}
      {:error, %Error{} = error, _} -> {error, ms}
    end
  end

  @doc "Whether what is there agrees with what was answered; `look` is a connection without faults."
  def assert_true(look, marker, answer, context) do
    count = one(look, "SELECT count(*) FROM t WHERE m = ?", [marker])

    fine? =
      case answer do
        :ok -> count == 1
        %Error{outcome: :none} -> count == 0
        %Error{outcome: :committed} -> count == 1
        %Error{outcome: :unknown} -> count in [0, 1]
      end

    assert fine?, "#{inspect(context)}: there #{count} times, answered #{inspect(answer)}"
    count
  end
end
