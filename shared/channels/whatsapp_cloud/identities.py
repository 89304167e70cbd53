"""Who wrote to Meta's webhook: a phone number, a business-scoped user id (BSUID), or both, and what they were before.

Source: Meta's Cloud API webhooks reference, messages and system messages (2026). A number may stand in a payload in two forms: as
the customer wrote it (`from`), and as WhatsApp knows the account (`wa_id`).
"""

from __future__ import annotations

import re
from typing import Any

from shared.channels.inbound import IdentityLearnt, IgnoredItem, InboundItem, get_text

#: What a system message says of names. Others (a new security code, for example) change nobody's.
CHANGES = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})
#: Digits by which a mobile number has two forms: Brazil's ninth digit, Mexico's 1, Argentina's 9.
_SECOND_FORM = re.compile(r"^(?:(55\d\d)9(?=\d{8}$)|(52)1(?=\d{10}$)|(54)9(?=\d{10}$))")


def are_of_one(messages: list[dict[str, Any]], contacts: list[dict[str, Any]]) -> bool:
    """Whether there is one contact, and the messages have one sender: they are the same person, whatever the names."""
    return len(contacts) == 1 and len({_names(message, "from", "from_user_id") for message in messages}) == 1


def contact_of(raw: dict[str, Any], contacts: list[dict[str, Any]], are_one: bool) -> dict[str, Any]:
    """The contact that a message is from: the one with its name, in either form, or the only one (`are_of_one`)."""
    names = _names(raw, "from", "from_user_id")
    if are_one or (len(contacts) == 1 and not names):
        return contacts[0]
    forms = _in_one_form(names)
    exact = (contact for contact in contacts if names & _names(contact, "wa_id", "user_id"))
    alike = (contact for contact in contacts if forms & _in_one_form(_names(contact, "wa_id", "user_id")))
    return next(exact, None) or next(alike, {})


def other_names(raw: dict[str, Any], contact: dict[str, Any], user_id: str) -> tuple[str, ...]:
    """The other names of a message's customer that its payload tells."""
    told = (*_texts(raw, "from", "from_user_id"), *_texts(contact, "wa_id", "user_id"))
    return tuple(name for name in dict.fromkeys(told) if name != user_id)


def changed_names(raw: dict[str, Any]) -> InboundItem:
    """A system message: what the customer was called before, and is called now. A new number brings a new user id."""
    system = raw.get("system")
    if get_text(system, "type") not in CHANGES:
        return IgnoredItem(raw=raw)
    number, user_id = get_text(system, "new_wa_id") or get_text(system, "wa_id"), get_text(system, "user_id")
    old_numbers = [name for name in (get_text(raw, "from"), get_text(system, "customer")) if name]
    old_user_ids = [name for name in (get_text(system, "previous_user_id"), get_text(raw, "from_user_id")) if name]
    changes = [*_change(old_numbers, number), *_change(old_user_ids, user_id)]
    names = tuple(name for name in (number, user_id) if name)
    if not changes:
        return IgnoredItem(raw=raw)
    return IdentityLearnt(raw=raw, changes=tuple(changes), names=names)


def _change(old_names: list[str], name: str) -> list[tuple[str, str]]:
    return [(old, name) for old in old_names if name and old != name][:1]


def _texts(value: dict[str, Any], *names: str) -> list[str]:
    return [text for name in names if (text := get_text(value, name))]


def _names(value: dict[str, Any], *names: str) -> frozenset[str]:
    return frozenset(_texts(value, *names))


def _in_one_form(names: frozenset[str]) -> frozenset[str]:
    return frozenset(_SECOND_FORM.sub(lambda found: next(filter(None, found.groups())), name) for name in names)
