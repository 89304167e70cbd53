"""The audit's row of what a command changes: nobody is logged in, so `by` names the command. In the transaction of the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.people import audit


def audited(command: str, action: str, subject: str, subject_id: int | None, customer_id: int | None, **details: Any) -> None:
    """Records it; `command` is like "keys"."""
    audit.record(action, subject, subject_id, {"by": f"scripts/{command}", **details}, user=None, customer_id=customer_id)


def noting_channel(chatbot_id: int, customer_id: int, channel: str) -> Callable[[str, str], None]:
    """As shared/channels/connecting.py wants it, of scripts/connect."""
    return lambda action, name: audited("connect", action, "channel", chatbot_id, customer_id, name=name, channel=channel)
