"""What Meta's webhooks tell of an account: bans, restrictions, alerts, the quality of its number.

Source: Meta's webhooks reference: account_update, account_review_update, account_alerts, phone_number_quality_update. `entry.id`
is the WABA's; none of them has the id of a number, so they are about all numbers of the WABA. Of what partners do, `entry.id` is
the partner's business, and `waba_info` has the WABA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.channels.health import BANNED, DEGRADED, HELD, NEEDS_LOGIN, OK
from shared.channels.inbound import get_id, get_objects, get_path, get_text
from shared.channels.outcomes import Reason
from shared.http import code_of


@dataclass(frozen=True)
class AccountEvent:
    """What an event means for the numbers of a WABA. State `ok`: troubles for `reason` are over."""

    waba_id: str
    event: str
    state: str
    reason: Reason


_BANNED = BANNED, Reason.ACCOUNT_BANNED
_ALERT = DEGRADED, Reason.ACCOUNT_ALERT
_LEFT = NEEDS_LOGIN, Reason.PERMISSION_MISSING
#: account_update: its event, with the ban's state -> what it means.
_UPDATES: dict[str, tuple[str, Reason]] = {
    "DISABLED_UPDATE DISABLE": _BANNED,
    "DISABLED_UPDATE SCHEDULE_FOR_DISABLE": _ALERT,
    "DISABLED_UPDATE REINSTATE": (OK, Reason.ACCOUNT_BANNED),
    "ACCOUNT_DELETED": _BANNED,
    "ACCOUNT_VIOLATION": _ALERT,
    "PARTNER_REMOVED": _LEFT,
    "PARTNER_APP_UNINSTALLED": _LEFT,
    "ACCOUNT_OFFBOARDED": _LEFT,
    **dict.fromkeys(("ACCOUNT_RECONNECTED", "PARTNER_ADDED", "PARTNER_APP_INSTALLED"), (OK, Reason.PERMISSION_MISSING)),
}
#: phone_number_quality_update; others are about limits that are none of ours.
_QUALITY: dict[str, tuple[str, Reason]] = {
    **dict.fromkeys(("FLAGGED", "DOWNGRADE"), (DEGRADED, Reason.QUALITY_LOW)),
    **dict.fromkeys(("UNFLAGGED", "UPGRADE", "THROUGHPUT_UPGRADE"), (OK, Reason.QUALITY_LOW)),
}
#: account_review_update: what Meta decided of the account; it may still be looking.
_REVIEWS: dict[str, tuple[str, Reason]] = {"REJECTED": _ALERT, "APPROVED": (OK, Reason.ACCOUNT_ALERT)}
#: A restriction of what we do: answering those who wrote. Others are of messages that a business begins.
_REPLIES_RESTRICTED = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"


def events_in(body: Mapping[str, Any]) -> list[AccountEvent]:
    """What a webhook tells of accounts; nothing, of most webhooks."""
    return [
        AccountEvent(get_id(change["value"], "waba_info", "waba_id") or get_id(entry, "id"), event, *meaning)
        for entry in get_objects(body.get("entry"))
        for change in get_objects(entry.get("changes"))
        if (read := _READERS.get(get_text(change, "field"))) and isinstance(change.get("value"), dict)
        for event, meaning in [read(change["value"])]
        if meaning is not None
    ]


_Read = tuple[str, tuple[str, Reason] | None]


def _update(value: dict[str, Any]) -> _Read:
    event = get_text(value, "event").upper()
    if event == "ACCOUNT_RESTRICTION":
        kinds = {get_text(one, "restriction_type") for one in get_objects(value.get("restriction_info"))}
        return event, (HELD, Reason.ACCOUNT_RESTRICTED) if _REPLIES_RESTRICTED in kinds else _ALERT
    word = " ".join(part for part in (event, _ban_state(value)) if part)
    return code_of(word.replace(" ", ".")), _UPDATES.get(word)


def _ban_state(value: dict[str, Any]) -> str:
    """Also where it stands in a list of one, or its object does; several at once are Meta's example, and say nothing."""
    ban: dict[str, Any] = next(iter(get_objects(value.get("ban_info"))), {})
    states = ban.get("waba_ban_state")
    states = states if isinstance(states, list) else [states]
    return states[0].upper() if len(states) == 1 and isinstance(states[0], str) else ""


def _quality(value: dict[str, Any]) -> _Read:
    event = get_text(value, "event").upper()
    return code_of(event), _QUALITY.get(event)


def _alert(value: dict[str, Any]) -> _Read:
    info = get_path(value, "alert_info") or value
    if get_text(info, "alert_severity").upper() != "CRITICAL":
        return "", None
    is_over = get_text(info, "alert_status").upper() not in ("", "ACTIVE")
    return code_of(get_text(info, "alert_type")), (OK, Reason.ACCOUNT_ALERT) if is_over else _ALERT


def _review(value: dict[str, Any]) -> _Read:
    decision = get_text(value, "decision").upper()
    return code_of(f"REVIEW_{decision}"), _REVIEWS.get(decision)


_READERS: dict[str, Callable[[dict[str, Any]], _Read]] = {
    "account_update": _update,
    "account_review_update": _review,
    "phone_number_quality_update": _quality,
    "account_alerts": _alert,
}
