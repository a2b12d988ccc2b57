defmodule Ecto.Adapters.LibSql.Query.List do
  @moduledoc false
  # `x in ^list`. The list is one parameter, a JSON array, so that lists of any length are one text of
  # SQL, which Ecto and the engine have compiled already. Here is how elements are written, and read in
  # SQL again as what a column holds; arrays in columns are read by the same rules.
  #
  # JSON has neither bytes nor all floats: {"x": hex} are bytes, {"m": m, "e": e} is m * 2^e. What a
  # Repo may store in one form or another is written as text, and given to IN in both forms.

  import Ecto.Adapters.LibSql.Query.Type, only: [is_datetime: 1, is_id: 1]
  alias Ecto.Adapters.LibSql.Query.Moment
  alias EctoLibSql.Encoder

  ## Writing

  @doc "The last dumper of `{:in, type}`: its elements, dumped already, as JSON."
  def dump(list, type) do
    {:ok, list |> Enum.map(&element(&1, type)) |> Encoder.json()}
  catch
    :error_in_list -> :error
  end

  defp element({:blob, <<bytes::16-binary>>}, :uuid), do: uuid(bytes)
  defp element({:blob, bytes}, _type), do: %{"x" => Base.encode16(bytes)}
  defp element({{:form, :json}, term}, _type), do: term
  defp element({{:form, _id}, <<bytes::16-binary>>}, _type), do: uuid(bytes)
  defp element({{:form, _id}, text}, _type), do: text
  defp element(float, _type) when is_float(float), do: float(float)

  defp element(binary, type) when is_binary(binary) do
    cond do
      String.valid?(binary) -> binary
      type == :string -> throw(:error_in_list)
      true -> %{"x" => Base.encode16(binary)}
    end
  end

  defp element(%_struct{} = value, type), do: value |> Encoder.value() |> element(type)
  defp element(value, _type), do: value

  defp uuid(bytes) do
    case Ecto.UUID.load(bytes) do
      {:ok, text} -> text
      :error -> throw(:error_in_list)
    end
  end

  # The engine reads these exactly, which was tried with 5,000,000 of them; of others one in six is off
  # in its last bit.
  defp float(float) when abs(float) > 1.0e-25 and abs(float) < 1.0e25, do: float
  defp float(float) when float == 0.0, do: 0

  defp float(float) do
    <<sign::1, exponent::11, fraction::52>> = <<float::float>>
    {mantissa, exponent} = if exponent == 0, do: {0, 1}, else: {0x10000000000000, exponent}
    %{"m" => (mantissa + fraction) * (1 - 2 * sign), "e" => exponent - 1075}
  end

  ## Reading

  @doc """
  The float of an element `e` of an array that a column has, beside another float: those that the engine
  reads inexactly are told apart by their digits.
  """
  def float(element, array, other) do
    value = [element, ".value"]

    [
      ["CASE WHEN typeof(", value, ") <> 'real' OR abs(", value, ") BETWEEN 1e-25 AND 1e25 THEN "],
      [value, " WHEN decimal(", other, ") COLLATE decimal = (", array, " -> ", element],
      [".fullkey) THEN ", other, " ELSE '' END"]
    ]
  end

  @doc "The elements of a JSON array as the right side of IN. `type`: what they are, nil: not known."
  def elements(array, type),
    do: ["(", type |> selects() |> Enum.map(&select(&1, array)) |> union(), ")"]

  defp select({value, condition}, array),
    do: ["SELECT ", value, " FROM json_each(", array, ") WHERE " | condition]

  defp select(value, array), do: ["SELECT ", value, " FROM json_each(", array, ")"]

  defp union(selects), do: Enum.intersperse(selects, " UNION ALL ")

  @bytes "unhex(value ->> 'x')"
  # Multiplied by whole powers of two, each step exact; engines without pow() are in use, too.
  @float "(WITH RECURSIVE p(x, n) AS (SELECT (value ->> 'm') * 1.0, value ->> 'e' UNION ALL " <>
           "SELECT CASE WHEN n > 0 THEN x * (1 << min(n, 62)) ELSE x / (1 << min(-n, 62)) END, " <>
           "CASE WHEN n > 0 THEN max(n - 62, 0) ELSE min(n + 62, 0) END FROM p WHERE n <> 0) " <>
           "SELECT x FROM p WHERE n = 0)"
  @id "unhex(value, '-')"

  defp selects(:float), do: [["CASE type WHEN 'object' THEN ", @float, " ELSE value END"]]
  defp selects(:decimal), do: ["CASE type WHEN 'text' THEN value ELSE decimal(value) END"]

  defp selects(type) when type in [:binary, :bitstring],
    do: [["CASE type WHEN 'object' THEN ", @bytes, " ELSE CAST(value AS BLOB) END"]]

  defp selects(id) when is_id(id), do: ["value", {@id, [@id, " IS NOT NULL"]}]

  defp selects(type) when is_datetime(type),
    do: ["value", {Moment.microseconds("value"), "value IS NOT NULL"}]

  defp selects(nil) do
    [
      ["CASE type WHEN 'object' THEN ifnull(", @bytes, ", ", @float, ") ELSE value END"],
      {@id, ["value LIKE '________-____-____-____-____________' AND ", @id, " IS NOT NULL"]},
      {Moment.microseconds("value"), "value GLOB '[0-9]*-[0-9][0-9]-[0-9][0-9]T*:*'"}
    ]
  end

  defp selects(_type), do: ["value"]
end
