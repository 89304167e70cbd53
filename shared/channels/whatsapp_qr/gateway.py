"""Requests to a QR gateway, and what the tables of errors of both dialects have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.channels.checks import ProviderRefused
from shared.channels.inbound import get_path, integer
from shared.channels.outcomes import Meaning, Outcome, Reason
from shared.channels.typing_indicator import TIMEOUT
from shared.channels.whatsapp_qr.ids import id_in_answer
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure
from shared.http import Response, get, post
from shared.http.client import exchange

#: What the tables of both dialects say often.
OFFLINE = Meaning(Outcome.HOLD, Reason.SESSION_OFFLINE)
RETRY = Meaning(Outcome.RETRY, Reason.PROVIDER_FAILED)
UNREACHABLE = Meaning(Outcome.FAIL, Reason.RECIPIENT_UNREACHABLE)
#: The phone did not confirm it, and may have sent it.
UNCONFIRMED = Meaning(Outcome.UNKNOWN, Reason.OUTCOME_UNKNOWN)
#: What Evolution looks for while it starts an instance, or has lost its phone, and is not there yet; and what WEBJS' page does.
_NOT_THERE = ("textmessage", "mediamessage", "audiowhatsapp", "onwhatsapp", "sendmessage", "getchat", "widfactory")
#: What WhatsApp Web's clients below the gateways say (Baileys, whatsmeow, a page in a browser) -> what it means; the first that a
#: failure contains counts.
SAYINGS: tuple[tuple[str, Meaning], ...] = (
    ("timed out", UNCONFIRMED),
    ("deadline exceeded", UNCONFIRMED),  # between WAHA and its engine
    ("deadline_exceeded", UNCONFIRMED),
    ("websocket disconnected before", UNCONFIRMED),  # whatsmeow: the answer did not come
    ("rate-overlimit", Meaning(Outcome.SLOW, Reason.RATE_LIMITED, 30.0)),
    ("connection closed", OFFLINE),
    ("connection terminated", OFFLINE),
    ("connection failure", OFFLINE),
    ("connection lost", OFFLINE),
    ("connection was lost", OFFLINE),
    ("intentional logout", OFFLINE),
    ("not connected", OFFLINE),
    ("logged out", OFFLINE),
    ("stream errored", OFFLINE),
    ("not-authorized", OFFLINE),
    ("doesn't contain a device jid", OFFLINE),  # whatsmeow: nobody has logged in
    ("target closed", OFFLINE),  # the browser's page is gone, until the session is restarted
    ("session closed", OFFLINE),
    ("browser has been closed", OFFLINE),
    ("browser has disconnected", OFFLINE),
    ("detached frame", OFFLINE),
    ("frame was detached", OFFLINE),
    *((f"reading '{member}'", OFFLINE) for member in _NOT_THERE),
    ("not-acceptable", UNREACHABLE),  # Baileys: WhatsApp knows no such chat
    ("invalid wid", UNREACHABLE),  # the same of WEBJS
    ("unknown server", UNREACHABLE),  # the same of whatsmeow
    # The page was loaded anew while it sent, or its answer was lost.
    ("execution context was destroyed", UNCONFIRMED),
    ("promise was collected", UNCONFIRMED),
    # WhatsApp does not say who has this number: nobody, or its list is not there yet.
    ("no lid f", Meaning(Outcome.RETRY, Reason.RECIPIENT_UNREACHABLE)),
    ("lid is missing in", Meaning(Outcome.RETRY, Reason.RECIPIENT_UNREACHABLE)),
    ("server returned error 463", Meaning(Outcome.FAIL, Reason.NEW_CHATS_REFUSED)),  # as `_SERVER_CODES` has it
)
#: Statuses by which a proxy says that it waited in vain for the gateway, which may have sent it.
_TIMEOUTS = frozenset({504, 524})


def failure_of_gateway(status: int, words: str) -> Meaning:
    """What a 5xx means. By itself it says nothing of the session, but the gateway passes on what its client says."""
    if status in _TIMEOUTS:
        return UNCONFIRMED
    return next((meaning for sign, meaning in SAYINGS if sign in words.lower()), RETRY)


def words_in(said: Any, levels: int = 3) -> str:
    """What a gateway says of a failure, as people read it: a text, or texts in lists and objects; "" if it says nothing."""
    if isinstance(said, list | dict):
        inner = said.values() if isinstance(said, dict) else said
        return "; ".join(dict.fromkeys(filter(None, (words_in(one, levels - 1) for one in inner)))) if levels else ""
    return str(said).strip() if isinstance(said, str | int | float) and not isinstance(said, bool) else ""


#: What WhatsApp's server answers to a message that it does not take -> why. 463: the number may not start chats for a while.
_SERVER_CODES = {"463": Reason.NEW_CHATS_REFUSED}
#: What is said of a 2xx that is not the gateway's own.
UNREADABLE = "the gateway sent an answer that cannot be read"
#: Characters of a gateway's own words for a failure that are kept.
_MAX_WORDS = 300


def reported_failure(code: str, *words: str) -> dict[str, Any]:
    """The members of a DeliveryStatus by which a gateway reports a failure: its words, and why in our code. Few say anything."""
    said = ", ".join(filter(None, (code and f"code {code}", *words)))[:_MAX_WORDS]
    error = "WhatsApp QR: the gateway reports an error" + (f": {said}" if said else "")
    return {"error": error, "error_code": _SERVER_CODES.get(code, Reason.REPORTED_FAILURE)}


def key_of(session: str, stored: str | None) -> str:
    """A session's own key at the gateway, as its row has it, or that of the settings. Raises CredentialsUnreadable."""
    return decrypt(stored, f"QR session {session}") if stored else settings().qr_api_key


def call_post(path: str, body: dict[str, Any], headers: dict[str, str], timeout: float | None = None) -> Response:
    """POSTs to the gateway; waits for `timeout` seconds, or HTTP_TIMEOUT_SECONDS. Raises what shared.http raises.

    A 2xx whose body breaks off is one: it has sent the message.
    """
    return call_post_encoded(path, json.dumps(body).encode(), headers, timeout or settings().http_timeout)


def call_post_encoded(path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Response:
    """The same with a body that is JSON already."""
    return as_it_says(post(f"{settings().qr_service_url}{path}", body, headers, timeout, needs_body=False))


def show(path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
    """POSTs a read mark or that somebody types. Raises what shared.http raises, OutsideFailure for an answer that is not 2xx."""
    answer = call_post(path, body, headers, TIMEOUT)
    if not answer.ok:
        raise OutsideFailure(f"WhatsApp QR: HTTP {answer.status}")


def as_it_says(answer: Response) -> Response:
    """The answer with the status that its error names, or with that of a failure, if the error's words are known for one: what
    stands before a gateway may answer 200 to everything."""
    said = answer.json() if answer.ok and b'"error"' in answer.body else {}
    if not get_path(said, "error") or id_in_answer(said):
        return answer
    code = next(filter(None, (integer(get_path(said, name)) for name in ("statusCode", "status"))), 0)
    if 400 <= code < 600:
        return replace(answer, status=code)
    words = str([get_path(said, name) for name in ("error", "message", "response")])
    return answer if failure_of_gateway(500, words) is RETRY else replace(answer, status=500)


def call_get(path: str, headers: dict[str, str]) -> Response:
    """GETs from the gateway. Raises what shared.http raises."""
    conf = settings()
    return get(f"{conf.qr_service_url}{path}", headers, conf.http_timeout)


def call_delete(path: str, headers: dict[str, str]) -> Response:
    """DELETEs at the gateway. Raises what shared.http raises."""
    conf = settings()
    return exchange("DELETE", f"{conf.qr_service_url}{path}", None, headers, conf.http_timeout, needs_body=False)


def insist(answer: Response, what: str) -> Response:
    """The answer to a call about a session. Raises ProviderRefused unless it is 2xx, OutsideFailure where it fails for now."""
    if not answer.ok:
        if answer.status >= 500 or answer.status == 429:  # which says nothing of the session, nor of its kind of gateway
            raise OutsideFailure(f"the gateway answers HTTP {answer.status}")
        problem = "key_refused" if answer.status in (401, 403) else "gateway_refused"
        words = f"HTTP {answer.status} {get_path(answer.json(), 'message') or answer.excerpt()}"
        raise ProviderRefused(problem, f"the gateway does not {what}: HTTP {answer.status}", words)
    return answer


def insist_made(answer: Response, what: str) -> None:
    """Raises as `insist`, and OutsideFailure where the answer does not describe what was made: a proxy's page is no session."""
    if not insist(answer, what).json():
        raise OutsideFailure(UNREADABLE)


def as_picture(data: Any, mime: Any = "image/png") -> str:
    """A data: address of a picture's base64, "" if it is none. A gateway's answer becomes nothing else in a page."""
    is_picture = isinstance(data, str) and mime in ("image/png", "image/jpeg") and re.fullmatch(r"[A-Za-z0-9+/=\s]+", data)
    return f"data:{mime};base64,{data}" if is_picture else ""
