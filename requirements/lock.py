"""Resolve pyproject.toml into the lock files beside this script.

Every pin carries hashes and no file names a package registry. ``--upgrade`` takes the newest
versions; ``--check`` writes nothing and fails when a lock file no longer fits pyproject.toml.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent / "pyproject.toml"
LOCKS = {
    "production.txt": ["--group", f"{PROJECT}:build"],
    "embedded.txt": [
        "--extra",
        "embedded",
        "--group",
        f"{PROJECT}:build",
        "--constraint",
        str(HERE / "production.txt"),
    ],
    "otel.txt": ["--extra", "otel", "--group", f"{PROJECT}:build", "--constraint", str(HERE / "production.txt")],
    "development.txt": [
        "--extra",
        "embedded",
        "--extra",
        "otel",
        "--group",
        f"{PROJECT}:dev",
        "--constraint",
        str(HERE / "embedded.txt"),
    ],
}


def compile_lock(output: Path, options: list[str]) -> None:
    """Run the resolver.

    Pins already standing in ``output`` are kept unless ``--upgrade`` is given.
    """
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", str(PROJECT), *options),
            *("--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock"),
            *("--output-file", str(output)),
        ],
        check=True,
    )


def check() -> int:
    """Return 1 and name the stale files when a fresh resolution differs from what is committed."""
    stale = []
    with tempfile.TemporaryDirectory() as directory:
        for name, options in LOCKS.items():
            fresh = Path(directory) / name
            fresh.write_text((HERE / name).read_text())
            compile_lock(fresh, options)
            if fresh.read_text() != (HERE / name).read_text():
                stale.append(name)
    if stale:
        print(f"stale: {', '.join(stale)}; run `make lock`", file=sys.stderr)
    return 1 if stale else 0


def main() -> int:
    """Lock, or check the locks."""
    if "--check" in sys.argv:
        return check()
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv else []
    for name, options in LOCKS.items():
        compile_lock(HERE / name, options + upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main())
