"""What the QR gateways' webhooks have in common once they are read, and which chats a chatbot does not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.channels.inbound import DeliveryStatus, InboundMessage

#: Groups, broadcasts, channels.
_CROWDS = ("@g.us", "@broadcast", "@newsletter", "@call")
#: Events that tell how a session is, and nothing that somebody wrote.
STATE_EVENTS = ("session.status", "connection.update")


@dataclass(frozen=True)
class SessionNews:
    """A session's state in the gateway's word; `at` its time (Unix seconds), where it tells."""

    connected: bool
    detail: str
    at: float | None = None


Item = InboundMessage | DeliveryStatus | SessionNews | None
#: Reads one raw item; None for one that is not ours to answer. Raises MalformedItem.
Reader = Callable[[dict[str, Any]], Item]


def is_crowd(chat: str) -> bool:
    """Whether a chat is no single person's."""
    return chat.endswith(_CROWDS)


def described(user: str, said: str, external_id: str, attachment: str, name: str) -> InboundMessage:
    """An inbound message; what has no words gets a label and the polite answer (chatbot.unsupported_message)."""
    metadata = {"profile_name": name, "attachment" if said else "unsupported": attachment}
    return InboundMessage(user, said or f"[{attachment}]", external_id, {key: value for key, value in metadata.items() if value})
