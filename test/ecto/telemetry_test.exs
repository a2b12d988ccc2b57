defmodule Ecto.Adapters.LibSql.TelemetryTest do
  use EctoLibSql.Case, async: true

  import Ecto.Query, only: [from: 2]
  import ExUnit.CaptureLog

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  defmodule Item do
    use Ecto.Schema

    schema "items" do
      field(:name, :string)
      field(:token, Ecto.UUID)
      field(:parent_id, :integer)
    end
  end

  def handle_event(event, measurements, metadata, test),
    do: send(test, {:event, event, measurements, metadata})

  setup context do
    start_supervised!({Repo, [database: tmp_path(), pool_size: 1] ++ (context[:opts] || [])})

    Repo.query!(
      "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, token BLOB, parent_id INT REFERENCES items)",
      [],
      log: false
    )

    prefix = context[:opts][:telemetry_prefix] || Repo.config()[:telemetry_prefix]
    name = {__MODULE__, context.test}
    :telemetry.attach(name, prefix ++ [:query], &__MODULE__.handle_event/4, self())
    on_exit(fn -> :telemetry.detach(name) end)
    :ok
  end

  defp events do
    receive do
      {:event, _event, measurements, metadata} -> [{measurements, metadata} | events()]
    after
      0 -> []
    end
  end

  @moduletag opts: [log: false]

  test "each query, with its times, text and parameters as the caller gave them" do
    token = Ecto.UUID.generate()
    bytes = Ecto.UUID.dump!(token)
    Repo.insert!(%Item{name: "a", token: token})
    Repo.all(from(i in Item, where: i.token == ^token, select: i.name))

    assert [{insert, insert_data}, {select, data}] = events()
    assert %{total_time: _, query_time: _, queue_time: _} = insert
    assert %{total_time: _, query_time: _, decode_time: _} = select
    assert insert_data.query =~ ~r/^INSERT INTO "items"/
    assert bytes in insert_data.params
    assert %{source: "items", repo: Repo, type: :ecto_sql_query, params: [^bytes]} = data
    assert data.query =~ ~r/^SELECT i0."name" FROM "items"/
    assert {:ok, %EctoLibSql.Result{num_rows: 1}} = data.result
  end

  test "transactions" do
    Repo.transaction(fn -> Repo.query!("SELECT 1") end, telemetry_options: [of: :mine])
    assert ["begin", "SELECT 1", "commit"] == for({_, data} <- events(), do: data.query)
    Repo.transaction(fn -> Repo.rollback(:x) end)
    assert ["begin", "rollback"] == for({_, data} <- events(), do: data.query)
  end

  test "an error, once: what looks for a foreign key's name is ours alone" do
    changeset =
      %Item{parent_id: 0}
      |> Ecto.Changeset.change()
      |> Ecto.Changeset.foreign_key_constraint(:parent_id)

    assert {:error, _} = Repo.insert(changeset)
    assert [{_, %{result: {:error, %EctoLibSql.Error{code: :constraint}}}}] = events()
  end

  test "streams" do
    Repo.insert_all(Item, [[name: "a"], [name: "b"]])
    events()
    Repo.transaction(fn -> Item |> Repo.stream(max_rows: 1) |> Enum.to_list() end)
    queries = for {_, data} <- events(), do: data.query
    assert hd(queries) == "begin"
    assert Enum.any?(queries, &(&1 =~ ~r/^SELECT/))
  end

  @tag opts: [log: false, telemetry_prefix: [:shop, :db]]
  test "with the Repo's prefix" do
    Repo.query!("SELECT 1")
    assert [_] = events()
  end

  test "telemetry_event and telemetry_options of a call" do
    name = {__MODULE__, :custom}
    :telemetry.attach(name, [:custom], &__MODULE__.handle_event/4, self())
    Repo.all(Item, telemetry_event: [:custom], telemetry_options: [a: 1])
    :telemetry.detach(name)
    assert [{_, %{options: [a: 1]}}] = events()
    Repo.all(Item, telemetry_event: nil)
    assert events() == []
  end

  @tag opts: [log: :info, show_sensitive_data_on_connection_error: false]
  test "the log has the query and its parameters" do
    log = capture_log(fn -> Repo.query!("SELECT ?1 AS n, ?2 AS t", [7, "text"]) end)
    assert log =~ "QUERY OK"
    assert log =~ ~s(SELECT ?1 AS n, ?2 AS t [7, "text"])
    log = capture_log(fn -> assert {:error, _} = Repo.query("SELECT nothing") end)
    assert log =~ "QUERY ERROR"
    assert capture_log(fn -> Repo.query!("SELECT 1", [], log: false) end) == ""
    log = capture_log(fn -> Repo.all(from(i in Item, where: i.name == ^"secret")) end)
    assert log =~ ~s(["secret"])
  end

  @tag opts: [log: :info]
  test "a lock's own statement is not logged" do
    log = capture_log(fn -> Repo.all(from(i in Item, lock: "FOR UPDATE")) end)
    assert [_, _] = String.split(log, "QUERY OK")
  end
end
