[
  {"Types",
   [
     {"`:decimal`", "TEXT, its exact digits",
      ~S|Repo.insert!(%Post{price: Decimal.new("12345678901234567890.10")}).id \|> then(&Repo.get!(Post, &1).price)|,
      Decimal.new("12345678901234567890.10")}
   ]}
]
