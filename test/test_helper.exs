# A machine may be busy with much else: what is to come is waited for longer than a test of one's own would.
ExUnit.start(
  exclude: EctoLibSql.Test.Sqld.exclude() ++ EctoLibSql.Test.Generations.exclude(),
  timeout: 300_000,
  assert_receive_timeout: 30_000
)
