defmodule Ecto.Adapters.LibSql.DDL.MomentTest do
  # Defaults of dates and times.
  use EctoLibSql.Case, async: true
  import EctoLibSql.DriverHelpers
  import Ecto.Migration, only: [table: 1]

  alias Ecto.Adapters.LibSql.{DDL, Types}

  @types [:date, :time, :time_usec, :naive_datetime, :naive_datetime_usec] ++
           [:utc_datetime, :utc_datetime_usec, :timestamp, :timestamptz]
  @datetimes @types -- [:date, :time, :time_usec]

  # What a row gets by default.
  defp default(type, value, settings \\ []) do
    db = open()
    columns = [{:add, :n, :integer, []}, {:add, :c, type, default: value}]
    DDL.run({:create, table(:t), columns}, settings, &q(db, &1).rows)
    q(db, "INSERT INTO t (n) VALUES (1)")
    one(db, "SELECT c FROM t")
  end

  defp fragment(type, sql, settings \\ []), do: default(type, {:fragment, sql}, settings)

  @forms %{
    date: ~r/^\d{4}-\d\d-\d\d$/,
    time: ~r/^\d\d:\d\d:\d\d$/,
    time_usec: ~r/^\d\d:\d\d:\d\d\.\d{6}$/,
    naive_datetime: ~r/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/,
    naive_datetime_usec: ~r/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/,
    utc_datetime: ~r/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    utc_datetime_usec: ~r/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
    timestamp: ~r/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/,
    timestamptz: ~r/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
  }

  describe "the time as a default" do
    test "has the form of the column" do
      for type <- @types, sql <- ["CURRENT_TIMESTAMP", "current_timestamp", "now()"] do
        assert fragment(type, sql) =~ @forms[type], inspect({type, sql})
      end
    end

    test "compares with what the Repo writes, on the same day" do
      for type <- [:naive_datetime, :naive_datetime_usec, :utc_datetime, :utc_datetime_usec] do
        before = DateTime.utc_now()
        stored = fragment(type, "CURRENT_TIMESTAMP")
        [load | _] = Types.loaders(type, type)
        assert {:ok, loaded} = load.(stored)

        loaded =
          if is_struct(loaded, NaiveDateTime),
            do: DateTime.from_naive!(loaded, "Etc/UTC"),
            else: loaded

        assert DateTime.diff(loaded, before, :second) in -1..60

        hour_ago =
          before |> DateTime.add(-3600) |> DateTime.to_naive() |> NaiveDateTime.to_iso8601()

        hour_later =
          before |> DateTime.add(3600) |> DateTime.to_naive() |> NaiveDateTime.to_iso8601()

        assert stored > hour_ago and stored < hour_later
      end
    end

    test "is microseconds where the Repo stores these" do
      settings = [datetime_type: :integer]

      for type <- @datetimes do
        now = System.os_time(:microsecond)
        stored = fragment(type, "CURRENT_TIMESTAMP", settings)
        assert is_integer(stored) and (stored - now) in -2_000_000..60_000_000, inspect(type)
      end

      assert rem(fragment(:utc_datetime, "now()", settings), 1_000_000) == 0
      assert fragment(:date, "CURRENT_TIMESTAMP", settings) =~ @forms.date
      day = fragment(:utc_datetime_usec, "CURRENT_DATE", settings)
      assert rem(day, 86_400_000_000) == 0
    end

    test "by SQLite's functions, whatever their arguments" do
      at = "'2024-05-06 07:08:09.123', '+1 day'"
      assert fragment(:naive_datetime, "datetime(#{at})") == "2024-05-07T07:08:09"
      assert fragment(:utc_datetime, " ( DateTime ( #{at} ) ) ") == "2024-05-07T07:08:09Z"
      assert fragment(:naive_datetime_usec, "datetime(#{at})") == "2024-05-07T07:08:09.123000"
      assert fragment(:utc_datetime_usec, "date(#{at})") == "2024-05-07T00:00:00.000000Z"
      assert fragment(:date, "datetime(#{at})") == "2024-05-07"
      assert fragment(:date, "date(#{at})") == "2024-05-07"
      assert fragment(:time, "time(#{at})") == "07:08:09"
      assert fragment(:time_usec, "time(#{at})") == "07:08:09.123000"
      assert fragment(:time_usec, "CURRENT_TIME") =~ @forms.time_usec
      assert fragment(:utc_datetime, "datetime()") =~ @forms.utc_datetime

      integer = [datetime_type: :integer]
      assert fragment(:naive_datetime, "datetime(#{at})", integer) == 1_715_065_689_000_000
      assert fragment(:utc_datetime_usec, "datetime(#{at})", integer) == 1_715_065_689_123_000
    end

    test "stays as it is in other columns, and other expressions do" do
      assert fragment(:string, "CURRENT_TIMESTAMP") =~ ~r/^\d{4}-\d\d-\d\d \d\d:/
      own = "strftime('%Y', '2024-05-06')"
      assert fragment(:utc_datetime, own) == "2024"
      assert fragment(:utc_datetime, "datetime('2024-05-06') || 'Z'") == "2024-05-06 00:00:00Z"
    end

    test "that has no such part is refused" do
      for {type, sql} <- [
            {:utc_datetime, "CURRENT_TIME"},
            {:time, "date('now')"},
            {:date, "time()"}
          ] do
        assert_raise ArgumentError, ~r/cannot be the default/, fn -> fragment(type, sql) end
      end
    end
  end

  describe "values" do
    test "as text have the form of the column, too" do
      assert default(:naive_datetime, "2024-05-06 07:08:09.5") == "2024-05-06T07:08:09"
      assert default(:utc_datetime, "2024-05-06 07:08:09") == "2024-05-06T07:08:09Z"

      assert default(:utc_datetime_usec, "2024-05-06T07:08:09+02:00") ==
               "2024-05-06T05:08:09.000000Z"

      assert default(:date, "2024-05-06") == "2024-05-06"
      assert default(:time_usec, "07:08:09") == "07:08:09.000000"
      assert default(:utc_datetime, 1_500_000, datetime_type: :integer) == 1_500_000
    end

    test "of another kind are refused" do
      for {type, value} <- [
            {:utc_datetime, "CURRENT_TIMESTAMP"},
            {:naive_datetime, "now()"},
            {:naive_datetime, 0},
            {:utc_datetime, ~D[2024-05-06]},
            {:date, ~U[2024-05-06 07:08:09Z]},
            {:date, "06.05.2024"},
            {:time, ~N[2024-05-06 07:08:09]}
          ] do
        assert_raise ArgumentError, ~r/cannot be the default/, fn -> default(type, value) end
      end
    end
  end
end
