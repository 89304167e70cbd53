"""The menu of the desk: its entries in their order. One of a page that this version does not have is left out.

To add a page, add an entry: endpoint, name, icon (templates/desk/icons.html), role, and the keys that lead there.
"""

from __future__ import annotations

from typing import NamedTuple

from flask import current_app, g, url_for
from flask_babel import lazy_gettext as _l

from shared.models import User
from shared.people import accounts


class Entry(NamedTuple):
    """One line of the menu. `endpoints` are further pages for which it is the current one."""

    endpoint: str
    label: object
    icon: str
    role: str
    keys: str
    endpoints: tuple[str, ...] = ()


#: Pages of one customer.
CUSTOMER = (
    Entry("desk.inbox", _l("Inbox"), "inbox", "agent", "g i", ("desk.conversation",)),
    Entry("desk.chatbots", _l("Chatbots"), "bot", "owner", "g b", ("desk.chatbot",)),
    Entry(
        "desk.knowledge",
        _l("Knowledge"),
        "book",
        "owner",
        "g k",
        ("desk.items", "desk.item", "desk.new_item", "desk.sources", "desk.source", "desk.gaps"),
    ),
    Entry("desk.channels", _l("Channels"), "plug", "owner", "g c", ("desk.channel",)),
    Entry("desk.webhooks", _l("Webhooks"), "hook", "owner", "g w", ("desk.webhook",)),
    Entry("desk.keys", _l("API keys"), "key", "owner", "g a"),
    Entry("desk.usage", _l("Usage"), "chart", "owner", "g u"),
    Entry("desk.team", _l("Team"), "people", "owner", "g t"),
    Entry("desk.audit_of_customer", _l("Audit"), "list", "owner", "g l"),
)
#: Pages of operators.
OPERATOR = (
    Entry("desk.overview", _l("Overview"), "pulse", "operator", "o o"),
    Entry("desk.failures", _l("Failures"), "warning", "operator", "o f", ("desk.failure",)),
    Entry("desk.replays", _l("Replays"), "replay", "operator", "o r", ("desk.replay",)),
    Entry("desk.search", _l("Search"), "search", "operator", "o s", ("desk.journey",)),
    Entry("desk.pauses", _l("Pauses"), "pause", "operator", "o p"),
    Entry("desk.customers", _l("Customers"), "shop", "operator", "o c"),
    Entry("desk.operators", _l("Operators"), "people", "operator", "o t"),
    Entry("desk.operator_audit", _l("Audit"), "list", "operator", "o l"),
)


def entries_for(user: User, entries: tuple[Entry, ...]) -> list[Entry]:
    """What of these somebody may open, and this version has."""
    return [entry for entry in entries if accounts.may(user, entry.role) and entry.endpoint in current_app.view_functions]


def first_page(user: User) -> str:
    """The address where a person's work begins."""
    entries = OPERATOR if user.role == "operator" else CUSTOMER
    entry = next(iter(entries_for(user, entries)), None)
    if entry is None:
        return url_for("desk.profile")
    return url_for(entry.endpoint) if user.customer_id is None else url_for(entry.endpoint, customer_id=user.customer_id)


def menu() -> list[tuple[str, list[Entry]]]:
    """For the template: the groups of the page's user, each with its title."""
    groups = []
    if g.get("customer"):
        groups.append((g.customer.name, entries_for(g.user, CUSTOMER)))
    if g.user.role == "operator":
        groups.append((str(_l("Operations")), entries_for(g.user, OPERATOR)))
    return groups
