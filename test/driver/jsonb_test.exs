defmodule EctoLibSql.Driver.JsonbTest do
  # Our JSONB beside the engine's. Random terms follow ExUnit's seed.
  use EctoLibSql.Case, async: true
  use EctoLibSql.Test.Target
  import EctoLibSql.DriverHelpers

  alias EctoLibSql.{Encoder, JSONB}

  setup_all do
    {:ok, db} = EctoLibSql.connect(database: ":memory:")
    {:ok, db: db}
  end

  defp blob!(json), do: JSONB.from_json!(json)

  # What the engine reads in a JSON text.
  defp tree(db, json), do: all(db, "SELECT key, type, atom FROM json_tree(?1)", [json])

  defp json!(blob), do: blob |> JSONB.to_json() |> elem(1)

  ## Random JSON text, in the engine's minified form

  defp value(0), do: scalar()

  defp value(depth) do
    case :rand.uniform(5) do
      1 -> "[" <> joined(fn -> value(depth - 1) end) <> "]"
      2 -> "{" <> joined(fn -> string() <> ":" <> value(depth - 1) end) <> "}"
      _scalar -> scalar()
    end
  end

  defp joined(fun), do: Enum.map_join(1..:rand.uniform(8), ",", fn _ -> fun.() end)

  defp scalar do
    case :rand.uniform(8) do
      1 -> Enum.random(~w(null true false [] {}))
      n when n in 2..3 -> Enum.random(["", "-"]) <> digits(:rand.uniform(30))
      4 -> digits(3) <> "." <> Enum.random(["0", "50", "007"])
      5 -> "-" <> digits(1) <> Enum.random(["e5", "E-2", ".25e+10"])
      _string -> string()
    end
  end

  defp digits(n), do: "#{:rand.uniform(9)}" <> String.duplicate("#{:rand.uniform(9)}", n - 1)

  @pieces ["a", "ä", "漢", "🙂", " ", "'", "\\\"", "\\\\", "\\/", "\\n", "\\u00e9", "\\u0000", "\d"]

  # Sizes around those where a header grows.
  @fillings for size <- [0, 1, 3, 10, 11, 12, 13, 254, 255, 256, 257],
                do: String.duplicate("x", size)

  defp string, do: ~s("#{Enum.random(@fillings)}#{piece()}")
  defp piece, do: if(:rand.uniform(2) == 1, do: Enum.random(@pieces), else: "")

  test "is what the engine writes, and what it reads", %{db: db} do
    for _ <- 1..2000 do
      json = value(4)
      engine = one(db, "SELECT jsonb(?1)", [json])
      assert json!(engine) == one(db, "SELECT json(?1)", [{:blob, engine}])
      assert json!(engine) == json

      ours = blob!(json)
      assert one(db, "SELECT json_valid(?1, 8)", [{:blob, ours}]) == 1
      assert one(db, "SELECT json(?1)", [{:blob, ours}]) == json
      # All but a scalar of three bytes, which could be taken for text.
      assert ours == engine or byte_size(engine) == 4
    end
  end

  test "of terms comes back as they were", %{db: db} do
    for term <- [
          %{},
          [],
          %{"a" => [1, -2.5, 1.0e300, nil, true, false, "é\n\0\"", %{"" => %{}}]},
          Enum.to_list(1..20_000),
          String.duplicate("x", 70_000),
          111,
          "abc",
          12_345_678_901_234_567_890
        ] do
      json = Encoder.json(term)
      assert json!(blob!(json)) == json
      assert json!(one(db, "SELECT jsonb(?1)", [json])) == json
      assert blob!(" \n" <> json <> "\t ") == blob!(json)
    end
  end

  test "is never valid JSON text", %{db: db} do
    for json <- ~w(1 12 111 1234 1.5 -11 "abc" "111" [1111] [] {} [1,22] null true) do
      text = "SELECT json_valid(CAST(?1 AS TEXT))"
      assert {json, one(db, text, [{:blob, blob!(json)}])} == {json, 0}
    end
  end

  @json5 ["+5", ".5", "-.5", "5.", "5.e3", "+.5e3", "0x1f", "-0X1F", "Infinity", "-Infinity", "NaN"] ++
           ["{a:1,'b':\"c\",$x_:2}", "'it\\'s \\x41\\0 \"q\" \\\n z'", "'\\\u2028\\\r\n'", "'\t'"] ++
           ["[1,2,]", "{a:1,}", "/*c*/ 5 // x", "0xffffffffffffffff", "{\\u0041b:1}"]

  test "of JSON5 becomes the JSON that the engine makes of it", %{db: db} do
    for json5 <- @json5 do
      blob = one(db, "SELECT jsonb(?1)", [json5])
      engine = one(db, "SELECT json(?1)", [json5])
      assert {json5, tree(db, json!(blob))} == {json5, tree(db, engine)}
    end

    # Here the engine's own JSON has a tab.
    assert json!(one(db, "SELECT jsonb(?1)", ["'\\v'"])) == ~S("\u000b")
  end

  test "changed by the engine's functions is read", %{db: db} do
    sql = "SELECT jsonb_set(jsonb_insert(?1, '$.b', 'x\"' || char(10)), '$.c', jsonb('[1,{}]'))"
    blob = one(db, sql, [{:blob, blob!(~s({"a":"b"}))}])
    assert json!(blob) == ~S({"a":"b","b":"x\"\u000a","c":[1,{}]})
  end

  test "deeper than the engine goes is refused, both ways", %{db: db} do
    nested = &(String.duplicate("[", &1) <> String.duplicate("]", &1))
    assert one(db, "SELECT json(?1)", [{:blob, blob!(nested.(1000))}]) == nested.(1000)
    assert JSONB.from_json(nested.(1001)) == :error
    assert JSONB.from_json(nested.(1_000_000)) == :error

    deep = Enum.reduce(1..1000, blob!("[]"), fn _, blob -> header(byte_size(blob)) <> blob end)
    assert JSONB.to_json(deep) == :error
    assert JSONB.to_json(String.duplicate(<<0xFB, 0::56, 0xFF>>, 100_000)) == :error
  end

  defp header(size) when size < 12, do: <<size::4, 11::4>>
  defp header(size), do: <<14::4, 11::4, size::32>>

  test "is not made of what is no JSON" do
    for text <-
          [
            "",
            " ",
            "x",
            "nul",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "{",
            "{1:2}",
            ~s({"a"}),
            ~s({"a":})
          ] ++
            [
              ~s({"a":1,}),
              "01",
              "-",
              "1.",
              ".5",
              "1e",
              "+1",
              "1 2",
              ~s("),
              ~s("\\x"),
              ~s("\\u12"),
              "\"\n\""
            ] ++
            ["[1]]", "{}x", "tru", "truee", ~s("\\ud800), <<255>>] do
      assert {text, JSONB.from_json(text)} == {text, :error}
    end

    assert_raise ArgumentError, fn -> JSONB.from_json!("x") end
  end

  test "that is hostile is :error, never a crash nor other JSON than the engine's", %{db: db} do
    assert JSONB.to_json("") == :error
    # Text in a TEXT that would end it; escapes that are none; sizes beyond the end; reserved types.
    for blob <-
          [<<0x57, ~s(a","b)>>, <<0x27, "\\">>, <<0x18, "\\">>, <<0x28, "\\x">>, <<0x13, "x">>] ++
            [<<0x23, "01">>, <<0x15, "1">>, <<0x24, "0x">>, <<0x10, 0>>, <<0xFB, -1::64>>, <<0x0D>>] ++
            [<<0x1C, 0x00>>, <<0x2C, 0x00, 0x00>>, <<0x2C, 0x07, 0x0F>>, <<0x17, 255>>, <<0xC3>>] ++
            [<<0xF3, 0, 0, 0, 1, 0, 0, 0, 1, "1">>, <<0x26, "..">>, <<0x19, "\\">>, <<0x29, "\\q">>] do
      assert {blob, JSONB.to_json(blob)} == {blob, :error}
    end

    for _ <- 1..20_000 do
      blob = value(3) |> blob!() |> mutate()

      case JSONB.to_json(blob) do
        {:ok, json} ->
          assert String.valid?(json)
          assert one(db, "SELECT json_valid(?1)", [json]) == 1, inspect({blob, json})

          # What the engine reads in it, too, is the same.
          if one(db, "SELECT json_valid(?1, 8)", [{:blob, blob}]) == 1 do
            engine = one(db, "SELECT json(?1)", [{:blob, blob}])
            assert tree(db, json) == tree(db, engine), inspect(blob)
          end

        :error ->
          :ok
      end
    end
  end

  defp mutate(blob) do
    at = :rand.uniform(byte_size(blob)) - 1
    <<before::binary-size(at), byte, rest::binary>> = blob

    case :rand.uniform(4) do
      1 -> before
      2 -> <<before::binary, :rand.uniform(256) - 1, rest::binary>>
      3 -> <<before::binary, byte, :rand.uniform(256) - 1, rest::binary>>
      4 -> :crypto.strong_rand_bytes(:rand.uniform(20))
    end
  end
end
