"""Files that a bot sends: what Telegram refuses of them."""

from __future__ import annotations

from typing import Any

from scripts.local.simulator.exchange import Request
from scripts.local.simulator.forms import Upload, form_of

_MEGABYTE = 1024 * 1024
#: Method -> the bytes that it takes, and the types; none: any.
METHODS: dict[str, tuple[int, tuple[str, ...]]] = {
    "sendPhoto": (10 * _MEGABYTE, ("image/jpeg", "image/png", "image/webp")),
    "sendAnimation": (50 * _MEGABYTE, ("image/gif", "video/mp4")),
    "sendVideo": (50 * _MEGABYTE, ("video/mp4",)),
    "sendVoice": (50 * _MEGABYTE, ("audio/ogg", "audio/mpeg", "audio/mp4")),
    "sendAudio": (50 * _MEGABYTE, ("audio/mpeg", "audio/mp4")),
    "sendSticker": (512 * 1024, ("image/webp",)),
    "sendDocument": (50 * _MEGABYTE, ()),
}
#: Pictures whose bytes have this in them are too long for a photo.
TOO_LONG = b"a panorama"
_CAPTION = 1_024


def read(method: str, request: Request) -> tuple[dict[str, str], dict[str, Any] | None, tuple[int, str] | None]:
    """The fields, the file as the record has it, and the status and the words of a refusal."""
    field = method.removeprefix("send").lower()
    try:
        fields, files = form_of(request)
    except ValueError:
        fields, files = {}, {}
    file = files.get(field)
    if file is None:
        return fields, None, (400, f"Bad Request: there is no {field} in the request")
    caption = fields.get("caption", "")
    is_as_it_is = fields.get("disable_content_type_detection") == "true"
    kind = "sticker" if (method, file.mime, is_as_it_is) == ("sendDocument", "image/webp", False) else field
    return fields, file.shown(kind, caption), _wrong(method, file, caption)


def _wrong(method: str, file: Upload, caption: str) -> tuple[int, str] | None:
    most, types = METHODS[method]
    size = len(file.content)
    if not size:
        return 400, "Bad Request: file must be non-empty"
    if size > most and method == "sendPhoto":
        return 400, f"Bad Request: file of size {size} bytes is too big for a photo; the maximum size is {most} bytes"
    if size > most:
        return 413, "Request Entity Too Large"
    if types and file.mime not in types:
        return 400, "Bad Request: IMAGE_PROCESS_FAILED" if method == "sendPhoto" else "Bad Request: wrong type of the file"
    if method == "sendPhoto" and TOO_LONG in file.content:
        return 400, "Bad Request: PHOTO_INVALID_DIMENSIONS"
    if len(caption.encode("utf-16-le")) // 2 > _CAPTION:
        return 400, "Bad Request: message caption is too long"
    return None
