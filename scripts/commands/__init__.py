"""The commands that people type (scripts/README.md)."""

from __future__ import annotations

import io
import sys

# Customers write in every alphabet, and a terminal may know one only: what it cannot show is a question mark there, not the
# command's end.
for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="replace")
