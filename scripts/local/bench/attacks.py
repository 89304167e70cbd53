"""One customer attacks: endpoints that drip, that hang, hundreds of them, and a provider of its own that hangs.

Measured is how soon the other customers' events arrive at their endpoints, and their replies at Meta, while it lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from scripts.local.bench import load
from scripts.local.bench.isolation import EVENTS, HEARD, UNDELIVERED, add_tenants, check, delays, events
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.rig import Rig, World, simulated_arrivals
from scripts.local.simulator.client import Simulator
from scripts.local.tenants import add_endpoint
from shared import db
from shared.db import credentials

#: The others: customers with an endpoint each, and their messages, 12 in a second.
OTHERS, MESSAGES, INTERVAL = 10, 150, 0.08
#: Milliseconds for which the attacker's endpoints and provider hang: longer than HTTP_TIMEOUT_SECONDS and AI_TIMEOUT_SECONDS.
HANG_MS = 60_000
#: The attacker's messages to a chatbot whose provider hangs.
QUESTIONS = 80
#: Seconds after the last message in which the others must have got everything.
TIMEOUT = 120.0

_DRIPS: dict[str, Any] = {"fault": "drip", "ms": 1_000}
_HANGS: dict[str, Any] = {"fault": "timeout", "ms": HANG_MS}
#: What the model of the attacker's chatbot is called: the fault is for requests that name it.
_MODEL = "hanging-model"


@dataclass(frozen=True)
class Attack:
    """`endpoints` of one customer behave as `fault` says; `messages` of its own at once, each told to all of them twice."""

    fault: dict[str, Any]
    endpoints: int
    messages: int


#: 20 endpoints are what the API allows; 620 what one had made in a minute when nothing limited them.
ENDPOINT_ATTACKS = {
    "headers drip": Attack(_DRIPS | {"part": "head"}, 20, 40),
    "bodies drip": Attack(_DRIPS | {"part": "body"}, 20, 40),
    "endpoints hang": Attack(_HANGS, 20, 40),
    "620 endpoints hang": Attack(_HANGS, 620, 2),
}
PROVIDER_ATTACKS: dict[str, dict[str, Any]] = {"provider hangs": _HANGS, "provider drips": _DRIPS | {"part": "head"}}
NAMES = (*ENDPOINT_ATTACKS, *PROVIDER_ATTACKS)


def attacks(rig: Rig) -> Run:
    """All of them, one after the other. Raises RuntimeError if a count is not exact."""
    runs: dict[str, Callable[[], list[float]]] = {
        **{name: lambda attack=attack: _endpoints(rig, attack) for name, attack in ENDPOINT_ATTACKS.items()},  # type: ignore[misc]
        **{name: lambda fault=fault: _provider(rig, fault) for name, fault in PROVIDER_ATTACKS.items()},  # type: ignore[misc]
    }
    return {f"{name}, p99 ms": percentiles(run())["p99 ms"] for name, run in runs.items()}


def _endpoints(rig: Rig, attack: Attack) -> list[float]:
    """Milliseconds from each of the others' events to its arrival."""
    rig.empty()
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator.start(seed=1))
        chatbots = add_tenants(OTHERS, simulator.url)
        [attacker] = add_tenants(1, simulator.url, hanging_every=1)
        customer = int(db.scalar("select customer_id from chatbot where id = %s", [attacker]))
        with db.transaction():
            for number in range(1, attack.endpoints):
                add_endpoint(customer, f"{simulator.url}/customer/hangs-{number}", HEARD)
        simulator.faults([{"kind": "webhook", "match": "/hangs-", **attack.fault}])
        stack.enter_context(rig.workers(World(simulator.environment(), [simulator.pid]), {}))
        load.fill("attack", attack.messages, attack.messages, [attacker])()
        load.send_paced("load", MESSAGES, INTERVAL, chatbots)
        load.until_sent(MESSAGES + attack.messages, TIMEOUT)
        load.until(lambda: not db.scalar(UNDELIVERED), "the others have not got all their events", TIMEOUT)
        requests = simulator.record("webhook")
        return delays(check(events(), requests, EVENTS * (MESSAGES + attack.messages * attack.endpoints)), requests)


def _provider(rig: Rig, fault: dict[str, Any]) -> list[float]:
    """Milliseconds from each of the others' messages to its reply's arrival at Meta."""
    rig.empty()
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator.start(seed=1))
        [attacker, *chatbots] = add_tenants(1 + OTHERS, simulator.url)
        own = (f"{simulator.url}/v1", credentials.encrypt("sk-own"), _MODEL, attacker)
        db.rows("update chatbot set provider_base_url = %s, provider_api_key = %s, model = %s where id = %s", own)
        simulator.faults([{"kind": "ai", "match": _MODEL, **fault}])
        stack.enter_context(rig.workers(World(simulator.environment(), [simulator.pid]), {}))
        load.fill("attack", QUESTIONS, QUESTIONS, [attacker])()
        sent = load.send_paced("load", MESSAGES, INTERVAL, chatbots)
        load.until_sent(MESSAGES, TIMEOUT)
        arrivals = simulated_arrivals(simulator)
    if missing := sent.keys() - arrivals.keys():
        raise RuntimeError(f"Counts are not exact: {len(missing)} of the others' {MESSAGES} messages have no reply.")
    return sorted((arrivals[sender] - at) / 1e6 for sender, at in sent.items())
