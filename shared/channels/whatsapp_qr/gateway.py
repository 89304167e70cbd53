"""What the dialects of QR gateways share of their APIs: requests to the gateway, and the message ids in its answers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from shared.channels.inbound import get_path
from shared.channels.outcomes import Meaning, Outcome, Reason
from shared.config import settings
from shared.http import Response, get, post

#: What the tables of both dialects say often.
OFFLINE = Meaning(Outcome.HOLD, Reason.SESSION_OFFLINE)
RETRY = Meaning(Outcome.RETRY, Reason.PROVIDER_FAILED)
UNREACHABLE = Meaning(Outcome.FAIL, Reason.RECIPIENT_UNREACHABLE)
#: The error of a message whose failure a gateway reports by webhook; none of them says why.
REPORTED_FAILURE = "WhatsApp QR: the gateway reports an error"


def call_post(path: str, body: dict[str, Any], headers: dict[str, str]) -> Response:
    """POSTs to the gateway. A 2xx whose body breaks off is one: it has sent the message. Raises what shared.http raises."""
    conf = settings()
    return post(f"{conf.qr_service_url}{path}", json.dumps(body).encode(), headers, conf.http_timeout, needs_body=False)


def call_get(path: str, headers: dict[str, str]) -> Response:
    """GETs from the gateway. Raises what shared.http raises."""
    conf = settings()
    return get(f"{conf.qr_service_url}{path}", headers, conf.http_timeout)


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
