"""Fault injection: rules that say which requests fail, how, and how often.

A rule: {"kind": "ai", "fault": "status", "match": "text", "rate": 0.1, "times": 2, …}. scripts/README.md says what each fault
does, rules.py which fields it has.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

from scripts.local.simulator.errors import evolution_error, graph_error, openai_error
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.rules import checked

#: The request has its effect, then the answer is spoilt.
AFTER = frozenset({"reset_after", "half", "timeout", "garbage", "big", "drip", "cut"})
#: The request is refused.
REFUSALS = frozenset({"status", "rate_limit", "quota", "bad_key", "redirect", "reset_before", "revoked", "offline"})
#: The request is answered as usual.
CONTINUING = frozenset({"latency", "hold", "pace", "statuses"})
#: The AI answers as another provider or model does (providers.py).
OTHER_PROVIDER = "provider"
#: Where the services look for a token.
_CREDENTIALS = ("authorization", "x-api-key", "apikey")
_KNOWN = AFTER | REFUSALS | CONTINUING | {OTHER_PROVIDER}


class Faults:
    """The current rules."""

    def __init__(self, seed: int | None) -> None:
        self._choice = random.Random(seed)
        self._rules: list[dict[str, Any]] = []
        #: Set when the rules that are current now are so no more.
        self.replaced = asyncio.Event()

    def replace(self, rules: object) -> None:
        """Replaces the rules. Raises ValueError, and keeps the old ones, unless all are valid."""
        self._rules = checked(rules, _KNOWN)
        self.replaced.set()
        self.replaced = asyncio.Event()

    def current(self) -> list[dict[str, Any]]:
        """The rules; `times` is how often each still applies."""
        return self._rules

    def draw(self, kind: str, request: Request) -> list[dict[str, Any]]:
        """The rules that apply to this request: continuing ones, then at most one other."""
        drawn = []
        for rule in self._rules:
            if rule["kind"] == kind and self._applies(rule, request):
                drawn.append(rule)
                if rule["fault"] not in CONTINUING:
                    break
        return drawn

    def _applies(self, rule: dict[str, Any], request: Request) -> bool:
        match = rule.get("match")
        if match and match.encode() not in request.body and match not in request.path:
            return False
        if not any(rule.get("token", "") in request.headers.get(name, "") for name in _CREDENTIALS):
            return False
        if rule.get("times") == 0 or self._choice.random() >= rule.get("rate", 1):
            return False
        if "times" in rule:
            rule["times"] -= 1
        return True


def refusal(kind: str, rule: dict[str, Any]) -> Reply:
    """The reply of a refusing rule, in the service's own format."""
    fault = rule["fault"]
    if fault == "rate_limit":
        return replace(_rate_limit(kind), headers={"Retry-After": str(rule.get("retry_after", 1))})
    if fault == "quota":
        return openai_error(429, "You exceeded your current quota.", "insufficient_quota", kind="insufficient_quota")
    if fault == "bad_key":
        return openai_error(401, "Incorrect API key provided.", "invalid_api_key")
    if fault in ("revoked", "offline"):
        return _REFUSALS_OF_ACCOUNTS[fault, kind]
    if fault == "redirect":
        return Reply(302, {}, headers={"Location": "/customer/elsewhere"})
    body = rule.get("body", {"error": {"message": "simulated failure"}})
    return Reply(rule.get("status", 500), body.encode() if isinstance(body, str) else body, headers=rule.get("headers", {}))


_NOT_WORKING = {"error": "Session status is not as expected.", "status": "SCAN_QR_CODE", "expected": ["WORKING"]}
_REFUSALS_OF_ACCOUNTS = {
    ("revoked", "graph"): graph_error(401, 190, "Error validating access token: the session has been invalidated"),
    ("revoked", "waha"): Reply(401, {"message": "Unauthorized", "statusCode": 401}),
    ("revoked", "evolution"): evolution_error(401, "Unauthorized", "Unauthorized"),
    ("offline", "waha"): Reply(422, _NOT_WORKING),
    ("offline", "evolution"): evolution_error(400, "Bad Request", ["Error: Connection Closed"]),
}


def _rate_limit(kind: str) -> Reply:
    if kind.startswith("graph"):
        return graph_error(429, 130429, "Rate limit hit", "Cloud API message throughput has been reached.")
    return openai_error(429, "Rate limit reached", "rate_limit_exceeded", kind="requests")
