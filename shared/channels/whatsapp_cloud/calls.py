"""Calls, of which we only keep that they open the 24 hours of a conversation (window.py).

Source: Meta's Calling API, webhook field `calls`: the customer's call opens them, answered or not; ours, once it was taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shared.channels.inbound import get_objects, get_text, get_time


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
                number = get_text(value, "metadata", "phone_number_id")
                for call in get_objects(value.get("calls")):
                    if customer := _customer(call):
                        yield Opening(number, customer, get_time(call.get("timestamp")))


def _customer(call: Mapping[str, Any]) -> str:
    """Who is at the other end; "" of a call that opens nothing."""
    if get_text(call, "direction") == "USER_INITIATED":
        return get_text(call, "from") or get_text(call, "from_user_id")
    statuses = call.get("status")
    was_taken = "COMPLETED" in (statuses if isinstance(statuses, list) else [statuses])
    return get_text(call, "to") if get_text(call, "direction") == "BUSINESS_INITIATED" and was_taken else ""
