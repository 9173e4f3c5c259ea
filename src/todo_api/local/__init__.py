"""The zero-configuration mode: a PostgreSQL and a secret of our own, and the banner that says so."""
