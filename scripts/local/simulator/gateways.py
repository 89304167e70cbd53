"""The sessions of simulated QR gateways: made, with a code to read, connected once it was shown twice, deleted.

Sessions that nobody made are connected, but for those whose names begin with `stopped-`. WAHA knows the phone behind
a @lid that begins with 900: the digits that follow.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from urllib.parse import unquote, urlsplit

from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.files import picture

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


def waha(request: Request) -> Reply | None:
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


def evolution(request: Request) -> Reply | None:
    """POST /instance/create, GET /instance/connect and /instance/connectionState, DELETE; None for whatever else."""
    path = urlsplit(request.path).path
    name = path.rsplit("/", 1)[-1]
    if path == "/instance/create":
        name = str(request.json().get("instanceName", ""))
        if name in _made:
            taken = {"status": 403, "error": "Forbidden", "response": {"message": [f'This name "{name}" is already in use.']}}
            return Reply(403, taken, key=name)
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
