"""Progress of a benchmark on stderr: one changing line on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import sys
import time

#: Seconds between updates on a terminal, and between lines elsewhere.
UPDATE, LINE = 0.2, 5.0


class _Progress:
    """One for each process, because there is one stderr."""

    def __init__(self) -> None:
        self._title, self._begun, self._shown = "", 0.0, 0.0

    def begin(self, title: str) -> None:
        """Starts the progress of one run."""
        self._title, self._begun, self._shown = title, time.monotonic(), 0.0
        self.tell("starts")

    def tell(self, text: str) -> None:
        """Shows the text, unless something was shown just now."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not self._title or now - self._shown < (UPDATE if terminal else LINE):
            return
        self._shown = now
        line = f"{self._title}, {now - self._begun:.0f} s: {text}"
        print(f"\r\x1b[K{line[:110]}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clears the line."""
        if self._title and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._title = ""


progress = _Progress()
