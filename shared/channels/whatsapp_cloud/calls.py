"""Calls, of which we only keep that they open the 24 hours of a conversation (window.py).

Source: Meta's Calling API, webhook field `calls`: the customer's call opens them, answered or not; ours, once it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shared.channels.inbound import get_id, get_objects, get_text, get_time


class Opening(NamedTuple):
    """A call that opens the window: whose number it came to, the customer, and when, by Meta's clock."""

    phone_number_id: str
    external_user_id: str
    at: float | None


def openings_in(body: Mapping[str, Any]) -> Iterator[Opening]:
    """Those of a webhook; none, of most webhooks."""
    for entry in get_objects(body.get("entry")):
        for change in get_objects(entry.get("changes")):
            value = change.get("value")
            if change.get("field") == "calls" and isinstance(value, dict):
                number = get_id(value, "metadata", "phone_number_id")
                for call in get_objects(value.get("calls")):
                    if customer := _customer(call, get_objects(value.get("contacts"))):
                        yield Opening(number, customer, get_time(call.get("timestamp")))


def _customer(call: Mapping[str, Any], contacts: Sequence[Mapping[str, Any]]) -> str:
    """Who is at the other end, by the call or by the only contact beside it; "" of a call that opens nothing."""
    direction, statuses = get_text(call, "direction").upper(), call.get("status")
    was_taken = "COMPLETED" in (statuses if isinstance(statuses, list) else [statuses])
    if direction != "USER_INITIATED" and not (direction == "BUSINESS_INITIATED" and was_taken):
        return ""
    side = "from" if direction == "USER_INITIATED" else "to"
    contact = contacts[0] if len(contacts) == 1 else {}
    names = ((call, side), (call, f"{side}_user_id"), (contact, "wa_id"), (contact, "user_id"))
    return next((found for holder, name in names if (found := get_id(holder, name))), "")
