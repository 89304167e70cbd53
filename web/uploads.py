"""A file that a visitor or a person of the business sends: what it may be, and how it is kept before its message is saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

from shared import db
from shared.channels.outbound_file import MEGABYTE
from shared.channels.widget.files import KINDS, MOST
from shared.errors import InvalidPayload
from shared.media import files
from shared.media.download import Download, Spoilt, TooLarge
from shared.media.folder import key_of
from shared.media.names import clean
from shared.media.storage import storage
from shared.models import Media

#: Bytes of a file, and those of a body with one that are in memory.
MAX_FILE, IN_MEMORY = MOST, 256 * 1024
#: What a form has beside its file: the longest caption, each character in four bytes, and the parts' own lines.
FORM = 128 * 1024
#: For the `accept` of a page's file input.
ACCEPTED = "image/jpeg,image/png,image/webp,image/gif,audio/*,.pdf,.txt,.csv,.docx,.xlsx"
_PART = 256 * 1024


class Why(StrEnum):
    """Why a file is refused."""

    TOO_LARGE = "too_large"
    EMPTY = "empty"
    KIND = "kind"
    QUOTA = "quota"
    CHANNEL = "channel"
    WORDS = "words"
    GONE = "gone"


_WORDS = {
    Why.TOO_LARGE: f"may have at most {MAX_FILE // MEGABYTE} MB",
    Why.EMPTY: "is empty",
    Why.KIND: "must be a picture (JPEG, PNG, WebP, GIF), a PDF, a text, a document, a table, or a sound",
    Why.QUOTA: "finds no room: the files of this business fill their quota",
    Why.GONE: "is no longer kept; send it as a new message",
}


class FileRefused(InvalidPayload):
    """A file that is not taken."""

    def __init__(self, why: Why, words: str = "", most: int = MAX_FILE // MEGABYTE) -> None:
        super().__init__("message", {"file": words or _WORDS[why]})
        self.why, self.most = why, most


@dataclass(frozen=True)
class Upload:
    """A file that has come, and is not kept yet."""

    kind: str
    mime: str
    size: int
    sha256: str
    name: str
    download: Download

    def keep(self, customer_id: int) -> None:
        """Stores its bytes, before the row of a message has it. Raises FileRefused, StorageDown, ServiceDown."""
        try:
            files.store(customer_id, self.download)
        except files.QuotaFull:
            raise FileRefused(Why.QUOTA) from None

    def require(self, customer_id: int) -> None:
        """Within the transaction that gives it to a message: nobody has deleted it since it was kept. Raises ServiceDown."""
        files.give(customer_id, self.sha256)


@dataclass(frozen=True)
class Earlier:
    """The file of a message that is sent once more."""

    media_id: int
    kind: str
    mime: str
    size: int
    sha256: str
    name: str

    def keep(self, customer_id: int) -> None:
        """Nothing: it is kept for its first message."""

    def require(self, _customer_id: int) -> None:
        """Within the transaction that gives it to another message: nobody deletes it meanwhile. Raises FileRefused."""
        stored = (Media.id == self.media_id) & (Media.state == "stored")
        if db.row(Media.select(Media.id).where(stored).for_update("FOR SHARE")) is None:  # type: ignore[arg-type]  # peewee takes it
            raise FileRefused(Why.GONE)


File = Upload | Earlier


@contextmanager
def arriving(source: IO[bytes], mime: str | None, name: str) -> Iterator[Upload]:
    """A file as it comes, looked at; what nobody keeps is gone behind the block. Raises FileRefused, StorageDown."""
    with Download(storage().arrivals, mime=mime) as download:
        try:
            while part := source.read(_PART):
                download.write(part)
            download.check()
        except TooLarge:
            raise FileRefused(Why.TOO_LARGE) from None
        except Spoilt:
            raise FileRefused(Why.EMPTY) from None
        if download.size > MAX_FILE:
            raise FileRefused(Why.TOO_LARGE)
        kind = KINDS.get(download.mime or "")
        if kind is None or download.mime is None:
            raise FileRefused(Why.KIND)
        yield Upload(kind.value, download.mime, download.size, download.sha256, clean(name), download)


def label(kind: str) -> str:
    """What stands in the place of words where a file has none, as in all channels."""
    return f"[{kind}]"


def said_with(content: str, kind: str) -> dict[str, str]:
    """What the metadata of a message with a file say: whether its content is words or a label."""
    return {"unsupported" if content == label(kind) else "attachment": kind}


def attach(customer_id: int, message_id: int, file: File) -> None:
    """Gives a kept file to a message, in its transaction. Raises FileRefused, ServiceDown."""
    file.require(customer_id)
    about = {"kind": file.kind, "mime": file.mime, "filename": file.name, "size": file.size, "sha256": file.sha256}
    row: dict[str, Any] = {**about, "state": "stored", "storage_key": key_of(customer_id, file.sha256)}
    db.rows(Media.insert(customer=customer_id, message=message_id, position=0, source={}, **row))
