"""``make mutants``: change the code in small ways and see whether a test notices.

mutmut runs the tests once for every change, each time in a fork; they share one PostgreSQL.
"""

import os
import subprocess
import sys

from tests.harness import POSTGRES, postgres_with_template


def main() -> int:
    """Run mutmut with the given arguments (names of mutants; none: all), and list what survived."""
    with postgres_with_template() as url:
        environment = {**os.environ, POSTGRES: url}
        mutmut = [sys.executable, "-m", "mutmut"]
        status = subprocess.run([*mutmut, "run", *sys.argv[1:]], env=environment, check=False).returncode
        subprocess.run([*mutmut, "results"], env=environment, check=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
