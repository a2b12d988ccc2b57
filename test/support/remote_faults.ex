defmodule EctoLibSql.Test.RemoteFaults do
  @moduledoc """
  What the tests of servers that fail share. The rule that all of them look at: a write that was answered is there
  once; one whose error says `outcome: :none` is not there; one of `:unknown` is there once or not. Nothing is there
  twice.
  """

  import ExUnit.Assertions
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.Error
  alias EctoLibSql.Test.{Sqld, Target}

  @doc """
  A call that is to end at its time-out has ended so many ms later: on a machine that has much else to do, too, and long
  before it would if nobody looked at the time.
  """
  def slack, do: 5_000

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

  # How long a connection may take until it is used again, and a server may say nothing at all.
  @usable_ms 10_000
  @silent_ms 120_000

  @doc """
  The connection is used again within some seconds: its server may have been given up, which is asked every half second
  from then on, and is waited for 2 s each time.

  Only a server that answers can be used. Where one that the test has started does not, asked without what lies
  between, that time does not count, up to two minutes.
  """
  def assert_soon_usable(db, ms \\ @usable_ms) do
    soon_usable(db, ms, now() + ms, now() + @silent_ms)
  end

  # A try that began in time is waited for, and none is blamed that began when the server was silent.
  defp soon_usable(db, ms, until, end_of_silence) do
    began = now()

    case EctoLibSql.query(%{db | trx_id: nil}, "SELECT 1") do
      {:ok, _, _, _} ->
        :ok

      {:error, error, _} ->
        until = if silent?(end_of_silence), do: now() + ms, else: until
        if began > until, do: flunk(unusable(error))
        Process.sleep(20)
        soon_usable(db, ms, until, end_of_silence)
    end
  end

  defp silent?(end_of_silence) do
    silent = if now() < end_of_silence, do: Enum.filter(Sqld.own(), &Sqld.silent?/1), else: []
    for sqld <- silent, do: IO.puts("sqld at #{sqld.port} says nothing, and is waited for")
    silent != []
  end

  defp unusable(error) do
    Enum.join(
      ["still not usable: #{inspect(error)}" | Enum.map(Sqld.own(), &Sqld.describe/1)],
      "\n"
    )
  end

  defp now, do: System.monotonic_time(:millisecond)

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
