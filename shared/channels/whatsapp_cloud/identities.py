"""A changed phone number or business-scoped user id (BSUID), as Meta's webhook tells it.

Source: Meta's Cloud API webhooks reference, system messages (2026).
"""

from __future__ import annotations

from typing import Any

from shared.channels.inbound import IdentityLearnt, IgnoredItem, InboundItem, get_text

#: What a system message says of names. Others (a new security code, for example) change nobody's.
CHANGES = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})


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
