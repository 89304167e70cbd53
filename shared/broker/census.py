"""What Redis knows of worker processes: which there are, what they have in hand, when they last took something.

Each says that it is there when it renews its leases, and lives while its heartbeat is young.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple, cast

from shared.broker.connection import redis_now_ms
from shared.broker.redis_broker import DEAD_AFTER, every_queue, get_broker

#: On Heroku the dyno, like ai.2; elsewhere the machine's name.
HOST = os.environ.get("DYNO") or socket.gethostname()
_HANDS = Path(__file__).with_name("hands.lua").read_text(encoding="utf-8")


class Hand(NamedTuple):
    """A message in a worker's hands."""

    worker: str
    queue: str
    message_id: str


def announce(queues: list[str], database: str | None = None, release: int | None = None) -> None:
    """This process works on these queues, and for the jobs of this database, if it knows which it is. `release`: the number of
    its code's newest migration."""
    broker = get_broker()
    about = json.dumps({"host": HOST, "pid": os.getpid(), "queues": queues, "database": database, "release": release})
    broker.client.hset(_key(), broker.broker_id, about)


def workers() -> list[dict[str, Any]]:
    """The processes that live, each with name, host, pid, queues and seconds since its heartbeat. Forgets those that do not."""
    broker = get_broker()
    said = cast(dict[bytes, bytes], broker.client.hgetall(_key()))
    known = {name.decode(): json.loads(about) for name, about in said.items()}
    scores = cast(list[tuple[bytes, float]], broker.client.zrange(f"{broker.namespace}:__heartbeats__", 0, -1, withscores=True))
    beats = dict(scores)
    now = redis_now_ms(broker.client)
    ages = {name: (now - beats.get(name.encode(), 0)) / 1000 for name in known}
    if dead := [name for name, age in ages.items() if age > DEAD_AFTER]:
        broker.client.hdel(_key(), *dead)
    living = [{"name": name, "age": ages[name], **known[name]} for name in known if name not in dead]
    return sorted(living, key=lambda worker: (worker["host"], worker["pid"]))


def strangers(living: list[dict[str, Any]], database: str) -> list[str]:
    """Those that work for another database. Who does not say for which, as in the release before, is none."""
    return [_place(worker) for worker in living if worker.get("database") not in (None, database)]


def older_than(living: list[dict[str, Any]], release: int) -> list[str]:
    """Those whose code lacks this migration. Who does not say what it has is none."""
    return [_place(worker) for worker in living if (worker.get("release") or release) < release]


def in_hand() -> set[Hand]:
    """What workers have in hand."""
    broker = get_broker()
    hands = broker.client.register_script(_HANDS)(keys=[broker.namespace], args=every_queue())
    return {Hand(*(part.decode(errors="replace") for part in hand)) for hand in hands}


def taken_ago() -> dict[str, float]:
    """Seconds since a worker last took from each queue, or looked; without those that none ever did."""
    broker = get_broker()
    taken = cast(dict[bytes, bytes], broker.client.hgetall(f"{broker.namespace}:__taken__"))
    now = redis_now_ms(broker.client)
    return {name.decode(): (now - int(at)) / 1000 for name, at in taken.items()}


def _place(worker: dict[str, Any]) -> str:
    return f"{worker['host']}/{worker['pid']}"


def _key() -> str:
    return f"{get_broker().namespace}:workers"
