"""E-mails to the people of a business: customers wait for a person, a budget is nearly or wholly used up.

Maintenance looks each minute, if e-mail is set up. What was found since the last look is one e-mail to each person, with names
and links and never a message's text. It counts as told of before it is sent, so nobody is told twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from shared import db
from shared.config import settings
from shared.db import sql
from shared.models import User
from shared.people import mail

queries = sql.load(__file__)

#: Hours after which nobody is told of a handoff, or of a budget: e-mail was not set up, or its server was away for long.
HANDOFFS, BUDGETS = 1, 24
#: Handoffs of one e-mail, businesses of one look, and people of a business who are told.
_LISTED, _BUSINESSES, _PEOPLE = 50, 100, 20
#: Seconds after which a look ends that a slow server holds up; the next one goes on.
_LONGEST = 40.0

_WAIT = {
    "en": ("{count} conversations wait for a person", "A conversation waits for a person"),
    "de": ("{count} Unterhaltungen warten auf einen Menschen", "Eine Unterhaltung wartet auf einen Menschen"),
}
_REASONS = {
    "en": {
        "asked": "the customer asked for a person",
        "misses": "the knowledge had no answer",
        "loop": "it went in circles",
        "unsupported": "the message could not be read",
        "provider_down": "no provider answered",
        "out_of_hours": "it came outside of opening hours",
        "budget": "the budget is used up",
        "rule": "a rule of the chatbot",
    },
    "de": {
        "asked": "der Kunde hat um einen Menschen gebeten",
        "misses": "das Wissen hatte keine Antwort",
        "loop": "es drehte sich im Kreis",
        "unsupported": "die Nachricht war nicht lesbar",
        "provider_down": "kein Anbieter hat geantwortet",
        "out_of_hours": "sie kam außerhalb der Öffnungszeiten",
        "budget": "das Budget ist aufgebraucht",
        "rule": "eine Regel des Chatbots",
    },
}
#: Of a reason that a newer worker writes and this one does not know yet.
_HANDED_OVER = {"en": "the chatbot handed it over", "de": "der Chatbot hat sie übergeben"}
#: Subject and text of a warning, and of the end.
_BUDGET = {
    "en": (
        ("Most of the budget of {name} is used", "Four fifths of the budget of {name} for {month} are used."),
        ("The budget of {name} is used up", "The budget of {name} for {month} is used up. From now on {then}."),
    ),
    "de": (
        ("Das Budget von {name} ist fast aufgebraucht", "Vier Fünftel des Budgets von {name} für {month} sind verbraucht."),
        ("Das Budget von {name} ist aufgebraucht", "Das Budget von {name} für {month} ist aufgebraucht. Ab jetzt gilt: {then}."),
    ),
}
_THEN = {
    "en": {
        "hand_over": "a person takes over",
        "text": "customers get your text for that",
        "cheaper_model": "a cheaper model answers",
    },
    "de": {
        "hand_over": "Ein Mensch übernimmt",
        "text": "Kunden bekommen Ihren Text dafür",
        "cheaper_model": "Ein günstigeres Modell antwortet",
    },
}


def tell() -> int:
    """One look; returns how many e-mails were sent."""
    if not mail.is_on():
        return 0
    found = queries["businesses"].rows(handoff_hours=HANDOFFS, budget_hours=BUDGETS, most=_BUSINESSES)
    if not found or not mail.is_reachable():  # then they are told at the next look
        return 0
    ends = time.monotonic() + _LONGEST
    return sum(_tell(row["customer_id"]) for row in found if time.monotonic() < ends)


def _tell(customer_id: int) -> int:
    sent = 0
    taken = queries["take_handoffs"].rows(customer_id=customer_id, hours=HANDOFFS, most=_LISTED)
    if handoffs := sorted(taken, key=lambda row: (row["handed_over_at"], row["id"])):
        people = _people(customer_id, ("agent", "owner"))
        sent += _send(people, {language: _of_handoffs(customer_id, handoffs, language) for language in _WAIT})
    for budget in queries["take_budgets"].rows(customer_id=customer_id, hours=BUDGETS):
        owners = _people(customer_id, ("owner",))
        sent += _send(owners, {language: _of_budget(customer_id, budget, language) for language in _BUDGET})
    return sent


def _of_handoffs(customer_id: int, handoffs: Sequence[dict[str, Any]], language: str) -> tuple[str, str]:
    """Subject and text."""
    several, one = _WAIT[language]
    subject = several.format(count=len(handoffs)) if len(handoffs) > 1 else one
    site = settings().public_url
    reasons, in_general = _REASONS[language], _HANDED_OVER[language]
    lines = (
        f"{row['chatbot']}, {reasons.get(row['reason'], in_general)}:\n{site}/desk/c/{customer_id}/conversations/{row['id']}"
        for row in handoffs
    )
    return subject, "\n\n".join((f"{subject}.", *lines))


def _of_budget(customer_id: int, budget: dict[str, Any], language: str) -> tuple[str, str]:
    """Subject and text."""
    subject, text = (
        part.format(**budget, then=_THEN[language][budget["at_limit"]]) for part in _BUDGET[language][budget["is_exhausted"]]
    )
    return subject, f"{text}\n\n{settings().public_url}/desk/c/{customer_id}/usage"


def _people(customer_id: int, roles: Iterable[str]) -> list[dict[str, Any]]:
    """Those who can log in."""
    able = (User.customer == customer_id) & User.disabled_at.is_null() & User.password_hash.is_null(False)
    return db.rows(
        User.select(User.email, User.language).where(able, User.role.in_(list(roles))).order_by(User.id).limit(_PEOPLE)
    )


def _send(people: Iterable[dict[str, Any]], letters: dict[str, tuple[str, str]]) -> int:
    """To each in their language, in English where we have no other."""
    return sum(mail.send(person["email"], *letters.get(person["language"] or "en", letters["en"])) for person in people)
