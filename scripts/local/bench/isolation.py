"""Isolation: a tenth of the customers' endpoints hang; how soon do the others get their events?

Real messages go through the whole pipeline; each gives its customer's endpoint two events (received, sent). Measured is the
time from the event's row until the request arrives at a healthy endpoint.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from scripts.local.bench import load
from scripts.local.bench.cost import cost, memory_mb
from scripts.local.bench.modes import Run, per_message, percentiles
from scripts.local.bench.rig import Rig, World
from scripts.local.simulator.client import Simulator
from scripts.local.tenants import add_chatbot, add_endpoint, connect_number
from shared import db
from shared.jobs.retry_policy import RetryPolicy

#: Seconds between messages: 50 events a second, of which 5 hang.
INTERVAL = 0.04
#: Endpoints, one for each customer.
ENDPOINTS = 100
#: Every tenth endpoint hangs ...
HANGING_EVERY = 10
#: ... for longer (ms) than HTTP_TIMEOUT_SECONDS.
HANG_MS = 12_000
#: What an endpoint hears of each message: two events.
HEARD = ["message.received", "message.sent"]
EVENTS = len(HEARD)
#: Attempts after which an event fails.
ATTEMPTS = RetryPolicy().max_retries + 1
#: Seconds after the last message in which the healthy endpoints must get all their events.
TIMEOUT = 120.0

_EVENTS = """
    select v.id, v.status, v.attempts, e.url like '%%/hangs-%%' as hangs,
        (extract(epoch from v.created_at) * 1e9)::bigint as at_ns,
        exists (select from job j where j.webhook_event_id = v.id and j.closed_at is null) as open
    from webhook_event v join webhook_endpoint e on e.id = v.endpoint_id
"""
UNDELIVERED = """
    select count(*) from webhook_event v join webhook_endpoint e on e.id = v.endpoint_id
    where v.status = 'PENDING' and e.url not like '%%/hangs-%%'
"""


def isolation(rig: Rig, messages: int) -> Run:
    """A steady load on ENDPOINTS, a tenth of which hang. Raises RuntimeError if a count is not exact."""
    rig.empty()
    with Simulator.start(seed=1) as simulator:
        chatbots = add_tenants(ENDPOINTS, simulator.url, HANGING_EVERY)
        simulator.faults([{"kind": "webhook", "fault": "timeout", "match": "/hangs-", "ms": HANG_MS}])
        world = World(simulator.environment(), [simulator.pid])
        with rig.workers(world, {}) as pids:
            before = cost(pids, world.pids, rig.client)
            load.send_paced("load", messages, INTERVAL, chatbots)
            load.until_sent(messages, TIMEOUT)
            load.until(lambda: not db.scalar(UNDELIVERED), "healthy endpoints have not got all their events", TIMEOUT)
            spent, memory = cost(pids, world.pids, rig.client).since(before), memory_mb(pids)
            load.check(messages)
            figures = _figures(events(), simulator.record("webhook"), messages * EVENTS)
    return {**figures, "memory MB": memory, **per_message(spent, messages)}


def add_tenants(count: int, url: str, hanging_every: int = 0) -> list[int]:
    """Makes customers with one chatbot and one endpoint each; returns the chatbots' ids.

    The path of every so many-th endpoint (0: of none) begins with `hangs`.
    """
    with db.transaction():
        return [_add_tenant(f"{url}/customer/{_path(number, hanging_every)}", number) for number in range(count)]


def _path(number: int, hanging_every: int) -> str:
    hangs = hanging_every and number % hanging_every == hanging_every - 1
    return f"{'hangs' if hangs else 'healthy'}-{number}"


def _add_tenant(url: str, number: int) -> int:
    chatbot = add_chatbot(f"Shop {number}", 10_000)
    connect_number(chatbot, f"2000{chatbot.id:06d}")
    add_endpoint(chatbot.customer, url, HEARD)
    return int(chatbot.id)


def events() -> list[dict[str, Any]]:
    """All events: their endpoint's kind, when they came to be, and what became of them."""
    return db.rows(_EVENTS)


def check(rows: list[dict[str, Any]], requests: list[dict[str, Any]], expected: int) -> list[dict[str, Any]]:
    """Checks the counts of all endpoints; returns the events of the healthy ones. Raises RuntimeError."""
    arrivals = Counter(_event_of(request) for request in requests)
    healthy, hanging = ([row for row in rows if row["hangs"] == hangs] for hangs in (False, True))
    wrong = {
        "events": len(rows) - expected,
        "healthy, not delivered exactly once": sum(row["status"] != "DELIVERED" or arrivals[row["id"]] != 1 for row in healthy),
        "hanging, lost or failed early": sum(not _is_accounted_for(row) for row in hanging),
    }
    if any(wrong.values()):
        raise RuntimeError(f"Counts are not exact: {wrong}.")
    return healthy


def delays(rows: list[dict[str, Any]], requests: list[dict[str, Any]]) -> list[float]:
    """Milliseconds from each event to its first arrival, sorted."""
    first_arrival = {_event_of(request): request["at_ns"] for request in reversed(requests)}
    return sorted((first_arrival[row["id"]] - row["at_ns"]) / 1e6 for row in rows)


def _figures(rows: list[dict[str, Any]], requests: list[dict[str, Any]], expected: int) -> Run:
    healthy = check(rows, requests, expected)
    hanging = [row for row in rows if row["hangs"]]
    arrivals, statuses = Counter(_event_of(request) for request in requests), Counter(row["status"] for row in hanging)
    milliseconds = delays(healthy, requests)
    return {
        **percentiles(milliseconds),
        "max ms": milliseconds[-1],
        "healthy, delivered once": float(len(healthy)),
        "hanging, FAILED": float(statuses["FAILED"]),
        "hanging, still tried": float(statuses["PENDING"]),
        "calls that hung": float(sum(arrivals[row["id"]] for row in hanging)),
    }


def _event_of(request: dict[str, Any]) -> int:
    return int(request["headers"]["webhook-id"].removeprefix("evt_"))


def _is_accounted_for(row: dict[str, Any]) -> bool:
    """Whether a hanging endpoint's event failed after all its attempts, still has an open job, or was taken after all: the status
    is the answer, whatever becomes of the body.
    """
    return bool({"FAILED": row["attempts"] == ATTEMPTS, "PENDING": row["open"], "DELIVERED": True}[row["status"]])
