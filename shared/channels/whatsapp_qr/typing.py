"""Read marks and typing of the QR gateways, in the dialect of the session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.channels.whatsapp_qr.dialects import dialect
from shared.channels.whatsapp_qr.gateway import key_of


def begin(target: Mapping[str, Any]) -> None:
    """Marks a message as read and shows that somebody types. Raises what shared.http raises, OutsideFailure."""
    read(target)
    dialect(target["dialect"]).show_typing(target["account"], _key(target), target["chat_id"])


def read(target: Mapping[str, Any]) -> None:
    """Marks a message as read. Raises as `begin`."""
    dialect(target["dialect"]).mark_read(target["account"], _key(target), target["chat_id"], target["message_id"])


def end(target: Mapping[str, Any]) -> None:
    """Nobody types any longer. Raises as `begin`."""
    dialect(target["dialect"]).hide_typing(target["account"], _key(target), target["chat_id"])


def _key(target: Mapping[str, Any]) -> str:
    return key_of(target["account"], target["secret"])
