"""/webhooks/whatsapp/cloud: what Meta reports. It is verified, stored and enqueued; everything else happens later."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Forbidden, Unauthorized

from shared.channels.registry import channel
from shared.channels.whatsapp_cloud import webhook
from web.hardening import max_body, reads_no_body_without
from web.hooks import inbox

hook = Blueprint("whatsapp_cloud", __name__, url_prefix="/webhooks/whatsapp/cloud")

reads_no_body_without(webhook.shows_signature, hook)
CHANNEL = channel("whatsapp_cloud")
#: Bytes: Meta batches up to 3 MB.
MAX_BODY = 3 * 1024 * 1024


@hook.get("")
def verify_address() -> Response:
    """Meta asks once, when the address is entered: echoes `hub.challenge` if the token is ours."""
    token = request.args.get("hub.verify_token", "")
    if request.args.get("hub.mode") != "subscribe" or not webhook.is_verify_token(token):
        raise Forbidden("hub.mode must be subscribe, and hub.verify_token the value of WHATSAPP_VERIFY_TOKEN.")
    return Response(request.args.get("hub.challenge", "")[:200], mimetype="text/plain")


@hook.post("")
@max_body(MAX_BODY)
def receive() -> Response:
    """Stores messages and statuses. 401 unless signed with WHATSAPP_APP_SECRET; 503 asks Meta to send it again."""
    if not webhook.is_signed(request.headers, request.get_data()):
        inbox.count(CHANNEL, "bad_signature")
        raise Unauthorized("X-Hub-Signature-256 must be sha256= and the body's HMAC-SHA256 with WHATSAPP_APP_SECRET.")
    body = inbox.read_body(CHANNEL, '{"object": "whatsapp_business_account", "entry": […]}')
    for batch in webhook.parse_body(body):
        inbox.store(CHANNEL, webhook.find_account(batch.account_name), batch)
    return Response("ok", mimetype="text/plain")


def replay(phone_number_id: str, value: dict[str, Any]) -> bool:
    """Stores a change that was rejected; False if its number is still nobody's."""
    account = webhook.find_account(phone_number_id)
    if account is not None:
        inbox.store(CHANNEL, account, webhook.parse_change(value))
    return account is not None
