"""The dialect of Evolution API v2 (https://github.com/EvolutionAPI/evolution-api): whether a webhook is its own, and its API.
What its webhooks say: evolution_events.

Source: Evolution API 2.3. A reply goes to the chat id that was received (@s.whatsapp.net, @lid), never to one made of digits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import jwt
from jwt.types import Options
from jwt.warnings import InsecureKeyLengthWarning

from shared.channels.inbound import Headers, SessionState, get_path, get_text
from shared.channels.outbound_file import OutboundFile, chosen_way
from shared.channels.outcomes import Meaning, Outcome, Reason, error_of, report_unknown
from shared.channels.whatsapp_qr.evolution_events import CONNECTED, EVENTS, parse
from shared.channels.whatsapp_qr.gateway import (
    RETRY,
    SAYINGS,
    UNCONFIRMED,
    UNREACHABLE,
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
from shared.channels.whatsapp_qr.uploads import CONTENT, post_with, with_ending
from shared.config import settings
from shared.db.credentials import constant_time_equal
from shared.http import PASSING, REDIRECTS, Response

__all__ = [
    "create_session",
    "delete_session",
    "expected_ids",
    "hide_typing",
    "mark_read",
    "named_session",
    "parse",
    "qr_code",
    "send_file",
    "send_text",
    "session_state",
    "show_typing",
    "verify",
]

#: What an instance's hook is told: all that is understood.
_EVENTS = [name.replace(".", "_").upper() for name in EVENTS]

#: HTTP status -> what it means. 400 is every trouble of the phone as well, and is read for what it says (`WORDS`).
ERRORS: dict[int, Meaning] = {
    401: Meaning(Outcome.HOLD, Reason.TOKEN_INVALID),
    403: Meaning(Outcome.HOLD, Reason.TOKEN_INVALID),
    404: Meaning(Outcome.HOLD, Reason.SESSION_OFFLINE),  # there is no such instance
    **dict.fromkeys(PASSING | REDIRECTS, RETRY),
    413: Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED),
    429: Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 5.0),
}
#: What Evolution (and Baileys below it) says in a 400 -> what it means; the first that it contains counts.
WORDS: tuple[tuple[str, Meaning], ...] = (
    *SAYINGS,
    ("prisma", UNCONFIRMED),  # its database, of what it keeps of a message once that was sent
    ("forbidden", Meaning(Outcome.FAIL, Reason.RECIPIENT_REFUSES)),
    ("item-not-found", Meaning(Outcome.FAIL, Reason.RECIPIENT_UNREACHABLE)),
    ("requires property", Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED)),
    ("is required", Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED)),
    ("does not meet", Meaning(Outcome.FAIL, Reason.REQUEST_REFUSED)),
    ("owned media must be", Meaning(Outcome.FAIL, Reason.MEDIA_FAILED)),
)
#: Milliseconds for which Evolution shows that somebody types; it answers when they are over.
SHOWS_TYPING = 3_000
#: Seconds by which a gateway's clock may differ from ours.
LEEWAY = 60

# ------------------------------------------------------------------------------------------------------------- webhooks


def verify(headers: Headers, _body: bytes | memoryview, secret: str, /) -> bool:
    """Whether the session's secret is the header `apikey` or a bearer token, or signs a JWT that is one."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return (
        constant_time_equal(headers.get("apikey", ""), secret)
        or constant_time_equal(bearer, secret)
        or _jwt_valid(bearer, secret)
    )


# It is the gateway's operator who chooses the secret; PyJWT would say at each webhook that it is short.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
#: A token must expire; what else it claims (iat, iss, sub) is Evolution's own business.
_CLAIMS: Options = {
    "require": ["exp"],
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _jwt_valid(token: str, secret: str) -> bool:
    """Whether a JWT is signed by HS256 with this secret (no other algorithm counts) and has not expired."""
    try:
        return bool(secret and jwt.decode(token, secret, algorithms=["HS256"], options=_CLAIMS, leeway=LEEWAY))
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):  # parts that are JSON, and nothing sane
        return False


def named_session(body: dict[str, Any], /) -> str:
    """The event's `instance`."""
    return get_text(body, "instance")


# ----------------------------------------------------------------------------------------------------------------- sends


#: Gateways (by address) that refuse `messageId`. Others take it, as newer ones do, or make an id of their own all the same.
_refuse_ids: set[str] = set()


def expected_ids(message_id: int, /) -> list[str]:
    """The one that we give it, where the gateway takes it; elsewhere its answer is the first to say the id."""
    return [own_id(message_id)]


def send_text(session: str, api_key: str, chat_id: str, text: str, message_id: int, /) -> str:
    """POST /message/sendText/{instance}. 201 with PENDING is acceptance; a messages.update tells more."""
    path, headers = f"/message/sendText/{quote(session, safe='')}", _headers(api_key)
    body = {"number": chat_id.lstrip("+"), "text": text, "linkPreview": False}
    return _send(lambda own: call_post(path, {**own, **body}, headers), message_id)


def _send(post: Callable[[dict[str, str]], Response], message_id: int) -> str:
    """Sends by a call that is given our id of the message, or nothing, where the gateway refuses ids. Returns the gateway's."""
    own, address = {"messageId": own_id(message_id)}, settings().qr_service_url
    answer = post({} if address in _refuse_ids else own)
    if answer.status == 400 and address not in _refuse_ids and "messageid" in answer.excerpt().lower():
        _refuse_ids.add(address)  # it was refused, so nothing has left
        answer = post({})
    if not answer.ok:
        raise classify_error(answer)
    return id_in_answer(answer.json())


def send_file(session: str, api_key: str, chat_id: str, file: OutboundFile, message_id: int, caption: str = "", /) -> str:
    """POST /message/sendMedia/{instance}, or sendWhatsAppAudio for a voice note, which the gateway converts if it is no Opus."""
    way, number = chosen_way("whatsapp_qr", file, caption), chat_id.lstrip("+")
    if way.name == "voice":
        method, body = "sendWhatsAppAudio", {"number": number, "encoding": not file.is_opus, "audio": CONTENT}
    else:
        # A picture becomes a JPEG there. The name decides the type, and what has no known ending would have none.
        name = {"fileName": with_ending(file)} if way.name == "document" else {}
        about = {"mediatype": way.name, "mimetype": file.bare_mime, **name, **({"caption": caption} if caption else {})}
        method, body = "sendMedia", {"number": number, **about, "media": CONTENT}
    path, headers = f"/message/{method}/{quote(session, safe='')}", _headers(api_key)
    return _send(lambda own: post_with(path, {**own, **body}, file, headers), message_id)


def mark_read(session: str, api_key: str, chat_id: str, message_id: str, /) -> None:
    """POST /chat/markMessageAsRead/{instance}; nothing for a message without an id."""
    chat = chat_id.lstrip("+")
    key = {"remoteJid": chat if "@" in chat else f"{chat}@s.whatsapp.net", "fromMe": False, "id": message_id}
    if message_id:
        show(f"/chat/markMessageAsRead/{quote(session, safe='')}", {"readMessages": [key]}, _headers(api_key))


def show_typing(session: str, api_key: str, chat_id: str, /) -> None:
    """POST /chat/sendPresence/{instance}."""
    presence = {"number": chat_id.lstrip("+"), "presence": "composing", "delay": SHOWS_TYPING}
    show(f"/chat/sendPresence/{quote(session, safe='')}", presence, _headers(api_key))


def hide_typing(_session: str, _api_key: str, _chat_id: str, /) -> None:
    """It ends by itself."""


# -------------------------------------------------------------------------------------------------------------- sessions


def session_state(session: str, api_key: str, /) -> SessionState:
    """GET /instance/connectionState/{instance}."""
    answer = call_get(f"/instance/connectionState/{quote(session, safe='')}", _headers(api_key))
    instance = get_path(answer.json(), "instance")
    state = str(instance.get("state")) if isinstance(instance, dict) else f"HTTP {answer.status}"
    return SessionState(connected=state == CONNECTED, detail=state)


def create_session(session: str, api_key: str, hook: str, secret: str, /) -> None:
    """POST /instance/create."""
    webhook = {"enabled": True, "url": hook, "headers": {"apikey": secret}, "byEvents": False, "base64": True, "events": _EVENTS}
    body = {"instanceName": session, "integration": "WHATSAPP-BAILEYS", "qrcode": True, "webhook": webhook}
    insist_made(call_post("/instance/create", body, _headers(api_key)), "make an instance")


def delete_session(session: str, api_key: str, /) -> None:
    """DELETE /instance/logout/{instance}, which fails while no phone is there, and /instance/delete/{instance}."""
    name = quote(session, safe="")
    call_delete(f"/instance/logout/{name}", _headers(api_key))
    insist(call_delete(f"/instance/delete/{name}", _headers(api_key)), "delete the instance")


def qr_code(session: str, api_key: str, /) -> str:
    """GET /instance/connect/{instance}, whose picture has its type before it."""
    answer = call_get(f"/instance/connect/{quote(session, safe='')}", _headers(api_key))
    return as_picture(get_text(answer.json(), "base64").partition("base64,")[2]) if answer.ok else ""


def _headers(api_key: str) -> dict[str, str]:
    return {"apikey": api_key} if api_key else {}


def classify_error(answer: Response) -> Exception:
    """A number that does not exist is said by `exists: false`, everything else by its words or its status."""
    body, text = answer.json(), f"WhatsApp QR: HTTP {answer.status}"
    if _is_unknown_number(said := get_path(body, "response", "message")):
        return error_of(UNREACHABLE, f"{text}, the number is not on WhatsApp (exists: false)", "")
    words = next(filter(None, map(words_in, (said, get_path(body, "message")))), "") or answer.excerpt()
    meaning = _meaning(answer.status, words.lower())
    return error_of(meaning, text, words, answer.retry_after(meaning.seconds))


def _is_unknown_number(said: Any) -> bool:
    """{"exists": false, "number": …}, also in a list, or in a list's list."""
    outer = said if isinstance(said, list) else [said]
    inner = (one for part in outer if isinstance(part, list) for one in part)
    return any(get_path(one, "exists") is False for one in (*outer, *inner))


def _meaning(status: int, words: str) -> Meaning:
    if status == 400:
        return next((meaning for sign, meaning in WORDS if sign in words), RETRY)
    if status >= 500:
        return failure_of_gateway(status, words)
    return ERRORS.get(status) or report_unknown("whatsapp_qr", status, f"Evolution: HTTP {status}")
