"""How much memory this process may use, as far as its control group says (cgroups(7)), in bytes."""

from pathlib import Path
from typing import Final

_LIMIT_FILES: Final = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}
"""The file of each hierarchy's limit, by its controller; the unified hierarchy of version 2 names none."""

_NO_LIMIT: Final = 2**60
"""Version 1 writes the largest possible number where there is no limit."""


def memory_limit(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int | None:
    """The smallest limit of this process's control group and those above it; None where there is none.

    Inside a container the group's own path may be missing under ``root``; the limits above it are found.
    """
    limits = []
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        for controller in _LIMIT_FILES.keys() & {*controllers.split(",")}:
            mount, _, name = _LIMIT_FILES[controller].rpartition("/")
            top = root / mount
            group = top / path.lstrip("/")
            limits += [_read(place / name) for place in (group, *group.parents) if place.is_relative_to(top)]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _read(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # ValueError: "max"
        return _NO_LIMIT
