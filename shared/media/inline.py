"""Files within JSON: base64 is taken out of a body while it is read, so that 20 MB of it are never in memory.

What is left is small JSON, in which each long base64 string is a placeholder that nobody outside can guess:

    lifter = Lifter(lambda: Download(storage().arrivals))
    for part in body: lifter.feed(part)
    body = json.loads(lifter.rest)      # {"media": {"data": "lifted-6f1c…-0"}}
    lifter.files["lifted-6f1c…-0"]      # the file, decoded
"""

from __future__ import annotations

import binascii
import json
import re
import secrets
from collections.abc import Callable
from typing import Any

from shared.errors import OutsideFailure
from shared.media.download import Download, Spoilt

#: Characters of a string from which on it is no text: people write 65,536 at most, in whatever app.
LONG = 128 * 1024
#: Bytes of what is not base64.
MAX_REST = 1024 * 1024
#: What base64 consists of, with what JSON's writers and data URLs put around it.
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\\:;,."
_DATA_URL = re.compile(rb"data:[^,]{0,200},")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_END_OR_ESCAPE = re.compile(rb'["\\]')


class RestTooLarge(ValueError):
    """The JSON is too large, also without its files."""


class Lifted:
    """A file that was lifted; `problem`: why it is of no use."""

    def __init__(self, download: Download) -> None:
        self.download = download
        self.problem: OutsideFailure | None = None
        self._left = b""  # of a group of four characters
        self._is_over = False

    def write(self, text: bytes) -> None:
        """The next characters of its base64."""
        text = text.replace(b"\\/", b"/").replace(b"\\n", b"").replace(b"\\r", b"").translate(_URL_SAFE)
        text, padding, after = text.partition(b"=")
        if (self._is_over and text) or after.strip(b"=") or b"\\" in text:
            self.problem = self.problem or Spoilt("media: the file's base64 is malformed")
        self._is_over = self._is_over or bool(padding)
        whole = self._left + text
        end = len(whole) // 4 * 4
        self._left = whole[end:]
        self._keep(whole[:end])

    def close(self) -> None:
        """The end of its base64, which some write without padding."""
        if self._left:
            self._keep(self._left + b"=" * (-len(self._left) % 4))

    def _keep(self, text: bytes) -> None:
        if self.problem is None:
            try:
                self.download.write(binascii.a2b_base64(text, strict_mode=True))
            except binascii.Error:
                self.problem = Spoilt("media: the file's base64 is malformed")
            except OutsideFailure as problem:
                self.problem = problem


class Lifter:
    """Reads JSON part by part. `new_file` makes the download that a long base64 string is decoded into."""

    def __init__(self, new_file: Callable[[], Download]) -> None:
        self._new_file = new_file
        self._token = secrets.token_hex(16)
        self.files: dict[str, Lifted] = {}
        self.rest = bytearray()
        self._read = self._between
        self._candidate = bytearray()
        self._lifted: Lifted | None = None
        self._carried = b""  # half of an escape, at the end of a part

    def feed(self, part: bytes) -> None:
        """The next bytes. Raises RestTooLarge."""
        part, position = self._carried + part, 0
        backslashes = len(part) - len(part.rstrip(b"\\"))
        self._carried = part[-1:] if backslashes % 2 else b""  # two of them are a backslash; one is half of an escape
        part = part.removesuffix(self._carried)
        while position < len(part):
            position = self._read(part, position)
        if len(self.rest) > MAX_REST:
            raise RestTooLarge(f"must have at most {MAX_REST // 1024} KiB without its files")

    def json(self) -> Any:
        """What is left, if it is JSON; else an empty object."""
        try:
            return json.loads(self.rest)
        except (ValueError, RecursionError):
            return {}

    def _between(self, part: bytes, start: int) -> int:
        """Outside strings."""
        quote = part.find(b'"', start)
        if quote < 0:
            self.rest += part[start:]
            return len(part)
        self.rest += part[start : quote + 1]
        self._candidate.clear()
        self._read = self._perhaps_base64
        return quote + 1

    def _perhaps_base64(self, part: bytes, start: int) -> int:
        """In a string that may be base64 so far."""
        quote = part.find(b'"', start)
        end = len(part) if quote < 0 else quote
        piece = part[start:end]
        if piece.translate(None, _BASE64) or (quote >= 0 and piece.endswith(b"\\")):
            self._give_back()
            return start
        self._candidate += piece
        if len(self._candidate) >= LONG and not self._begin_file():
            self._give_back()
            return end
        if quote >= 0 and self._read == self._perhaps_base64:
            self._give_back()
        return end

    def _give_back(self) -> None:
        """It is a text, or short."""
        self.rest += self._candidate
        self._candidate.clear()
        self._read = self._in_text

    def _begin_file(self) -> bool:
        text = bytes(self._candidate)
        prefix = _DATA_URL.match(text)
        text = text[prefix.end() :] if prefix else text
        if text.translate(None, _BASE64[:-4]):  # what only a data URL has
            return False
        self._candidate.clear()
        name = f"lifted-{self._token}-{len(self.files)}"
        self._lifted = self.files[name] = Lifted(self._new_file())
        self._lifted.write(text)
        self.rest += name.encode()
        self._read = self._in_file
        return True

    def _in_file(self, part: bytes, start: int) -> int:
        """In a string that is being lifted."""
        quote = part.find(b'"', start)
        end = len(part) if quote < 0 else quote
        assert self._lifted is not None
        self._lifted.write(part[start:end])
        if quote >= 0:
            self._lifted.close()
            self._read = self._in_text
        return end

    def _in_text(self, part: bytes, start: int) -> int:
        """In any other string, up to its end."""
        match = _END_OR_ESCAPE.search(part, start)
        if match is None:
            self.rest += part[start:]
            return len(part)
        is_end = match[0] == b'"'
        end = match.end() if is_end else match.end() + 1  # what is escaped is in the same part (`_carried`)
        self.rest += part[start:end]
        if is_end:
            self._read = self._between
        return end


def decode_into(text: Any, download: Download) -> None:
    """Writes a file whose base64 was too short to be lifted. Raises Spoilt, TooLarge."""
    characters = text.encode("ascii", "replace") if isinstance(text, str) else b""
    prefix = _DATA_URL.match(characters)
    lifted = Lifted(download)
    lifted.write(b"".join(characters[prefix.end() if prefix else 0 :].split()))
    lifted.close()
    if lifted.problem is not None:
        raise lifted.problem
