"""The ids of messages at QR gateways: those that we give, and those in a gateway's answers."""

from __future__ import annotations

import hashlib
from typing import Any

from shared.channels.inbound import get_id, get_objects, get_path


def own_id(message_id: int) -> str:
    """The id that we give a message where its gateway takes one, the same for each attempt: acks and echoes of it name it."""
    return "3EB0" + hashlib.sha256(f"switchboard:{message_id}".encode()).hexdigest()[:18].upper()


_ID_PATHS = (("id", "_serialized"), ("id", "id"), ("id",), ("key", "id"), ("key",), ("_serialized",), ("Info", "ID"))


def message_id_in(body: Any) -> str:
    """The id of a gateway's message, wherever its engine puts it: `_ID_PATHS`, or the same within _data; "" if nowhere."""
    found = next((found for path in _ID_PATHS if (found := get_id(body, *path))), "")
    inner = get_path(body, "_data")
    return found or (message_id_in(inner) if isinstance(inner, dict) else "")


#: Where what stands before a gateway, or another kind of gateway, may put its answer.
_AROUND_ANSWERS = ("data", "message", "result", "response")


def id_in_answer(body: Any) -> str:
    """The id of what was sent, in the answer to a send: an object, alone in a list, or within another; "" if nowhere."""
    answers = get_objects(body)
    inner = (one for answer in answers for name in _AROUND_ANSWERS for one in get_objects(answer.get(name)))
    return next((found for one in (*answers, *inner) if (found := message_id_in(one))), "")
