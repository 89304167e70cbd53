"""Bytes become text: marks at the beginning first, then UTF-8, then the likeliest of the old code pages."""

from __future__ import annotations

import codecs
import re

from shared.knowledge.documents import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KANA = re.compile("[\u3041-\u30fe]")
#: Letters of Turkish where Western Europe has those of Icelandic, and what else Icelandic has.
_TURKISH = re.compile(rb"[A-Za-z][\xf0\xfd\xfe\xdd\xde]|[\xdd\xde\xfe][a-z]")
_ICELANDIC = re.compile(rb"[\xe1\xed\xf3\xfa\xe6\xc6\xc1]")
#: Signs that no word has within it: letters of Polish and its neighbours (cp1250), or of an old DOS program (cp850).
_OF_THE_EAST = re.compile("[^\\W\\d_][\u00b3\u00b9\u00bf\u00af\u00bc\u00be\u00a3\u00a5][^\\W\\d_]")
_OF_DOS = re.compile("[^\\W\\d_][\u201e\u201d\u201a\ufffd][^\\W\\d_]")
#: What is drawn otherwise than it is written: ligatures, and hyphens that show only at a line's end. No search finds such a word.
_DRAWN = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
_AS_WRITTEN = str.maketrans(_DRAWN)
_SOFT_HYPHEN = re.compile("\u00ad[ \\n]?|[\u200b\u2060\ufeff]")
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


def as_written(text: str) -> str:
    """The text with its words as they are written, whatever a printer made of them."""
    return _SOFT_HYPHEN.sub("", text.translate(_AS_WRITTEN))


def _without_mark(body: bytes) -> str:
    """UTF-16 of mostly Western text has a NUL in every other byte; anything else with NULs is no text."""
    sample = body[:SAMPLE]
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if zeros.count(0) > 0.7 * len(zeros):
            return body.decode(name, "replace")
    for name in ("utf-16-le", "utf-16-be"):  # of a text in another script: only its spaces and line ends have a NUL
        text = body.decode(name, "replace")
        if any(space in text for space in " ,;\t\n") and all(sign.isprintable() or sign in "\r\n\t" for sign in text[:SAMPLE]):
            return text
    raise Unreadable("is not a text file, whatever its name says; save it as CSV or plain text in UTF-8")


def _guess(body: bytes) -> str:
    from charset_normalizer import from_bytes  # only where it is needed

    if sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in body[:SAMPLE]) > 0.02 * len(body[:SAMPLE]):
        raise Unreadable("is not a text file, whatever its name says; save it as CSV or plain text in UTF-8")
    guess = from_bytes(body[:SAMPLE]).best()
    letters = [letter for letter in str(guess) if letter.isalpha()] if guess else []
    is_foreign = sum(not letter.isascii() for letter in letters) > FOREIGN * len(letters)
    if japanese := _japanese(body[:SAMPLE]):
        return japanese
    return guess.encoding if guess and is_foreign else _latin(body[:SAMPLE])


def _japanese(sample: bytes) -> str:
    """The code page by which a text has the most kana; the wrong one makes half-width ones of it."""
    texts = {name: sample.decode(name, "replace") for name in ("cp932", "euc_jp")}
    kana = {name: len(_KANA.findall(text)) for name, text in texts.items() if text.count("\ufffd") < 2}  # it may be cut
    best = max(kana, key=kana.__getitem__, default="")
    return best if best and kana[best] > 0.05 * len(sample) else ""


def _latin(sample: bytes) -> str:
    """A few accents fit many code pages: in Western Europe it is nearly always Windows', unless a word has signs in it."""
    if _TURKISH.search(sample) and not _ICELANDIC.search(sample):
        return "cp1254"
    western = sample.decode("cp1252", "replace")
    return "cp850" if _OF_DOS.search(western) else "cp1250" if _OF_THE_EAST.search(western) else "cp1252"
