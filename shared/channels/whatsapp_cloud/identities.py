"""A changed phone number or business-scoped user id (BSUID), as Meta's webhook tells it.

Source: Meta's Cloud API webhooks reference, system messages (2026-08-11). That page took back what an earlier one had: a field
`user_id_update` of its own, which partners (360dialog, 8x8, Kapso) still pass on. None of their pages shows what is in it, so
that both forms that are read are a guess.
"""

from __future__ import annotations

from typing import Any

from shared.channels.inbound import IdentityLearnt, IgnoredItem, InboundItem, get_id, get_text

#: What a system message says of names. Others (a new security code, for example) change nobody's.
CHANGES = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})


def changed_names(raw: dict[str, Any]) -> InboundItem:
    """A system message: what the customer was called before, and is called now. A new number brings a new user id."""
    system = raw.get("system")
    if get_text(system, "type").lower() not in CHANGES:
        return IgnoredItem(raw=raw)
    number, user_id = get_id(system, "new_wa_id") or get_id(system, "wa_id"), get_text(system, "user_id")
    old_numbers = [name for name in (get_id(raw, "from"), get_id(system, "customer")) if name]
    old_user_ids = [name for name in (get_text(system, "previous_user_id"), get_text(raw, "from_user_id")) if name]
    parent_id, old_parent_id = get_text(system, "parent_user_id"), get_text(system, "previous_parent_user_id")
    changes = [*_change(old_numbers, number), *_change(old_user_ids, user_id), *_change([old_parent_id], parent_id)]
    return _learnt(raw, changes, number, user_id, parent_id)


def updated_user_id(raw: dict[str, Any]) -> InboundItem:
    """What was a field of its own: {"wa_id", "user_id": {"previous", "current"}}, or the two as texts."""
    number = get_id(raw, "wa_id")
    user_id = get_text(raw, "user_id", "current") or get_text(raw, "user_id")
    old_user_ids = [get_text(raw, "user_id", "previous"), get_text(raw, "previous_user_id")]
    return _learnt(raw, _change([name for name in old_user_ids if name], user_id), number, user_id)


def _learnt(raw: dict[str, Any], changes: list[tuple[str, str]], *names: str) -> InboundItem:
    if not changes:
        return IgnoredItem(raw=raw)
    return IdentityLearnt(raw=raw, changes=tuple(changes), names=tuple(name for name in names if name))


def _change(old_names: list[str], name: str) -> list[tuple[str, str]]:
    return [(old, name) for old in old_names if old and name and old != name][:1]
