"""The scenarios: which load runs, and what disrupts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.local.chaos.disruptions import Disruption, crash_postgres, deploy, freeze, kill_workers, lose_redis


def _bad_provider(kind: str, rate: float) -> list[dict[str, Any]]:
    """The simulator's rules for a provider that fails in seven ways; together they hit this share of its calls."""
    failures: list[dict[str, Any]] = [
        {"fault": "status", "status": 503, "body": '{"error":{"message":"unavailable"}}'},
        {"fault": "rate_limit", "retry_after": 1},
        {"fault": "reset_before"},
        {"fault": "reset_after"},
        {"fault": "half"},
        {"fault": "timeout", "ms": 6000},
        {"fault": "garbage"},
    ]
    return [{"kind": kind, "rate": rate / len(failures), **failure} for failure in failures]


@dataclass(frozen=True)
class Scenario:
    """A load and what disrupts it. `copies` processes enqueue the same messages; `ai_pause` seconds pass without AI workers."""

    name: str
    about: str
    disruptions: tuple[Disruption, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    copies: int = 1
    poison_every: int = 0
    ai_pause: float = 0.0
    messages: int | None = None


BAD_PROVIDERS = tuple(rule for kind in ("ai", "graph", "waha", "webhook") for rule in _bad_provider(kind, 0.10))

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", "no disruptions, for comparison"),
        Scenario("kill-workers", "kill -9 of a random worker every second", (kill_workers,)),
        Scenario("lose-redis", "Redis killed and restarted empty, twice", (lose_redis,)),
        Scenario("crash-postgres", "PostgreSQL crashed and restarted, twice", (crash_postgres,)),
        Scenario("deploy", "every process type gets a SIGTERM in turn, under load", (deploy,)),
        Scenario("bad-providers", "one call in ten fails, in seven ways", faults=BAD_PROVIDERS),
        Scenario("duplicates", "each message enqueued by four processes at once", copies=4),
        Scenario("freeze", "workers stopped past their leases, then continued", (freeze,)),
        Scenario("poison", "messages that kill the worker that processes them", poison_every=300),
        Scenario("backlog", "no AI worker for three minutes while the sweep keeps running", ai_pause=180.0, messages=20_000),
        Scenario(
            "all",
            "everything at once",
            (kill_workers, lose_redis, crash_postgres, deploy, freeze),
            BAD_PROVIDERS,
            copies=2,
            poison_every=600,
        ),
    )
}
