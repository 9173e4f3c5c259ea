"""The back end of Evolution of Todo.

Six task endpoints over PostgreSQL, for users who sign in with Better Auth.
"""

__version__ = "0.2.0"
