defmodule Ecto.Adapters.LibSql.ColumnTypeTest do
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers

  alias Ecto.Adapters.LibSql.ColumnType

  @types [
    {:id, [], "INTEGER", "integer"},
    {:serial, [], "INTEGER", "integer"},
    {:bigserial, [], "INTEGER", "integer"},
    {:bigint, [], "INTEGER", "integer"},
    {:integer, [], "INTEGER", "integer"},
    {:boolean, [], "INTEGER", "integer"},
    {:string, [], "TEXT", "text"},
    {:string, [size: 100], "TEXT(100)", "text"},
    {:text, [], "TEXT", "text"},
    {:binary, [], "BLOB", "blob"},
    {:binary, [size: 3], "BLOB(3)", "blob"},
    {:binary_id, [], "TEXT", "text"},
    {:uuid, [], "BLOB_UUID", "blob"},
    {:float, [], "REAL", "real"},
    {:decimal, [], "TEXT_DECIMAL", "text"},
    {:decimal, [precision: 10], "TEXT_DECIMAL(10)", "text"},
    {:decimal, [precision: 10, scale: 2], "TEXT_DECIMAL(10,2)", "text"},
    {:numeric, [], "TEXT_DECIMAL", "text"},
    {:date, [], "TEXT_DATE", "text"},
    {:time, [], "TEXT_TIME", "text"},
    {:time_usec, [], "TEXT_TIME_USEC", "text"},
    {:naive_datetime, [], "TEXT_DATETIME", "text"},
    {:naive_datetime_usec, [], "TEXT_DATETIME_USEC", "text"},
    {:utc_datetime, [], "TEXT_UTC_DATETIME", "text"},
    {:utc_datetime_usec, [], "TEXT_UTC_DATETIME_USEC", "text"},
    {:map, [], "TEXT_JSON", "text"},
    {{:map, :string}, [], "TEXT_JSON", "text"},
    {{:array, :uuid}, [], "TEXT_ARRAY", "text"},
    {:bitstring, [], "BLOB_BITSTRING", "blob"},
    {:bitstring, [size: 10], "BLOB_BITSTRING(10)", "blob"},
    {:duration, [], "TEXT_DURATION", "text"},
    {:duration, [fields: "MONTH"], "TEXT_DURATION_MONTH", "text"},
    {:duration, [fields: "HOUR TO SECOND", precision: 1], "TEXT_DURATION_HOUR_TO_SECOND(1)",
     "text"},
    {:f32_blob, [], "F32_BLOB", "blob"},
    {"F32_BLOB(3)", [], "F32_BLOB(3)", "blob"}
  ]

  # Of the number 1, as the column's affinity makes it; BLOB leaves it alone.
  @one %{"integer" => "integer", "text" => "text", "real" => "real", "blob" => "integer"}

  for {type, opts, declared, affinity} <- @types do
    test "#{inspect(type)} #{inspect(opts)} is #{declared}" do
      sql = declare(unquote(Macro.escape(type)), unquote(opts))
      assert sql == unquote(declared)

      db = open()
      q(db, "CREATE TABLE t (c #{sql})")
      q(db, "INSERT INTO t VALUES (1)")
      assert one(db, "SELECT typeof(c) FROM t") == @one[unquote(affinity)]
    end

    test "#{inspect(type)} #{inspect(opts)} in a STRICT table" do
      sql = ColumnType.declare_strict(unquote(Macro.escape(type)), unquote(opts))

      assert %{rows: nil} = q(open(), "CREATE TABLE t (c #{sql}) STRICT")
    end
  end

  test "other names have the storage class of their affinity in a STRICT table" do
    for {type, class} <- [
          {:"VARCHAR(20)", "TEXT"},
          {:"unsigned bigint", "INTEGER"},
          {:"double precision", "REAL"},
          {:bit, "ANY"},
          {:"F32_BLOB(3)", "BLOB"},
          {:any, "ANY"},
          {"", "BLOB"}
        ],
        do: assert(ColumnType.declare_strict(type, []) == class)
  end

  test "settings choose the form" do
    assert declare(:uuid, [], uuid_type: :text) == "TEXT_UUID"
    assert declare(:binary_id, [], binary_id_type: :blob) == "BLOB_UUID"
    assert declare(:map, [], json_type: :jsonb) == "BLOB_JSONB"
    assert declare({:array, :integer}, [], json_type: :jsonb) == "BLOB_ARRAY"
    assert declare(:utc_datetime_usec, [], datetime_type: :integer) == "INTEGER_UTC_DATETIME_USEC"
    assert declare(:date, [], datetime_type: :integer) == "TEXT_DATE"
  end

  test "a declared type says what its values are" do
    assert ColumnType.to_ecto("TEXT_DECIMAL(10,2)") == {:decimal, numbers: [10, 2]}
    assert ColumnType.to_ecto("numeric") == {:decimal, numbers: []}
    assert ColumnType.to_ecto("BLOB_UUID") == {:uuid, numbers: []}
    assert ColumnType.to_ecto("TEXT_DATETIME") == {:naive_datetime, []}
    assert ColumnType.to_ecto("TEXT_UTC_DATETIME_USEC") == {:utc_datetime_usec, []}
    assert ColumnType.to_ecto("INTEGER_DATETIME_USEC") == {:naive_datetime_usec, []}

    assert ColumnType.to_ecto("TEXT_DURATION_HOUR_TO_SECOND(1)") ==
             {:duration, numbers: [1], fields: "HOUR_TO_SECOND"}

    for none <- ["TEXT", "INTEGER", "", "F32_BLOB(3)", nil],
        do: assert(ColumnType.to_ecto(none) == nil)
  end

  test "every declared name of ours is known again" do
    for {type, opts, "TEXT_" <> _ = declared, _} <- @types do
      assert {_type, _details} = ColumnType.to_ecto(declared), inspect({type, opts})
    end
  end

  test "what is no type is refused" do
    assert_raise ArgumentError, ~r/cannot be declared/, fn -> declare({:odd, 1}, []) end
    assert_raise ArgumentError, ~r/are numbers/, fn -> declare(:string, size: "1); DROP") end
  end

  defp declare(type, opts, settings \\ []),
    do: type |> ColumnType.declare(opts, settings) |> IO.iodata_to_binary()
end
