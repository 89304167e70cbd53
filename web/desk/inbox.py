"""The inbox: the list of conversations, beside the one that is open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from shared import db
from shared.channels.registry import CHANNELS
from shared.inbox import lists, thread, work
from shared.models.limits import TooMany
from shared.payloads import id_in
from shared.people import users
from shared.teaching import chatbots
from web.audited import audited
from web.desk import desk, forms, silences
from web.desk.access import MASK, allowed, masked, may_read_texts
from web.desk.message_words import CHANNEL_NAMES
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.widget import testers

#: The lists, as tabs.
VIEWS = {
    "waiting": _l("Waiting"),
    "mine": _l("Mine"),
    "people": _l("People"),
    "bot": _l("Bot"),
    "closed": _l("Closed"),
    "all": _l("All"),
}
#: What a list says that has no rows.
EMPTY = {
    "waiting": _l("Nobody waits for a person."),
    "mine": _l("You have no conversation. Take one from those that wait."),
    "people": _l("No conversation is with a person."),
    "bot": _l("The bot has no conversation yet."),
    "closed": _l("No conversation is closed."),
    "all": _l("Nobody has written yet. Connect a channel, or put the widget on your site."),
}
#: Why a conversation was handed over (shared/channels/handoffs.py).
REASONS = {
    "asked": _l("asks for a person"),
    "misses": _l("the bot knows no answer"),
    "loop": _l("goes in circles"),
    "unsupported": _l("sent what the bot cannot read"),
    "provider_down": _l("the bot could not answer"),
    "out_of_hours": _l("wrote outside opening hours"),
    "budget": _l("the bot\u2019s budget is used up"),
    "rule": _l("a rule of the bot"),
}
#: Rows that a page fetches again at once: those that its list has, after "Show more" as well.
MOST_ROWS = 10 * lists.PAGE
#: What turns the direction of the text around a name that has it.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
#: A visitor's id as a page shows it: its beginning, or the whole.
_VISITOR = re.compile(rf"([\w-]{{{lists.SHORT_ID}}})|w_([\w-]{{22}})", re.ASCII)


@desk.app_template_filter("customer_name")
def customer_name(row: dict[str, Any]) -> str:
    """What people call the customer of a conversation: a name, or else a number (`masked`); a website's visitor has neither."""
    address: str = row["external_user_id"] or ""
    name = _TURNS.sub("", row["contact_name"] or "").strip()
    if name or row["channel"] != "widget":
        return masked(name or as_number(address, row["channel"]))
    if address.startswith(testers.PREFIX):
        return str(_("Test chat %(id)s", id=address.removeprefix(testers.PREFIX)[: lists.SHORT_ID]))
    return str(_("Visitor %(id)s", id=address.removeprefix("w_")[: lists.SHORT_ID]))


def visitor_in(search: str) -> str:
    """The visitor's id, or its beginning, in a search for what the inbox shows, with or without the word before it."""
    before, after = str(_("Visitor %(id)s", id="\0")).split("\0")
    words = search.strip()
    if words.casefold().startswith(before.casefold()):
        words = words[len(before) :]
    words = words.removesuffix(after)
    found = _VISITOR.fullmatch(words)
    return (found[1] or found[2]) if found else ""


@desk.app_template_filter("initial")
def initial(name: str) -> str:
    """The letter or digit by which a face shows a name; of one without any, what it begins with."""
    sign = name[:1] if name.startswith(MASK) else next((one for one in name if one.isalnum()), name[:1])
    return sign.upper()[:1]


@desk.app_template_filter("as_number")
def as_number(address: str, channel: str) -> str:
    """An address of a WhatsApp number as people write it; any other is shown as its channel has it."""
    digits = address.removesuffix("@c.us").removesuffix("@s.whatsapp.net")
    return f"+{digits}" if channel.startswith("whatsapp") and digits.isascii() and digits.isdigit() else address


@desk.get("/c/<int:customer_id>/inbox")
@allowed("agent")
def inbox() -> Response:
    """The list, and nothing beside it yet; for a page whose list has changed, the list alone."""
    if "HX-Request" in request.headers:
        return make_response(render_template("desk/inbox_list.html", **listing(forms.row_id(request.args, "open"))))
    return make_response(render_template("desk/inbox.html", **listing(), has_silence=_has_silence()))


def _has_silence() -> bool:
    """Whether something keeps many customers from an answer; owners are told, who can do something about it."""
    return users.may(g.user, "owner") and any(one.is_urgent for one in silences.of_business(g.customer.id))


@desk.get("/c/<int:customer_id>/quick-replies")
@allowed("agent")
def quick_replies() -> Response:
    """Answers that are used often; the form has the one that `reply` names, to change or delete it."""
    return _quick_replies()


@desk.post("/c/<int:customer_id>/quick-replies")
@allowed("agent")
def save_quick_reply() -> Response:
    """Adds one, or changes the text that the form showed: what a colleague has written meanwhile is not replaced."""
    shortcut, content = request.form.get("shortcut", "").strip().lstrip("/").lower(), request.form.get("content", "")
    if not work.is_shortcut(shortcut) or not content.strip():
        problem = _("A shortcut has small letters, digits, - and _, and at most 40 of them; and it needs a text.")
        return _quick_replies(problem, 422)
    before = next((one for one in work.quick_replies(g.customer.id) if one["shortcut"] == shortcut), None)
    if before and before["id"] != forms.row_id(request.form, "reply"):
        return _quick_reply_taken(shortcut)
    if before and request.form.get("version", _version(before)) != _version(before):
        return _quick_reply_changed(shortcut)
    try:
        with db.transaction():
            saved = work.save_quick_reply_over(g.customer.id, shortcut, content, before["content"] if before else None)
            if saved:
                audited("quick_reply.saved", "quick_reply", saved["id"], name=shortcut)
    except TooMany as problem:
        return _quick_replies(refusal_text(problem), 409)
    if saved is None:
        return _quick_reply_changed(shortcut) if before else _quick_reply_taken(shortcut)
    flash(_("Saved."))
    return see_other(url_for("desk.quick_replies"))


@desk.post("/c/<int:customer_id>/quick-replies/<int:reply_id>/delete")
@allowed("agent")
def delete_quick_reply(reply_id: int) -> Response:
    """Forgets one."""
    with db.transaction():
        if shortcut := work.delete_quick_reply(g.customer.id, reply_id):
            audited("quick_reply.deleted", "quick_reply", reply_id, name=shortcut)
    return see_other(url_for("desk.quick_replies"))


def _quick_reply_taken(shortcut: str) -> Response:
    problem = _("There is a /%(name)s already. Change that one below, or choose another shortcut.", name=shortcut)
    return _quick_replies(problem, 409)


def _quick_reply_changed(shortcut: str) -> Response:
    problem = _("A colleague has changed /%(name)s; below is what it says now. Saving again replaces that.", name=shortcut)
    return _quick_replies(problem, 409)


def _version(reply: Mapping[str, Any]) -> str:
    return forms.version(reply, {"content": None})


def _quick_replies(problem: str = "", status: int = 200) -> Response:
    replies = work.quick_replies(g.customer.id)
    chosen = forms.row_id(request.values, "reply")
    changed = next((one for one in replies if one["id"] == chosen), None)
    shown = {"changed": changed, "version": _version(changed) if changed else ""}
    return make_response(render_template("desk/quick_replies.html", replies=replies, **shown, problem=problem), status)


def _wanted() -> lists.Filter:
    """The list that the address names; of a form in the page, the one that was beside it (`list`)."""
    asked: Mapping[str, str] = request.args
    if request.method == "POST":
        asked = dict(parse_qsl(request.form.get("list", "")[:500]))
    view, channel = asked.get("view", ""), asked.get("channel", "")
    search = asked.get("q", "")[: lists.MAX_SEARCH].replace("\x00", "")
    return lists.Filter(
        customer_id=g.customer.id,
        user_id=g.user.id,
        view=view if view in VIEWS else "waiting",
        chatbot_id=id_in(asked.get("chatbot", "")),
        channel=channel if channel in CHANNELS else None,
        search=search,
        visitor=visitor_in(search),
        finds_texts=may_read_texts(),
    )


def kept_list(wanted: lists.Filter | None = None) -> str:
    """The list beside a conversation, as a query: links and forms of the page keep it."""
    one = wanted or _wanted()
    kept = {"view": one.view, "chatbot": one.chatbot_id, "channel": one.channel, "q": one.search}
    return urlencode({name: value for name, value in kept.items() if value})


def listing(open_id: int | None = None, opened: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the list's template shows, by the address: view, chatbot, channel, search, and where the page begins.

    `open_id` is the conversation beside it; `opened` is the same, if the page has read it.
    """
    wanted = _wanted()
    rows = min(max(request.args.get("rows", 0, type=int), lists.PAGE), MOST_ROWS)
    page = lists.page(wanted, request.args.get("after", ""), rows=rows)
    if open_id is None or open_id in {row["id"] for row in page.rows}:
        opened = None
    else:
        opened = opened or thread.conversation(g.customer.id, open_id)
    return {
        "wanted": wanted,
        "page_of_list": page,
        "counts": lists.counts(g.customer.id, g.user.id),
        "views": VIEWS,
        "empty": EMPTY,
        "reasons": REASONS,
        "channel_names": CHANNEL_NAMES,
        "chatbots": chatbots.names(g.customer.id),
        "kept": kept_list(wanted),
        "open_id": open_id,
        "open_row": lists.row(opened) if opened else None,
        "wide": True,
    }
