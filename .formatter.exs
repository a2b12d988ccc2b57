[
  inputs: ["{mix,.formatter}.exs", "{lib,test,bench}/**/*.{ex,exs}", "{demo,tools}/*.exs"],
  subdirectories: ["demo/atlas"],
  line_length: 100
]
