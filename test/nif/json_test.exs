defmodule EctoLibSql.NIF.JSONTest do
  use EctoLibSql.Case, async: true

  import EctoLibSql.NIFHelp, only: [code: 1]

  alias EctoLibSql.Settled, as: NIF

  # The one atom key that has no other spelling in source text.
  @greek :ключ

  defp json!(term) do
    {:ok, text} = NIF.json_encode(term)
    text
  end

  defp message(term) do
    assert {:error, {:bad_argument, 0, message, nil, nil, false, :none, nil}} =
             NIF.json_encode(term)

    message
  end

  describe "floats" do
    test "are written as the VM writes them" do
      for _ <- 1..10_000 do
        float = random_float()
        assert json!(float) == :erlang.float_to_binary(float, [:short])
      end
    end

    test "of note" do
      powers = for i <- -308..308, do: :math.pow(10, i)
      twos = for i <- -1022..1023, do: :math.pow(2, i)

      borders =
        for float <- [1.0e16, 1.0e15, 9_007_199_254_740_992.0, 1.0e-5, 1.0e-4, 1.0e21, 0.1, 123.0],
            bits <- -3..3,
            <<value::float>> = <<:binary.decode_unsigned(<<float::float>>) + bits::64>>,
            do: value

      special = [0.0, -0.0, 5.0e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1 + 0.2]
      integral = for i <- 0..60, do: :math.pow(2, i) + 1.0

      for float <- powers ++ twos ++ borders ++ special ++ integral, float <- [float, -float] do
        text = json!(float)
        assert text == :erlang.float_to_binary(float, [:short])
        assert :erlang.float_to_binary(String.to_float(text)) == :erlang.float_to_binary(float)
      end
    end
  end

  # Every exponent is as likely as another. ExUnit has seeded :rand with the seed that it prints.
  defp random_float do
    bits = :rand.uniform(4_503_599_627_370_496) - 1
    <<float::float>> = <<:rand.uniform(2) - 1::1, :rand.uniform(2047) - 1::11, bits::52>>
    float
  end

  test "integers of 64 bits, and no others" do
    for integer <- [0, 1, -1, 9, 10, 1_000_000, 0x7FFFFFFFFFFFFFFF, -0x8000000000000000],
        do: assert(json!(integer) == Integer.to_string(integer))

    for integer <- [0x8000000000000000, -0x8000000000000001, Integer.pow(10, 400)],
        do: assert(message(integer) =~ "64 bits")
  end

  test "strings: every control character" do
    short = %{
      8 => "\\b",
      9 => "\\t",
      10 => "\\n",
      12 => "\\f",
      13 => "\\r",
      ?" => "\\\"",
      ?\\ => "\\\\"
    }

    for byte <- 0..127 do
      hex = byte |> Integer.to_string(16) |> String.pad_leading(4, "0")
      plain = if byte < 32, do: "\\u" <> hex, else: <<byte>>
      expected = Map.get(short, byte, plain)
      assert json!(<<byte>>) == "\"" <> expected <> "\""
      assert json!("ä" <> <<byte>> <> "z") == "\"ä" <> expected <> "z\""
    end

    assert json!("") == "\"\""
    assert json!("äß€😀\u2028\u007f") == "\"äß€😀\u2028\u007f\""
    long = String.duplicate("\0é", 300_000)
    assert json!(long) == "\"" <> String.duplicate("\\u0000é", 300_000) <> "\""
  end

  test "strings that are not UTF-8" do
    for bytes <- [
          <<255>>,
          <<0xC0, 0x80>>,
          <<0xED, 0xA0, 0x80>>,
          <<0xF4, 0x90, 0x80, 0x80>>,
          "a" <> <<0xC3>>
        ] do
      assert message(bytes) =~ "UTF-8"
      assert message([bytes]) =~ "UTF-8"
      assert message({[{bytes, 1}]}) =~ "UTF-8"
    end

    assert code(NIF.json_encode(<<1::3>>)) == :bad_argument
  end

  test "atoms" do
    assert json!([nil, :null, true, false]) == "[null,null,true,false]"
    assert json!([:a, :"", :"é\"", @greek, Elixir, :"😀"]) == ~S(["a","","é\"","ключ","Elixir","😀"])
    assert json!(:"a\0b") == ~S("a\u0000b")

    for char <- ["x", "é", "ж", "😀"], count <- [254, 255] do
      name = String.duplicate(char, count)
      assert json!(String.to_atom(name)) == "\"#{name}\""
    end
  end

  test "objects and lists" do
    assert json!([]) == "[]"
    assert json!({[]}) == "{}"
    assert json!([1, [2, []], {[]}, "x"]) == ~S([1,[2,[]],{},"x"])

    assert json!({[{"a", 1}, {:b, [{[{"c", nil}]}]}, {"a", 2.5}]}) ==
             ~S({"a":1,"b":[{"c":null}],"a":2.5})
  end

  test "keys are texts, also those that are values elsewhere" do
    assert json!({[{nil, 1}, {true, 2}, {:é, 3}, {@greek, 4}, {:"", 5}, {"", 6}]}) ==
             ~S({"nil":1,"true":2,"é":3,"ключ":4,"":5,"":6})

    for length <- 1..12 do
      name = String.duplicate("é", length)
      assert json!({[{String.to_atom(name), 0}]}) == ~s({"#{name}":0})
    end

    for key <- [1, 1.5, [], {:a}, self()], do: assert(message({[{key, 1}]}) =~ "keys")
  end

  test "nesting has a limit, long lists have none" do
    nest = fn depth -> Enum.reduce(1..depth, 1, fn _, inner -> [inner] end) end
    assert json!(nest.(500)) == String.duplicate("[", 500) <> "1" <> String.duplicate("]", 500)
    limit = Enum.find(500..600, fn depth -> match?({:error, _}, NIF.json_encode(nest.(depth))) end)
    assert limit == 513
    assert message(nest.(limit)) =~ "deep"
    assert message(nest.(100_000)) =~ "deep"
    objects = Enum.reduce(1..100_000, 1, fn _, inner -> {[{"a", inner}]} end)
    assert message(objects) =~ "deep"
    assert byte_size(json!(Enum.to_list(1..200_000))) > 1_000_000
  end

  test "what JSON does not have" do
    for term <- [
          self(),
          make_ref(),
          fn -> 1 end,
          %{},
          %{a: 1},
          {},
          {1},
          {1, 2},
          {[1]},
          {[{1}]},
          {[{"a", 1, 2}]},
          {[{"a", 1} | {"b", 2}]},
          [1 | 2],
          ["a" | "b"],
          {%{}},
          {[{"a", self()}]}
        ] do
      assert is_binary(message(term))
    end
  end
end
