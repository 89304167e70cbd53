"""The bytes of uploaded files, until they are read.

They go to PostgreSQL by COPY and come back in pieces. As parameters and as columns of a result they would be hexadecimal digits,
and several copies of them at once, in three processes: 600 MB for 20.
"""

from __future__ import annotations

import hashlib
import struct
from io import BytesIO, RawIOBase
from itertools import count
from typing import Any

from shared import db
from shared.db import sql

queries = sql.load(__file__)

#: Bytes that are fetched at a time.
PIECE = 1024 * 1024
#: PostgreSQL's binary COPY: signature, flags and extension; before a row its columns, before a column its bytes; the end.
_HEAD, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack(">h", -1)
_ROW = struct.Struct(">hiqi")


class _Rows(RawIOBase):
    """One file as COPY reads it; its body is not copied."""

    def __init__(self, document_id: int, body: bytes) -> None:
        begin = _HEAD + _ROW.pack(2, 8, document_id, len(body))
        self._parts = [BytesIO(begin), BytesIO(body), BytesIO(_END)]

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        while self._parts:
            if piece := self._parts[0].read(size):
                return piece
            del self._parts[0]
        return b""


def keep(document_id: int, body: bytes) -> None:
    """Keeps a document's bytes, instead of those that it had. In the caller's transaction."""
    queries["delete"].rows(document_id=document_id)
    db.connect().copy_in("knowledge_upload (document_id, body)", _Rows(document_id, body))


def is_kept(source_id: int, body: bytes) -> bool:
    """Whether a source's bytes are these."""
    return bool(queries["is_kept"].scalar(source_id=source_id, hash=hashlib.sha256(body).hexdigest()))


def body_of(document_id: int) -> bytes | None:
    """A document's bytes; None if they are not kept any longer, or are others by now."""
    pieces, written = list[bytes](), None
    for start in count(1, PIECE):
        piece: dict[str, Any] | None = queries["piece"].row(document_id=document_id, start=start, size=PIECE)
        if piece is None or piece["written"] != (written := written or piece["written"]):
            return None
        pieces.append(piece["bytes"])
        if len(piece["bytes"]) < PIECE:
            break
    return b"".join(pieces)
