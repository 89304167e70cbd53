"""Files on their way to a QR gateway: base64 within JSON."""

from __future__ import annotations

import json
import mimetypes
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from shared.channels.outbound_file import OutboundFile, seconds_for
from shared.channels.whatsapp_qr.gateway import call_post_encoded
from shared.http import Response

#: Stands in a body where the file's base64 is to stand.
CONTENT = "\0"
_CONTENT = json.dumps(CONTENT).encode()


def post_with(path: str, body: Mapping[str, Any], file: OutboundFile, headers: Mapping[str, str]) -> Response:
    """POSTs a body to the gateway, with the file's content in it. Raises what shared.http raises."""
    data = with_content(body, file.content)
    return call_post_encoded(path, data, headers, seconds_for(len(data)))


def with_ending(file: OutboundFile) -> str:
    """The file's name, with an ending that says its type."""
    is_known = mimetypes.guess_type(file.filename)[0] is not None
    return file.filename if is_known else file.filename + (mimetypes.guess_extension(file.bare_mime) or ".bin")


def with_content(body: Mapping[str, Any], content: bytes) -> bytes:
    """The body as JSON, put together around the content: json.dumps would make two more copies of it."""
    head, _, tail = json.dumps(body).encode().partition(_CONTENT)
    return b"".join((head, b'"', b64encode(content), b'"', tail))
