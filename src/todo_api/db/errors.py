"""What can go wrong on the way to PostgreSQL, in as many classes as a caller can act on."""

# SQLSTATE classes and codes (PostgreSQL, appendix A) that pass by themselves: connection lost,
# resources short, operator at work, system error, conflict between transactions.
_PASSING_CLASSES = ("08", "53", "57", "58", "40")
_QUERY_CANCELED = "57014"
_PASSING_CODES = ("25006", "55P03", "25P03")
# Undefined table, column, function or schema; insufficient privilege; unknown role.
_SCHEMA_CODES = ("42P01", "42703", "42883", "3F000", "42501", "22023", "42704")


class DatabaseError(Exception):
    """A statement brought no result. ``reason`` is for the log: it holds no values and no SQL."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unavailable(DatabaseError):
    """The database cannot answer now; the same request may succeed later."""


class StatementCancelled(Unavailable):
    """PostgreSQL cancelled the statement, as a rule because its time was up.

    What it did was rolled back.
    """


class SchemaMissing(DatabaseError):
    """The database answers, but is not migrated to this version."""


class StatementFailed(DatabaseError):
    """PostgreSQL rejected the statement for good: a fault of ours."""


def from_sqlstate(code: str) -> DatabaseError:
    """The error for a SQLSTATE of five characters.

    Server messages are left out: they quote values.
    """
    reason = f"SQLSTATE {code}"
    if code == _QUERY_CANCELED:
        return StatementCancelled(reason)
    if code.startswith(_PASSING_CLASSES) or code in _PASSING_CODES:
        return Unavailable(reason)
    if code in _SCHEMA_CODES:
        return SchemaMissing(reason)
    return StatementFailed(reason)
