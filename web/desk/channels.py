"""Channels: a business's numbers and sessions, whether they can send, and what to do if not; operators connect new ones.

Connecting is an operator's: whoever names a number gets its messages, and nobody here may ask the provider whose it is (the web
process calls nobody). An owner's own account gets a new token by its owner.
"""

from __future__ import annotations

from typing import Any

from flask import Response, flash, g, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import NotFound

from shared import db
from shared.channels import accounts, connecting, health
from shared.channels.health import Account
from shared.channels.registry import CHANNELS
from shared.config import settings
from shared.errors import InvalidPayload
from shared.models import Chatbot
from shared.payloads import MAX_ROW_ID
from shared.teaching.chatbots import is_own
from web.api.channels import MAX_SECRET
from web.desk import desk, forms
from web.desk.access import allowed, audited
from web.desk.operate import words

_CONNECTED = [one.name for one in CHANNELS.values() if one.account_table]
_ACCOUNT = f"/c/<int:customer_id>/channels/<any({', '.join(_CONNECTED)}):channel>/<int:chatbot_id>"
#: States of an account: its words, and their tone.
STATES = {
    "ok": (_l("works"), "good"),
    "degraded": (_l("works, but look at it"), "warn"),
    "needs_login": (_l("has to be connected again"), "bad"),
    "held": (_l("cannot send now"), "bad"),
    "banned": (_l("disabled by the provider"), "bad"),
}


@desk.get("/c/<int:customer_id>/channels")
@allowed("owner")
def channels() -> Response:
    """All accounts."""
    return _page()


@desk.post(f"{_ACCOUNT}/secret")
@allowed("owner")
def replace_secret(channel: str, chatbot_id: int) -> Response:
    """Takes a new token or key; replies that were held leave."""
    account, secret = _account(channel, chatbot_id), forms.text(request.form, "secret")
    if not 0 < len(secret) <= MAX_SECRET:
        return _page({"secret": _("Write the new token or key.")}, f"{channel}-{chatbot_id}", 422)
    with db.transaction():
        accounts.replace_secret(account, secret)
        health.connected(account)
        audited("channel.secret_replaced", "channel", chatbot_id, name=account.name, channel=channel)
    flash(_("Saved. Replies that waited leave now, one after the other."))
    return _back()


@desk.post(f"{_ACCOUNT}/retry")
@allowed("owner")
def retry_account(channel: str, chatbot_id: int) -> Response:
    """Lets a reply try it again."""
    account = _account(channel, chatbot_id)
    with db.transaction():
        health.retry(account)
        audited("channel.retried", "channel", chatbot_id, name=account.name, channel=channel)
    flash(_("The next reply tries it."))
    return _back()


@desk.post("/c/<int:customer_id>/channels/connect/<any(whatsapp_cloud, whatsapp_qr):channel>")
@allowed("operator")
def connect_account(channel: str) -> Response:
    """Connects a number or a session to a chatbot of this customer, in place of the one that it had."""
    form = request.form
    chatbot_id = form.get("chatbot_id", 0, type=int)
    if not 0 < chatbot_id <= MAX_ROW_ID or db.row(Chatbot.select(Chatbot.id).where(is_own(g.customer.id, chatbot_id))) is None:
        raise NotFound
    name = forms.text(form, "name")
    secret, hook_secret = forms.text(form, "secret"), ""
    if len(secret) > MAX_SECRET:
        return _page({"connect": _("Write the new token or key.")}, channel, 422)
    try:
        with db.transaction():
            if channel == "whatsapp_cloud":
                connecting.connect_cloud(chatbot_id, name, secret)
            else:
                hook_secret = connecting.connect_qr(chatbot_id, name, form.get("dialect", ""), secret)
            audited("channel.connected", "channel", chatbot_id, name=name, channel=channel)
    except InvalidPayload as problem:
        return _page({"connect": "; ".join(problem.errors.values())}, channel, 422)
    return _page(made={"channel": channel, "name": name, "secret": hook_secret})


def _account(channel: str, chatbot_id: int) -> Account:
    """Raises NotFound for one that is not the customer's."""
    account = accounts.find(g.customer.id, channel, chatbot_id) if chatbot_id <= MAX_ROW_ID else None
    if account is None:
        raise NotFound
    return account


def _page(
    problems: dict[str, str] | None = None, where: str = "", status: int = 200, made: dict[str, Any] | None = None
) -> Response:
    bots = Chatbot.select(Chatbot.id, Chatbot.name).where(Chatbot.customer == g.customer.id).order_by(Chatbot.name)
    rows = db.rows(bots)
    page = render_template(
        "desk/channels.html",
        accounts=accounts.overview(g.customer.id),
        bots=rows,
        bot_names={row["id"]: row["name"] for row in rows},
        channel_names=words.CHANNELS,
        states=STATES,
        problems=problems or {},
        where=where,
        made=made,
        site=settings().public_url.rstrip("/") or request.host_url.rstrip("/"),
    )
    return make_response(page, status)


def _back() -> Response:
    return redirect(url_for("desk.channels"), 303)  # type: ignore[return-value]  # werkzeug's base class
