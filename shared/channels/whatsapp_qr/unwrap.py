"""WhatsApp Web's message objects, as gateways pass them on (Baileys, whatsmeow): how to look into them, however they are wrapped.

A message is an object with one member that names its kind: {"imageMessage": {…}}. Disappearing messages, those to be seen once,
edited ones, those of another device and many more are that object within another: {"ephemeralMessage": {"message": {…}}}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.channels.inbound import get_text

#: Messages within messages: people's clients nest three at most.
MAX_WRAPPERS = 16
#: Members beside a message's content.
BESIDE = frozenset({"messagecontextinfo", "contextinfo", "senderkeydistributionmessage", "base64", "mediaurl", "speechtotext"})


def field(value: Any, *path: str) -> Any:
    """value[a][b]…, or None; whatever the case of the names, for Baileys writes selectedId and whatsmeow selectedID."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value[name] if name in value else next((v for k, v in value.items() if k.lower() == name.lower()), None)
    return value


def text(value: Any, *path: str) -> str:
    """The text at a path, without space around it; "" if there is none. Programs on the way make numbers of ids."""
    found = field(value, *path)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return get_text(found)


def first_text(value: Any, *names: str) -> str:
    """The first of these members that is a text and not empty."""
    return next((found for name in names if (found := text(value, name))), "")


@dataclass(frozen=True)
class Unwrapped:
    """The innermost message; `wrappers`: the names of what was around it; `context`: what was said beside it on the way."""

    parts: dict[str, Any]
    wrappers: tuple[str, ...]
    context: dict[str, Any]


def unwrap(message: Any) -> Unwrapped:
    """The message within all its wrappers: each member that is an object with an object `message` is one, known or not."""
    parts: dict[str, Any] = message if isinstance(message, dict) else {}
    wrappers: list[str] = []
    context: dict[str, Any] = {}
    while True:
        beside = field(parts, "messageContextInfo")
        context |= beside if isinstance(beside, dict) else {}
        name = next((name for name, part in parts.items() if _is_wrapper(name, part)), None)
        if name is None or len(wrappers) == MAX_WRAPPERS:
            return Unwrapped(parts, tuple(wrappers), context)
        wrappers.append(name)
        parts = field(parts[name], "message")


def _is_wrapper(name: str, part: Any) -> bool:
    return name.lower() not in BESIDE and isinstance(field(part, "message"), dict)
