"""Bytes become text: marks at the beginning first, then UTF-8, then the likeliest of the old code pages."""

from __future__ import annotations

import codecs
import re
import unicodedata

from shared.knowledge.documents import Unreadable

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: How files of other kinds begin: PDF, RTF, pictures, what is packed, Office; some have no byte that a text could not have.
_NO_TEXT = (
    *(b"%PDF-", b"{\\rtf", b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
    *(b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"),
)
_NOT_A_TEXT = "is not a text file, whatever its name says; save it as CSV or plain text in UTF-8"
_KANA = re.compile("[\u3041-\u30fe]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
#: Letters of Turkish where Western Europe has those of Icelandic, and what else Icelandic and Romanian have.
_TURKISH = re.compile(rb"[A-Za-z][\xf0\xfd\xfe\xdd\xde]|[\xdd\xde\xfe][a-z]")
_ICELANDIC = re.compile(rb"[\xe1\xed\xf3\xfa\xe6\xc6\xc1]")
_ROMANIAN = re.compile(rb"[\xe3\xc3]")
#: Letters beyond ASCII of languages of Western and of Central Europe, and their code pages: of Windows, Unix, old Macs and DOS.
_WEST = frozenset("äöüßáéíóúàèìòùâêîôûëïçñãõåæøþð")
_EAST = frozenset("ąćęłńóśźżáéíúýčďěňřšťůžľĺŕôäöüßőűăâîşţđëç")
_LATIN = {
    "cp1252": _WEST,
    "cp1250": _EAST,
    "iso8859_2": _EAST,
    "mac_roman": _WEST,
    "cp850": _WEST,
    "cp852": _EAST,
}
#: Signs that stand within words, and those that stand around them.
_APOSTROPHES = frozenset("\u2019\u2018")
_WITHIN = frozenset("\u00b7\u2013\u2014\u2026\u00ba")
_AROUND = frozenset("\u201e\u201c\u201d\u201a\u2018\u2019\u00ab\u00bb\u2013\u2026\u20ac\u00bf\u00a1\u00a7\u00a0")
_OPENING = frozenset("\u201e\u201a\u00bf\u00a1")
#: Bytes of Hebrew letters (cp1255, ISO 8859-8); those that end a word, before another letter; and letters of other scripts there.
_HEBREW = re.compile(rb"[\xe0-\xfa]")
_FINAL_WITHIN = re.compile(rb"[\xea\xed\xef\xf3\xf5][\xe0-\xfa]")
_NOT_HEBREW = re.compile(rb"[\xc0-\xdf\xfb-\xff]")
#: What pages of the Web call by an older name (https://encoding.spec.whatwg.org/#names-and-labels).
_MEANT = {
    "iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
    "euc_kr": "cp949", "tis-620": "cp874", "iso8859-11": "cp874",
}  # fmt: skip
#: What is drawn otherwise than it is written: ligatures, and hyphens that show only at a line's end. No search finds such a word.
_DRAWN = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
_AS_WRITTEN = str.maketrans(_DRAWN)
#: Letters of Hebrew and Arabic in the shape that they have at one place of a word.
_SHAPES = re.compile("[\ufb1d-\ufdff\ufe70-\ufefc]+")
_SOFT_HYPHEN = re.compile("\u00ad[ \\n]?|[\u200b\u2060\ufeff]")
#: A sign of UTF-8 beyond ASCII; any byte beyond it; signs that no text has.
_SIGN = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}"
    rb"|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
_HIGH = re.compile(rb"[\x80-\xff]")
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
#: What begins a sign of UTF-8 and hardly any word of an old code page: Â, Ã.
_CUT = (b"\xc2", b"\xc3")
#: Bytes that Windows' code page has no sign for, and that programs take over as they are.
_NO_SIGN = frozenset("\x81\x8d\x8f\x90\x9d")
#: Bytes that a guess looks at.
SAMPLE = 64 * 1024
#: The share of letters beyond ASCII from which a text is not in Latin script: German has one in thirty.
FOREIGN = 0.3


def decode(body: bytes, declared: str = "") -> str:
    """The text of a file. Raises Unreadable for what is none. `declared`: what HTTP says of it."""
    if not body.strip():
        raise Unreadable("is empty")
    if body.startswith(_NO_TEXT):
        raise Unreadable(_NOT_A_TEXT)
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body.decode(name, "replace").rstrip("\0")  # room that a program took and did not fill
    body = body.removeprefix(codecs.BOM_UTF8)
    body = body.rstrip(b"\0") if body.endswith(b"\0\0\0\0") else body
    if b"\0" in body[:SAMPLE]:
        return _with_zeros(body)
    try:
        return _once(body.decode())
    except UnicodeDecodeError:
        pass
    if _is_nearly_utf8(body):
        return body.decode("utf-8", "switchboard_odd_bytes")
    try:
        return body.decode(_meant(declared))
    except (UnicodeDecodeError, LookupError):
        return body.decode(_guess(body), "replace")


def _is_nearly_utf8(body: bytes) -> bool:
    """Whether it is UTF-8 but for some bytes: of a sign that was cut in two, or of a line that another program added. A word of
    Chinese or Korean in an old code page has as many pairs of bytes that look so as others, but not twice as many."""
    signs = len(_SIGN.findall(body))
    return 0 < signs >= 2 * len(_HIGH.findall(_SIGN.sub(b"", body)))


def _odd_bytes(problem: UnicodeError) -> tuple[str, int]:
    """What stands for bytes that are no UTF-8: the sign that Windows means by one; nothing for the rest of one that was cut."""
    assert isinstance(problem, UnicodeDecodeError), "it is for decoding"
    odd, is_last = problem.object[problem.start : problem.end], problem.end == len(problem.object)
    is_cut = len(odd) > 1 or odd in _CUT or is_last
    return "" if is_cut else odd.decode("cp1252", "ignore"), problem.end


def _no_sign(problem: UnicodeError) -> tuple[bytes, int]:
    """Writes bytes that Windows' code page has no sign for. Raises the problem for any other sign."""
    assert isinstance(problem, UnicodeEncodeError), "it is for encoding"
    odd = problem.object[problem.start : problem.end]
    if not _NO_SIGN.issuperset(odd):
        raise problem
    return odd.encode("latin-1"), problem.end


codecs.register_error("switchboard_odd_bytes", _odd_bytes)
codecs.register_error("switchboard_no_sign", _no_sign)


def _once(text: str) -> str:
    """A text whose UTF-8 somebody took for Windows' code page and saved as UTF-8 once more: GrÃ¶ÃŸe. Any other stays."""
    if text.isascii():
        return text
    try:
        return text.encode("cp1252", "switchboard_no_sign").decode("utf-8-sig")
    except UnicodeError:
        return text


def _meant(declared: str) -> str:
    """The code page that is meant by a name in a page or its headers; "?" where there is none of that name."""
    try:
        name = codecs.lookup(declared).name
    except (LookupError, ValueError):
        return "?"
    return _MEANT.get(name, name)


def as_written(text: str) -> str:
    """The text with its words as they are written, whatever a printer made of them."""
    text = _SHAPES.sub(lambda shapes: unicodedata.normalize("NFKC", shapes[0]), text)
    return _SOFT_HYPHEN.sub("", text.translate(_AS_WRITTEN))


def _with_zeros(body: bytes) -> str:
    """A text with NULs: UTF-16 without its mark, or one with a NUL here and there that does not belong. Anything else is none."""
    sample = body[:SAMPLE]
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if zeros.count(0) > 0.7 * len(zeros):  # Western: every other byte is one
            return (body + b"\0" * (len(body) % 2)).decode(name, "replace")  # the last one was taken for room that is not filled
    if text := _without_zeros(body):
        return text
    for name in ("utf-16-le", "utf-16-be"):  # of a text in another script: only its spaces and line ends have a NUL
        text = body.decode(name, "replace")
        if any(space in text for space in " ,;\t\n") and all(sign.isprintable() or sign in "\r\n\t" for sign in text[:SAMPLE]):
            return text
    raise Unreadable(_NOT_A_TEXT)


def _without_zeros(body: bytes) -> str:
    """The text, if it is one without its NULs: the other bytes of UTF-16 are none, or signs that no text has."""
    try:
        text = body.replace(b"\0", b"").decode()
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROL.search(text) else text


def _guess(body: bytes) -> str:
    from charset_normalizer import from_bytes  # only where it is needed

    if sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in body[:SAMPLE]) > 0.02 * len(body[:SAMPLE]):
        raise Unreadable(_NOT_A_TEXT)
    guess = from_bytes(body[:SAMPLE]).best()
    letters = [letter for letter in str(guess) if letter.isalpha()] if guess else []
    is_foreign = sum(not letter.isascii() for letter in letters) > FOREIGN * len(letters)
    if japanese := _japanese(body[:SAMPLE]):
        return japanese
    if _is_hebrew(body[:SAMPLE]):
        return "cp1255"
    return guess.encoding if guess and is_foreign else _latin(body[:SAMPLE])


def _is_hebrew(sample: bytes) -> bool:
    """Whether it is Hebrew: each letter is one of 27 bytes, and five of them stand at the end of words only."""
    letters = len(_HEBREW.findall(sample))
    is_most = letters > FOREIGN * sum(byte > 127 or chr(byte).isalpha() for byte in sample)
    return is_most and max(len(_NOT_HEBREW.findall(sample)), len(_FINAL_WITHIN.findall(sample))) < 0.03 * letters


def _japanese(sample: bytes) -> str:
    """The code page by which a text has the most kana; the wrong one makes half-width ones of it."""
    texts = {name: sample.decode(name, "replace") for name in ("cp932", "euc_jp")}
    kana = {name: len(_KANA.findall(text)) for name, text in texts.items() if text.count("\ufffd") < 2}  # it may be cut
    best = max(kana, key=kana.__getitem__, default="")
    return best if best and kana[best] > 0.05 * len(sample) else ""


def _latin(sample: bytes) -> str:
    """The code page that makes the most of the bytes letters in words; in Western Europe it is nearly always Windows'."""
    if _TURKISH.search(sample) and not _ICELANDIC.search(sample) and not _ROMANIAN.search(sample):
        return "cp1254"
    best = max(_LATIN, key=lambda name: _likeness(sample.decode(name, "replace"), _LATIN[name]))
    is_hungarian = best == "cp1252" and _is_hungarian(sample.decode("cp1252", "replace"))
    return "cp1250" if is_hungarian else best


def _is_hungarian(western: str) -> bool:
    letters = set(western)
    return bool(letters & set("õûÕÛ") and letters & set("öüÖÜ") and not letters & set("äÄàçñãâêî"))


def _likeness(text: str, letters: frozenset[str]) -> float:
    """How much a text looks like one of these letters: they against others, and against signs and capitals within words."""
    found = ((match[0], match.start(), match.end()) for match in _BEYOND_ASCII.finditer(text))
    around = ((text[start - 1 : start], sign, text[end : end + 1]) for sign, start, end in found)
    return sum(_letter(*one, letters) if one[1].isalpha() else _sign(*one) for one in around)


def _letter(before: str, letter: str, after: str, letters: frozenset[str]) -> int:
    is_alone = not (before + after).strip()
    is_odd = (letter.isupper() and before.islower()) or (letter.islower() and after.isupper())
    return -1 if letter.lower() not in letters or is_odd or is_alone else 1


def _sign(before: str, sign: str, after: str) -> int:
    if before.isalpha() and after.isalpha():
        return 1 if sign in _APOSTROPHES else 0 if sign in _WITHIN else -3
    return 1 if sign in _AROUND and not (sign in _OPENING and before.isalpha()) else -1
