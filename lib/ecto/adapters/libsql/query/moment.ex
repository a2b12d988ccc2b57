defmodule Ecto.Adapters.LibSql.Query.Moment do
  @moduledoc false
  # Dates and date-times as they are stored, and from one form to another.
  #
  # A form is the type that the column has, of which the text is YYYY-MM-DD or
  # YYYY-MM-DDTHH:MM:SS[.ffffff][Z]; or, for date-times, an INTEGER of microseconds since 1970, by the
  # Repo's setting, which nothing here can see: so SQL asks for typeof().
  #
  # Texts of one form sort as the moments do. What is compared with a column takes the column's form, and
  # then must not lose its microseconds where the column has none: they are appended, behind the Z, where
  # they sort after the full second and before the next.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_moment: 1]
  alias Ecto.Adapters.LibSql.Query.Type

  # From the beginning of the year 0 to 1970: what is counted from there is not negative, so that / and %
  # round down.
  @seconds "62167219200"
  @microseconds "62167219200000000"

  @doc """
  SQL of one form as SQL of another. `from` nil: the form is not known. `purpose`: `:store`, or
  `:compare` with a column of that form. The SQL is written several times.
  """
  def convert(sql, form, form, _purpose), do: sql

  def convert(sql, from, :date, purpose) when is_moment(from),
    do: by_type(sql, rendered(shifted(sql), :date, purpose), date(sql, purpose))

  def convert(sql, from, to, purpose) when is_moment(from),
    do: by_type(sql, integer(sql, from, to, purpose), text(sql, from, to, purpose))

  def convert(sql, _unknown, to, purpose),
    do: counted(sql, shifted(sql), to, purpose)

  defp by_type(sql, integer, text),
    do: ["CASE typeof(", sql, ") WHEN 'integer' THEN ", integer, " ELSE ", text, " END"]

  # A fraction is only lost where it has to be.
  defp integer(sql, from, to, :store) do
    if Type.usec?(from) and not Type.usec?(to),
      do: [sql, " - (", sql, " + ", @microseconds, ") % 1000000"],
      else: sql
  end

  defp integer(sql, _from, _to, :compare), do: sql

  defp date(sql, :store), do: ["substr(", sql, ", 1, 10)"]

  # A day is its first moment; what comes after it has more letters.
  defp date(sql, :compare) do
    ["CASE WHEN rtrim(substr(", sql, ", 11), 'TZ:.0') = '' THEN substr(", sql, ", 1, 10) ELSE "] ++
      [sql, " END"]
  end

  defp text(sql, from, to, purpose), do: [seconds(sql, from) | rest(sql, from, to, purpose)]

  defp seconds(sql, :date), do: [sql, " || 'T00:00:00'"]
  defp seconds(sql, _datetime), do: ["substr(", sql, ", 1, 19)"]

  defp rest(_sql, from, to, _purpose) when from in [:date, :naive_datetime, :utc_datetime] do
    case to do
      :naive_datetime -> []
      :naive_datetime_usec -> " || '.000000'"
      :utc_datetime -> " || 'Z'"
      :utc_datetime_usec -> " || '.000000Z'"
    end
  end

  defp rest(sql, _usec, :naive_datetime_usec, _purpose), do: [" || " | fraction(sql)]
  defp rest(sql, _usec, :utc_datetime_usec, _purpose), do: [" || ", fraction(sql), " || 'Z'"]
  defp rest(sql, _usec, :naive_datetime, :compare), do: [" || " | beyond(sql)]
  defp rest(sql, _usec, :utc_datetime, :compare), do: [" || 'Z' || " | beyond(sql)]
  defp rest(_sql, _usec, :naive_datetime, :store), do: []
  defp rest(_sql, _usec, :utc_datetime, :store), do: " || 'Z'"

  defp fraction(sql), do: ["substr(", sql, ", 20, 7)"]
  defp beyond(sql), do: ["replace(", fraction(sql), ", '.000000', '')"]

  ## By counting

  @doc "Microseconds since the beginning of the year 0, of any form."
  def shifted(sql) do
    ["CASE typeof(", sql, ") WHEN 'integer' THEN ", sql, " + ", @microseconds, " ELSE "] ++
      ["(unixepoch(substr(", sql, ", 1, 19)) + ", @seconds, ") * 1000000 + "] ++
      ["CAST(substr(rtrim(", sql, ", 'Z') || '000000', 21, 6) AS INTEGER) END"]
  end

  @doc "Microseconds since 1970, of the text of a date-time."
  def microseconds(sql) do
    ["unixepoch(substr(", sql, ", 1, 19)) * 1000000 + "] ++
      ["CAST(substr(rtrim(", sql, ", 'Z') || '000000', 21, 6) AS INTEGER)"]
  end

  @doc """
  What `shifted` counts, in a form, as an INTEGER where `sql` is one. `to` nil: with what the text of
  `sql` has, Z and fraction.
  """
  def counted(sql, shifted, to, purpose) do
    text = if to, do: whole_text("t", to, purpose), else: alike(sql)
    text = if to == :date, do: text, else: by_type(sql, whole_integer(to, purpose), text)
    ["(SELECT ", text, " FROM (SELECT ", shifted, " AS t))"]
  end

  defp rendered(shifted, to, purpose),
    do: ["(SELECT ", whole_text("t", to, purpose), " FROM (SELECT ", shifted, " AS t))"]

  defp whole_integer(to, :store) when to in [:naive_datetime, :utc_datetime],
    do: ["t - t % 1000000 - " | @microseconds]

  defp whole_integer(_to, _purpose), do: ["t - " | @microseconds]

  defp whole_text(t, :date, :store), do: strftime("%Y-%m-%d", t)

  defp whole_text(t, :date, :compare) do
    ["CASE t % 86400000000 WHEN 0 THEN ", strftime("%Y-%m-%d", t), " ELSE "] ++
      [whole_text(t, :naive_datetime_usec, :compare), " END"]
  end

  defp whole_text(t, :naive_datetime_usec, _), do: [strftime(format(), t), " || " | digits(t)]

  defp whole_text(t, :utc_datetime_usec, _),
    do: [strftime(format(), t), " || ", digits(t), " || 'Z'"]

  defp whole_text(t, type, :store), do: strftime(format(type), t)

  defp whole_text(t, type, :compare) do
    [strftime(format(type), t), " || CASE ", t, " % 1000000 WHEN 0 THEN '' ELSE "] ++
      [digits(t), " END"]
  end

  defp alike(sql) do
    [strftime(format(), "t"), " || CASE WHEN ", sql, " LIKE '%.%' OR t % 1000000 <> 0 THEN "] ++
      [digits("t"), " ELSE '' END || CASE WHEN ", sql, " LIKE '%Z' THEN 'Z' ELSE '' END"]
  end

  defp digits(t), do: ["printf('.%06d', ", t, " % 1000000)"]

  defp strftime(format, t),
    do: ["strftime('", format, "', ", t, " / 1000000 - ", @seconds, ", 'unixepoch')"]

  @doc "strftime's format of whole seconds."
  def format(type \\ :naive_datetime)
  def format(:utc_datetime), do: "%Y-%m-%dT%H:%M:%SZ"
  def format(:naive_datetime), do: "%Y-%m-%dT%H:%M:%S"

  @doc "A date-time as text, also where it is stored as an INTEGER. The SQL is written several times."
  def iso(sql, type), do: by_type(sql, iso_of_integer(sql, type), sql)

  defp iso_of_integer(sql, type), do: rendered([sql, " + " | @microseconds], type, :store)

  @doc "The time of day of a date-time."
  def time_of(sql, from, type) do
    text = sql |> convert(from, :naive_datetime_usec, :store) |> iso(:naive_datetime_usec)
    ["substr(", text, ", 12, ", if(type == :time, do: "8", else: "15"), ?)]
  end

  ## Forms that are not known

  @doc "Any date or date-time as text with microseconds. The SQL is written several times."
  def text(sql), do: rendered(shifted(sql), :naive_datetime_usec, :store)

  ## Times of a day

  @doc "A time in the form of another."
  def time(sql, type, type, _purpose), do: sql
  def time(sql, :time, :time_usec, _purpose), do: [sql, " || '.000000'"]
  def time(sql, :time_usec, :time, :store), do: ["substr(", sql, ", 1, 8)"]
  def time(sql, :time_usec, :time, :compare), do: ["replace(", sql, ", '.000000', '')"]
end
