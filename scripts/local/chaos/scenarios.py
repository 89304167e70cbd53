"""The scenarios: which load runs, and what disrupts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.local.chaos import accounts, endpoints, network, spending, takeovers
from scripts.local.chaos.disruptions import Disruption, crash_postgres, deploy, freeze, kill_workers, lose_redis
from scripts.local.chaos.plan import CHANNELS
from scripts.local.chaos.surroundings import Setup

#: The simulator's services that take messages to people.
PROVIDERS = ("graph", "waha", "evolution", "telegram")


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


def _dying_streams(rate: float) -> list[dict[str, Any]]:
    """The rules for an AI that streams word by word, and ends this share of its answers in the middle, in three ways."""
    ways: list[dict[str, Any]] = [{"by": "close"}, {"by": "reset"}, {"by": "silence", "ms": 6000}]
    cuts = [{"kind": "ai", "fault": "cut", "rate": rate / len(ways), **way} for way in ways]
    return [{"kind": "ai", "fault": "pace", "ms": 10}, *cuts]


def _slow_calls() -> tuple[dict[str, Any], ...]:
    """Calls that take a moment, so that an outage meets some that are under way."""
    return tuple({"kind": kind, "fault": "latency", "ms": 300} for kind in ("ai", *PROVIDERS, "webhook"))


def _throttled(rate: float) -> tuple[dict[str, Any], ...]:
    """Sends that are refused and tried again: replies that wait between two claims."""
    return tuple({"kind": kind, "fault": "rate_limit", "retry_after": 1, "rate": rate} for kind in PROVIDERS)


#: Nothing around the system; proxies and a front door.
PLAIN, PROXIED = Setup(), Setup(proxied=True, door=True)


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
    setup: Setup = PLAIN
    #: The channels of the load; a tenant is connected to more than CHANNELS by `prepare`.
    channels: Sequence[str] = CHANNELS
    #: Seconds over which the load is spread; 0: it comes as fast as it is accepted.
    spread: float = 0.0
    #: No worker dies and no answer from outside is lost: then no claim counts as lost, and nothing leaves twice.
    harmless: bool = False
    #: A page is open for each conversation of the widget, so its replies are streamed.
    watched: bool = False
    #: The channels report how far messages got.
    statuses: bool = False
    #: Settings of its own.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: What is wrong in the end, by the number of messages, and by when each of ours that left arrived (Unix time in ns).
    #: None: each message must have one reply.
    check: Callable[[int, Mapping[int, Sequence[int]]], Iterable[str]] | None = None
    #: The message of ours that a request to a provider sent, where neither of the two kept an id.
    message_of: Callable[[Mapping[str, Any]], int | None] = lambda _: None
    #: Before the load, by the number of its messages.
    prepare: Callable[[int], None] | None = None
    #: What else is wrong in the end, by the requests that the outside world received.
    check_record: Callable[[Sequence[dict[str, Any]]], Iterable[str]] | None = None
    #: Seconds after its last outage within which the last reply has left.
    recovery: float = 30.0
    #: Seconds from the load's first message until all is done; then the scenario ends, and what is not done is wrong.
    limit: float = 900.0


def _outage(name: str, disruption: Disruption, setup: Setup = PROXIED, **more: Any) -> Scenario:
    """A scenario that ends no worker: a steady load meets outages of a server, or of the way to it."""
    about = str(disruption.__doc__).rstrip(".")
    settings: dict[str, Any] = {"about": about, "faults": _slow_calls(), "spread": 40.0, "harmless": True, "limit": 240.0, **more}
    return Scenario(name, disruptions=(disruption,), setup=setup, **settings)


def _small_plan(server: str, about: str, setup: Setup) -> Scenario:
    """A scenario without a disruption: a steady load on a server with few connections."""
    return Scenario(f"small-{server}", about, setup=setup, spread=20.0, harmless=True, limit=240.0)


BAD_PROVIDERS = tuple(rule for kind in ("ai", "graph", "waha", "webhook") for rule in _bad_provider(kind, 0.10))

DYING_STREAMS = tuple(_dying_streams(0.2))

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", "no disruptions, for comparison"),
        Scenario("kill-workers", "kill -9 of a random worker every second", (kill_workers,)),
        Scenario("lose-redis", "Redis killed and restarted empty, twice", (lose_redis,)),
        Scenario("crash-postgres", "PostgreSQL crashed and restarted, twice", (crash_postgres,)),
        Scenario("deploy", "every process type gets a SIGTERM in turn, under load", (deploy,)),
        Scenario("bad-providers", "one call in ten fails, in seven ways", faults=BAD_PROVIDERS),
        Scenario("dying-streams", "one streamed answer in five ends in its middle", faults=DYING_STREAMS, watched=True),
        Scenario("duplicates", "each message enqueued by four processes at once", copies=4),
        Scenario("freeze", "workers stopped past their leases, then continued", (freeze,)),
        Scenario(
            "takeovers",
            "1,000 takeovers meet replies that are about to leave, our own sends are echoed, kill -9 every second",
            (takeovers.take_over, kill_workers),
            (*_slow_calls(), *_throttled(0.1)),
            messages=1_200,
            spread=60.0,
            prepare=takeovers.prepare,
            check=takeovers.check,
            channels=(*CHANNELS, "telegram"),
            message_of=takeovers.message_of,
        ),
        Scenario(
            "accounts",
            "a token expires, a phone is logged out, a gateway is dead, files cannot be fetched, kill -9 every second",
            (accounts.expire_token, accounts.log_out, accounts.die_silently, accounts.lose_files, kill_workers),
            _slow_calls(),
            messages=1_000,
            spread=50.0,
            statuses=True,
            check=accounts.check,
        ),
        Scenario(
            "budget",
            "customers have budgets, of which one is used up on the way; kill -9 while calls are reserved",
            (spending.kill_ai,),
            _slow_calls(),
            messages=1_000,
            spread=40.0,
            prepare=spending.prepare,
            check_record=spending.check,
        ),
        Scenario(
            "endpoints-down",
            "endpoints are down, slow and refusing, one is gone and is recovered, kill -9 every second",
            (endpoints.take_down, kill_workers),
            messages=600,
            spread=30.0,
            settings=endpoints.SETTINGS,
            check_record=endpoints.check,
        ),
        Scenario("poison", "messages that kill the worker that processes them", poison_every=300),
        Scenario("backlog", "no AI worker for three minutes while the sweep keeps running", ai_pause=180.0, messages=20_000),
        _outage("failover", network.failover, Setup(door=True)),
        _outage("postgres-outage", network.outlast_leases, Setup(door=True)),
        _outage("half-open-postgres", network.lose_postgres_connections),
        _outage("half-open-redis", network.lose_redis_connections),
        _outage("full-redis", network.fill_redis, Setup(door=True)),
        _outage("stall", network.stall),
        _outage("bad-network", network.bad_network),
        _outage("pgbouncer", network.restart_pooler, Setup(pooled=True)),
        _small_plan("redis", "Redis takes 20 connections, fewer than the processes would like", Setup(redis_clients=20)),
        _small_plan("postgres", "PostgreSQL has fewer connections than there are processes", Setup(postgres_connections=5)),
        *(
            _outage(
                f"clock-{where}",
                network.lose_other_machine,
                Setup(clock_offset=offset),
                about=f"a second machine with workers, its clock 300 s {where}, is lost",
                harmless=False,
                recovery=40.0,  # a send that its worker died with waits 10 s for a status (AMBIGUOUS_SEND_WAIT_SECONDS)
            )
            for where, offset in (("ahead", 300.0), ("behind", -300.0))
        ),
        Scenario(
            "all",
            "everything at once",
            (kill_workers, lose_redis, crash_postgres, deploy, freeze),
            (*_dying_streams(0.05), *BAD_PROVIDERS),
            copies=2,
            poison_every=600,
            watched=True,
        ),
    )
}
