defmodule EctoLibSql.Driver.JSONTest do
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Encoder, Error, JSON}

  setup do: {:ok, db: open()}

  @json ~s({"user":{"name":"Ann","age":30,"tags":["a","b"],"x":null,"ok":true,"f":1.5}})

  test "extract", %{db: db} do
    for {path, value} <- [
          {"$.user.name", "Ann"},
          {"$.user.age", 30},
          {"$.user.f", 1.5},
          {"$.user.ok", 1},
          {"$.user.x", nil},
          {"$.absent", nil},
          {"$.user.tags", ~s(["a","b"])},
          {"$.user.tags[1]", "b"},
          {"$.user.tags[#-1]", "b"}
        ] do
      assert {path, JSON.extract(db, @json, path)} == {path, {:ok, value}}
    end

    assert {:error, %Error{message: message}} = JSON.extract(db, "{", "$")
    assert message =~ "malformed JSON"
    assert {:error, %Error{}} = JSON.extract(db, @json, "no path")
  end

  test "type", %{db: db} do
    for {path, type} <- [
          {"$.user", "object"},
          {"$.user.tags", "array"},
          {"$.user.name", "text"},
          {"$.user.age", "integer"},
          {"$.user.f", "real"},
          {"$.user.ok", "true"},
          {"$.user.x", "null"},
          {"$.absent", nil}
        ] do
      assert JSON.type(db, @json, path) == {:ok, type}
    end

    assert JSON.type(db, "false") == {:ok, "false"}
    assert {:error, %Error{}} = JSON.type(db, "{")
  end

  test "is_valid", %{db: db} do
    for {text, valid?} <- [{"{}", true}, {"1", true}, {"{", false}, {"", false}, {"{a:1}", false}] do
      assert {text, JSON.is_valid(db, text)} == {text, {:ok, valid?}}
    end
  end

  test "array and object", %{db: db} do
    values = [1, 1.5, "a\"b", nil, true, false, [1, [2]], %{"k" => [true]}, ~D[2024-01-01]]

    assert JSON.array(db, values) ==
             {:ok, ~s([1,1.5,"a\\"b",null,true,false,[1,[2]],{"k":[true]},"2024-01-01"])}

    assert JSON.array(db, []) == {:ok, "[]"}

    assert JSON.object(db, ["a", 1, "b", true, "c", %{"d" => []}]) ==
             {:ok, ~s({"a":1,"b":true,"c":{"d":[]}})}

    assert JSON.object(db, []) == {:ok, "{}"}
    assert {:error, {:invalid_arguments, message}} = JSON.object(db, ["a"])
    assert is_binary(message)
    assert {:error, %Error{}} = JSON.object(db, [nil, 1])
    assert {:error, %Error{}} = JSON.array(db, [<<255>>])
  end

  test "each and tree", %{db: db} do
    assert JSON.each(db, ~s({"a":1,"b":[2]})) == {:ok, [{"a", 1, "integer"}, {"b", "[2]", "array"}]}
    assert JSON.each(db, ~s({"a":[5,null]}), "$.a") == {:ok, [{0, 5, "integer"}, {1, nil, "null"}]}
    assert JSON.each(db, "[]") == {:ok, []}

    assert JSON.tree(db, ~s({"a":[5]})) ==
             {:ok, [{"$", nil, "object"}, {"$.a", nil, "array"}, {"$.a[0]", 5, "integer"}]}

    assert JSON.tree(db, ~s({"a":[5]}), "$.a") ==
             {:ok, [{"$.a", nil, "array"}, {"$.a[0]", 5, "integer"}]}

    assert {:error, %Error{}} = JSON.each(db, "{")
    assert {:error, %Error{}} = JSON.tree(db, "{")
  end

  test "convert", %{db: db} do
    assert JSON.convert(db, ~s( { "a" : 1 } )) == {:ok, ~s({"a":1})}
    assert JSON.convert(db, ~s( { "a" : 1 } ), :json) == {:ok, ~s({"a":1})}
    assert {:ok, blob} = JSON.convert(db, ~s({"a":1}), :jsonb)
    assert is_binary(blob)
    # The binary form is taken wherever text is, as what it is.
    assert JSON.convert(db, {:blob, blob}, :json) == {:ok, ~s({"a":1})}
    assert JSON.extract(db, {:blob, blob}, "$.a") == {:ok, 1}
    assert_raise ArgumentError, fn -> JSON.convert(db, "{}", :xml) end
    assert {:error, %Error{}} = JSON.convert(db, "{")
  end

  test "the binary form is taken by every function", %{db: db} do
    {:ok, jsonb} = JSON.convert(db, ~s({"a":[1,2]}), :jsonb)

    for blob <- [jsonb, {:blob, jsonb}] do
      assert JSON.extract(db, blob, "$.a") == {:ok, "[1,2]"}
      assert JSON.type(db, blob) == {:ok, "object"}
      assert JSON.keys(db, blob) == {:ok, ~s(["a"])}
      assert JSON.json_length(db, blob) == {:ok, 1}
      assert JSON.depth(db, blob) == {:ok, 3}
      assert JSON.set(db, blob, "$.b", 1) == {:ok, ~s({"a":[1,2],"b":1})}
      assert JSON.remove(db, blob, "$.a") == {:ok, "{}"}
      assert JSON.patch(db, blob, "{}") == {:ok, ~s({"a":[1,2]})}
      assert JSON.each(db, blob, "$.a") == {:ok, [{0, 1, "integer"}, {1, 2, "integer"}]}
    end
  end

  test "json_quote", %{db: db} do
    for {value, json} <- [
          {"a\"b", ~s("a\\"b")},
          {1, "1"},
          {1.5, "1.5"},
          {nil, "null"},
          {true, "true"},
          {false, "false"},
          {[1, true], "[1,true]"},
          {%{"a" => nil}, ~s({"a":null})}
        ] do
      assert JSON.json_quote(db, value) == {:ok, json}
    end
  end

  test "remove, set, replace, insert, patch", %{db: db} do
    json = ~s({"a":1,"b":2})
    assert JSON.remove(db, json, "$.a") == {:ok, ~s({"b":2})}
    assert JSON.remove(db, json, ["$.a", "$.b"]) == {:ok, "{}"}
    assert JSON.remove(db, json, []) == {:ok, json}
    assert JSON.set(db, json, "$.a", 9) == {:ok, ~s({"a":9,"b":2})}
    assert JSON.set(db, json, "$.c", 9) == {:ok, ~s({"a":1,"b":2,"c":9})}
    assert JSON.replace(db, json, "$.a", "x") == {:ok, ~s({"a":"x","b":2})}
    assert JSON.replace(db, json, "$.c", "x") == {:ok, json}
    assert JSON.insert(db, json, "$.c", nil) == {:ok, ~s({"a":1,"b":2,"c":null})}
    assert JSON.insert(db, json, "$.a", nil) == {:ok, json}
    assert JSON.set(db, json, "$.a", true) == {:ok, ~s({"a":true,"b":2})}
    assert JSON.set(db, json, "$.a", [1, %{"x" => false}]) == {:ok, ~s({"a":[1,{"x":false}],"b":2})}
    # Text is text, also where it looks like JSON.
    assert JSON.set(db, json, "$.a", "[1]") == {:ok, ~s({"a":"[1]","b":2})}
    assert JSON.patch(db, json, ~s({"a":null,"c":3})) == {:ok, ~s({"b":2,"c":3})}
    assert {:error, %Error{}} = JSON.set(db, "{", "$.a", 1)
    assert {:error, %Error{}} = JSON.patch(db, json, "{")
  end

  test "json_length, depth, keys", %{db: db} do
    for {json, path, length, keys} <- [
          {"[1,2,3]", "$", 3, nil},
          {"{}", "$", 0, "[]"},
          {~s({"a":1,"b":[1,2]}), "$", 2, ~s(["a","b"])},
          {~s({"a":1,"b":[1,2]}), "$.b", 2, nil},
          {~s({"a":1,"b":[1,2]}), "$.a", nil, nil},
          {~s({"a":1}), "$.absent", nil, nil},
          {"5", "$", nil, nil}
        ] do
      assert {json, path, JSON.json_length(db, json, path)} == {json, path, {:ok, length}}
      assert {json, path, JSON.keys(db, json, path)} == {json, path, {:ok, keys}}
    end

    assert JSON.json_length(db, "[1]") == {:ok, 1}
    assert JSON.keys(db, ~s({"a":1})) == {:ok, ~s(["a"])}

    for {json, depth} <- [
          {"1", 1},
          {"[]", 1},
          {"[1]", 2},
          {"[[1],2]", 3},
          {~s({"a":{"b":[{}]}}), 4}
        ] do
      assert {json, JSON.depth(db, json)} == {json, {:ok, depth}}
    end

    for fun <- [&JSON.json_length/2, &JSON.keys/2, &JSON.depth/2],
        do: assert({:error, %Error{}} = fun.(db, "{"))
  end

  test "arrow_fragment", %{db: db} do
    assert JSON.arrow_fragment("data", "name") == "data -> 'name'"
    assert JSON.arrow_fragment("data", 0) == "data -> 0"
    assert JSON.arrow_fragment("data", "name", :double_arrow) == "data ->> 'name'"
    assert JSON.arrow_fragment("data", "it's") == "data -> 'it''s'"

    for column <- ["", "a b", "a;", "1a", "a.b", "a\n"] do
      assert_raise ArgumentError, fn -> JSON.arrow_fragment(column, "x") end
    end

    assert one(
             db,
             "SELECT #{JSON.arrow_fragment("d", "it's", :double_arrow)} FROM (SELECT ? AS d)",
             [
               ~s({"it's":5})
             ]
           ) == 5
  end

  describe "JSON text by the core" do
    # What Jason and Elixir's own JSON write, by hand.
    for {term, text} <- [
          {nil, "null"},
          {true, "true"},
          {false, "false"},
          {:atom, ~s("atom")},
          {0, "0"},
          {-1, "-1"},
          {9_223_372_036_854_775_807, "9223372036854775807"},
          {-9_223_372_036_854_775_808, "-9223372036854775808"},
          {1.0, "1.0"},
          {0.1, "0.1"},
          {100.0, "100.0"},
          {1.0e22, "1.0e22"},
          {1.0e-5, "1.0e-5"},
          {123_456.789, "123456.789"},
          {5.0e-324, "5.0e-324"},
          {1.7976931348623157e308, "1.7976931348623157e308"},
          {"", ~s("")},
          {"text", ~s("text")},
          {"a\"b\\c/d", ~S("a\"b\\c/d")},
          {"\b\f\n\r\t", ~S("\b\f\n\r\t")},
          {<<0, 1, 31>>, ~S("\u0000\u0001\u001F")},
          {<<127>>, <<?", 127, ?">>},
          {"ä€𝄞", ~s("ä€𝄞")},
          {[], "[]"},
          {[1, [2, []], "x"], ~s([1,[2,[]],"x"])},
          {2 ** 64, "18446744073709551616"},
          {[-(2 ** 63) - 1], "[-9223372036854775809]"},
          {%{}, "{}"},
          {%{"a" => 1}, ~s({"a":1})},
          {%{a: %{b: [nil]}}, ~s({"a":{"b":[null]}})},
          {%{1 => 2}, ~s({"1":2})},
          {%{"a\"" => 1}, ~S({"a\"":1})},
          {~D[2024-02-29], ~s("2024-02-29")},
          {%{t: ~T[12:00:00], n: ~N[2024-01-01 00:00:00]},
           ~s({"n":"2024-01-01T00:00:00","t":"12:00:00"})},
          {~U[2024-01-01 00:00:00Z], ~s("2024-01-01T00:00:00Z")}
        ] do
      test "of #{inspect(term)}", %{db: db} do
        text = unquote(text)
        assert Encoder.json(unquote(Macro.escape(term))) == text
        assert JSON.is_valid(db, text) == {:ok, true}
      end
    end

    test "floats are the VM's shortest form, and read back as they were" do
      seed = :rand.seed(:exsss, {1, 2, System.unique_integer([:positive])})
      IO.puts("json_test floats: seed #{inspect(:rand.export_seed_s(seed))}")

      # A list at a time: a call takes another thread, whose turn may come late on a loaded machine.
      for _ <- 1..100 do
        floats = for _ <- 1..200, float <- random_float(), do: float
        texts = for float <- floats, do: :erlang.float_to_binary(float, [:short])
        text = Encoder.json(floats)
        assert text == "[" <> Enum.join(texts, ",") <> "]"

        read = text |> String.split(["[", ",", "]"], trim: true) |> Enum.map(&String.to_float/1)
        assert read === floats
      end
    end

    # None where the bits are those of an infinity or none.
    defp random_float do
      case <<:rand.uniform(0x10000000000000000) - 1::64>> do
        <<float::float>> -> [float]
        _infinite -> []
      end
    end

    test "what JSON cannot hold" do
      for term <- [{1, 2}, self(), make_ref(), <<255>>, %{<<255>> => 1}, 1..2, [1 | 2]] do
        assert_raise ArgumentError, fn -> Encoder.json(term) end
      end
    end
  end
end
