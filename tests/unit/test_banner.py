"""The first thing a newcomer sees: plain text in a file, colours on a terminal."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from todo_api.cli.banner import is_coloured, render, report_progress

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def banner(*, host: str = "127.0.0.1", token: str | None = "abc.def.ghi", coloured: bool = False) -> str:
    return render(version="1.2.3", host=host, port=8000, user="demo-user", token=token, coloured=coloured)


def test_banner_says_address_documentation_user_and_token() -> None:
    lines = [line.split() for line in banner().splitlines()]

    assert ["Address", "http://127.0.0.1:8000"] in lines
    assert ["Documentation", "http://127.0.0.1:8000/docs"] in lines
    assert ["User", "demo-user"] in lines
    assert ["Token", "abc.def.ghi"] in lines


def test_colours_change_nothing_but_the_colour() -> None:
    assert COLOUR.search(banner(coloured=True))
    assert COLOUR.sub("", banner(coloured=True)) == banner()


def test_command_to_paste_is_never_coloured() -> None:
    command = 'curl -H "Authorization: Bearer abc.def.ghi" http://127.0.0.1:8000/api/demo-user/tasks'

    assert f"\n  {command}\n" in banner(coloured=True)


@pytest.mark.parametrize(
    ("program", "called"),
    [
        (".venv/bin/todo-api", ".venv/bin/todo-api"),
        ("/a b/todo-api", "'/a b/todo-api'"),
        ("/x/todo_api/__main__.py", f"{shlex.quote(sys.executable)} -m todo_api"),
    ],
)
def test_log_gets_no_token_but_the_command_that_makes_one(
    program: str, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    text = banner(token=None)

    assert "Token" not in text
    assert f'curl -H "Authorization: Bearer $({called} token demo-user)" http://127.0.0.1:8000/api/' in text


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("todo.test", "http://todo.test:8000"),
    ],
)
def test_address_is_one_that_a_browser_on_this_machine_can_open(host: str, address: str) -> None:
    assert f"{address}/docs\n" in banner(host=host)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),  # set but empty counts as unset
        ({"TERM": "dumb"}, False),
    ],
)
def test_terminal_is_coloured_unless_its_user_minds(
    environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    control, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream:
        assert is_coloured(stream) is expected
    os.close(control)


def test_file_is_not_coloured(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        assert not is_coloured(stream)


@pytest.mark.parametrize(("is_a_terminal", "said"), [(True, "  Starting PostgreSQL\n"), (False, "")])
def test_what_takes_time_is_said_to_a_person_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_a_terminal: bool, said: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_a_terminal)
    report_progress("Starting PostgreSQL")

    assert capsys.readouterr().err == said
