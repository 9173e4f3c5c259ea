"""Run the tests of the database under each supported version of PostgreSQL, or under those named.

The programs come in Node packages, one for each version: the lock beside this file. They have what
the embedded PostgreSQL lacks, OpenSSL and ICU, so that with them more tests run on 18, too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.postgres.server import PROGRAMS

PACKAGES = Path(__file__).parent / "node_modules"
VERSIONS = ("14", "15", "16", "17", "18")
TESTS = (
    "tests/db",
    "tests/api",
    "tests/properties",
    "tests/unit/test_database_url.py",
    "tests/unit/test_distribution.py",
    "tests/unit/test_doctor.py",
    "tests/unit/test_migrations.py",
    "tests/unit/test_plans.py",
    "tests/unit/test_protection.py",
    "tests/unit/test_queries.py",
    "tests/unit/test_search_pattern.py",
    "tests/unit/test_shapes.py",
)


@contextmanager
def unpacked(version: str) -> Iterator[Path]:
    """The directory of a version's programs, in a copy that every user of the machine may run.

    A Node package holds no symbolic links. This one lists them for its installation script, and no
    package's scripts are run here.
    """
    package = PACKAGES / f"postgres{version}"
    with TemporaryDirectory(prefix=f"todo-postgres{version}-") as name:
        copy = Path(name)
        copy.chmod(0o755)
        shutil.copytree(package / "native", copy / "native")
        for link in json.loads((package / "native/pg-symlinks.json").read_text()):
            source, target = copy / link["source"], copy / link["target"]
            target.symlink_to(os.path.relpath(source, target.parent))
        yield copy / "native/bin"


def run(version: str, arguments: list[str]) -> int:
    """Run pytest under one version; its exit status."""
    with unpacked(version) as programs:
        print(subprocess.check_output([programs / "postgres", "--version"], text=True).strip(), flush=True)
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, env={**os.environ, PROGRAMS: str(programs)}, check=False).returncode


def main() -> int:
    """Run the tests under each version; 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.postgres", description=__doc__)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, choices=VERSIONS, metavar="MAJOR")
    parser.add_argument("arguments", nargs="*", default=TESTS, help="for pytest")
    options = parser.parse_args()
    failed = []
    for version in options.versions:
        started = time.monotonic()
        if run(version, [*options.arguments]):
            failed.append(version)
        print(f"PostgreSQL {version}: {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"Tests failed on PostgreSQL {', '.join(failed)}.", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
