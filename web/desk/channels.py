"""Channels: a business's numbers and sessions, whether they can send, and what to do if not.

Owners connect what is theirs by proof (connecting.py). Here an operator names an account, without one: whoever names it gets its
messages.
"""

from __future__ import annotations

from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import NotFound

from shared import db
from shared.channels import accounts, connecting, health
from shared.channels.registry import CHANNELS
from shared.errors import InvalidPayload
from shared.models import Chatbot
from shared.teaching.chatbots import is_own, names
from web.addresses import shown_address
from web.api.channels import MAX_SECRET
from web.audited import audited
from web.connection_words import PROBLEMS
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.connecting import ACCOUNT, own_account
from web.desk.message_words import CHANNEL_NAMES
from web.desk.redirects import see_other

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


@desk.post(f"{ACCOUNT}/retry")
@allowed("owner")
def retry_account(channel: str, chatbot_id: int) -> Response:
    """Lets a reply try it again."""
    account = own_account(channel, chatbot_id)
    with db.transaction():
        if health.retry(account):
            audited("channel.retried", "channel", chatbot_id, name=account.name, channel=channel)
    flash(_("The next reply tries it."))
    return _back()


@desk.post("/c/<int:customer_id>/channels/name/<any(whatsapp_cloud, whatsapp_qr):channel>")
@allowed("operator")
def name_account(channel: str) -> Response:
    """Connects a number or a session to a chatbot of this customer, in place of the one that it had."""
    form = request.form
    chatbot_id = forms.row_id(form, "chatbot_id") or 0
    if db.row(Chatbot.select(Chatbot.id).where(is_own(g.customer.id, chatbot_id))) is None:
        raise NotFound
    name = forms.text(form, "name")
    secret, hook_secret = forms.text(form, "secret"), ""
    if len(secret) > MAX_SECRET:
        return _page({"connect": PROBLEMS["secret"]}, channel, 422)
    try:
        with db.transaction():
            if channel == "whatsapp_cloud":
                connecting.connect_cloud(chatbot_id, name, secret)
            else:
                hook_secret, _before = connecting.connect_qr(chatbot_id, name, form.get("dialect", ""), secret)
            audited(connecting.CONNECTED, "channel", chatbot_id, name=name, channel=channel)
    except connecting.Taken:
        return _page({"connect": PROBLEMS["taken"]}, channel, 422)
    except InvalidPayload as problem:
        return _page({"connect": PROBLEMS[next(iter(problem.errors))]}, channel, 422)
    return _page(made={"channel": channel, "name": name, "secret": hook_secret})


def _page(
    problems: dict[str, Any] | None = None, where: str = "", status: int = 200, made: dict[str, Any] | None = None
) -> Response:
    bots = names(g.customer.id)
    page = render_template(
        "desk/channels.html",
        accounts=accounts.overview(g.customer.id),
        bots=bots,
        bot_names={row["id"]: row["name"] for row in bots},
        channel_names=CHANNEL_NAMES,
        channels=[one for one in CHANNELS.values() if one.account_table],
        states=STATES,
        problems=problems or {},
        where=where,
        given=request.form,
        made=made,
        site=shown_address(),
    )
    return make_response(page, status)


def _back() -> Response:
    return see_other(url_for("desk.channels"))
