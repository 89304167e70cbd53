"""Faults on demand: rules that say what goes wrong, for which requests, how often.

A rule: {"kind": "ai", "fault": "status", "match": "text", "rate": 0.1, "times": 2, …}. `match` is looked for in the
path and the raw body. `latency` and `statuses` go on to the next rule; every other fault ends the search.
"""

from __future__ import annotations

import random
from typing import Any

from scripts.local.simulator.exchange import Reply, Request

#: Faults that let the request have its effect before they spoil the answer.
AFTER = frozenset({"reset_after", "half", "timeout", "garbage", "big", "drip"})
#: Faults that refuse the request.
REFUSALS = frozenset({"status", "rate_limit", "quota", "bad_key", "redirect", "reset_before"})
CONTINUING = frozenset({"latency", "statuses"})
_KNOWN = AFTER | REFUSALS | CONTINUING


class Faults:
    """The rules in force."""

    def __init__(self, seed: int | None) -> None:
        self._choice = random.Random(seed)
        self._rules: list[dict[str, Any]] = []

    def replace(self, rules: list[dict[str, Any]]) -> None:
        """Puts these in force. Raises ValueError for a fault nobody knows."""
        for rule in rules:
            if rule.get("fault") not in _KNOWN:
                raise ValueError(f"fault: got {rule.get('fault')!r}; want one of {', '.join(sorted(_KNOWN))}")
        self._rules = [dict(rule) for rule in rules]

    def draw(self, kind: str, request: Request) -> list[dict[str, Any]]:
        """The rules that strike this request: some that go on, then at most one that ends it."""
        struck = []
        for rule in self._rules:
            if rule["kind"] == kind and self._strikes(rule, request):
                struck.append(rule)
                if rule["fault"] not in CONTINUING:
                    break
        return struck

    def _strikes(self, rule: dict[str, Any], request: Request) -> bool:
        match = rule.get("match")
        if match and match.encode() not in request.body and match not in request.path:
            return False
        if rule.get("times") == 0 or self._choice.random() >= rule.get("rate", 1):
            return False
        if "times" in rule:
            rule["times"] -= 1
        return True


def refusal(kind: str, rule: dict[str, Any]) -> Reply:
    """What a refusing rule answers, in the words of the service."""
    fault = rule["fault"]
    if fault == "rate_limit":
        return Reply(429, _limit(kind), headers={"Retry-After": str(rule.get("retry_after", 1))})
    if fault == "quota":
        problem = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
        return Reply(429, {"error": problem})
    if fault == "bad_key":
        return Reply(
            401, {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}}
        )
    if fault == "redirect":
        return Reply(302, {}, headers={"Location": "/customer/elsewhere"})
    body = rule.get("body", {"error": {"message": "simulated failure"}})
    return Reply(rule.get("status", 500), body.encode() if isinstance(body, str) else body, headers=rule.get("headers", {}))


def _limit(kind: str) -> dict[str, Any]:
    if kind == "graph":
        details = {"messaging_product": "whatsapp", "details": "Cloud API message throughput has been reached."}
        return {"error": {"message": "(#130429) Rate limit hit", "type": "OAuthException", "code": 130429, "error_data": details}}
    return {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}
