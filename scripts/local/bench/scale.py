"""Whether the pipeline stays as fast on years of traffic: the same load on an empty database and on a full one."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.local.chaos.lab import Lab
from scripts.local.chaos.plan import CHANNELS, chatbot_ids
from scripts.local.volume import fill
from shared import db
from shared.jobs.prune import prune_jobs
from shared.jobs.sweep import sweep
from shared.queue_service import enqueue_incoming_message

#: A statement of the housekeeping may not take longer (milliseconds). Others do when the disk stalls a commit.
SLOW = 200
#: Loads on each database; the median counts, the first of all warms up and does not.
ROUNDS = 3
#: Threads that enqueue.
PRODUCERS = 4
#: Seconds a load may take.
PATIENCE = 600.0

Say = Callable[[str], None]


@dataclass
class Scale:
    """Milliseconds per message, a round each; statements over SLOW ms (of the housekeeping and of the pipeline)."""

    empty: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    messages: int = 0
    jobs: int = 0
    pruned: int = 0
    prune_seconds: float = 0.0
    sweep_seconds: float = 0.0
    slow: list[str] = field(default_factory=list)

    @property
    def slow_housekeeping(self) -> list[str]:
        """Those of prune and sweep."""
        return [line for line in self.slow if "with gone as" in line or "as due from job" in line or "from job h where" in line]

    @property
    def ratio(self) -> float:
        """StreamLimitReached to empty, of the medians."""
        return statistics.median(self.full) / statistics.median(self.empty)


def measure(messages: int, old_messages: int, old_jobs: int, lab: Lab, say: Say) -> Scale:
    """Loads, fills, loads again, then sweeps and prunes the whole."""
    lab.processes.stop_one("scheduler")  # prunes when this program says so, not in the middle of the filling
    result = Scale()
    for number in range(ROUNDS + 1):
        took = _load(messages, f"empty-{number}")
        say(f"  empty, round {number}: {took:.2f} ms a message")
        if number:
            result.empty.append(took)
    _fill(old_messages, old_jobs, say)
    result.messages, result.jobs = (int(db.scalar(f"select count(*) from {table}")) for table in ("message", "job"))
    _report_slow_statements()
    for number in range(ROUNDS):
        result.full.append(_load(messages, f"full-{number}"))
        say(f"  full, round {number + 1}: {result.full[-1]:.2f} ms a message")
    result.sweep_seconds = _timed(sweep)
    before = int(db.scalar("select count(*) from job"))
    result.prune_seconds = _timed(prune_jobs)
    result.pruned = before - int(db.scalar("select count(*) from job"))
    result.slow = _slow_statements(lab.services.postgres_log)
    return result


def _load(messages: int, name: str) -> float:
    """Milliseconds per message from the first enqueue until the last job is closed. Raises if a count is not exact."""
    bots, begun = chatbot_ids(), time.monotonic()

    def send(number: int) -> None:
        talk = number // 8  # a conversation's messages come from one thread or another: their order is not looked at
        enqueue_incoming_message(
            chatbot_id=bots[talk % len(bots)],
            channel=CHANNELS[talk // len(bots) % len(CHANNELS)],
            external_user_id=f"49{talk:08d}",
            content="When do you ship?",
            external_id=f"{name}-{number}",
        )

    with ThreadPoolExecutor(PRODUCERS) as pool:
        list(pool.map(send, range(messages)))
    _wait_until_closed()
    took = time.monotonic() - begun
    _check(messages, name)
    return took * 1000 / messages


def _wait_until_closed() -> None:
    deadline = time.monotonic() + PATIENCE
    while db.row("select 1 from job where closed_at is null and id > 0 limit 1") is not None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"jobs are still open after {PATIENCE:.0f} s")
        time.sleep(0.05)


_ANSWERED = """
    select count(*) from message question join message reply on reply.reply_to = question.id
    where question.role = 'user' and question.external_id like %s and reply.status = 'SENT'
"""


def _check(messages: int, name: str) -> None:
    with db.transaction():
        db.rows("set local log_min_duration_statement = -1")  # the audit's own query is not the pipeline's
        found = db.scalar(_ANSWERED, [f"{name}-%"])
    if found != messages:
        raise RuntimeError(f"{found} replies SENT instead of {messages}")


def _fill(messages: int, jobs: int, say: Say) -> None:
    say(f"  adding {messages:,} messages and {jobs:,} job records")
    owner = db.row("select id as chatbot, customer_id as customer from chatbot order by id limit 1") or {}
    fill(**owner, messages=messages, jobs=jobs)
    with db.connection() as database:
        database.execute_sql("vacuum analyze")
        database.execute_sql("checkpoint")


def _report_slow_statements() -> None:
    with db.connection() as database:
        database.execute_sql(f"alter system set log_min_duration_statement = {SLOW}")
        database.execute_sql("select pg_reload_conf()")


def _slow_statements(log: Path) -> list[str]:
    found = re.findall(r"duration: ([\d.]+) ms\s+statement:\s*(.{0,500})", log.read_text(errors="replace"), re.DOTALL)
    return [f"{float(took):.0f} ms: {' '.join(statement.split())}" for took, statement in found]


def _timed(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
