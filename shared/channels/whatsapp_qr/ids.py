"""The ids of messages at QR gateways: those that we give, and those in a gateway's answers."""

from __future__ import annotations

import hashlib
from typing import Any

from shared.channels.inbound import get_path


def own_id(message_id: int) -> str:
    """The id that we give a message where its gateway takes one, the same for each attempt: acks and echoes of it name it."""
    return "3EB0" + hashlib.sha256(f"switchboard:{message_id}".encode()).hexdigest()[:18].upper()


def message_id_in(body: Any) -> str:
    """The message id of a gateway's answer, wherever its engine puts it: id, id._serialized, key.id, _data.id; "" if nowhere."""
    for name in ("id", "key", "_data"):
        holder = get_path(body, name)
        if isinstance(holder, str) and holder:
            return holder
        inner = get_path(holder, "_serialized") or get_path(holder, "id")
        if inner:
            return inner if isinstance(inner, str) else message_id_in({"id": inner})
    return ""
