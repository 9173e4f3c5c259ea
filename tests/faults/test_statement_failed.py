"""A statement that PostgreSQL rejects for good is a fault of ours.

A bare 500 outside, its SQLSTATE in the log.
"""

from pathlib import Path

import psycopg

from tests.harness import serving


def test_rejected_statement_is_500_and_only_its_sqlstate_is_logged(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE todo_api_version")
        connection.execute("CREATE VIEW todo_api_version AS SELECT (1 / (random() * 0)::int)::text AS version_num")
        connection.execute("GRANT SELECT ON todo_api_version TO todo_api")
    with serving(tmp_path, DATABASE_URL=database) as server:
        response = server.client().get("/ready")
        (line,) = server.log(event="database.failed")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "Retry-After" not in response.headers
    assert line["reason"] == "SQLSTATE 22012"
    assert "division" not in response.text + server.log_path.read_text()
