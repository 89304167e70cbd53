"""Files that are uploaded to a number of Meta's, and the messages that name them: what Meta refuses of both."""

from __future__ import annotations

import itertools
from typing import Any

from scripts.local.simulator.errors import graph_error
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.forms import Upload, form_of

_MEGABYTE = 1024 * 1024
_DOCUMENTS = (
    "application/vnd.ms-powerpoint",
    "application/msword",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/pdf",
    "text/plain",
    "application/vnd.ms-excel",
)
#: What each type may be sent as, besides as a document, and the bytes of it that are taken.
_TYPES: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", "audio/ogg"), ("audio", 16 * _MEGABYTE)),
    **dict.fromkeys(_DOCUMENTS, ("document", 100 * _MEGABYTE)),
    **dict.fromkeys(("image/jpeg", "image/png"), ("image", 5 * _MEGABYTE)),
    "image/webp": ("sticker", 500 * 1024),
    **dict.fromkeys(("video/mp4", "video/3gpp"), ("video", 16 * _MEGABYTE)),
}
#: The kinds of messages that name a file, and the members that it may have in them.
KINDS: dict[str, set[str]] = {
    "image": {"id", "caption"},
    "video": {"id", "caption"},
    "audio": {"id", "voice"},
    "sticker": {"id"},
    "document": {"id", "caption", "filename"},
}
_CAPTION = 1_024
_numbers = itertools.count(1_380_000_001)
_uploads: dict[str, tuple[str, Upload]] = {}


def forget() -> None:
    """Nothing was uploaded."""
    _uploads.clear()


def upload(request: Request) -> Reply:
    """POST /{version}/{phone_number_id}/media."""
    number = request.path.split("/")[2]
    try:
        fields, files = form_of(request)
    except ValueError:
        return graph_error(400, 100, "(#100) The parameter messaging_product is required.", key=number)
    file = files.get("file")
    if fields.get("messaging_product") != "whatsapp":
        return graph_error(400, 100, "(#100) The parameter messaging_product is required.", key=number)
    if file is None:
        return graph_error(400, 100, "(#100) The parameter file is required.", key=number)
    if wrong := _wrong_file(fields.get("type", ""), file):
        return graph_error(400, 100, f"(#100) {wrong}", key=number)
    media_id = str(next(_numbers))
    _uploads[media_id] = (number, file)
    shown = file.shown(fields["type"])
    return Reply(200, {"id": media_id}, accepted=True, key=number, answered_id=media_id, sender=number, file=shown)


def _wrong_file(declared: str, file: Upload) -> str:
    for mime in (declared.partition(";")[0], file.mime):
        if mime not in _TYPES:
            return (
                f"Param file must be a file with one of the following types: {', '.join(_TYPES)}. Received file of type '{mime}'."
            )
    if not file.content or len(file.content) > _TYPES[file.mime][1]:
        return "Invalid parameter: File Too Large" if file.content else "Param file must be a non-empty file"
    return ""


def named_in(sent: dict[str, Any], number: str) -> tuple[dict[str, Any] | None, str]:
    """The file that a message names, as the record has it; or what is wrong with it. Neither, of a message that names none."""
    kind = str(sent.get("type"))
    if kind not in KINDS:
        return None, ""
    about = sent.get(kind)
    if not isinstance(about, dict) or not about.keys() <= KINDS[kind]:
        return None, f"{kind} must be an object with no members but {', '.join(sorted(KINDS[kind]))}"
    owner, file = _uploads.get(str(about.get("id")), ("", None))
    if file is None or owner != number:
        return None, f"Media ID {about.get('id')} does not exist"
    if kind not in (_TYPES[file.mime][0], "document"):
        return None, f"a file of the type {file.mime} is no {kind}"
    if len(about.get("caption", "x")) not in range(1, _CAPTION + 1):
        return None, f"{kind}.caption must have at most {_CAPTION} characters, and one at least"
    caption, name = about.get("caption", ""), about.get("filename", file.name)
    return {**file.shown(kind, caption), "name": name, "voice": about.get("voice", False)}, ""
