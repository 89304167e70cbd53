"""/webhooks/whatsapp/cloud: what Meta reports. It is verified, stored and enqueued; everything else happens later."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Forbidden, Unauthorized

from shared import db
from shared.channels import health
from shared.channels.inbound import TemplateUpdate
from shared.channels.registry import channel
from shared.channels.whatsapp_cloud import account_events, calls, template_events, template_store, webhook, window
from shared.channels.whatsapp_cloud.account_events import AccountEvent
from web.hardening import max_body, reads_no_body_without
from web.hooks import inbox

log = logging.getLogger(__name__)

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
    businesses = webhook.businesses_in(body)
    for batch in webhook.parse_body(body):
        account = webhook.find_account(batch.account_name)
        inbox.store(CHANNEL, account, batch)
        waba_id = businesses.get(batch.account_name)
        if account is not None and waba_id not in (None, account.waba_id):  # it is new
            db.retry_on_outage(partial(template_store.learn, account.id, waba_id), db.WEB_RETRY_SECONDS)
    if webhook.is_about_an_account(body):
        for update in template_events.updates_in(body):
            _apply_template_update(update)
        for call in calls.openings_in(body):
            _open_window(call)
        for event in account_events.events_in(body):
            db.retry_on_outage(partial(_apply_account_event, event), db.WEB_RETRY_SECONDS)
    return Response("ok", mimetype="text/plain")


def _open_window(call: calls.Opening) -> None:
    account = webhook.find_account(call.phone_number_id)
    is_known = account is not None and window.open_by_call(account.chatbot_id, call.external_user_id, call.at)
    inbox.count(CHANNEL, "call" if is_known else "ignored")


def _apply_template_update(update: TemplateUpdate) -> None:
    known = template_store.apply_update(update)
    if update.status in template_store.STOPPED:
        named = {"waba": update.waba_id, "template": update.name, "language": update.language}
        log.warning("template_stopped", extra={**named, "status": update.status, "reason": update.reason})
    inbox.count(CHANNEL, "template_update" if known else "template_unknown")


def _apply_account_event(event: AccountEvent) -> None:
    """Of all numbers of its business account, and logged also where there is none of ours."""
    known = webhook.accounts_of_waba(event.waba_id)
    details = {"waba": event.waba_id, "account_event": event.event, "state": event.state, "numbers": len(known)}
    log.log(logging.INFO if event.state == health.OK else logging.ERROR, "account_event", extra=details)
    inbox.count(CHANNEL, f"account_{event.state}")
    for account in known:
        number = health.account_of(CHANNEL, account.chatbot_id, account.name)
        if event.state == health.OK:
            health.lift(number, {event.reason})
        else:
            health.report(number, event.state, event.reason, event.event)


def replay(phone_number_id: str, value: dict[str, Any]) -> bool:
    """Stores a change that was rejected; False if its number is still nobody's."""
    account = webhook.find_account(phone_number_id)
    if account is not None:
        inbox.store(CHANNEL, account, webhook.parse_change(value))
    return account is not None
