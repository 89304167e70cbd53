"""How much memory a document's reader may take: what is free on this machine at the moment, up to a limit.

A document for which that is too little is read when more is free; only what would not fit if all was free is refused.
"""

from __future__ import annotations

import hashlib
import resource
import threading
from contextlib import suppress
from pathlib import Path

from shared.telemetry import machine

#: Bytes of memory, all in all: a book of 20 MB needs 450 MB, and libraries take 250 MB of it.
MEMORY = 768 * 1024 * 1024
#: Bytes of it that may be written to: no more than is free, less what the worker takes meanwhile for the document and for what it
#: says; but enough for the libraries, and a short document.
FOR_WORKER, LEAST_WRITTEN = 64 * 1024 * 1024, 192 * 1024 * 1024
#: Bytes that the worker always has, whoever else is at rest.
ALWAYS_TAKEN = 64 * 1024 * 1024
#: Bytes that must be free beyond those that were too little, before a document is read again.
STEP = 32 * 1024 * 1024
#: Documents of which it is known how much was too little for them.
MOST_KNOWN = 1_000


def at_most() -> int:
    """Bytes that a reader may write to at the best of times."""
    return _within_limits(machine.memory() - ALWAYS_TAKEN)


def at_present(free: int, taken: int = 0) -> int:
    """Bytes that a reader may write to now. `taken`: those that it has already, which are not free."""
    return _within_limits(free + taken)


def _within_limits(free: int) -> int:
    return min(MEMORY, max(LEAST_WRITTEN, free - FOR_WORKER))


def limit_for_good() -> None:
    """The limits of this process that stay."""
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        with suppress(OSError, ValueError):  # macOS
            resource.setrlimit(kind, (MEMORY, MEMORY))


def limit_for_now(free: int) -> None:
    """Limits this process to what is free at present."""
    with suppress(OSError, ValueError):  # macOS
        resource.setrlimit(resource.RLIMIT_DATA, (at_present(free, _taken()), MEMORY))


def _taken() -> int:
    """Bytes in memory of this process that are not files'."""
    try:
        _, resident, of_files, *_ = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split())
    except OSError:
        return 0
    return (resident - of_files) * resource.getpagesize()


class TooLittle:
    """How much memory was too little for which documents: then nobody tries again before more is free."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, int] = {}

    def is_for(self, body: bytes, written: int) -> bool:
        """Whether so many bytes, which a reader may write to now, are known to be too little."""
        with self._lock:
            known = self._known.get(_key(body)) if self._known else None
        return known is not None and written < min(known + STEP, at_most())

    def learn(self, body: bytes, written: int) -> bool:
        """So many bytes were too little; whether there may be more at another time."""
        with self._lock:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[_key(body)] = written
        return written < at_most()


def _key(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
