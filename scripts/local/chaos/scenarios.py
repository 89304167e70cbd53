"""The scenarios: what load, what harm, and what must come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.local.chaos import harm


def _often(kind: str, rate: float) -> list[dict[str, Any]]:
    """Every way in which a provider can be bad, each at a share of `rate`."""
    bad: list[dict[str, Any]] = [
        {"fault": "status", "status": 503, "body": '{"error":{"message":"unavailable"}}'},
        {"fault": "rate_limit", "retry_after": 1},
        {"fault": "reset_before"},
        {"fault": "reset_after"},
        {"fault": "half"},
        {"fault": "timeout", "ms": 6000},
        {"fault": "garbage"},
    ]
    return [{"kind": kind, "rate": rate / len(bad), **one} for one in bad]


@dataclass(frozen=True)
class Scenario:
    """One way to suffer. `copies` processes enqueue the same messages; `ai_pause` seconds pass without AI workers."""

    name: str
    about: str
    harms: tuple[harm.Harm, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    copies: int = 1
    poison_every: int = 0
    ai_pause: float = 0.0
    messages: int | None = None


BAD_PROVIDERS = tuple(rule for kind in ("ai", "graph", "waha", "webhook") for rule in _often(kind, 0.10))

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", "no harm, to compare with"),
        Scenario("kill-workers", "kill -9 of a random worker every second", (harm.kill_workers,)),
        Scenario("lose-redis", "Redis killed and back empty, twice", (harm.lose_redis,)),
        Scenario("crash-postgres", "PostgreSQL stopped at once and started, twice", (harm.crash_postgres,)),
        Scenario("deploy", "every process SIGTERMed in turn under load", (harm.deploy,)),
        Scenario("bad-providers", "one call in ten goes wrong, in seven ways", faults=BAD_PROVIDERS),
        Scenario("duplicates", "each message enqueued by four processes at once", copies=4),
        Scenario("freeze", "workers stopped past their lease, then continued", (harm.freeze,)),
        Scenario("poison", "payloads that kill their process", poison_every=300),
        Scenario("backlog", "no AI worker for three minutes, sweeps going on", ai_pause=180.0, messages=20_000),
        Scenario(
            "all",
            "everything at once",
            (harm.kill_workers, harm.lose_redis, harm.crash_postgres, harm.deploy, harm.freeze),
            BAD_PROVIDERS,
            copies=2,
            poison_every=600,
        ),
    )
}
