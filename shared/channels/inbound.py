"""What webhooks report, in types that all channels share, and how to read JSON whose shape nobody promises.

A channel's parser turns a body into batches of items; web/hooks/inbox.py stores them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Headers(Protocol):
    """The headers of a request, looked up whatever the case of their names."""

    def get(self, name: str, default: str, /) -> str:
        """A header's value, or the default."""


@dataclass(frozen=True, kw_only=True)
class InboundItem:
    """One thing that a webhook reports. `raw` is what the channel sent, kept if the item cannot be stored."""

    raw: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class InboundMessage(InboundItem):
    """A message that a customer wrote. `metadata` has ids and names, no texts."""

    external_user_id: str
    content: str
    external_id: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DeliveryStatus(InboundItem):
    """How far a reply got; by our id where the channel sends it along, else by the provider's."""

    status: str
    provider_id: str
    message_id: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionState(InboundItem):
    """Whether an account can send; `detail` is the provider's word for it, `at` its time (Unix seconds), if it says one."""

    connected: bool
    detail: str
    at: float | None = None


@dataclass(frozen=True, kw_only=True)
class MalformedItem(InboundItem):
    """Something that cannot be understood."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class IgnoredItem(InboundItem):
    """Something that is understood and needs nothing: a group's message, a reaction, an event of no use."""


@dataclass(frozen=True)
class InboundBatch:
    """What one account was sent, in the order in which it is to be stored; `raw` is all of it, as the channel sent it."""

    account_name: str
    items: list[InboundItem]
    raw: dict[str, Any]


@dataclass(frozen=True)
class Account:
    """A row by which a chatbot is connected to a channel; `name` is the provider's for it."""

    id: int
    name: str
    chatbot_id: int


def parse_item(parse: Callable[[dict[str, Any]], InboundItem], raw: dict[str, Any]) -> InboundItem:
    """One item, parsed; a fault of the parser costs this item and no other of its batch."""
    try:
        return parse(raw)
    except Exception as problem:
        log.exception("inbound_item_not_parsed")
        return MalformedItem(raw=raw, reason=f"The parser failed with {type(problem).__name__}; the log has the traceback.")


def get_objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def get_path(value: Any, *path: str) -> Any:
    """value[a][b]…, or None where an object on the way is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def get_text(value: Any, *path: str) -> str:
    """The text at a path, without space around it; "" if there is none."""
    text = get_path(value, *path)
    return text.strip() if isinstance(text, str) else ""
