"""Hold the locked packages of the service against published advisories (osv.dev).

Where the advisory service does not answer, nothing is audited: a line says so, and the check
passes, so that work offline goes on. Nothing here takes longer than ``AUDIT_SECONDS``.
"""

import subprocess
import sys
from pathlib import Path

import httpx

ADVISORIES = "https://api.osv.dev/v1/query"
KNOWN_AS_VULNERABLE = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}
LOCK = Path(__file__).with_name("embedded.txt")  # everything of production.txt, and the embedded PostgreSQL

PROBE_SECONDS = 5
AUDIT_SECONDS = 120


def knows_advisories(url: str) -> bool:
    """Whether the service names the advisories of a version that has some.

    A proxy's page does not.
    """
    try:
        return bool(httpx.post(url, json=KNOWN_AS_VULNERABLE, timeout=PROBE_SECONDS).json()["vulns"])
    except (httpx.HTTPError, ValueError, LookupError):
        return False


def reachable(url: str) -> bool:
    """Whether the service answers.

    A process of its own finds out, because looking a name up has no timeout.
    """
    try:
        return (
            subprocess.run([sys.executable, __file__, "--probe", url], timeout=PROBE_SECONDS, check=False).returncode
            == 0
        )
    except subprocess.TimeoutExpired:
        return False


def audit(url: str) -> int:
    """Return pip-audit's status.

    Not 0 when a locked version has an advisory, or could not be looked up.
    """
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip"),
        *("--strict", "--progress-spinner", "off", "--timeout", str(PROBE_SECONDS)),
        *("--vulnerability-service", "osv", "--osv-url", url),
    ]
    try:
        return subprocess.run(command, timeout=AUDIT_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"The audit took longer than {AUDIT_SECONDS} seconds.", file=sys.stderr)
        return 1


def main() -> int:
    """Audit, or say that nothing was audited.

    An argument names another service that speaks OSV's language.
    """
    url = sys.argv[-1] if len(sys.argv) > 1 else ADVISORIES
    if "--probe" in sys.argv:
        return 0 if knows_advisories(url) else 1
    if reachable(url):
        return audit(url)
    print(f"SKIPPED: the locked packages were not audited, because {url} cannot be reached.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
