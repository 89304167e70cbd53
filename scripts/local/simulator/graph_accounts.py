"""What Meta tells of tokens, numbers, business accounts (WABAs) and apps.

A token is good unless it ends in REVOKED; one that ends in OTHERAPP is of another app, and one that ends in DAY expires within a
day. A token sees all numbers but those whose id ends in 0404, and all are in one WABA. An app's webhook is as the app said by
POST /{app}/subscriptions; Meta's own check of the address is not played.
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.local.simulator.errors import graph_error
from scripts.local.simulator.exchange import Reply, Request

#: The app of every token but those of another one, and the WABA that they are given.
APP, OTHER_APP, WABA = "900900900900", "800800800800", "300300300300300"
#: What a token was given besides: a business portfolio, and a WABA whose numbers it may not list.
PORTFOLIO, WITHHELD = "700700700700", "600600600600"
#: The end of ids of numbers that no token sees.
FOREIGN = "0404"
_PATH = re.compile(r"/v[\d.]+/(?P<node>debug_token|\d+)(/(?P<edge>subscriptions|subscribed_apps|phone_numbers))?")
_subscriptions: dict[str, dict[str, Any]] = {}
_subscribed: set[tuple[str, str]] = set()
#: Numbers that were asked for.
_numbers: set[str] = set()


def forget() -> None:
    """Nothing is subscribed, and no number was asked for."""
    for kept in (_subscriptions, _subscribed, _numbers):
        kept.clear()


def is_account(path: str) -> bool:
    """Whether a path asks about one of these. A node without fields is a file's."""
    parts = urlsplit(path)
    match = _PATH.fullmatch(parts.path)
    return match is not None and bool(match["edge"] or parts.query)


def answer(request: Request) -> Reply:
    """GET /{node}?fields=…, GET and POST /{node}/{edge}, GET /debug_token."""
    parts = urlsplit(request.path)
    path = _PATH.fullmatch(parts.path)
    assert path is not None  # is_account
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    token = request.headers["authorization"].removeprefix("Bearer ")
    if path["node"] == "debug_token":
        return _done({"data": _debug(query.get("input_token", ""))})
    if token.endswith("REVOKED"):
        return graph_error(401, 190, "Error validating access token: the session has been invalidated")
    node = path["node"]
    match path["edge"]:
        case "subscriptions":
            return _of_app(request, node, token)
        case "subscribed_apps":
            return _of_business(request, node, token)
        case "phone_numbers" if node in (PORTFOLIO, WITHHELD):
            return graph_error(400, 100, f"Object with ID '{node}' has no such edge, or its permissions are missing")
        case "phone_numbers":
            return _done({"data": [{"id": one} for one in _numbers] if node == WABA else []}, node)
    if node.endswith(FOREIGN):
        missing = f"Unsupported get request. Object with ID '{node}' does not exist, cannot be loaded due to missing permissions"
        return graph_error(400, 100, missing)
    _numbers.add(node)
    return _done({"id": node, "display_phone_number": "+55 11 3000-1000", "verified_name": "The Shop"}, node)


def _app_of(token: str) -> str:
    return OTHER_APP if token.endswith("OTHERAPP") else APP


def _debug(token: str) -> dict[str, Any]:
    if token.endswith("REVOKED"):
        return {"is_valid": False, "error": {"code": 190, "message": "Error validating access token: it was revoked"}}
    scopes = ["whatsapp_business_messaging", "whatsapp_business_management"]
    return {
        "app_id": _app_of(token),
        "is_valid": True,
        "expires_at": int(time.time()) + 86_400 if token.endswith("DAY") else 0,
        "scopes": scopes,
        "granular_scopes": [
            {"scope": "business_management", "target_ids": [PORTFOLIO]},
            *({"scope": scope, "target_ids": [WITHHELD, WABA]} for scope in scopes),
        ],
    }


def _of_app(request: Request, app: str, token: str) -> Reply:
    """The webhooks of an app, for the app itself: its token is id|secret."""
    if not token.startswith(f"{app}|") or app == OTHER_APP:  # whose secret the server has not
        return graph_error(400, 190, "Invalid OAuth access token signature.")
    if request.method == "POST":
        _subscriptions[app] = request.json()
        return _done({"success": True}, app)
    sent = _subscriptions.get(app)
    if sent is None:
        return _done({"data": []}, app)
    fields = [{"name": name, "version": "v25.0"} for name in sent["fields"]]
    return _done({"data": [{**sent, "active": True, "fields": fields}]}, app)


def _of_business(request: Request, waba: str, token: str) -> Reply:
    if request.method == "POST":
        _subscribed.add((waba, _app_of(token)))
        return _done({"success": True}, waba)
    apps = [app for one, app in sorted(_subscribed) if one == waba]
    return _done({"data": [{"whatsapp_business_api_data": {"id": app, "name": "Shop"}} for app in apps]}, waba)


def _done(body: dict[str, Any], key: str = "") -> Reply:
    return Reply(200, body, accepted=True, key=key)
