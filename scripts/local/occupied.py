"""One script at a time in a data folder. The kernel releases a lock when its process ends, so none is ever left behind."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path


class Occupied(Exception):
    """Another process is at work here; `holder` is what it says of itself: its `pid`, and `address` if it serves."""

    def __init__(self, holder: Mapping[str, object]) -> None:
        super().__init__()
        self.holder = holder

    def __str__(self) -> str:
        where = f", {self.holder['address']}" if "address" in self.holder else ""
        return f"process {self.holder.get('pid', 'unknown')}{where}"


class Occupation:
    """A lock file that this process holds. What it says of itself is for those who come later."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file
        self.say()

    def say(self, **about: str) -> None:
        """Replaces what the file says."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), **about}))
        self._file.flush()


@contextmanager
def occupy(path: Path) -> Iterator[Occupation]:
    """Holds this lock file for the length of the block. Raises Occupied if another process holds it."""
    with path.open("a+", encoding="utf-8") as file:
        if not _take(file):
            raise Occupied(what_holder_says(path))
        yield Occupation(file)


def is_occupied(path: Path) -> bool:
    """Whether a process holds this lock file."""
    try:
        with path.open(encoding="utf-8") as file:
            return not _take(file, fcntl.LOCK_SH)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _take(file: TextIOWrapper, how: int = fcntl.LOCK_EX) -> bool:
    """Takes the lock of a file until the file is closed; False if another process has it."""
    with suppress(BlockingIOError):
        fcntl.flock(file, how | fcntl.LOCK_NB)
        return True
    return False


def what_holder_says(path: Path) -> dict[str, object]:
    """What the process that holds, or held, a lock file says of itself."""
    with suppress(OSError, ValueError):
        said = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(said, dict):
            return said
    return {}
