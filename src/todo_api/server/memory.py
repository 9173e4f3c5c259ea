"""How much memory this process may use, and how it gives back what it does not use any more."""

import ctypes
import gc
import os
import resource
from pathlib import Path
from typing import Final

_LIMIT_FILES: Final = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}
"""The file of each hierarchy's limit, by its controller; the unified hierarchy of version 2 names
none."""

_RESOURCE_LIMITS: Final = (resource.RLIMIT_AS, resource.RLIMIT_RSS)
"""``ulimit -v`` and ``ulimit -m``. Linux holds nobody to the second, but we keep to it."""

_NO_LIMIT: Final = 2**63


def memory_limit(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int:
    """The smallest limit of this process, in bytes.

    Its own (getrlimit(2)), its control group's, those of the groups above it (cgroups(7)), and what
    the machine has.

    Inside a container the group's own path may be missing under ``root``; the limits above it are
    found.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    own = (resource.getrlimit(each)[0] for each in _RESOURCE_LIMITS)
    limits += [limit for limit in own if limit != resource.RLIM_INFINITY]
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        for controller in _LIMIT_FILES.keys() & {*controllers.split(",")}:
            mount, _, name = _LIMIT_FILES[controller].rpartition("/")
            top = root / mount
            group = top / path.lstrip("/")
            limits += [_read(place / name) for place in (group, *group.parents) if place.is_relative_to(top)]
    return min(limits)


def _read(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # ValueError: "max"
        return _NO_LIMIT


def resident_bytes(status: Path = Path("/proc/self/statm")) -> int:
    """What this process takes of the machine's memory; 0 where that cannot be known."""
    try:
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back_memory() -> None:
    """Give back to the system what large responses took. It takes milliseconds.

    glibc keeps freed memory that has something in use behind it; only its malloc_trim(3) gives that
    back.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
