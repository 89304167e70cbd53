"""What bytes are, by their first ones, whatever their sender calls them. What is of use here, not all that there is."""

from __future__ import annotations

from collections.abc import Callable

#: Bytes of a file that are looked at.
HEAD = 4096


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


def _mp4(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and head[8:12].startswith(brands)


def _zip_of(folder: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(b"PK\x03\x04") and folder in head


#: Type -> its signature; the first that fits counts.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("image/jpeg", _starts(b"\xff\xd8\xff")),
    ("image/png", _starts(b"\x89PNG\r\n\x1a\n")),
    ("image/gif", _starts(b"GIF87a", b"GIF89a")),
    ("image/webp", _riff(b"WEBP")),
    ("audio/ogg", _starts(b"OggS")),
    ("audio/wav", _riff(b"WAVE")),
    ("audio/amr", _starts(b"#!AMR")),
    ("audio/flac", _starts(b"fLaC")),
    ("audio/aac", _starts(b"\xff\xf1", b"\xff\xf9")),
    ("audio/mpeg", _starts(b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2")),
    ("audio/mp4", _mp4(b"M4A", b"M4B")),
    ("video/3gpp", _mp4(b"3gp", b"3g2")),
    ("image/heic", _mp4(b"heic", b"heix", b"hevc", b"mif1", b"msf1")),
    ("image/avif", _mp4(b"avif", b"avis")),
    ("video/mp4", _mp4(b"")),
    ("video/webm", _starts(b"\x1a\x45\xdf\xa3")),
    ("application/pdf", _starts(b"%PDF-")),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", _zip_of(b"word/")),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _zip_of(b"xl/")),
    ("application/zip", _starts(b"PK\x03\x04")),
)
#: Those that hold sound, with a picture or without.
_CONTAINERS = ("video/mp4", "video/3gpp", "video/webm")
#: What a browser shows in a page, and cannot take for a script.
_SHOWN = ("image/jpeg", "image/png", "image/gif", "image/webp", "audio/")
#: What a text does not contain.
_CONTROL = bytes(range(0x20)).translate(None, b"\t\n\r\f\x1b")


def mime_of(head: bytes, said: str | None) -> str:
    """The type of a file by its first bytes. What has none is text or not; `said`, by its sender, says which text."""
    said = (said or "").partition(";")[0].strip().lower()
    for mime, fits in _SIGNATURES:
        if fits(head):
            # What phones and browsers record: the container is the same with and without a picture.
            is_sound = mime in _CONTAINERS and said.startswith("audio/")
            return mime.replace("video/", "audio/") if is_sound else mime
    if _is_text(head):
        return said if said in ("text/csv", "text/markdown") else "text/plain"
    return "application/octet-stream"


def is_shown(mime: str) -> bool:
    """Whether a page may show it, rather than offer it for saving."""
    return mime.startswith(_SHOWN)


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as problem:
        if len(head) < HEAD or problem.start < len(head) - 3:  # else a character is cut at the end
            return False
    return bool(head) and head.translate(None, _CONTROL) == head
