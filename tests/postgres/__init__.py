"""PostgreSQL servers for tests: the embedded one, or one of another version."""
