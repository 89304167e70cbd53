"""/webhooks/whatsapp/cloud: what Meta tells us. It is signed, stored and enqueued; everything else happens later."""

from __future__ import annotations

import logging
import time
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Forbidden, Unauthorized

from shared import db
from shared.channels.inbound import get_path, objects, text
from shared.channels.signatures import constant_time_equal, meta_signed
from shared.channels.whatsapp_cloud import parse
from shared.config import settings
from web.hardening import max_body
from web.hooks import inbox
from web.hooks.inbox import count

hook = Blueprint("whatsapp_cloud", __name__, url_prefix="/webhooks/whatsapp/cloud")
log = logging.getLogger(__name__)

HOOK = "whatsapp_cloud"
#: Bytes: Meta batches up to 3 MB.
MAX_BODY = 3 * 1024 * 1024
#: Why a change is kept that may be taken later (web/hooks/replay.py).
UNKNOWN_ACCOUNT = "no active account has this phone number id"

_CHATBOT = "select chatbot_id from whatsapp_cloud_account where phone_number_id = %s and active"


@hook.get("")
def verify() -> Response:
    """Meta asks once, when the address is entered: echoes `hub.challenge` if the token is ours."""
    given = request.args.get("hub.verify_token", "")
    if request.args.get("hub.mode") != "subscribe" or not constant_time_equal(given, settings().whatsapp_verify_token):
        raise Forbidden("hub.mode or hub.verify_token is wrong; want subscribe, and WHATSAPP_VERIFY_TOKEN")
    return Response(request.args.get("hub.challenge", "")[:200], mimetype="text/plain")


@hook.post("")
@max_body(MAX_BODY)
def receive() -> Response:
    """Takes messages and statuses. 401 unless signed with WHATSAPP_APP_SECRET; 503 asks Meta to send it again."""
    if not meta_signed(request.headers.get("X-Hub-Signature-256", ""), request.get_data(), settings().whatsapp_app_secret):
        count(HOOK, "bad_signature")
        raise Unauthorized("X-Hub-Signature-256 is missing or wrong; want HMAC-SHA256 of the body with WHATSAPP_APP_SECRET")
    for value in parse.changes(inbox.body(HOOK, '{"object": "whatsapp_business_account", "entry": […]}')):
        _take(value)
    return Response("ok", mimetype="text/plain")


def _take(value: dict[str, Any]) -> None:
    """One change: its messages, then its statuses."""
    number = text(get_path(value, "metadata", "phone_number_id"))
    chatbot_id = _chatbot_of(number)
    if chatbot_id is None:
        for piece in parse.pieces(value, inbox.fits):
            inbox.reject(HOOK, UNKNOWN_ACCOUNT, number or None, piece)
        count(HOOK, "unknown_number")
        return
    _take_for(chatbot_id, number, value)


def replay_item(number: str, value: dict[str, Any]) -> bool:
    """Takes a change that was kept; False if its number is still nobody's."""
    chatbot_id = _chatbot_of(number)
    if chatbot_id is not None:
        _take_for(chatbot_id, number, value)
    return chatbot_id is not None


def _take_for(chatbot_id: int, number: str, value: dict[str, Any]) -> None:
    contacts = objects(value.get("contacts"))
    for raw in _items(value, "messages", number):
        inbox.item(HOOK, number, raw, lambda raw=raw: _message(chatbot_id, raw, contacts))  # type: ignore[misc]  # default binds
    for raw in _items(value, "statuses", number):
        inbox.item(HOOK, number, raw, lambda raw=raw: _status(chatbot_id, raw))  # type: ignore[misc]


#: Seconds for which a number's chatbot is remembered: each message would ask for it again.
REMEMBERED = 5.0
_chatbots: dict[tuple[str, str], tuple[int, float]] = {}


def _chatbot_of(number: str) -> int | None:
    """The chatbot of an active number. A number that nobody has is never remembered."""
    key, now = (settings().database_url, number), time.monotonic()
    known = _chatbots.get(key)
    if known and now < known[1]:
        return known[0]
    found: int | None = db.retry_on_outage(lambda: db.scalar(_CHATBOT, [number]), db.WEB_RETRY_SECONDS)
    _chatbots.pop(key, None)
    if found is not None:
        _chatbots[key] = found, now + REMEMBERED
    return found


def _items(value: dict[str, Any], name: str, number: str) -> list[dict[str, Any]]:
    """The objects of a list; whatever else is in it is kept for inspection."""
    listed = value.get(name, [])
    for odd in listed if isinstance(listed, list) else [listed]:
        if not isinstance(odd, dict):
            count(HOOK, inbox.reject(HOOK, f"{name}: want objects", number, odd))
    return objects(listed)


def _message(chatbot_id: int, raw: dict[str, Any], contacts: list[dict[str, Any]]) -> str:
    message = parse.message(raw, contacts)
    return "ignored" if message is None else inbox.accept(HOOK, chatbot_id, message)


def _status(chatbot_id: int, raw: dict[str, Any]) -> str:
    status = parse.status(raw)
    return "ignored" if status is None else inbox.apply(chatbot_id, status)
