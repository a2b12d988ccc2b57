defmodule EctoLibSql.Forms do
  @moduledoc false
  # What a connection stores of the values that SQLite has no type for, where there is a choice. The
  # options :uuid_type, :binary_id_type, :json_type and :datetime_type of the connection choose.

  alias EctoLibSql.State

  defstruct uuid: :blob, binary_id: :text, json: :text, datetime: :text

  @type t :: %__MODULE__{
          uuid: :blob | :text,
          binary_id: :text | :blob,
          json: :text | :jsonb,
          datetime: :text | :integer
        }

  @doc "The forms that checked options ask for."
  def new(checked) do
    %__MODULE__{
      uuid: checked.uuid_type,
      binary_id: checked.binary_id_type,
      json: checked.json_type,
      datetime: checked.datetime_type
    }
  end

  @doc "The forms of a connection, or of the options of a Repo."
  def of(%State{} = state), do: State.kept(state)[:forms] || %__MODULE__{}

  def of(options) when is_list(options) do
    %__MODULE__{
      uuid: options[:uuid_type] || :blob,
      binary_id: options[:binary_id_type] || :text,
      json: options[:json_type] || :text,
      datetime: options[:datetime_type] || :text
    }
  end
end
