"""How much memory this machine has, or its container may have."""

from __future__ import annotations

import os
from pathlib import Path

#: Where Linux says it to a container, by cgroup 2 and by cgroup 1.
_OF_CONTAINER = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory(root: Path = Path("/")) -> int:
    """In bytes. `root`: where the machine's files are."""
    limits = [int(text) for name in _OF_CONTAINER if (text := _text_of(root / name)).isdigit()]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits])


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
