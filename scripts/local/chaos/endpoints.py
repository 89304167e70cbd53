"""Endpoints are down, slow and refusing, and one is gone for good until its owner repairs it and recovers its events.

The scenario `endpoints-down` runs this beside kill -9, with a redelivery schedule in seconds. Every event arrives in the end,
each time under its own id, and no row of an attempt says that more arrived than did.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from scripts.local.chaos.disruptions import Target
from scripts.local.chaos.producer import retry_until_up
from shared import db
from shared.operations import webhook_recovery as recovery
from shared.operations.webhook_recovery import DELIVERED, FAILED, Filter
from shared.webhooks import endpoints

#: Longer than the outage, and with a step soon after its end.
SETTINGS = {"WEBHOOK_REDELIVERY_SCHEDULE": "2s 3s 5s 8s 13s 20s 30s 30s 60s"}
#: Seconds of each trouble, and of all of them at the least: beyond the first retries.
LASTS, AT_LEAST = 5.0, 30.0
#: Seconds within which each thing has to happen.
LIMIT = 180.0
#: What happens to the endpoints, in turns; each begins with another one.
_TROUBLES: tuple[dict[str, Any], ...] = (
    {"fault": "status", "status": 500},
    {"fault": "latency", "ms": 6_000},
    {"fault": "status", "status": 429, "headers": {"Retry-After": "2"}},
    {"fault": "redirect"},
    {"fault": "status", "status": 503, "headers": {"Retry-After": "3"}},
    {"fault": "reset_before"},
)
_UNSETTLED = "select count(*) from webhook_event where status = 'PENDING' or next_attempt_at is not null"
_OPEN_JOBS = "select count(*) from job where closed_at is null"
_FAILED = "select count(*) from webhook_event where status = 'FAILED'"


def take_down(target: Target) -> None:
    """No endpoint works; then one is gone, and is recovered"""
    begun, ids = time.monotonic(), [row["id"] for row in _rows("select id from webhook_endpoint order by id")]
    for turn in itertools.count():
        with ExitStack() as down:
            for place in range(len(ids)):
                trouble = _TROUBLES[(turn + place) % len(_TROUBLES)]
                down.enter_context(target.outside.failing({"kind": "webhook", "match": f"/customer/{place}", **trouble}))
            target.report(f"endpoints are down, turn {turn + 1}")
            time.sleep(LASTS)
        if target.stopping.is_set() and time.monotonic() - begun > AT_LEAST:
            break
    target.report(f"endpoints work again, {_count(_FAILED)} events FAILED")
    # An endpoint that is switched off hears of nothing: by then every message has to be answered.
    target.expect(lambda: not _count(_OPEN_JOBS), LIMIT, "jobs are not done after the endpoints worked again")
    target.expect(lambda: not _count(_UNSETTLED), LIMIT, "events are not settled after the endpoints worked again")
    _lose_and_recover(target, ids[-1], len(ids) - 1)


def _lose_and_recover(target: Target, endpoint: int, place: int) -> None:
    """It says that it is gone while it gets everything again; its owner sets it active and recovers what failed."""
    is_active = f"select count(*) from webhook_endpoint where active and id = {endpoint}"
    with target.outside.failing({"kind": "webhook", "match": f"/customer/{place}", "fault": "status", "status": 410}):
        first = _recover(endpoint, DELIVERED)
        target.expect(lambda: not _count(is_active), LIMIT, "an endpoint that is gone (410) was not switched off")
        target.expect(lambda: _has_ended(first) and not _count(_UNSETTLED), LIMIT, "its events are not settled")
    target.report(f"an endpoint was gone, {_count(_FAILED)} events FAILED")
    [owner] = _rows(f"select customer_id from webhook_endpoint where id = {endpoint}")
    retry_until_up(lambda: endpoints.change(owner["customer_id"], endpoint, {"active": True}))
    second = _recover(endpoint, FAILED)
    target.expect(lambda: _has_ended(second) and not _count(_UNSETTLED), LIMIT, "its recovery is not done")
    target.report("the endpoint was recovered")


def _recover(endpoint: int, status: str) -> int:
    where = Filter(endpoint, datetime(2000, 1, 1, tzinfo=UTC), status=status)
    return retry_until_up(lambda: recovery.begin(where, recovery.count(where), "chaos"))


def _has_ended(action_id: int) -> bool:
    return _count(f"select count(*) from bulk_action where id = {action_id} and state <> 'running'") == 1


def check(record: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is wrong in the end. `record`: the requests that the outside world received."""
    record = [one for one in record if one["kind"] == "webhook"]
    if failed := _count(_FAILED):
        yield f"{failed} events are FAILED for good, although every endpoint works"
    if strange := [one for one in record if json.loads(one["body"])["id"] != one["headers"].get("webhook-id")]:
        yield f"{len(strange)} deliveries have another webhook-id than their event"
    arrived = Counter(one["headers"].get("webhook-id") for one in record if one["accepted"])
    events = _rows(
        "select 'evt_' || id as id, count from webhook_event, lateral (select count(*) from webhook_attempt"
        " where event_id = webhook_event.id and status = 200) attempts"
    )
    if missing := [row["id"] for row in events if not arrived[row["id"]]]:
        yield f"{len(missing)} events never arrived: {missing[:3]}"
    if invented := [row["id"] for row in events if row["count"] > arrived[row["id"]]]:
        yield f"{len(invented)} events have more attempts that arrived than did: {invented[:3]}"
    triggers = {row["trigger"] for row in _rows("select distinct trigger from webhook_attempt")}
    if not triggers >= {"first", "automatic", "bulk"}:
        yield f"nothing was tried again, or recovered: only {sorted(triggers)}"


def _rows(statement: str) -> list[dict[str, Any]]:
    return retry_until_up(lambda: db.rows(statement))


def _count(statement: str) -> int:
    [row] = _rows(statement)
    return int(row["count"])
