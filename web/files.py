"""A stored file as an answer: shown where a browser takes it for a picture or a sound, offered for saving otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from flask import Response
from werkzeug.exceptions import NotFound

from shared.media.folder import FileMissing
from shared.media.kinds import HEAD, is_shown, mime_of
from shared.media.storage import storage
from shared.models import Media
from web.server.wsgi import PIECE

#: What an answer is made of.
FILE = (Media.state, Media.storage_key, Media.mime, Media.filename, Media.size)
#: A file is whatever a stranger sent: opened by itself it may do nothing.
POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
#: Seconds for which a browser keeps one; its bytes never change.
AGE = 3600


def answer_with(file: Mapping[str, Any] | None) -> Response:
    """The bytes of a row of `media` (FILE). Raises NotFound, also where its bytes were never had, or are deleted."""
    if file is None:
        raise NotFound("There is no such file. Use the id of one of yours.")
    if file["state"] != "stored":
        raise NotFound(f"The file is not kept here (state {file['state']}).")
    try:
        first = storage().read(file["storage_key"], 0, PIECE)
    except FileMissing:
        raise NotFound("The file is not kept here any more.") from None
    mime = mime_of(first[:HEAD], file["mime"])  # by its bytes, not by what its row says
    is_inline = is_shown(mime)
    name = quote(file["filename"] or "file", safe="")
    body = first if len(first) == file["size"] else _pieces(file["storage_key"], first, file["size"])
    answer = Response(body, mimetype=mime if is_inline else "application/octet-stream")
    answer.content_length = file["size"]
    answer.headers["Content-Disposition"] = f"{'inline' if is_inline else 'attachment'}; filename*=UTF-8''{name}"
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = f"private, max-age={AGE}, immutable"
    return answer


def _pieces(key: str, first: bytes, size: int) -> Iterator[bytes]:
    """Read as the client reads: whoever opens a large file many times and reads none of them takes no memory of them, and no
    descriptor."""
    piece, sent = first, 0
    while piece:
        yield piece
        sent += len(piece)
        piece = storage().read(key, sent, PIECE) if sent < size else b""
