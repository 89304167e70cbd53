"""/webhooks/telegram/<bot>: what Telegram reports of one bot. What is asked for instead (scripts/local/telegram_relay.py) comes
here as well."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import Unauthorized

from shared.channels.registry import channel
from shared.channels.telegram import accounts, updates
from web.hardening import max_body, reads_no_body_without
from web.hooks import inbox

hook = Blueprint("telegram", __name__, url_prefix="/webhooks/telegram")

reads_no_body_without(accounts.shows_secret, hook)
CHANNEL = channel("telegram")
#: Bytes. A text has 4,096 characters, and each may have marks of its own.
MAX_BODY = 1024 * 1024


@hook.post("/<bot_id>")
@max_body(MAX_BODY)
def receive(bot_id: str) -> Response:
    """Stores an update; of a pressed button the answer says that it was heard. 401 without the bot's secret; 503: once more."""
    bot = accounts.find(bot_id)
    if not accounts.is_authentic(bot, request.headers):
        inbox.count(CHANNEL, "bad_signature")
        raise Unauthorized(f"{accounts.SECRET} must be the bot's secret; scripts/connect telegram tells it to Telegram.")
    body = inbox.read_body(CHANNEL, '{"update_id": 1, "message": {…}}')
    inbox.store(CHANNEL, accounts.account_of(bot), updates.parse_body(bot_id, body))
    query = updates.pressed_button(body)
    # Telegram takes a call as the answer to its webhook, so the web process need not make one.
    return jsonify({"method": "answerCallbackQuery", "callback_query_id": query} if query else {})


def replay(bot_id: str, body: dict[str, Any]) -> bool:
    """Stores an update that was rejected; False if its bot is still nobody's."""
    account = accounts.account_of(accounts.find(bot_id))
    if account is not None:
        inbox.store(CHANNEL, account, updates.parse_body(bot_id, body))
    return account is not None
