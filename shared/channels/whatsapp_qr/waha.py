"""The dialect of WAHA (https://waha.devlike.pro): how its webhooks are signed, and its API. What they say: waha_events.

Source: WAHA's OpenAPI 2026.7. A reply goes to the chat id that was received (@c.us, @lid), never to one made of digits.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from shared.channels.inbound import Headers, SessionState, get_path, get_text
from shared.channels.outbound_file import OutboundFile, chosen_way
from shared.channels.outcomes import Meaning, Outcome, Reason, error_of, report_unknown
from shared.channels.whatsapp_qr.gateway import (
    OFFLINE,
    RETRY,
    as_picture,
    call_delete,
    call_get,
    call_post,
    failure_of_gateway,
    insist,
    insist_made,
    show,
    words_in,
)
from shared.channels.whatsapp_qr.ids import id_in_answer, own_id
from shared.channels.whatsapp_qr.uploads import CONTENT, post_with
from shared.channels.whatsapp_qr.waha_content import bare_id
from shared.channels.whatsapp_qr.waha_events import CONNECTED, EVENTS, parse
from shared.db.credentials import hmac_matches
from shared.http import PASSING, REDIRECTS, Response, code_of

__all__ = [
    "create_session",
    "delete_session",
    "expected_ids",
    "hide_typing",
    "mark_read",
    "named_session",
    "parse",
    "phone_behind",
    "qr_code",
    "send_file",
    "send_text",
    "session_state",
    "show_typing",
    "verify",
]

#: What a session's hook is told: all that is understood. `message.any` is `message`, and what is written on the phone as well.
_EVENTS = [name for name in EVENTS if name != "message"]

#: A phone's chat id, whatever form an engine gives it.
_PHONE = re.compile(r"\+?(\d{5,15})(?::\d+)?(?:@c\.us|@s\.whatsapp\.net)?")

#: HTTP status -> what it means; a 5xx is read for what it says. 422 names the session's state, or what is wrong with the request.
ERRORS: dict[int, Meaning] = {
    400: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    401: Meaning(Outcome.HOLD, Reason.TOKEN_INVALID),
    403: Meaning(Outcome.HOLD, Reason.TOKEN_INVALID),
    404: Meaning(Outcome.HOLD, Reason.SESSION_OFFLINE),  # there is no such session
    **dict.fromkeys(PASSING | REDIRECTS, RETRY),
    413: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    422: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    429: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0),
}

# ------------------------------------------------------------------------------------------------------------- webhooks


def verify(headers: Headers, body: bytes | memoryview, secret: str, /) -> bool:
    """Whether `X-Webhook-Hmac: <hex>` is the body's HMAC-SHA512 with the session's secret."""
    return hmac_matches(headers.get("X-Webhook-Hmac", "").lower(), body, secret, "sha512")


def named_session(body: dict[str, Any], /) -> str:
    """The event's `session`."""
    return get_text(body, "session")


# ----------------------------------------------------------------------------------------------------------------- sends


def expected_ids(message_id: int, /) -> list[str]:
    """The one that we give it, bare: acks are compared without what engines add."""
    return [own_id(message_id)]


def send_text(session: str, api_key: str, chat_id: str, text: str, message_id: int, /) -> str:
    """POST /api/sendText."""
    body = {**_chat(session, chat_id), "text": text, "linkPreview": False, "id": own_id(message_id)}
    answer = call_post("/api/sendText", body, _headers(api_key))
    if not answer.ok:
        raise classify_error(answer)
    return bare_id(id_in_answer(answer.json()) or own_id(message_id))


#: The way of a file -> the call that sends it.
_SENDS = {"image": "/api/sendImage", "video": "/api/sendVideo", "voice": "/api/sendVoice", "document": "/api/sendFile"}


def send_file(session: str, api_key: str, chat_id: str, file: OutboundFile, message_id: int, caption: str = "", /) -> str:
    """POST /api/sendImage, sendVideo, sendVoice or sendFile. A voice note that is no Opus is converted there.

    These are not documented to take an id of ours, as sendText is: so the one in the answer counts. Echoes say `source: api`.
    """
    way = chosen_way("whatsapp_qr", file, caption)
    body: dict[str, Any] = {**_chat(session, chat_id), "id": own_id(message_id)}
    if caption:
        body["caption"] = caption
    if way.name in ("voice", "video"):
        body["convert"] = way.name == "voice" and not file.is_opus
    body["file"] = {"mimetype": file.exact_mime, "data": CONTENT, "filename": file.filename}
    answer = post_with(_SENDS[way.name], body, file, _headers(api_key))
    if not answer.ok:
        raise classify_error(answer)
    return bare_id(id_in_answer(answer.json()))


def _chat(session: str, chat_id: str) -> dict[str, str]:
    return {"session": session, "chatId": chat_id if "@" in chat_id else f"{chat_id.lstrip('+')}@c.us"}


def mark_read(session: str, api_key: str, chat_id: str, _message_id: str, /) -> None:
    """POST /api/sendSeen, of all that the chat has."""
    show("/api/sendSeen", _chat(session, chat_id), _headers(api_key))


def show_typing(session: str, api_key: str, chat_id: str, /) -> None:
    """POST /api/startTyping."""
    show("/api/startTyping", _chat(session, chat_id), _headers(api_key))


def hide_typing(session: str, api_key: str, chat_id: str, /) -> None:
    """POST /api/stopTyping, and /api/{session}/presence: while the session is online, its owner's phone gets no notifications."""
    show("/api/stopTyping", _chat(session, chat_id), _headers(api_key))
    show(f"/api/{quote(session, safe='')}/presence", {"presence": "offline"}, _headers(api_key))


# -------------------------------------------------------------------------------------------------------------- sessions


def session_state(session: str, api_key: str, /) -> SessionState:
    """GET /api/sessions/{session}."""
    answer = call_get(f"/api/sessions/{quote(session, safe='')}", _headers(api_key))
    status = get_path(answer.json(), "status") if answer.ok else None
    state = f"HTTP {answer.status}" if status is None else str(status)
    return SessionState(connected=state == CONNECTED, detail=state)


def create_session(session: str, api_key: str, hook: str, secret: str, /) -> None:
    """POST /api/sessions."""
    webhook = {"url": hook, "events": _EVENTS, "hmac": {"key": secret}}
    body = {"name": session, "start": True, "config": {"webhooks": [webhook]}}
    insist_made(call_post("/api/sessions", body, _headers(api_key)), "make a session")


def delete_session(session: str, api_key: str, /) -> None:
    """DELETE /api/sessions/{session}, which logs its phone out."""
    insist(call_delete(f"/api/sessions/{quote(session, safe='')}", _headers(api_key)), "delete the session")


def qr_code(session: str, api_key: str, /) -> str:
    """GET /api/{session}/auth/qr; 422 while there is no code."""
    headers = {**_headers(api_key), "Accept": "application/json"}
    answer = call_get(f"/api/{quote(session, safe='')}/auth/qr?format=image", headers)
    return as_picture(get_path(answer.json(), "data"), get_path(answer.json(), "mimetype")) if answer.ok else ""


def phone_behind(session: str, api_key: str, lid: str) -> str | None:
    """GET /api/{session}/lids/{lid}: the chat id of its phone, "" if the gateway does not know it. Raises as `call_get`.

    None: it does not answer that, but with a failure, a wrong key, a session that is none.
    """
    answer = call_get(f"/api/{quote(session, safe='')}/lids/{quote(lid, safe='')}", _headers(api_key))
    if not answer.ok:
        return None
    phone = _PHONE.fullmatch(get_text(answer.json(), "pn"))
    return f"{phone[1]}@c.us" if phone else ""


def _headers(api_key: str) -> dict[str, str]:
    return {"X-Api-Key": api_key} if api_key else {}


def classify_error(answer: Response) -> Exception:
    """What a send stage raises for an answer that is not 2xx."""
    body = answer.json()
    said = [get_path(body, "exception", "message"), get_path(body, "message"), get_path(body, "error")]
    words = words_in(said) or answer.excerpt()
    text = f"WhatsApp QR: HTTP {answer.status}"
    if answer.status == 422 and isinstance(body, dict) and "status" in body:
        return error_of(OFFLINE, f"{text}, the session is {code_of(body['status']) or 'not connected'}", words)
    meaning = failure_of_gateway(answer.status, words) if answer.status >= 500 else ERRORS.get(answer.status)
    meaning = meaning or report_unknown("whatsapp_qr", answer.status, f"WAHA: HTTP {answer.status}")
    return error_of(meaning, text, words, answer.retry_after(meaning.seconds))
