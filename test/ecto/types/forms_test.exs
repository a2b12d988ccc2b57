Code.require_file("types_case.exs", __DIR__)

defmodule Ecto.Adapters.LibSql.Types.FormsTest do
  # What the connection's settings decide, what is refused before a connection is taken, and what logs and
  # events show.
  use EctoLibSql.Case, async: true

  import Ecto.Query
  import ExUnit.CaptureLog
  import Ecto.Adapters.LibSql.TypesCase
  alias Ecto.Adapters.LibSql
  alias Ecto.Adapters.LibSql.TypesCase.{Money, Part, Repo, Thing}
  alias EctoLibSql.{Encoder, Forms}

  @uuid "601d74e4-a8d3-4b6e-8365-eddb4c893327"
  @other [uuid_type: :text, binary_id_type: :blob, json_type: :jsonb, datetime_type: :integer]

  defp stored(type, value, forms) do
    {:ok, dumped} = Ecto.Type.adapter_dump(LibSql, type, value)
    [value] = [dumped] |> Encoder.client() |> Encoder.params(Forms.of(forms))
    value
  end

  test "each value in each form" do
    bytes = Ecto.UUID.dump!(@uuid)
    moment = ~U[2024-05-06 07:08:09.000010Z]

    for {type, value, default, other} <- [
          {Ecto.UUID, @uuid, {:blob, bytes}, @uuid},
          {:binary_id, @uuid, @uuid, {:blob, bytes}},
          {:map, %{a: 1}, ~s({"a":1}), {:blob, <<0x4C, 0x17, "a", 0x13, "1">>}},
          {{:array, Ecto.UUID}, [@uuid], ~s(["#{@uuid}"]),
           {:blob, <<0xCB, 0x26, 0xC7, 0x24, @uuid>>}},
          {:utc_datetime_usec, moment, "2024-05-06T07:08:09.000010Z", 1_714_979_289_000_010},
          {:utc_datetime, ~U[1969-12-31 23:59:59Z], "1969-12-31T23:59:59Z", -1_000_000},
          {:naive_datetime, ~N[0000-01-01 00:00:00], "0000-01-01T00:00:00",
           -62_167_219_200_000_000},
          {:date, ~D[2024-05-06], "2024-05-06", "2024-05-06"},
          {:time_usec, ~T[07:08:09.000000], "07:08:09.000000", "07:08:09.000000"},
          {:decimal, Decimal.new("1E+3"), "1000", "1000"},
          {:boolean, true, 1, 1},
          {:binary, "b", {:blob, "b"}, {:blob, "b"}},
          {{:array, :binary}, ["b", <<255>>], ~s(["b",{"x":"FF"}]),
           {:blob, <<0x8B, 0x17, "b", 0x5C, 0x17, "x", 0x27, "FF">>}},
          {{:array, :boolean}, [true, nil], "[true,null]", {:blob, <<0x2B, 1, 0>>}},
          {{:array, Money}, [%Money{cents: 5}], "[5]", {:blob, <<0x2B, 0x13, "5">>}}
        ] do
      assert {type, stored(type, value, [])} == {type, default}
      assert {type, stored(type, value, @other)} == {type, other}
    end
  end

  test "parameters of a query by hand take the Repo's forms too" do
    start_repo(@other)

    assert %{rows: [[0, "blob"]]} =
             Repo.query!("SELECT ?1, typeof(?2)", [~U[1970-01-01 00:00:00Z], %{a: 1}])

    assert %{rows: [[0, "2024-05-06"]]} =
             Repo.query!("SELECT :uuid, :json", uuid: ~N[1970-01-01 00:00:00], json: ~D[2024-05-06])

    assert %{rows: [[-1, "1.10"]]} =
             Repo.query!("SELECT :t, :d", %{
               t: ~U[1969-12-31 23:59:59.999999Z],
               d: Decimal.new("1.10")
             })

    start_repo([])

    assert %{rows: [["1970-01-01T00:00:00Z", "text"]]} =
             Repo.query!("SELECT ?1, typeof(?2)", [~U[1970-01-01 00:00:00Z], %{a: 1}])
  end

  test "parameters that no field gives a type are written as those that have one" do
    paris = %{
      ~U[2024-05-06 07:08:09Z]
      | utc_offset: 3600,
        std_offset: 3600,
        zone_abbr: "CEST",
        time_zone: "Europe/Paris"
    }

    london = %{~U[2024-01-06 07:08:09Z] | zone_abbr: "GMT", time_zone: "Europe/London"}

    for {given, text} <- [
          {paris, "2024-05-06T05:08:09Z"},
          {london, "2024-01-06T07:08:09Z"},
          {~U[2024-05-06 07:08:09.5Z], "2024-05-06T07:08:09.500000Z"},
          {~N[2024-05-06 07:08:09.000], "2024-05-06T07:08:09.000000"},
          {~T[07:08:09.1], "07:08:09.100000"}
        ] do
      assert [given] |> Encoder.client() |> Encoder.params() == [text]
    end
  end

  test "what cannot be stored raises in the client" do
    start_repo([])
    pid = self()

    for {changes, error, message} <- [
          {[integer: 0x8000000000000000], ArgumentError, "more than 64 bits"},
          {[decimal: Decimal.new("NaN")], ArgumentError, "decimal"},
          {[decimal: Decimal.new("-Infinity")], ArgumentError, "decimal"},
          {[decimal: %Decimal{coef: 1, exp: 1_000_000_000}], ArgumentError, "999 digits"},
          {[decimal: %Decimal{coef: 1, exp: -1000}], ArgumentError, "999 digits"},
          {[map: %{a: pid}], ArgumentError, "JSON"},
          {[map: %{a: <<255>>}], ArgumentError, "JSON"},
          {[prices: [Decimal.new("NaN")]], ArgumentError, "decimal"},
          {[date: ~D[-0001-01-01]], ArgumentError, "years 0 to 9999"},
          {[date: %{~D[2024-01-01] | year: 10_000}], ArgumentError, "years 0 to 9999"},
          {[utc: %{~U[2024-01-01 00:00:00Z] | year: 10_000}], ArgumentError, "years 0 to 9999"},
          {[naive_usec: ~N[-0001-01-01 00:00:00.000000]], ArgumentError, "years 0 to 9999"},
          {[bid: <<255>>], ArgumentError, ":binary_id"}
        ] do
      raised = catch_error(Repo.insert!(struct(Thing, changes)))
      assert {changes, raised.__struct__} == {changes, error}
      assert Exception.message(raised) =~ message
    end

    for value <- [0x8000000000000000, {:a, :b, :c}, pid, :atom, %Part{}, make_ref()] do
      assert_raise ArgumentError, fn -> Repo.query!("SELECT ?1", [value]) end
    end

    assert Repo.aggregate(Thing, :count) == 0
    # Beyond 64 bits, a decimal.
    assert Repo.insert!(%Thing{decimal: Decimal.new(0x8000000000000000)})
           |> Repo.reload!()
           |> Map.fetch!(:decimal) == Decimal.new(0x8000000000000000)
  end

  test "events and logs show plain values" do
    test = self()
    moment = ~U[2024-05-06 07:08:09Z]
    handler = "forms-#{System.unique_integer([:positive])}"
    start_repo(@other)

    event = [:ecto, :adapters, :lib_sql, :types_case, :repo, :query]
    :telemetry.attach(handler, event, &__MODULE__.received/4, test)
    on_exit(fn -> :telemetry.detach(handler) end)

    thing = %Thing{
      uuid: @uuid,
      bid: @uuid,
      map: %{"a" => 1},
      utc: moment,
      decimal: Decimal.new("1.5"),
      binary: <<1>>,
      bits: [<<1::1>>]
    }

    log = capture_log(fn -> Repo.insert!(thing, log: :info) end)
    assert log =~ @uuid and log =~ "2024-05-06" and log =~ "1.5"
    refute log =~ ":form"
    assert_received {:query, %{params: params}}
    bytes = Ecto.UUID.dump!(@uuid)

    for value <- [bytes, @uuid, %{"a" => 1}, moment, Decimal.new("1.5"), <<1>>],
        do: assert(value in params)

    refute inspect(params) =~ ":form"

    # All ways of a query: first, cached, streamed, in insert_all, in update_all.
    query = from(t in Thing, where: t.uuid == ^@uuid and t.map == ^%{"a" => 1}, select: t.id)

    calls = [
      fn -> assert [_] = Repo.all(query) end,
      fn -> assert [_] = Repo.all(query) end,
      fn ->
        assert {:ok, [_]} = Repo.transaction(fn -> query |> Repo.stream() |> Enum.to_list() end)
      end,
      fn -> Repo.update_all(from(t in Thing, where: t.uuid == ^@uuid), set: [map: %{"a" => 1}]) end,
      fn -> Repo.insert_all(Thing, [[uuid: @uuid, map: %{"a" => 1}]]) end
    ]

    for call <- calls do
      call.()
      params = received()
      assert bytes in params
      refute inspect(params) =~ ":form", inspect(params)
    end
  end

  # Of this test's process alone.
  def received(_name, _times, meta, test), do: if(self() == test, do: send(test, {:query, meta}))

  defp received do
    receive do
      {:query, %{params: []}} -> received()
      {:query, %{params: params}} -> params
    after
      0 -> flunk("no event")
    end
  end

  test "a value that only the connection can write is refused in a query's text" do
    start_repo([])

    for query <- [
          from(t in Thing, where: t.uuid == "601d74e4-a8d3-4b6e-8365-eddb4c893327"),
          from(t in Thing, where: t.bid == "601d74e4-a8d3-4b6e-8365-eddb4c893327")
        ] do
      assert_raise Ecto.QueryError, ~r/interpolate/, fn -> Repo.all(query) end
    end

    assert_raise Ecto.QueryError, ~r/interpolate/, fn ->
      Repo.update_all(from(t in Thing, update: [set: [integers: [1]]]), [])
    end
  end

  test "lists in a query's text are found in either form" do
    for forms <- [[], @other] do
      start_repo(forms)
      %{id: id} = Repo.insert!(%Thing{integers: [1, 2]})
      assert [^id] = Repo.all(from(t in Thing, where: t.integers == [1, 2], select: t.id))
      assert [] = Repo.all(from(t in Thing, where: t.integers != [1, 2], select: t.id))
      assert [^id] = Repo.all(from(t in Thing, where: t.integers != [1], select: t.id))
    end
  end

  test "push and pull keep the form, and what it equals" do
    for {forms, class} <- [{[], "text"}, {@other, "blob"}] do
      start_repo(forms)
      %{id: id} = Repo.insert!(%Thing{integers: [1], uuids: [], binaries: ["a"], prices: nil})
      Repo.update_all(Thing, push: [integers: 2, uuids: @uuid])
      Repo.update_all(Thing, pull: [integers: 1])

      assert [^id] =
               Repo.all(
                 from(t in Thing, where: t.integers == ^[2] and t.uuids == ^[@uuid], select: t.id)
               )

      assert [^id] = Repo.all(from(t in Thing, where: ^@uuid in t.uuids, select: t.id))
      assert {classes(:integers), classes(:uuids)} == {[class], [class]}
      Repo.update_all(Thing, pull: [uuids: @uuid])
      assert Repo.one(from(t in Thing, select: t.uuids)) == []
    end
  end

  test "settings that are not there are refused" do
    for option <- [
          uuid_type: :binary,
          json_type: "jsonb",
          datetime_type: :unix,
          binary_id_type: nil
        ] do
      case EctoLibSql.connect([database: ":memory:"] ++ [option]) do
        {:ok, _default} -> assert elem(option, 1) == nil
        {:error, error} -> assert error.message =~ "#{inspect(elem(option, 0))} must be"
      end
    end
  end
end
