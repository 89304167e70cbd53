"""Isolation: a tenth of the customers' endpoints hang; how late do the others hear?

Real messages go through the whole pipeline; each gives its customer's endpoint two events (received, sent). Time counts from
the event's row until the request arrives at a healthy endpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scripts.local.bench import load
from scripts.local.bench.cost import cost, memory_mb
from scripts.local.bench.modes import Run, per_message, percentiles
from scripts.local.bench.rig import Rig, World
from scripts.local.simulator.client import Simulator
from shared import db
from shared.db import credentials
from shared.jobs.retry_policy import RetryPolicy
from shared.webhooks import signing

#: Seconds between messages: 50 events a second, of which 5 hang.
EVERY = 0.04
#: Endpoints, of as many customers.
ENDPOINTS = 100
#: Each `HANGS`-th endpoint hangs ...
HANGS = 10
#: ... for longer than HTTP_TIMEOUT_SECONDS waits (ms).
HANG_MS = 12_000
#: Events of one message.
EVENTS = 2
#: Attempts after which an event is given up.
ATTEMPTS = RetryPolicy().max_retries + 1
#: Seconds for the healthy endpoints to have heard everything after the last message.
PATIENCE = 120.0

_TENANT = "insert into customer (name, plan_price_cents) values (%s, 10000) returning id"
_BOT = "insert into chatbot (customer_id, name) values (%s, 'Bot') returning id"
_ACCOUNT = "insert into whatsapp_cloud_account (chatbot_id, phone_number_id, access_token) values (%s, %s, %s)"
_ENDPOINT = (
    "insert into webhook_endpoint (customer_id, url, secret, events) values (%s, %s, %s, '{message.received,message.sent}')"
)

_EVENTS = """
    select v.id, v.status, v.attempts, e.url like '%%/hangs-%%' as hangs,
        (extract(epoch from v.created_at) * 1e9)::bigint as at_ns,
        exists (select from job j where j.webhook_event_id = v.id and j.closed_at is null) as open
    from webhook_event v join webhook_endpoint e on e.id = v.endpoint_id
"""
_UNHEARD = """
    select count(*) from webhook_event v join webhook_endpoint e on e.id = v.endpoint_id
    where v.status = 'PENDING' and e.url not like '%%/hangs-%%'
"""


def isolation(place: Rig, messages: int, endpoints: int = ENDPOINTS) -> Run:
    """A steady load on so many endpoints, a tenth of which hang. Raises RuntimeError if a count is not exact."""
    place.empty()
    with Simulator.start(seed=1) as outside, tenants(endpoints, outside.url) as bots:
        outside.faults([{"kind": "webhook", "fault": "timeout", "match": "/hangs-", "ms": HANG_MS}])
        world = World(outside.environment(), [outside.pid])
        with place.workers(world, {}) as pids:
            before = cost(pids, world.pids, place.client)
            load.send_paced("load", messages, EVERY, bots)
            load.until_sent(messages, PATIENCE)
            load.until(lambda: not db.scalar(_UNHEARD), "healthy endpoints have not heard everything", PATIENCE)
            spent, memory = cost(pids, world.pids, place.client).since(before), memory_mb(pids)
            load.check(messages)
            found = _judge(db.rows(_EVENTS), outside.record("webhook"), messages * EVENTS)
    return {**found, "memory MB": memory, **per_message(spent, messages)}


@contextmanager
def tenants(count: int, url: str) -> Iterator[list[int]]:
    """Customers with one chatbot and one endpoint each, for the length of the block; yields the chatbots."""
    with db.transaction():
        made = [_tenant(number, url) for number in range(count)]
    try:
        yield [bot for _, bot in made]
    finally:
        db.rows("delete from customer where id = any (%s)", [[customer for customer, _ in made]])


def _tenant(number: int, url: str) -> tuple[int, int]:
    customer = int(db.scalar(_TENANT, [f"Shop {number}"]))
    bot = int(db.scalar(_BOT, [customer]))
    db.rows(_ACCOUNT, [bot, f"2000{bot:06d}", credentials.encrypt("token")])
    path = f"{'hangs' if number % HANGS == HANGS - 1 else 'well'}-{number}"
    db.rows(_ENDPOINT, [customer, f"{url}/customer/{path}", credentials.encrypt(signing.new_secret())])
    return customer, bot


def _judge(events: list[dict[str, Any]], requests: list[dict[str, Any]], expected: int) -> Run:
    """Figures of the healthy, after the counts of all."""
    arrivals = Counter(_event_of(request) for request in requests)
    well, hung = ([row for row in events if row["hangs"] == hangs] for hangs in (False, True))
    wrong = {
        "events": len(events) - expected,
        "healthy and not delivered once": sum(row["status"] != "DELIVERED" or arrivals[row["id"]] != 1 for row in well),
        "hanging and lost, or given up early": sum(not _accounted(row) for row in hung),
    }
    if any(wrong.values()):
        raise RuntimeError(f"counts are not exact: {wrong}")
    first = {_event_of(request): request["at_ns"] for request in reversed(requests)}
    took = sorted((first[row["id"]] - row["at_ns"]) / 1e6 for row in well)
    ends = Counter(row["status"] for row in hung)
    return {
        **percentiles(took),
        "max ms": took[-1],
        "healthy, delivered once": float(len(well)),
        "hanging, given up": float(ends["FAILED"]),
        "hanging, still tried": float(ends["PENDING"]),
        "calls that hung": float(sum(arrivals[row["id"]] for row in hung)),
    }


def _event_of(request: dict[str, Any]) -> int:
    return int(request["headers"]["webhook-id"].removeprefix("evt_"))


def _accounted(row: dict[str, Any]) -> bool:
    """A hanging endpoint's event is failed after all its attempts, or its job is open."""
    return bool(row["attempts"] == ATTEMPTS if row["status"] == "FAILED" else row["status"] == "PENDING" and row["open"])
