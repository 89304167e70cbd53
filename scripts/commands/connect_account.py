"""What connecting an account of any channel takes at a terminal: its secret, and what it replaces."""

from __future__ import annotations

import getpass
import sys


def in_place_of(what: str, before: str | None, now: str) -> str:
    """What a chatbot had until now, for whoever connected the wrong chatbot."""
    return "" if before in (None, now) else f", in place of {what} {before}"


def read_secret(what: str, may_be_empty: bool = False) -> str:
    """Typed unseen, or piped in. Ctrl-D and Ctrl-C at the prompt end the command."""
    try:
        secret = (getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    except (EOFError, KeyboardInterrupt):
        sys.exit(f"\nconnect: {what}: nothing was given, so nothing was connected")
    if not secret and not may_be_empty:
        sys.exit(f"connect: {what}: nothing was given; type it, or pipe it into standard input")
    return secret
