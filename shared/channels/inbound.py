"""What every channel's hook tells, once it is read: a message, a status; and how to read odd JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class InboundMessage:
    """A message that somebody wrote. `metadata` has ids and names, no texts."""

    user: str
    content: str
    external_id: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeliveryStatus:
    """How far a reply got; by our id where the channel tells it, else by the provider's."""

    status: str
    provider_id: str
    message_id: int | None = None
    error: str | None = None


class MalformedItem(Exception):
    """An item that has not the shape it should have; the text says what is missing."""


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """A text without its margins; "" for what is no text."""
    return value.strip() if isinstance(value, str) else ""


def get_path(value: Any, *path: str) -> Any:
    """value[a][b]…, or None where an object on the way is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
