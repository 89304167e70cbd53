"""The dialect of WAHA (https://waha.devlike.pro): its webhooks message, message.any, message.ack and session.status, and its API.

Source: WAHA's OpenAPI 2026.7. A reply goes to the chat id that was received (@c.us, @lid), never to one made of digits.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

from shared.channels.inbound import (
    DeliveryStatus,
    Headers,
    IgnoredItem,
    InboundItem,
    MalformedItem,
    SessionState,
    get_path,
    get_text,
    parse_item,
)
from shared.channels.outcomes import Meaning, Outcome, Reason, error_of, report_unknown
from shared.channels.whatsapp_qr.gateway import (
    OFFLINE,
    REPORTED_FAILURE,
    RETRY,
    call_get,
    call_post,
    inbound_message,
    is_crowd,
    message_id_in,
)
from shared.db.credentials import hmac_matches
from shared.http import Response, code_of

#: How WAHA calls a session that can send.
CONNECTED = "WORKING"
#: HTTP status -> what it means; any other 5xx is retried. 422 names the session's state, or what is wrong with the request.
ERRORS: dict[int, Meaning] = {
    400: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    401: Meaning(Outcome.HOLD, Reason.TOKEN_INVALID),
    403: Meaning(Outcome.HOLD, Reason.TOKEN_INVALID),
    404: Meaning(Outcome.HOLD, Reason.SESSION_OFFLINE),  # there is no such session
    408: RETRY,
    413: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    422: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    429: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0),
}
_ACKS = {-1: "FAILED", 1: "SENT", 2: "DELIVERED", 3: "READ", 4: "READ"}
#: How WAHA's engines decorate a message's id: whether we sent it, and the chat, which may be @c.us for the send and @lid for
#: its acks. WhatsApp's own id is what both have in common.
_DECORATED = re.compile(r"(?:true|false)_[^_@]+@[^_]+_([^_]+)(?:_.*)?")

# ------------------------------------------------------------------------------------------------------------- webhooks


def verify(headers: Headers, body: bytes, secret: str, /) -> bool:
    """Whether `X-Webhook-Hmac: <hex>` is the body's HMAC-SHA512 with the session's secret."""
    return hmac_matches(headers.get("X-Webhook-Hmac", "").lower(), body, secret, "sha512")


def named_session(body: dict[str, Any], /) -> str:
    """The event's `session`."""
    return get_text(body, "session")


def parse(body: dict[str, Any], /) -> list[InboundItem]:
    """The event's one item."""
    event, payload = get_text(body, "event"), body.get("payload")
    parser = _PARSERS.get(event)
    if parser is None:
        return [IgnoredItem(raw=body)]
    if not isinstance(payload, dict):
        return [MalformedItem(raw=body, reason=f"The payload of {event} is not an object.")]
    return [parse_item(parser, {**payload, "timestamp_ms": body.get("timestamp")})]


def _message(raw: dict[str, Any]) -> InboundItem:
    chat_id, external_id = get_text(raw, "from"), _message_id(raw)
    if raw.get("fromMe") or is_crowd(chat_id):
        return IgnoredItem(raw=raw)
    if not chat_id or not external_id:
        return MalformedItem(raw=raw, reason="A message has no " + ("id." if chat_id else "from."))
    content, attachment = get_text(raw, "body"), _attachment(raw)
    if not content and not attachment:
        return IgnoredItem(raw=raw)  # encryption notices, calls, edits: nobody wrote anything
    return inbound_message(raw, chat_id, content, external_id, attachment, get_text(raw, "_data", "notifyName"))


def _attachment(raw: dict[str, Any]) -> str:
    if raw.get("hasMedia"):
        return (get_text(raw, "media", "mimetype").split("/")[0] or "media")[:40]
    return next((name for name in ("location", "vCards", "poll") if raw.get(name)), "")


def _message_id(raw: dict[str, Any]) -> str:
    return get_text(raw, "id", "_serialized") or get_text(raw, "id")


def _ack(raw: dict[str, Any]) -> InboundItem:
    ack, external_id = raw.get("ack"), _message_id(raw)
    if not external_id or not isinstance(ack, int):
        return MalformedItem(raw=raw, reason="A message.ack has no " + ("ack." if external_id else "id."))
    if raw.get("fromMe") is False or ack not in _ACKS:
        return IgnoredItem(raw=raw)
    error = REPORTED_FAILURE if ack < 0 else None
    code = Reason.REPORTED_FAILURE if error else None
    return DeliveryStatus(raw=raw, status=_ACKS[ack], provider_id=bare_id(external_id), error=error, error_code=code)


def _session_status(raw: dict[str, Any]) -> InboundItem:
    state, at = get_text(raw, "status"), raw.get("timestamp_ms")
    if not state:
        return MalformedItem(raw=raw, reason="A session.status has no status.")
    seconds = at / 1000 if isinstance(at, int) and 0 < at < 1e14 else None
    return SessionState(raw=raw, connected=state == CONNECTED, detail=state, at=seconds)


_PARSERS = {"message": _message, "message.any": _message, "message.ack": _ack, "session.status": _session_status}


def bare_id(external_id: str) -> str:
    """WhatsApp's id of a message, without what WAHA's engines put around it."""
    decorated = _DECORATED.fullmatch(external_id)
    return decorated[1] if decorated else external_id


# ----------------------------------------------------------------------------------------------------------------- sends


def expected_ids(message_id: int, /) -> list[str]:
    """The one that we give it, bare: acks are compared without what engines add."""
    return [_own_id(message_id)]


def _own_id(message_id: int) -> str:
    # The same id for each attempt: WAHA takes it as the message's, so acks can be matched to our row.
    return "3EB0" + hashlib.sha256(f"switchboard:{message_id}".encode()).hexdigest()[:18].upper()


def send_text(session: str, api_key: str, chat_id: str, text: str, message_id: int, /) -> str:
    """POST /api/sendText."""
    own_id = _own_id(message_id)
    recipient = chat_id if "@" in chat_id else f"{chat_id.lstrip('+')}@c.us"
    body = {"session": session, "chatId": recipient, "text": text, "linkPreview": False, "id": own_id}
    answer = call_post("/api/sendText", body, _headers(api_key))
    if not answer.ok:
        raise classify_error(answer)
    return bare_id(message_id_in(answer.json()) or own_id)


def session_state(session: str, api_key: str, /) -> SessionState:
    """GET /api/sessions/{session}."""
    answer = call_get(f"/api/sessions/{quote(session, safe='')}", _headers(api_key))
    status = get_path(answer.json(), "status") if answer.ok else None
    state = f"HTTP {answer.status}" if status is None else str(status)
    return SessionState(connected=state == CONNECTED, detail=state)


def _headers(api_key: str) -> dict[str, str]:
    return {"X-Api-Key": api_key} if api_key else {}


def classify_error(answer: Response) -> Exception:
    """What a send stage raises for an answer that is not 2xx."""
    body = answer.json()
    words = str(get_path(body, "message") or get_path(body, "error") or answer.excerpt())
    text = f"WhatsApp QR: HTTP {answer.status}"
    if answer.status == 422 and isinstance(body, dict) and "status" in body:
        return error_of(OFFLINE, f"{text}, the session is {code_of(body['status']) or 'not connected'}", words)
    meaning = ERRORS.get(answer.status) or (RETRY if answer.status >= 500 else None)
    meaning = meaning or report_unknown("whatsapp_qr", answer.status, f"WAHA: HTTP {answer.status}")
    return error_of(meaning, text, words, answer.retry_after(meaning.seconds))
