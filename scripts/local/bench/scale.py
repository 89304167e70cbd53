"""Whether the pipeline stays fast on a large database: the same load on an empty one and on a full one."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.local.chaos.harness import Harness
from scripts.local.chaos.plan import CHANNELS, chatbot_ids
from scripts.local.environment import ROOT
from scripts.local.volume import fill
from shared import db
from shared.jobs.prune import prune_jobs
from shared.jobs.sweep import sweep
from shared.queue_service import enqueue_incoming_message

#: Milliseconds that a statement of sweep or prune may take. Others take longer when the disk stalls a commit.
SLOW = 200
#: Characters by which a logged statement is recognised: those before its first parameter, which is a value in the log.
RECOGNISED_BY = 24
#: Loads on each database, of which the median counts; one more load at the beginning warms up.
ROUNDS = 3
#: Threads that enqueue messages.
PRODUCERS = 4
#: Seconds a load may take.
LOAD_TIMEOUT = 600.0

Say = Callable[[str], None]


@dataclass
class Scale:
    """Milliseconds per message of each round, and the statements that took more than SLOW ms."""

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
        """Those of sweep and prune."""
        housekeeping = _housekeeping_sql()
        return [line for line in self.slow if line.partition(": ")[2][:RECOGNISED_BY] in housekeeping]

    @property
    def ratio(self) -> float:
        """Full to empty, of the medians."""
        return statistics.median(self.full) / statistics.median(self.empty)


def measure(messages: int, old_messages: int, old_jobs: int, harness: Harness, say: Say) -> Scale:
    """Loads the empty database, fills it, loads it again, then sweeps and prunes."""
    harness.processes.stop_one("scheduler")  # so that nothing is pruned while the database is filled
    result = Scale()
    for number in range(ROUNDS + 1):
        ms = _load(messages, f"empty-{number}")
        say(f"  empty, round {number}: {ms:.2f} ms a message")
        if number:
            result.empty.append(ms)
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
    result.slow = _slow_statements(harness.services.postgres_log)
    return result


def _load(messages: int, name: str) -> float:
    """Milliseconds per message from the first enqueue until the last job is closed. Raises if a count is not exact."""
    chatbots, begun = chatbot_ids(), time.monotonic()

    def send(number: int) -> None:
        conversation = number // 8  # its messages come from several threads: their order is not checked
        enqueue_incoming_message(
            chatbot_id=chatbots[conversation % len(chatbots)],
            channel=CHANNELS[conversation // len(chatbots) % len(CHANNELS)],
            external_user_id=f"49{conversation:08d}",
            content="When do you ship?",
            external_id=f"{name}-{number}",
        )

    with ThreadPoolExecutor(PRODUCERS) as pool:
        list(pool.map(send, range(messages)))
    _wait_until_closed()
    seconds = time.monotonic() - begun
    _check(messages, name)
    return seconds * 1000 / messages


def _wait_until_closed() -> None:
    deadline = time.monotonic() + LOAD_TIMEOUT
    while db.row("select 1 from job where closed_at is null and id > 0 limit 1") is not None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"Jobs are still open after {LOAD_TIMEOUT:.0f} s.")
        time.sleep(0.05)


_ANSWERED = """
    select count(*) from message question join message reply on reply.reply_to = question.id
    where question.role = 'user' and question.external_id like %s and reply.status = 'SENT'
"""


def _check(messages: int, name: str) -> None:
    with db.transaction():
        db.rows("set local log_min_duration_statement = -1")  # not one of the pipeline's statements
        answered = db.scalar(_ANSWERED, [f"{name}-%"])
    if answered != messages:
        raise RuntimeError(f"{answered} replies are SENT instead of {messages}.")


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
    logged = re.findall(r"duration: ([\d.]+) ms\s+statement:\s*(.{0,500})", log.read_text(errors="replace"), re.DOTALL)
    return [f"{float(ms):.0f} ms: {' '.join(statement.split())}" for ms, statement in logged]


def _housekeeping_sql() -> str:
    """The SQL of sweep and prune, its white space as in a logged statement."""
    sources = [path.read_text("utf-8") for name in ("sweep", "prune") for path in (ROOT / "shared" / "jobs").glob(f"{name}*")]
    return " ".join(" ".join(sources).split())


def _timed(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
