defmodule Ecto.Adapters.LibSql.StatementsTest do
  use ExUnit.Case, async: true

  import Ecto.Adapters.LibSql.Statements, only: [split: 1]

  test "semicolons part statements, but not in quotes and comments" do
    assert split("SELECT 1; SELECT 2;") == ["SELECT 1", "SELECT 2"]

    assert split(~s{SELECT ';', "a;", [b;], `c;` -- d;\n, 2}) == [
             ~s{SELECT ';', "a;", [b;], `c;` -- d;\n, 2}
           ]

    assert split("SELECT 'it''s;' /* ; */; SELECT 2") == ["SELECT 'it''s;' /* ; */", "SELECT 2"]
    assert split("SELECT 'é;ü' AS größe; SELECT 2") == ["SELECT 'é;ü' AS größe", "SELECT 2"]
  end

  test "nothing between semicolons is no statement" do
    assert split("") == []
    assert split(" ;; -- nothing\n; /* nothing */") == []
    assert split("SELECT 1;") == ["SELECT 1"]
  end

  test "what is not closed reaches to the end" do
    assert split("SELECT 'a; SELECT 2") == ["SELECT 'a; SELECT 2"]
    assert split("SELECT 1 /* ; SELECT 2") == ["SELECT 1 /* ; SELECT 2"]
  end

  test "a trigger is one statement" do
    trigger =
      "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = CASE y WHEN 1 THEN 2 END; SELECT 1; END"

    assert split("#{trigger}; SELECT 1") == [trigger, "SELECT 1"]
    temp = String.replace(trigger, "CREATE", "create temp")
    assert split("SELECT 0;#{temp};") == ["SELECT 0", temp]

    assert split("CREATE TABLE trigger_t (a); SELECT 1") == [
             "CREATE TABLE trigger_t (a)",
             "SELECT 1"
           ]
  end
end
