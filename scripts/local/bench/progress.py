"""What a benchmark is at, on stderr: one line that changes on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time

#: Seconds between two changes of the line, and between two lines where there is no terminal.
CHANGE, LINE = 0.2, 5.0


class _Progress:
    """Of this process: it has one stderr."""

    def __init__(self) -> None:
        self._part, self._begun, self._told = "", 0.0, 0.0

    def begin(self, part: str) -> None:
        """What is told from now on is about this part."""
        self._part, self._begun, self._told = part, time.monotonic(), 0.0
        self.tell("starts")

    def tell(self, what: str) -> None:
        """Shows it, unless something was shown just now."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not self._part or now - self._told < (CHANGE if terminal else LINE):
            return
        self._told = now
        line = f"{self._part}, {now - self._begun:.0f} s: {what}"
        print(f"\r\x1b[K{line[:110]}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Makes room for something else."""
        if self._part and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._part = ""


progress = _Progress()
