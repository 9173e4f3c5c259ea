"""The zero-configuration mode: an embedded PostgreSQL."""
