defmodule EctoLibSql.Driver.DurabilityTest do
  # `durability:`, and `synchronous: :off` only by a word that says what it costs.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Error, Options, Pragma}

  @names [:synchronous, :fullfsync, :wal_autocheckpoint, :journal_size_limit, :temp_store]

  defp settings(opts) do
    db = open(tmp_path(), opts)
    for name <- @names, do: one(db, "PRAGMA #{name}")
  end

  test "what each preset sets" do
    assert settings([]) == [1, 0, 1000, -1, 0]
    assert settings(durability: :balanced) == settings([])
    assert settings(durability: :durable) == [3, 1, 1000, -1, 0]
    assert settings(durability: :embedded) == [1, 0, 2000, 1_048_576, 2]
    assert settings(durability: :none) == [0, 0, 1000, -1, 0]
  end

  test "what is given wins" do
    assert settings(durability: :durable, synchronous: :full) == [2, 1, 1000, -1, 0]
    assert settings(durability: :durable, fullfsync: false) == [3, 0, 1000, -1, 0]
    assert settings(durability: :none, synchronous: :normal) == [1, 0, 1000, -1, 0]

    assert settings(
             durability: :embedded,
             wal_autocheckpoint: 9,
             journal_size_limit: 8,
             temp_store: :file
           ) == [1, 0, 9, 8, 1]

    assert settings(durability: :embedded, pragmas: [wal_autocheckpoint: 7]) ==
             [1, 0, 7, 1_048_576, 2]
  end

  test "it holds for attached databases, and after a reset" do
    db = open(tmp_path(), durability: :durable, attach: [far: tmp_path()])
    assert one(db, "PRAGMA far.synchronous") == 3
    q(db, "PRAGMA synchronous = off")
    {:ok, db} = EctoLibSql.reset_connection(db)
    assert one(db, "PRAGMA synchronous") == 3
  end

  test "synchronous: :off takes durability: :none" do
    for durability <- [[], [durability: :balanced], [durability: :embedded]] do
      opts = [database: tmp_path(), synchronous: :off] ++ durability
      assert {:error, %Error{code: :bad_argument} = error} = EctoLibSql.connect(opts)
      assert error.message =~ "durability: :none"
      refute File.exists?(opts[:database])
    end

    assert one(open(tmp_path(), synchronous: :off, durability: :none), "PRAGMA synchronous") == 0
  end

  test "a PRAGMA by hand is its user's word" do
    db = open(tmp_path())
    assert {:ok, _} = Pragma.set_synchronous(db, :off)
    assert one(db, "PRAGMA synchronous") == 0
    assert one(open(tmp_path(), pragmas: [synchronous: :off]), "PRAGMA synchronous") == 0
  end

  test "the documentation tells what each sets" do
    for word <- ~w(:durable :balanced :embedded :none), do: assert(Options.docs() =~ word)
  end
end
