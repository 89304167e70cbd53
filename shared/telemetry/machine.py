"""How much memory this machine has, or its container may have, and how much of it is free."""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

#: Where Linux says it to a container, by cgroup 2 and by cgroup 1: what it may have, what it has, and what that is.
_OF_CONTAINER = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "sys/fs/cgroup/memory/memory.stat",
    ),
)
#: Copies of files, which Linux drops where it needs their room.
_CACHED = re.compile(r"^(?:inactive|active)_file (\d+)$", re.M)


def memory(root: Path = Path("/")) -> int:
    """In bytes. `root`: where the machine's files are."""
    limits = [int(text) for name, *_ in _OF_CONTAINER if (text := _text_of(root / name)).isdigit()]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits])


def free_memory(root: Path = Path("/")) -> int:
    """In bytes: what may be taken before Linux ends a process. All there is, where the system does not say it (macOS)."""
    available = re.search(r"^MemAvailable: +(\d+) kB$", _text_of(root / "proc/meminfo"), re.M)
    free = [int(available[1]) * 1024] if available else []
    for limit, used, kinds in (map(_text_of, (root / name for name in names)) for names in _OF_CONTAINER):
        if limit.isdigit() and used.isdigit():
            free.append(int(limit) - int(used) + sum(map(int, _CACHED.findall(kinds))))
    return max(0, min([memory(root), *free]))


def give_back_memory() -> None:
    """Gives what this process has freed back to the system. The GNU C library keeps it, for each thread its own, for ever."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
