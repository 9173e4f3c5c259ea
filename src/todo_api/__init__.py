"""The back end of Evolution of Todo: six task endpoints over PostgreSQL, guarded by Better Auth's tokens."""

__version__ = "0.2.0"
