"""Texts that others write, as PostgreSQL can keep them."""

from __future__ import annotations


def storable(text: str) -> str:
    """NUL and half surrogate pairs, which PostgreSQL refuses, become replacement characters."""
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
