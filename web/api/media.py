"""/api/v1/media: the files that customers sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Response

from shared import db
from shared.models import Media
from web.api.api import api, customer_id
from web.files import FILE, answer_with

_SHOWN = (
    Media.id,
    Media.kind,
    Media.mime,
    Media.filename,
    Media.size,
    Media.sha256,
    Media.state,
    Media.text,
    Media.error,
)
_BYTES = {"type": "string", "format": "binary"}


@api.get("/media/<int:media_id>")
@api.doc(
    responses={
        200: {
            "description": "Its bytes: pictures and sounds under their own type, anything else as a file to be saved.",
            "content": {mime: {"schema": _BYTES} for mime in ("application/octet-stream", "*/*")},
        }
    }
)
def get_media(media_id: int) -> Response:
    """Get the bytes of a file that a customer sent"""
    own = (Media.id == media_id) & (Media.customer == customer_id())
    return answer_with(db.row(Media.select(*FILE).where(own)))


def media_of(messages: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """What messages came with, by message."""
    found: dict[int, list[dict[str, Any]]] = {message: [] for message in messages}
    files = Media.select(Media.message, *_SHOWN).where(Media.message.in_(list(found))).order_by(Media.message, Media.position)
    for row in db.rows(files) if found else ():
        found[row.pop("message_id")].append(row)
    return found
