"""Scale: whether the pipeline stays fast on a large database: the same load on an empty one and on a full one.

Then a sweep and a prune of the full one are timed, and PostgreSQL's log says which statements took long.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from scripts.local.bench import load
from scripts.local.bench.isolation import add_tenants
from scripts.local.bench.modes import Run
from scripts.local.bench.progress import progress
from scripts.local.bench.rig import Rig, World, settle
from scripts.local.folders import ROOT
from scripts.local.simulator.client import Simulator
from scripts.local.volume import fill
from shared import db
from shared.jobs.prune import prune_jobs
from shared.jobs.sweep import sweep

#: Milliseconds that a statement of sweep or prune may take. Others take longer when the disk stalls a commit.
SLOW = 200
#: Slow statements that are shown.
SHOWN = 10
#: Characters by which a logged statement is recognised: those before its first parameter, which is a value in the log.
RECOGNISED_BY = 24
#: Loads on each database, of which the median counts; one more load at the beginning warms up.
ROUNDS = 3
TENANTS, MESSAGES_PER_CONVERSATION = 3, 8
#: Seconds a load may take.
LOAD_TIMEOUT = 600.0

_OPEN_JOB = "select 1 from job where closed_at is null and id > 0 limit 1"
_ANSWERED = """
    select count(*) from message question join message reply on reply.reply_to = question.id
    where question.role = 'user' and question.external_id like %s and reply.status = 'SENT'
"""


def scale(rig: Rig, messages: int) -> Run:
    """Loads the empty database, fills it, loads it again, then sweeps and prunes."""
    if rig.log is None:
        raise RuntimeError("The mode scale reads PostgreSQL's log, and the peer's server keeps its own; leave --peer out.")
    rig.empty()
    with Simulator.start(seed=1) as simulator:
        chatbots = add_tenants(TENANTS, simulator.url)
        with rig.workers(World(simulator.environment(), [simulator.pid]), {}):
            empty = [_load(messages, number, chatbots) for number in range(ROUNDS + 1)][1:]
            _fill(chatbots[0], rig)
            full = [_load(messages, number, chatbots) for number in range(ROUNDS + 1, 2 * ROUNDS + 1)]
        sweep_seconds, records = _timed(sweep), _count("job")
        prune_seconds = _timed(prune_jobs)
        pruned = records - _count("job")
    slow = _slow_statements(rig.log.read_text(encoding="utf-8", errors="replace"))
    for line in slow[:SHOWN]:
        print(f"  {line[:110]}", file=sys.stderr)
    return {
        "empty, ms a message": statistics.median(empty),
        "full, ms a message": statistics.median(full),
        "ratio": statistics.median(full) / statistics.median(empty),
        "a sweep, s": sweep_seconds,
        "pruned records": float(pruned),
        "pruning them, s": prune_seconds,
        f"statements over {SLOW} ms": float(len(slow)),
        "of these of housekeeping": float(sum(_is_housekeeping(line) for line in slow)),
    }


def _load(messages: int, number: int, chatbots: list[int]) -> float:
    """Milliseconds per message from the first enqueue until the last job is closed. Raises if a count is not exact."""
    name, conversations = f"load-{number}", max(1, messages // MESSAGES_PER_CONVERSATION)
    # Other people than before: who asks the same again and again is taken for a bot.
    enqueue_all = load.fill(name, messages, conversations, chatbots, senders=f"160{number}")
    begun = time.monotonic()
    enqueue_all()
    load.until(lambda: db.row(_OPEN_JOB) is None, "jobs are still open", LOAD_TIMEOUT)
    seconds = time.monotonic() - begun
    with db.transaction():
        db.rows("set local log_min_duration_statement = -1")  # not one of the pipeline's statements
        answered = db.scalar(_ANSWERED, [f"{name}-%"])
    if answered != messages:
        raise RuntimeError(f"{answered} replies are SENT instead of {messages}.")
    return seconds * 1000 / messages


def _fill(chatbot: int, rig: Rig) -> None:
    progress.tell(f"adds {rig.old_messages:,} messages and {rig.old_jobs:,} job records")
    customer = db.scalar("select customer_id from chatbot where id = %s", [chatbot])
    fill(chatbot, customer, rig.old_messages, rig.old_jobs)
    settle()
    with db.connection() as database:
        database.execute_sql(f"alter system set log_min_duration_statement = {SLOW}")
        database.execute_sql("select pg_reload_conf()")


def _slow_statements(log: str) -> list[str]:
    logged = re.findall(r"duration: ([\d.]+) ms\s+statement:\s*(.{0,500})", log, re.DOTALL)
    return [f"{float(ms):.0f} ms: {' '.join(statement.split())}" for ms, statement in logged]


def _is_housekeeping(line: str) -> bool:
    """Whether a logged statement is one of sweep or prune."""
    sources = [
        path.read_text(encoding="utf-8") for name in ("sweep", "prune") for path in (ROOT / "shared" / "jobs").glob(f"{name}*")
    ]
    return line.partition(": ")[2][:RECOGNISED_BY] in " ".join(" ".join(sources).split())


def _count(table: str) -> int:
    return int(db.scalar(f"select count(*) from {table}"))


def _timed(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
