"""A stored file as an answer: shown where a browser takes it for a picture or a sound, offered for saving otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Response
from werkzeug.exceptions import NotFound

from shared.media.folder import FileMissing
from shared.media.kinds import HEAD, is_shown, mime_of
from shared.media.storage import storage

#: A file is whatever a stranger sent: opened by itself it may do nothing.
POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
#: Seconds for which a browser keeps one; its bytes never change.
AGE = 3600


def answer_with(file: Mapping[str, Any] | None) -> Response:
    """The bytes of a row of `media`. Raises NotFound, also where its bytes were never had, or are deleted."""
    if file is None:
        raise NotFound("There is no such file. Use the id of one of yours.")
    if file["state"] != "stored":
        raise NotFound(f"The file is not kept here (state {file['state']}).")
    try:
        body = storage().read(file["storage_key"])
    except FileMissing:
        raise NotFound("The file is not kept here any more.") from None
    mime = mime_of(body[:HEAD], file["mime"])  # by its bytes, not by what its row says
    is_inline = is_shown(mime)
    name = quote(file["filename"] or "file", safe="")
    answer = Response(body, mimetype=mime if is_inline else "application/octet-stream")
    answer.headers["Content-Disposition"] = f"{'inline' if is_inline else 'attachment'}; filename*=UTF-8''{name}"
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = f"private, max-age={AGE}, immutable"
    return answer
