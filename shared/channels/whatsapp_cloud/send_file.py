"""One file to a WhatsApp user: it is uploaded to the number's media first, then a message names it.

Source: Meta's Cloud API reference, media and messages. An upload shows the customer nothing and may be repeated: whatever becomes
of it, nothing has left. Only the message may be ambiguous.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.channels.inbound import get_text
from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import OutboundFile, Way, chosen_way, seconds_for
from shared.channels.outcomes import ProviderFailed, Reason, with_code
from shared.channels.whatsapp_cloud.errors import classify_error
from shared.channels.whatsapp_cloud.send import Content, as_it_says, send_message
from shared.config import settings
from shared.errors import OutcomeUnknown, PermanentRefusal
from shared.http import Response, post
from shared.http.multipart import form

#: The endings of what is uploaded and has no name in its message. Meta judges a file by its name as well: it takes upload
#: and message, and reports afterwards that the type is none of its own (131053).
_ENDINGS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "video/mp4": ".mp4",
    "video/3gpp": ".3gp",
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
}
#: The types of documents that an upload may have (code 100 for any other), and their endings, which its name gets, whatever the
#: message calls the file. Other documents are uploaded as texts, and keep their names: CSV is known to pass so, of ZIP and the
#: like Meta's answer would say.
DOCUMENTS = {
    "text/plain": "",
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
}


def send_file(phone_number_id: str, token: str, recipient: str, file: OutboundFile, callback: str, caption: str = "") -> str:
    """Sends it; returns the wamid. Raises as `send_message`."""
    if file.bare_mime == "audio/ogg" and not file.is_opus:  # which Meta would accept and not deliver
        file = replace(file, kind=MediaKind.DOCUMENT)
    way = chosen_way("whatsapp_cloud", file, caption)
    about: Content = {"id": _upload(phone_number_id, token, file, way)}
    if caption:
        about["caption"] = caption
    if way.name == "document":
        about["filename"] = file.filename
    if way.name == "audio" and file.kind is MediaKind.VOICE and file.is_opus:
        about["voice"] = True
    return send_message(phone_number_id, token, recipient, {"type": way.name, way.name: about}, callback)


def _upload(phone_number_id: str, token: str, file: OutboundFile, way: Way) -> str:
    """Its media id."""
    conf = settings()
    mime, name = _as_document(file) if way.name == "document" else (file.exact_mime, f"{way.name}{_ENDINGS[file.bare_mime]}")
    fields = {"messaging_product": "whatsapp", "type": mime}
    body, headers = form(fields, "file", name, mime, file.content)
    url = f"{conf.graph_url}/{conf.graph_version}/{phone_number_id}/media"
    headers["Authorization"] = f"Bearer {token}"
    try:
        answer = as_it_says(post(url, body, headers, seconds_for(len(body))))
    except OutcomeUnknown as problem:
        raise _certain(problem) from None
    media_id = get_text(answer.json(), "id")
    if not answer.ok or not media_id:
        raise _failure(answer)
    return media_id


def _as_document(file: OutboundFile) -> tuple[str, str]:
    """The type and the name of a document's upload."""
    mime = file.bare_mime if file.bare_mime in DOCUMENTS else "text/plain"
    is_named_so = file.filename.lower().endswith(DOCUMENTS[mime])
    return mime, file.filename if is_named_so else file.filename + DOCUMENTS[mime]


def _failure(answer: Response) -> Exception:
    if answer.ok:
        return with_code(ProviderFailed("WhatsApp Cloud: the upload got no media id"), Reason.MEDIA_FAILED)
    if answer.status == 413:  # of what stands before Meta, which says no code
        return with_code(PermanentRefusal("WhatsApp Cloud: HTTP 413", answer.excerpt()), Reason.MEDIA_FAILED)
    problem: Any = classify_error(answer)
    if isinstance(problem, OutcomeUnknown):
        return _certain(problem)
    is_about_the_file = isinstance(problem, PermanentRefusal) and problem.error_code == Reason.REQUEST_REFUSED
    return with_code(problem, Reason.MEDIA_FAILED) if is_about_the_file else problem


def _certain(problem: OutcomeUnknown) -> ProviderFailed:
    """What is unknown of an upload is known of the message: it has not left."""
    failure = ProviderFailed(f"{problem}, when the file was uploaded", problem.words)
    failure.call_code, failure.error_code = problem.call_code, problem.error_code or Reason.PROVIDER_UNREACHABLE
    return failure
