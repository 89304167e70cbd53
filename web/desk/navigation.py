"""The menu of the desk: its entries in their order.

To add a page, add an entry: endpoint, name, icon (templates/desk/icons.html), role, and the keys that lead there.
"""

from __future__ import annotations

from typing import NamedTuple

from flask import g, url_for
from flask_babel import lazy_gettext as _l

from shared.models import User
from shared.people import users


class Entry(NamedTuple):
    """One line of the menu: the current one for its page, those below its address, and the pages of `also`."""

    endpoint: str
    label: object
    icon: str
    role: str
    keys: str
    also: str = ""


#: Pages of one customer.
CUSTOMER = (
    Entry("desk.inbox", _l("Inbox"), "inbox", "agent", "g i", "desk.conversation desk.quick_replies"),
    Entry("desk.chatbots", _l("Chatbots"), "bot", "owner", "g b"),
    Entry("desk.knowledge", _l("Knowledge"), "book", "owner", "g k"),
    Entry("desk.channels", _l("Channels"), "plug", "owner", "g c"),
    Entry("desk.webhooks", _l("Webhooks"), "hook", "owner", "g w"),
    Entry("desk.keys", _l("API keys"), "key", "owner", "g a"),
    Entry("desk.usage", _l("Usage"), "chart", "owner", "g u"),
    Entry("desk.team", _l("Team"), "people", "owner", "g t"),
    Entry("desk.audit_of_customer", _l("Audit"), "list", "owner", "g l"),
)
#: Pages of operators.
OPERATOR = (
    Entry("desk.overview", _l("Overview"), "pulse", "operator", "o o"),
    Entry("desk.failures", _l("Failures"), "warning", "operator", "o f"),
    Entry("desk.replays", _l("Replays"), "replay", "operator", "o r"),
    Entry("desk.search", _l("Search"), "search", "operator", "o s", "desk.journey"),
    Entry("desk.pauses", _l("Pauses"), "pause", "operator", "o p"),
    Entry("desk.customers", _l("Businesses"), "shop", "operator", "o c"),
    Entry("desk.prices", _l("Prices"), "chart", "operator", "o m"),
    Entry("desk.operators", _l("Operators"), "people", "operator", "o t"),
    Entry("desk.operator_audit", _l("Audit"), "list", "operator", "o l"),
)


def first_page(user: User) -> str:
    """The address where a person's work begins."""
    return url_for("desk.overview") if user.customer_id is None else url_for("desk.inbox", customer_id=user.customer_id)


def menu() -> list[tuple[str, list[Entry]]]:
    """For the template: the groups of the page's user, each with its title."""
    groups = []
    if g.get("customer"):
        groups.append((g.customer.name, [entry for entry in CUSTOMER if users.may(g.user, entry.role)]))
    if g.user.role == "operator":
        groups.append((str(_l("Operations")), list(OPERATOR)))
    return groups
