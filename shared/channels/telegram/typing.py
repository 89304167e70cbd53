"""That the bot is typing. Telegram shows it for some five seconds, or until the next message; it has no read marks for bots.

Source: Bot API 9, sendChatAction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.channels.telegram.api import call
from shared.channels.typing_indicator import TIMEOUT
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure


def begin(target: Mapping[str, Any]) -> None:
    """Shows that the bot types. Raises what shared.http raises, OutsideFailure."""
    token = decrypt(target["secret"], f"Telegram bot {target['account']}")
    topic = {"message_thread_id": target["topic"]} if target.get("topic") else {}
    answer = call(token, "sendChatAction", {"chat_id": target["chat_id"], "action": "typing", **topic}, TIMEOUT)
    if not answer.ok:
        raise OutsideFailure(f"Telegram: HTTP {answer.status}")
