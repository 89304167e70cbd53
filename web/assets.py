"""The files of static/, whose addresses name what is in them: browsers keep such a file for good."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import url_for

STATIC = Path(__file__).parent / "static"


def asset(name: str) -> str:
    """The address of a file, with a hash of what is in it."""
    return url_for("static", filename=name, v=_hashes()[name])


def is_current(name: str | None, version: str) -> bool:
    """Whether an address names what is in our file. During a deploy a page of the new release may ask the old one."""
    return name is not None and _hashes().get(name) == version


@cache
def _hashes() -> dict[str, str]:
    files = (path for path in STATIC.rglob("*") if path.is_file())
    return {path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}
