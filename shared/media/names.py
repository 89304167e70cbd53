"""What files are called: a name that a page, a header and a file system can show as it is."""

from __future__ import annotations

#: Characters, as in schema.sql.
MAX_NAME = 255


def clean(name: str) -> str:
    """A name without folders, and without what is not seen: line ends, and signs that turn the direction of writing, by which
    a program is shown as a picture. One that is too long keeps its end, which says what it is."""
    base = name.replace("\\", "/").rpartition("/")[2]
    seen = "".join(" " if sign.isspace() else sign if sign.isprintable() else "" for sign in base)
    return " ".join(seen.split())[-MAX_NAME:].strip() or "file"
