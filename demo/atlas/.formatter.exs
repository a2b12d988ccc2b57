# As `import_deps: [:ecto, :ecto_sql]` has it, which needs the packages.
[
  inputs: ["**/*.{ex,exs}"],
  line_length: 100,
  locals_without_parens:
    Enum.flat_map(
      ~w(add add_if_not_exists alter belongs_to create create_if_not_exists drop drop_if_exists
         embeds_many embeds_one execute field from has_many has_one many_to_many modify remove
         remove_if_exists rename timestamps embedded_schema schema)a,
      &[{&1, :*}]
    )
]
