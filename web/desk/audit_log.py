"""What people changed, and which texts operators read: of one business, and of all."""

from __future__ import annotations

from typing import Any

from flask import Response, g, make_response, render_template, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from shared.people import audit, users
from web.audited import BY_API
from web.desk import audit_words, desk, forms, paging
from web.desk.access import allowed

#: Actions in people's words. One that is missing here is shown as it is written.
ACTIONS = {
    "conversation.assigned": _l("gave a conversation to a colleague"),
    "conversation.taken": _l("took a conversation over"),  # an assignment to oneself
    "conversation.returned": _l("gave a conversation back to the bot"),
    "conversation.closed": _l("closed a conversation"),
    "quick_reply.saved": _l("saved a quick reply"),
    "quick_reply.deleted": _l("deleted a quick reply"),
    "user.logged_in": _l("logged in"),
    "user.logged_out_everywhere": _l("logged out other browsers"),
    "user.password_chosen": _l("chose a password"),
    "user.changed": _l("changed their own profile"),
    "user.invited": _l("sent an invitation to"),
    "user.created": _l("made a user"),
    "user.link_made": _l("made a link for a password"),
    "user.role_changed": _l("changed a role"),
    "user.disabled": _l("ended an access"),
    "user.enabled": _l("gave an access back"),
    "user.texts_granted": _l("allowed to read messages"),
    "user.texts_revoked": _l("no longer allowed to read messages"),
    "key.created": _l("made an API key"),
    "key.revoked": _l("revoked an API key"),
    "texts.read": _l("read messages"),
    "replay.begun": _l("began a replay"),
    "replay.stopped": _l("stopped a replay"),
    "failures.ignored": _l("ignored failures"),
    "pause.begun": _l("paused"),
    "pause.ended": _l("resumed"),
    "channel.tried": _l("had a channel tried"),
    "customer.created": _l("made a business"),
    "customer.changed": _l("changed a business"),
    "chatbot.created": _l("made a chatbot"),
    "chatbot.changed": _l("changed a chatbot"),
    "chatbot.deleted": _l("deleted a chatbot"),
    "budget.set": _l("set a budget"),
    "budget.removed": _l("removed a budget"),
    "price.set": _l("set a price"),
    "price.removed": _l("removed a price"),
    "contact.erased": _l("erased a contact"),
    "contact.exported": _l("exported a contact"),
    "channel.connected": _l("connected a channel"),
    "channel.subscribed": _l("connected a number to Meta again"),
    "channel.disconnected": _l("disconnected a channel"),
    "channel.secret_replaced": _l("gave a channel a new token"),
    "channel.retried": _l("had a channel tried again"),
    "channel.templates_wanted": _l("had the templates read again"),
    "knowledge.base_created": _l("made a knowledge base"),
    "knowledge.base_changed": _l("changed a knowledge base"),
    "knowledge.base_deleted": _l("deleted a knowledge base"),
    "knowledge.item_created": _l("added knowledge"),
    "knowledge.item_changed": _l("changed knowledge"),
    "knowledge.item_deleted": _l("deleted knowledge"),
    "knowledge.import_started": _l("began an import"),
    "knowledge.source_sync": _l("had a source read again"),
    "knowledge.source_retry": _l("had a source's failures tried again"),
    "knowledge.source_stop": _l("stopped an import"),
    "knowledge.source_delete": _l("deleted a source"),
    "knowledge.gap_answered": _l("answered an open question"),
    "knowledge.gap_dismissed": _l("put an open question aside"),
    "webhook.created": _l("made a webhook"),
    "webhook.changed": _l("changed a webhook"),
    "webhook.paused": _l("paused a webhook"),
    "webhook.resumed": _l("resumed a webhook"),
    "webhook.enabled": _l("switched a webhook on"),
    "webhook.disabled": _l("switched a webhook off"),
    "webhook.tested": _l("sent a test to a webhook"),
    "webhook.secret_rotated": _l("gave a webhook a new secret"),
    "webhook.deleted": _l("deleted a webhook"),
    "webhook.event_resent": _l("sent an event again"),
    "webhook.recovered": _l("began a recovery of a webhook"),
    "webhook.recovery_stopped": _l("stopped a recovery of a webhook"),
}
#: What the filter offers: the first words of actions.
KINDS = {
    "user": _l("People"),
    "texts": _l("Messages read"),
    "conversation": _l("Conversations"),
    "contact": _l("Contacts"),
    "chatbot": _l("Chatbots"),
    "knowledge": _l("Knowledge"),
    "channel": _l("Channels"),
    "webhook": _l("Webhooks"),
    "key": _l("API keys"),
    "budget": _l("Budgets"),
    "price": _l("Prices"),
    "replay": _l("Replays"),
    "pause": _l("Pauses"),
    "failures": _l("Failures"),
    "quick_reply": _l("Quick replies"),
    "customer": _l("Businesses"),
}


@desk.get("/c/<int:customer_id>/audit")
@allowed("owner")
def audit_of_customer() -> Response:
    """One business's, operators' deeds in it included."""
    return _page(g.customer.id)


@desk.get("/operate/audit")
@allowed("operator")
def operator_audit() -> Response:
    """All."""
    return _page(None)


def _page(customer_id: int | None) -> Response:
    kind, user_id, is_operator = request.args.get("kind", ""), forms.row_id(request.args, "user"), g.user.role == "operator"
    rows = audit.entries(
        customer_id,
        user_id=user_id,
        action=kind if kind in KINDS else "",
        before=forms.row_id(request.args, "before"),
        limit=paging.ROWS + 1,
    )
    shown, more = paging.page_of(rows, request.path, kind=kind or None, user=user_id)
    return make_response(
        render_template(
            "desk/audit.html",
            entries=_entries(shown),
            kinds=KINDS,
            kind=kind,
            people=users.of_customer(customer_id) + (users.of_customer(None) if customer_id and is_operator else []),
            person=user_id,
            more=more,
        )
    )


def _entries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = zip(rows, audit_words.facts(rows), strict=True)
    return [{**row, "who": _who(row), "words": _words(row), "facts": facts} for row, facts in told]


def _who(row: dict[str, Any]) -> str:
    """A person, or the API key of a business's server; nothing for a command."""
    key = row["details"].get("key") if row["details"].get("by") == BY_API else None
    return row["who"] or (_("API key %(name)s", name=key) if key else "")


def _words(row: dict[str, Any]) -> str:
    action = "conversation.taken" if audit_words.is_taken(row) else row["action"]
    return str(ACTIONS.get(action) or action.replace(".", " ").replace("_", " "))
