"""A file on its way to a customer, and what each channel carries.

Each channel's package has `files`: in which ways it takes files (`CARRIES`). The first way that takes a file counts, so a picture
that is too large for one goes as a document. API and desk ask `way_for` and `most_bytes` before anything is stored, and whoever
sends asks `chosen_way`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module

from shared.channels.kinds import MediaKind
from shared.channels.outcomes import Reason, with_code
from shared.channels.registry import channel
from shared.config import settings
from shared.errors import PermanentRefusal

KILOBYTE, MEGABYTE = 1024, 1024 * 1024
#: Bytes that leave in a second, on a slow line; a call with a file may take so much longer.
SLOWEST = 256 * KILOBYTE


@dataclass(frozen=True)
class OutboundFile:
    """One file, whole, as a channel's `send_file` takes it."""

    kind: MediaKind
    mime: str
    filename: str
    content: bytes = field(repr=False)

    @property
    def bare_mime(self) -> str:
        """Its type without parameters."""
        return _bare(self.mime)

    @property
    def is_opus(self) -> bool:
        """Whether it is an Ogg of Opus, as WhatsApp's voice notes are: its first page says so."""
        return self.bare_mime == "audio/ogg" and b"OpusHead" in self.content[:64]

    @property
    def exact_mime(self) -> str:
        """Its type as WhatsApp calls it, which takes an Ogg only if it is said to be of Opus."""
        return "audio/ogg; codecs=opus" if self.is_opus else self.bare_mime


@dataclass(frozen=True)
class Way:
    """A way in which a channel takes files."""

    #: As the provider, or the channel's package, calls it.
    name: str
    #: Bytes.
    most: int
    #: UTF-16 units of the text that stands with the file; 0: none does.
    max_caption: int
    #: What it is to those who talk, and its type; None: any.
    kinds: frozenset[MediaKind] | None = None
    mimes: frozenset[str] | None = None
    #: A longer text, or any where none stands with the file, may be a message of its own. Not where a message has one id only, by
    #: which its echo is known as our own.
    may_split: bool = True

    def takes(self, kind: MediaKind, mime: str, size: int) -> bool:
        """Whether such a file can go this way."""
        is_known = (self.kinds is None or kind in self.kinds) and (self.mimes is None or _bare(mime) in self.mimes)
        return is_known and size <= self.most

    def has_room_for(self, caption: str) -> bool:
        """Whether the text can stand with the file."""
        return len(caption.encode("utf-16-le", "surrogatepass")) // 2 <= self.max_caption

    def takes_text(self, text: str) -> bool:
        """Whether the text may be sent with such a file: with it, or behind it."""
        return self.may_split or self.has_room_for(text)


@cache
def ways_of(name: str) -> Sequence[Way]:
    """In which ways the channel of this name takes files."""
    ways: Sequence[Way] = import_module(f"shared.channels.{channel(name).name}.files").CARRIES
    return ways


def way_for(name: str, kind: MediaKind, mime: str, size: int) -> Way | None:
    """The way that a file of `size` bytes goes on a channel; None: it takes no such file."""
    return next((way for way in ways_of(name) if way.takes(kind, mime, size)), None)


def most_bytes(name: str, kind: MediaKind, mime: str) -> int:
    """How large such a file may be on a channel; 0: it takes none of its type."""
    return max((way.most for way in ways_of(name) if way.takes(kind, mime, 0)), default=0)


def chosen_way(name: str, file: OutboundFile, caption: str) -> Way:
    """The same as `way_for`, for whoever sends a file and the text that is to stand with it. Raises PermanentRefusal."""
    way, most = way_for(name, file.kind, file.mime, len(file.content)), most_bytes(name, file.kind, file.mime)
    if way is not None and way.has_room_for(caption):
        return way
    if way is not None:
        problem = f"takes at most {way.max_caption} characters of text with such a file"
    else:
        problem = f"takes files of up to {most // MEGABYTE} MB" if most else f"takes no files of the type {file.bare_mime}"
    raise with_code(PermanentRefusal(f"{channel(name).title} {problem}"), Reason.MEDIA_FAILED)


def seconds_for(size: int) -> float:
    """How long a call may take that carries so many bytes."""
    return settings().http_timeout + size / SLOWEST


def _bare(mime: str) -> str:
    return mime.partition(";")[0].strip().lower()
