"""PostgreSQL servers for tests: the embedded one, or one whose programs an environment variable names."""
