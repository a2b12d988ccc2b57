defmodule Ecto.Adapters.LibSql.Moments do
  @moduledoc false
  # Dates and times as they come out of the database: text of every kind, and microseconds. `{:ok, value}`
  # or `:error`; what none of them knows is passed on.

  alias EctoLibSql.ISO8601

  def date(text) when is_binary(text), do: ISO8601.date(text)
  def date(other), do: {:ok, other}

  def time(text) when is_binary(text), do: ISO8601.time(text)
  def time(other), do: {:ok, other}

  def naive(text) when is_binary(text), do: ISO8601.naive(text)

  def naive(microseconds) when is_integer(microseconds) do
    with {:ok, datetime} <- utc(microseconds), do: {:ok, DateTime.to_naive(datetime)}
  end

  def naive(other), do: {:ok, other}

  def utc(text) when is_binary(text), do: ISO8601.utc(text)

  def utc(microseconds) when is_integer(microseconds) do
    with {:error, _reason} <- DateTime.from_unix(microseconds, :microsecond), do: :error
  end

  def utc(other), do: {:ok, other}

  ## As a field of Ecto's own type has it

  def naive_datetime(value) do
    case naive(value) do
      {:ok, %NaiveDateTime{microsecond: {0, 0}}} = loaded -> loaded
      other -> finish(other, :naive_datetime)
    end
  end

  def naive_datetime_usec(value) do
    case naive(value) do
      {:ok, %NaiveDateTime{microsecond: {_, 6}}} = loaded -> loaded
      other -> finish(other, :naive_datetime_usec)
    end
  end

  def utc_datetime(value) do
    case utc(value) do
      {:ok, %DateTime{microsecond: {0, 0}, time_zone: "Etc/UTC"}} = loaded -> loaded
      other -> finish(other, :utc_datetime)
    end
  end

  def utc_datetime_usec(value) do
    case utc(value) do
      {:ok, %DateTime{microsecond: {_, 6}, time_zone: "Etc/UTC"}} = loaded -> loaded
      other -> finish(other, :utc_datetime_usec)
    end
  end

  defp finish({:ok, value}, type), do: Ecto.Type.load(type, value)
  defp finish(:error, _type), do: :error

  @doc "A date-time or time as its text has it, with its fraction and its zone."
  def any(text) when is_binary(text) do
    with {:error, _reason} <- zoned(text),
         {:error, _reason} <- NaiveDateTime.from_iso8601(text),
         {:error, _reason} <- Time.from_iso8601(text),
         do: :error
  end

  def any(_other), do: :error

  defp zoned(text) do
    with {:ok, datetime, _offset} <- DateTime.from_iso8601(text), do: {:ok, datetime}
  end
end
