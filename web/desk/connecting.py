"""Connecting an account: an owner may, where the provider says that it is theirs, or where its session is made here.

Whoever names an account gets its messages. So Meta is asked for the number with the token, Telegram for the bot, and a gateway's
session gets a name of ours. What cannot be proved so is an operator's (channels.py).
"""

from __future__ import annotations

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.channels import accounts, checks, connecting
from shared.channels.checks import NO_ANSWER, ProviderRefused
from shared.channels.health import ChannelAccount
from shared.channels.registry import CHANNELS
from shared.channels.whatsapp_cloud import connect as cloud
from shared.config import settings
from shared.errors import InvalidPayload, OutsideFailure
from shared.models import Chatbot
from shared.teaching.chatbots import is_own, names
from web import connection_words
from web.addresses import shown_address
from web.api.channels import MAX_SECRET
from web.connecting import CONNECTED, asking, connect, noting
from web.connecting import steps as steps_of
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.message_words import CHANNEL_NAMES
from web.desk.redirects import see_other

_CHANNEL = f"<any({', '.join(CONNECTED)}):channel>"
ACCOUNT = f"/c/<int:customer_id>/channels/{_CHANNEL}/<int:chatbot_id>"


@desk.get(f"/c/<int:customer_id>/channels/connect/{_CHANNEL}")
@allowed("owner")
def connect_form(channel: str) -> Response:
    """What to enter, and where to find it."""
    return _form(channel)


@desk.post(f"/c/<int:customer_id>/channels/connect/{_CHANNEL}")
@allowed("owner")
def connect_own(channel: str) -> Response:
    """Connects an account that the provider says is theirs, to a chatbot that has none."""
    chatbot_id = forms.row_id(request.form, "chatbot_id") or 0
    if chatbot_id not in {bot["id"] for bot in free_bots(channel)}:
        own_account(channel, chatbot_id)
        return _form(channel, "has_one", status=409)
    if len(forms.text(request.form, "secret")) > MAX_SECRET:
        return _form(channel, "secret", status=422)
    given = {name: forms.text(request.form, name) for name in ("secret", "name", "waba_id", "dialect")}
    try:
        connect(g.customer.id, channel, chatbot_id, given)
    except connecting.Taken:
        return _form(channel, "taken", status=409)
    except InvalidPayload as wrong:
        return _form(channel, next(iter(wrong.errors)), status=422)
    except ProviderRefused as refusal:
        return _form(channel, refusal.problem, refusal.words, 422)
    except OutsideFailure as failure:
        return _form(channel, NO_ANSWER, str(failure), 503)
    account = own_account(channel, chatbot_id)
    if account.channel.account_noun == "session":  # the phone is asked on the next page
        flash(_("The session is made. It is connected once the phone has read the code."))
    else:
        flash(_("Connected."))
    return _to(account)


@desk.get(ACCOUNT)
@allowed("owner")
def account(channel: str, chatbot_id: int) -> Response:
    """An account: what to enter at the provider, and what the provider says."""
    return page(own_account(channel, chatbot_id), request.args.get("look") == "1")


@desk.get(f"{ACCOUNT}/checks")
@allowed("owner")
def account_checks(channel: str, chatbot_id: int) -> Response:
    """Each step, asked now; a session that waits for its phone shows the code, and the page asks again."""
    found = own_account(channel, chatbot_id)
    return make_response(render_template("desk/channel_checks.html", **_checked(found)))


@desk.post(f"{ACCOUNT}/secret")
@allowed("owner")
def replace_secret(channel: str, chatbot_id: int) -> Response:
    """Takes a new token or key that the provider takes for this account; replies that were held leave."""
    found, secret = own_account(channel, chatbot_id), forms.text(request.form, "secret")
    if len(secret) > MAX_SECRET:
        return page(found, problem="secret", status=422)
    try:
        with asking(g.customer.id, channel):
            connecting.replace_token(found, secret, settings().public_url, noting(channel, chatbot_id))
    except InvalidPayload:
        return page(found, problem="secret", status=422)
    except ProviderRefused as refusal:
        return page(found, problem=refusal.problem, words=refusal.words, status=422)
    except OutsideFailure as failure:
        return page(found, problem=NO_ANSWER, words=str(failure), status=503)
    flash(_("Saved. Replies that waited leave now, one after the other."))
    return _to(found)


@desk.post(f"{ACCOUNT}/subscribe")
@allowed("owner")
def subscribe_again(channel: str, chatbot_id: int) -> Response:
    """Asks Meta once more to send the messages of the number's account here."""
    found = own_account(channel, chatbot_id)
    row = checks.row_of(found)
    if row is None or not row.get("waba_id"):
        raise NotFound
    with asking(g.customer.id, channel):
        step = checks.asked("subscription", lambda: cloud.subscribe_again(row))
    if step.problem:
        return page(found, problem=step.problem, words=step.words, status=422)
    noting(channel, chatbot_id)("channel.subscribed", step.found)
    return _to(found)


@desk.post(f"{ACCOUNT}/disconnect")
@allowed("owner")
def disconnect(channel: str, chatbot_id: int) -> Response:
    """The chatbot has no account on this channel any longer, and the account is free for another one."""
    found = own_account(channel, chatbot_id)
    with asking(g.customer.id, channel):
        knows = connecting.disconnect(found, noting(channel, chatbot_id))
    flash(_("Disconnected.") if knows else _("Disconnected. The provider could not be told; what it still sends is refused."))
    return see_other(url_for("desk.channels"))


def free_bots(channel: str) -> list[dict[str, object]]:
    """The customer's chatbots that have no account on a channel."""
    taken = {one["chatbot_id"] for one in accounts.overview(g.customer.id) if one["channel"] == channel}
    return [bot for bot in names(g.customer.id) if bot["id"] not in taken]


def own_account(channel: str, chatbot_id: int) -> ChannelAccount:
    """Raises NotFound for one that is not the customer's."""
    found = accounts.find(g.customer.id, channel, chatbot_id)
    if found is None:
        raise NotFound
    return found


def page(found: ChannelAccount, looks: bool = False, *, problem: str = "", words: str = "", status: int = 200) -> Response:
    """The account's page; `looks`: with the checks in it, for browsers without scripts."""
    rows = [one for one in accounts.overview(g.customer.id) if (one["channel"], one["chatbot_id"]) == _key(found)]
    bot = db.row(Chatbot.select(Chatbot.id, Chatbot.name).where(is_own(g.customer.id, found.chatbot_id)))
    checked = _checked(found) if looks else {"account": found, "steps": None}
    texts = _told(problem, words)
    answer = render_template("desk/channel.html", **checked, **_texts(found.channel.name), one=rows[0], bot=bot, **texts)
    return make_response(answer, status)


def _checked(found: ChannelAccount) -> dict[str, object]:
    steps, waits, code = steps_of(g.customer.id, found)
    more = {"step_names": connection_words.STEPS, "problem_words": connection_words.PROBLEMS}
    return {"account": found, "steps": steps, "waits": waits, "code": code, **more}


def _form(channel: str, problem: str = "", words: str = "", status: int = 200) -> Response:
    texts = _told(problem, words)
    answer = render_template("desk/connect.html", bots=free_bots(channel), **_texts(channel), **texts, given=request.form)
    return make_response(answer, status)


def _told(problem: str, words: str) -> dict[str, object]:
    """What is wrong; of a call that failed we say ourselves how."""
    return {"problem": connection_words.PROBLEMS.get(problem, problem), "words": words, "is_ours": problem == NO_ANSWER}


def _texts(channel: str) -> dict[str, object]:
    is_metas = CHANNELS[channel].account_noun == "number"
    return {
        "channel": channel,
        "noun": CHANNELS[channel].account_noun,
        "channel_name": CHANNEL_NAMES[channel],
        "callback": shown_address() + cloud.HOOK if is_metas else "",
        "verify_token": settings().whatsapp_verify_token if is_metas else "",
        "fields": cloud.FIELDS if is_metas else (),
    }


def _key(found: ChannelAccount) -> tuple[str, int]:
    return found.channel.name, found.chatbot_id


def _to(found: ChannelAccount) -> Response:
    address = url_for("desk.account", channel=found.channel.name, chatbot_id=found.chatbot_id)
    return see_other(address)
