"""QR gateways, WAHA and Evolution: what they send, and their sessions: made, with a code to read, connected once it was shown
twice, deleted.

Sessions that nobody made are connected, but for those whose names begin with `stopped-`. WAHA knows the phone behind
a @lid that begins with 900: the digits that follow.
"""

from __future__ import annotations

import base64
import itertools
import re
import time
from collections import Counter
from typing import Any
from urllib.parse import unquote, urlsplit

from scripts.local.simulator import gateway_files
from scripts.local.simulator.errors import evolution_error
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.files import picture
from scripts.local.simulator.graph_messages import NOBODY

_numbers = itertools.count(1)
#: Looks at a code until a phone has read it.
LOOKS = 2
#: How often the code of each session that was made here was looked at.
_made: Counter[str] = Counter()


def forget() -> None:
    """No session was made."""
    _made.clear()


def _is_connected(name: str) -> bool:
    return _made[name] >= LOOKS if name in _made else not name.startswith("stopped-")


def _code(name: str) -> str:
    """The picture of a code, as base64."""
    _made[name] += 1
    return base64.b64encode(picture(f"{name} {_made[name]}")).decode()


def waha(request: Request) -> Reply:
    """POST /api/sendText, those that send files, and sessions: their making, their code, their state."""
    if (reply := _waha_session(request)) is not None:
        return reply
    sent = request.json()
    session, chat = sent.get("session", ""), sent.get("chatId", "")
    file, wrong = gateway_files.waha(request.path, sent) if request.path in gateway_files.WAHA_CALLS else (None, "")
    text = file["caption"] if file else sent.get("text", "")
    if len(request.body) > gateway_files.WAHA_MOST:
        return Reply(413, {"message": "request entity too large", "statusCode": 413}, key=chat)
    if session.startswith("unknown-"):
        return Reply(404, {"message": f"Session {session} not found", "statusCode": 404}, key=chat)
    if session.startswith("stopped-"):
        problem = "Session status is not as expected. Try again later or restart the session"
        return Reply(422, {"error": problem, "session": session, "status": "STOPPED", "expected": ["WORKING"]}, key=chat)
    if wrong or not chat or not (text or file):
        return Reply(400, {"message": wrong or "chatId and text are required", "statusCode": 400})
    own_id = None if file else sent.get("id")  # of texts only
    identity = f"true_{chat}_{own_id or f'3EB0{next(_numbers):016X}'}"
    about = {"from": "1@c.us", "fromMe": True, "to": chat, "body": text, "ack": 1, "ackName": "SERVER"}
    body = {"id": identity, "timestamp": int(time.time()), "hasMedia": file is not None, **about}
    return Reply(201, body, accepted=True, key=chat, text=text, answered_id=identity, sender=session, file=file)


def _waha_session(request: Request) -> Reply | None:
    """POST and DELETE /api/sessions, GET /api/sessions/{name}, /api/{name}/auth/qr, /api/{name}/lids/{lid}; None for others."""
    path = urlsplit(request.path).path
    if request.method == "POST" and path == "/api/sessions":
        name = str(request.json().get("name", ""))
        if name in _made:
            return Reply(422, {"message": f"Session '{name}' already exists.", "statusCode": 422}, key=name)
        _made[name] = 0
        return Reply(201, {"name": name, "status": "STARTING"}, accepted=True, key=name)
    if request.method == "DELETE":
        name = path.rsplit("/", 1)[-1]
        _made.pop(name, None)
        return Reply(200, {}, accepted=True, key=name)
    if asked := re.fullmatch(r"/api/([^/]+)/auth/qr", path):
        if asked[1] not in _made or _is_connected(asked[1]):
            return Reply(422, {"error": "Session status is not as expected", "expected": ["SCAN_QR_CODE"]}, key=asked[1])
        return Reply(200, {"mimetype": "image/png", "data": _code(asked[1])}, accepted=True, key=asked[1])
    if asked := re.fullmatch(r"/api/[^/]+/lids/([^/]+)", path):
        lid = unquote(asked[1])
        phone = re.fullmatch(r"900(\d+)@lid", lid)
        return Reply(200, {"lid": lid, "pn": f"{phone[1]}@c.us" if phone else None}, key=lid)
    if request.method == "GET":
        name = path.rsplit("/", 1)[-1]
        waits = "SCAN_QR_CODE" if name in _made else "STOPPED"
        return Reply(200, {"name": name, "status": "WORKING" if _is_connected(name) else waits})
    return None


def evolution(request: Request) -> Reply:
    """POST /message/sendText/{instance}, those that send files, and instances: their making, their code, their state."""
    if (reply := _evolution_instance(request)) is not None:
        return reply
    instance, sent = request.path.rsplit("/", 1)[-1], request.json()
    number = str(sent.get("number", ""))
    if len(request.body) > gateway_files.EVOLUTION_MOST:
        return evolution_error(413, "Payload Too Large", ["request entity too large"], number)
    file, wrong = None, "" if sent.get("text") else "number and text are required"
    if request.path.startswith(gateway_files.EVOLUTION_CALLS):
        file, wrong = gateway_files.evolution(request.path, sent)
    text = file["caption"] if file else sent.get("text", "")
    refused = _evolution_refusal(instance, number, wrong)
    return refused or _evolution_sent(instance, number, text, sent.get("messageId"), file)


def _evolution_refusal(instance: str, number: str, wrong: str) -> Reply | None:
    if instance.startswith("unknown-"):
        return evolution_error(404, "Not Found", [f'The "{instance}" instance does not exist'], number)
    if instance.startswith("stopped-"):
        return evolution_error(400, "Bad Request", ["Error: Connection Closed"], number)
    if not number or wrong:
        return evolution_error(400, "Bad Request", [wrong or "number is required"], number)
    if number.split("@")[0].endswith(NOBODY):
        unknown_number = {"exists": False, "jid": f"{number}@s.whatsapp.net", "number": number}
        return evolution_error(400, "Bad Request", [unknown_number], number)
    return None


def _evolution_sent(instance: str, number: str, text: str, own_id: str | None, file: dict[str, Any] | None) -> Reply:
    identity = own_id or f"3EB0{next(_numbers):016X}"
    chat = number if "@" in number else f"{number}@s.whatsapp.net"
    kind, message = gateway_files.message_of(file) if file else ("conversation", {"conversation": text})
    body = {
        "key": {"remoteJid": chat, "fromMe": True, "id": identity},
        "status": "PENDING",
        "message": message,
        "messageType": kind,
        "messageTimestamp": int(time.time()),
    }
    return Reply(201, body, accepted=True, key=chat, text=text, answered_id=identity, sender=instance, file=file)


def _evolution_instance(request: Request) -> Reply | None:
    """POST /instance/create, GET /instance/connect and /instance/connectionState, DELETE; None for whatever else."""
    path = urlsplit(request.path).path
    name = path.rsplit("/", 1)[-1]
    if path == "/instance/create":
        name = str(request.json().get("instanceName", ""))
        if name in _made:
            return evolution_error(403, "Forbidden", [f'This name "{name}" is already in use.'], name)
        _made[name] = 0
        return Reply(201, {"instance": {"instanceName": name, "status": "connecting"}}, accepted=True, key=name)
    if request.method == "DELETE":
        if "/delete/" in path:
            _made.pop(name, None)
        return Reply(200, {"status": "SUCCESS", "error": False}, accepted=True, key=name)
    if path.startswith("/instance/connect/") and name in _made and not _is_connected(name):
        return Reply(200, {"base64": f"data:image/png;base64,{_code(name)}", "code": "2@code"}, accepted=True, key=name)
    if request.method == "GET":
        waits = "connecting" if name in _made else "close"
        return Reply(200, {"instance": {"instanceName": name, "state": "open" if _is_connected(name) else waits}})
    return None
