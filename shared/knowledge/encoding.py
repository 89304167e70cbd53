"""Bytes become text: marks at the beginning first, then UTF-8, then the likeliest of the old code pages."""

from __future__ import annotations

import codecs

from shared.knowledge.documents import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Bytes that a guess looks at.
SAMPLE = 64 * 1024
#: The share of letters beyond ASCII from which a text is not in Latin script: German has one in thirty.
FOREIGN = 0.3


def decode(body: bytes, declared: str = "") -> str:
    """The text of a file. Raises Unreadable for what is none. `declared`: what HTTP says of it."""
    if not body.strip():
        raise Unreadable("is empty")
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body.decode(name, "replace")
    if b"\0" in body[:SAMPLE]:
        return _without_mark(body)
    for name in ("utf-8", declared):
        try:
            return body.decode(name)
        except (UnicodeDecodeError, LookupError):
            pass
    return body.decode(_guess(body), "replace")


def _without_mark(body: bytes) -> str:
    """UTF-16 of mostly Western text has a NUL in every other byte; anything else with NULs is no text."""
    sample = body[:SAMPLE]
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if zeros.count(0) > 0.7 * len(zeros):
            return body.decode(name, "replace")
    raise Unreadable("is not a text file, whatever its name says; save it as CSV or plain text in UTF-8")


def _guess(body: bytes) -> str:
    from charset_normalizer import from_bytes  # only where it is needed

    if sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in body[:SAMPLE]) > 0.02 * len(body[:SAMPLE]):
        raise Unreadable("is not a text file, whatever its name says; save it as CSV or plain text in UTF-8")
    guess = from_bytes(body[:SAMPLE]).best()
    letters = [letter for letter in str(guess) if letter.isalpha()] if guess else []
    is_foreign = sum(not letter.isascii() for letter in letters) > FOREIGN * len(letters)
    # A few accents fit many code pages; in Western Europe it is nearly always Windows'.
    return guess.encoding if guess and is_foreign else "cp1252"
