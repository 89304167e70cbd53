"""The read mark and the typing indicator of Meta's Cloud API: one call, which lasts 25 seconds or until the answer.

Source: Meta's Cloud API reference, typing indicators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.channels.typing_indicator import TIMEOUT
from shared.channels.whatsapp_cloud.send import post_message
from shared.db.credentials import decrypt


def begin(target: Mapping[str, Any]) -> None:
    """Marks a message as read and shows that somebody types. Raises what a send raises."""
    _mark(target, {"typing_indicator": {"type": "text"}})


def read(target: Mapping[str, Any]) -> None:
    """Marks a message as read. Raises what a send raises."""
    _mark(target, {})


def _mark(target: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    number = target["account"]
    body = {"status": "read", "message_id": target["message_id"], **shown}
    post_message(number, decrypt(target["secret"], f"WhatsApp number {number}"), body, TIMEOUT)
