ExUnit.start(exclude: EctoLibSql.Test.Sqld.exclude())
