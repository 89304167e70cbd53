"""Status webhooks as Meta, WAHA and Evolution send them after they accepted a message."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from typing import Any

from scripts.local.simulator import hooks
from scripts.local.simulator.exchange import Reply

_EVOLUTION = {"sent": "SERVER_ACK", "delivered": "DELIVERY_ACK", "read": "READ", "failed": "ERROR"}
_ACKS = {"sent": 1, "delivered": 2, "read": 3, "failed": -1}


async def report(kind: str, rule: dict[str, Any], reply: Reply) -> None:
    """Sends the rule's statuses to its `url` (with {sender} replaced by the session), each `delay_ms` after the last."""
    for status in rule.get("statuses", ["sent", "delivered", "read"]):
        await asyncio.sleep(rule.get("delay_ms", 100) / 1000)
        body = json.dumps(_BODIES[kind](status, reply)).encode()
        url = rule["url"].replace("{sender}", reply.sender)
        await asyncio.get_running_loop().run_in_executor(None, _post, {**rule, "url": url}, kind, body)


def _post(rule: dict[str, Any], kind: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    if secret := rule.get("app_secret"):
        headers |= hooks.signed_by_meta(body, secret) if kind == "graph" else hooks.signed_by_gateway(kind, body, secret)
    try:
        urllib.request.urlopen(urllib.request.Request(rule["url"], body, headers), timeout=10).close()
    except OSError:
        pass  # a real provider would try again; here the receiver is always running


def _meta(status: str, reply: Reply) -> dict[str, Any]:
    item = {
        "id": reply.answered_id,
        "status": status,
        "timestamp": str(int(time.time())),
        "recipient_id": reply.key,
        "biz_opaque_callback_data": reply.callback_data,
    }
    return hooks.meta_report(reply.sender, statuses=[item])


def _waha(status: str, reply: Reply) -> dict[str, Any]:
    payload = {"id": reply.answered_id, "from": reply.key, "fromMe": True, "ack": _ACKS[status], "ackName": status.upper()}
    return {"id": f"evt_{time.time_ns()}", "event": "message.ack", "session": reply.sender, "payload": payload}


def _evolution(status: str, reply: Reply) -> dict[str, Any]:
    data = {"keyId": reply.answered_id, "remoteJid": reply.key, "fromMe": True, "status": _EVOLUTION[status]}
    return {"event": "messages.update", "instance": reply.sender, "data": data, "apikey": "simulated"}


_BODIES = {"graph": _meta, "waha": _waha, "evolution": _evolution}
