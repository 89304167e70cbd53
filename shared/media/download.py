"""A file on its way in: written to a temporary file as it comes, counted and hashed, and refused as soon as it is too large."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from shared.config import settings
from shared.errors import OutsideFailure, PermanentRefusal
from shared.media.folder import down_if_it_fails, require_room
from shared.media.kinds import HEAD, mime_of


class TooLarge(PermanentRefusal):
    """More bytes than a file may have."""


class Spoilt(OutsideFailure):
    """What came is not what was announced: broken off, empty, another hash. Asked for again it may be right."""


class Download:
    """Write into it, then `check` it. `sha256` is what was announced, if anything was; `expect` tells of more."""

    def __init__(self, folder: Path, mime: str | None = None, sha256: str | None = None) -> None:
        self.mime, self.filename = mime, None
        self.announced_size: int | None = None
        self.announced_sha256 = sha256
        self.head = b""
        self._limit = settings().media_max * 1024 * 1024
        with down_if_it_fails():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_room(folder)
            number, name = tempfile.mkstemp(dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(number, "wb")
        self.restart()

    def __enter__(self) -> Download:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Removes what nobody has taken."""
        with suppress(OSError):  # what was not written yet, on a full disk; `check` tells of it where it matters
            self._file.close()
        self.path.unlink(missing_ok=True)

    def restart(self) -> None:
        """Forgets what came."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size, self.head = hashlib.sha256(), 0, b""

    def expect(self, size: int | None, sha256: str | None) -> None:
        """What its provider announces by now. Raises TooLarge at once, rather than when it has come."""
        self.announced_size = self.announced_size if size is None else size
        self.announced_sha256 = sha256 or self.announced_sha256
        if (self.announced_size or 0) > self._limit:
            raise self._too_large()

    def write(self, part: bytes) -> None:
        """The next bytes. Raises TooLarge, Spoilt."""
        self.size += len(part)
        if self.size > self._limit:
            raise self._too_large()
        if self.announced_size is not None and self.size > self.announced_size:
            raise Spoilt(f"media: more came than the {self.announced_size} bytes that were announced")
        if len(self.head) < HEAD:
            self.head += part[: HEAD - len(self.head)]
        self._hash.update(part)
        with down_if_it_fails():
            self._file.write(part)

    def check(self) -> None:
        """That all is there, and on the disk. Raises Spoilt."""
        if not self.size:
            raise Spoilt("media: the file is empty")
        if self.announced_size is not None and self.size != self.announced_size:
            raise Spoilt(f"media: {self.size} of {self.announced_size} bytes came")
        expected = _digest(self.announced_sha256)
        if expected is not None and expected != self._hash.digest():
            raise Spoilt("media: the file has another SHA-256 than was announced")
        self.mime = mime_of(self.head, self.mime)
        with down_if_it_fails():
            self._file.flush()
            os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        """Of what came, in hex."""
        return self._hash.hexdigest()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"media: the file has more than {settings().media_max} MiB; MEDIA_MAX_MB is the limit")


def _digest(announced: str | None) -> bytes | None:
    """A SHA-256 in hex or base64; None for what is neither, which nothing can be compared with."""
    try:
        digest = (
            bytes.fromhex(announced or "") if len(announced or "") == 64 else base64.b64decode(announced or "", validate=True)
        )
    except (ValueError, binascii.Error):
        return None
    return digest if len(digest) == 32 else None
