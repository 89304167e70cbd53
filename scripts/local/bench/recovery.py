"""Recovery: all events of one customer that failed are delivered again, beside live traffic.

The API begins it, at its default pace. Live messages go through the whole pipeline, each of another customer in turn, the
recovered one among them; each gives two events. Measured is the time from a live event's row until its request arrives, first
alone and then beside the recovery.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from scripts.local.bench import load
from scripts.local.bench.isolation import EVENTS, add_tenants, delays
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.rig import SMALL, Rig, World
from scripts.local.simulator.client import Simulator
from shared import db
from shared.webhooks.signing import event_id
from web.api import keys

#: Live messages in a second, each with two events; of so many customers, the first of whom is recovered.
RATE, CUSTOMERS = 20, 10
#: Seconds of live messages before the recovery begins; the first few of them warm up.
ALONE, WARM_UP = 30, 5
#: Seconds in which a recovery must end, and everything else must happen.
TIMEOUT, PATIENCE = 1_800.0, 120.0
#: Requests of one page of the simulator's record.
PAGE = 10_000

_FAILED = """
    insert into webhook_event (customer_id, endpoint_id, event, payload, status, attempts, error, created_at)
    select customer_id, id, 'message.received', jsonb_build_object('message_id', n, 'conversation_id', n, 'chatbot_id', %s,
        'channel', 'whatsapp_cloud', 'sequence', 1), 'FAILED', 4, 'the endpoint answered HTTP 503', now() - interval '1 day'
    from webhook_endpoint, generate_series(1, %s) n where customer_id = %s
    returning id
"""
_UNDELIVERED = "select count(*) from webhook_event where status <> 'DELIVERED'"
_GIVEN_OUT = "select exists (select from job where queue = 'webhook-delivery' and priority = 7 and closed_at is null)"
_EVENTS = """
    select id, customer_id, status, (extract(epoch from created_at) * 1e9)::bigint as at_ns from webhook_event order by id
"""

#: Asks the API, as the recovered customer's server does: method, path, body.
Api = Callable[..., dict[str, Any]]


def recovery(rig: Rig, failed: int) -> Run:
    """Recovers this many events on a small system. Raises RuntimeError unless each event arrived exactly once."""
    rig.empty()
    with Simulator.start(seed=1) as simulator:
        chatbots = add_tenants(CUSTOMERS, simulator.url)
        customer = int(db.scalar("select customer_id from chatbot where id = %s", [chatbots[0]]))
        old = {row["id"] for row in db.rows(_FAILED, [chatbots[0], failed, customer])}
        db.rows("analyze webhook_event")
        with rig.workers(World(simulator.environment(), [simulator.pid]), {}, SMALL), _api(rig, customer) as api:
            sent = _send_live(chatbots, iter(["live messages alone"] * ALONE), 0)
            begun_ns = time.time_ns()
            sent = _send_live(chatbots, _seconds_of_recovery(api, customer), sent)
            seconds = (time.time_ns() - begun_ns) / 1e9
            load.check(sent)
            load.until(lambda: not db.scalar(_UNDELIVERED), "live events have not all arrived", PATIENCE)
            events, arrived = db.rows(_EVENTS), _record(simulator)
    _check(events, arrived, failed + sent * EVENTS)
    return {
        **_figures(events, arrived, old, begun_ns, customer),
        "recovered events/s": failed / seconds,
        "took s": seconds,
        "live events": float(sent * EVENTS),
    }


def _send_live(chatbots: list[int], seconds: Iterator[str], sent: int) -> int:
    """Sends live messages for as long as `seconds` yields, and says what; returns how many there are, with `sent` before."""
    for doing in seconds:
        load.send_paced("live", RATE, 1 / RATE, chatbots, sent, doing)
        sent += RATE
    return sent


def _seconds_of_recovery(api: Api, customer: int) -> Iterator[str]:
    """Begins the recovery, and says how far it is until all that it gave out has arrived."""
    [endpoint] = [row["id"] for row in db.rows("select id from webhook_endpoint where customer_id = %s", [customer])]
    path, deadline = f"/webhook-endpoints/{endpoint}", time.monotonic() + TIMEOUT
    now = begun = api("POST", f"{path}/recover", {"since": "2000-01-01T00:00:00Z"})
    while now["state"] != "done" or db.scalar(_GIVEN_OUT):
        yield f"{now['counts'].get('recovered', 0):,} of {now['total']:,} events given out"
        now = api("GET", f"{path}/recoveries/{begun['id']}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The recovery has not ended after {TIMEOUT:.0f} s: {now['counts']} of {now['total']}.")


@contextmanager
def _api(rig: Rig, customer: int) -> Iterator[Api]:
    """A web process, and a key of the customer's."""
    with requests.Session() as session, rig.web({}) as web:
        session.trust_env = False  # a proxy for the outside is none for this machine
        session.headers["Authorization"] = f"Bearer {keys.create(customer, 'bench')}"

        def ask(method: str, path: str, body: object = None) -> dict[str, Any]:
            answer = session.request(method, f"{web.url}/api/v1{path}", json=body, timeout=PATIENCE)
            if not answer.ok:
                raise RuntimeError(f"The API answered {answer.status_code} to {method} {path}: {answer.text[:200]}")
            return dict(answer.json())

        yield ask


def _record(simulator: Simulator) -> list[dict[str, Any]]:
    """What arrived at the endpoints; read in pages, for it may be a hundred megabytes."""
    kept: list[dict[str, Any]] = []
    while page := simulator.record("webhook", first=len(kept), count=PAGE):
        kept += [{"headers": {"webhook-id": one["headers"]["webhook-id"]}, "at_ns": one["at_ns"]} for one in page]
    return kept


def _figures(events: list[dict[str, Any]], arrived: list[dict[str, Any]], old: set[int], begun_ns: int, customer: int) -> Run:
    live = [row for row in events if row["id"] not in old]
    since_warm = live[0]["at_ns"] + WARM_UP * 10**9
    groups = {
        "alone": [row for row in live if since_warm < row["at_ns"] < begun_ns],
        "beside": [row for row in live if row["at_ns"] >= begun_ns],
        "beside, the recovered customer's": [row for row in live if row["at_ns"] >= begun_ns and row["customer_id"] == customer],
    }
    return {
        f"{name}, {figure}": value
        for name, rows in groups.items()
        for figure, value in percentiles(delays(rows, arrived)).items()
    }


def _check(events: list[dict[str, Any]], arrived: list[dict[str, Any]], expected: int) -> None:
    """Raises RuntimeError unless each event arrived once, under its own id, and is told as delivered."""
    counts = Counter(one["headers"]["webhook-id"] for one in arrived)
    wrong = {
        "events": len(events) - expected,
        "not arrived exactly once": sum(counts[event_id(row["id"])] != 1 for row in events),
        "ids of no event": len(counts.keys() - {event_id(row["id"]) for row in events}),
        "not DELIVERED": sum(row["status"] != "DELIVERED" for row in events),
    }
    if any(wrong.values()):
        raise RuntimeError(f"Counts are not exact: {wrong}.")
