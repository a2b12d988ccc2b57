defmodule Ecto.Adapters.LibSql.UrlTest do
  use EctoLibSql.Case, async: true

  alias Ecto.Adapters.LibSql

  defmodule Repo do
    use Ecto.Repo, otp_app: :ecto_libsql, adapter: Ecto.Adapters.LibSql
  end

  test "a Repo that Ecto's url: gave a host says what to write instead" do
    parts = Ecto.Repo.Supervisor.parse_url("libsql://shop.turso.io/main?authToken=secret")
    error = catch_error(LibSql.init([repo: Repo] ++ parts))
    assert %ArgumentError{message: message} = error
    assert message =~ "EctoLibSql.config!(System.fetch_env!(\"DATABASE_URL\"))"
    refute message =~ "secret"
  end

  test "a Repo runs with what config! answers" do
    start_supervised!({Repo, EctoLibSql.config!("file:" <> tmp_path()) ++ [log: false]})
    assert %{rows: [[1]]} = Repo.query!("SELECT 1")
  end
end
