"""Idle: what worker processes cost while there is nothing to do, and how punctual they are when something is due.

Redis' MONITOR tells each command with the address that it came from, so each is counted for its process; the commands inside our
scripts are not commands of a process.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress

import psutil

from scripts.local.bench import load
from scripts.local.bench.cost import cpu
from scripts.local.bench.isolation import tenants
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.progress import progress
from scripts.local.bench.rig import STAGES, Rig, World
from scripts.local.simulator.client import Simulator
from shared import db
from shared.broker.enqueue import enqueue, tickets_of

#: Seconds until everybody has come to rest, and over which is measured.
SETTLE, IDLE = 6.0, 30.0
#: Delayed jobs, of which the first is due after so many seconds and the last so many later.
JOBS, FIRST, SPREAD = 200, 1.0, 5.0
_OVER = "idle-is-over"
_COMMITS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"

_DELAY = """
    with told as (
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select customer_id, id, 'message.sent', '{}' from webhook_endpoint, generate_series(1, %(jobs)s)
        returning id, customer_id
    )
    select job_add_v1(jsonb_agg(delivery_job_v1(customer_id, id)
        || jsonb_build_object('delay_seconds', %(first)s + random() * %(spread)s::float8))) from told
"""
_DUE = "select id, extract(epoch from run_at)::float8 as at from job where state = 'delayed'"
_BEGUN = "select id, extract(epoch from started_at)::float8 as at, claims from job where state = 'completed'"
_OPEN = "select count(*) from job where closed_at is null and id > 0"


def idle(place: Rig, jobs: int = JOBS) -> Run:
    """Every stage, maintenance and scheduler. Raises RuntimeError unless each delayed job ran once."""
    place.empty()
    with Simulator.start(seed=1) as outside, tenants(1, outside.url):
        with place.workers(World(outside.environment(), []), {}, [*STAGES, "scheduler"]) as pids:
            time.sleep(SETTLE)
            resting = _rest(place, pids)
            late = _punctuality(jobs)
        told = outside.counts()["webhook"]["accepted"]
    if told != jobs:
        raise RuntimeError(f"counts are not exact: {told} events told of {jobs}")
    return {**resting, **{f"start after due, {name}": value for name, value in percentiles(late).items()}, "latest ms": late[-1]}


def _rest(place: Rig, pids: list[int]) -> Run:
    """Percent of a core and commands a second, of the busiest process and of all."""
    used, commits, commands = {pid: cpu(pid) for pid in pids}, int(db.scalar(_COMMITS)), _Commands(place)
    progress.tell(f"measures {IDLE:.0f} s of nothing")
    time.sleep(IDLE)
    spent = {pid: 100 * (cpu(pid) - used[pid]) / IDLE for pid in pids}
    statements = int(db.scalar(_COMMITS)) - commits
    asked = {pid: count / IDLE for pid, count in commands.end(pids).items()}
    return {
        "CPU of the busiest, %": max(spent.values()),
        "CPU of all, %": sum(spent.values()),
        "Redis commands/s, busiest": max(asked.values()),
        "Redis commands/s, all": sum(asked.values()),
        "transactions/s, all": statements / IDLE,
    }


class _Commands:
    """Counts Redis commands by the port that they come from, from now on."""

    def __init__(self, place: Rig) -> None:
        self._client, self._ports = place.client, Counter[int]()
        self._monitor = place.client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for command in self._monitor.listen():
            if _OVER in command["command"]:
                return
            if command["client_type"] != "lua":
                self._ports[int(command["client_port"])] += 1

    def end(self, pids: list[int]) -> dict[int, int]:
        """Commands of each process."""
        self._client.echo(_OVER)
        self._thread.join()
        self._monitor.__exit__(None, None, None)
        return {pid: sum(self._ports[port] for port in _ports(pid)) for pid in pids}


def _ports(pid: int) -> set[int]:
    with suppress(psutil.NoSuchProcess):
        return {connection.laddr.port for connection in psutil.Process(pid).net_connections("inet")}
    return set()


def _punctuality(jobs: int) -> list[float]:
    """Milliseconds from a delayed job's time to its claim, sorted; negative: before it."""
    added = db.scalar(_DELAY, {"jobs": jobs, "first": FIRST, "spread": SPREAD})
    due = {row["id"]: row["at"] for row in db.rows(_DUE)}
    enqueue(tickets_of(added))
    load.until(lambda: not db.scalar(_OPEN), "delayed jobs are still open", FIRST + SPREAD + 30)
    begun = db.rows(_BEGUN)
    if {row["id"] for row in begun} != set(due) or any(row["claims"] != 1 for row in begun):
        raise RuntimeError(f"counts are not exact: {len(begun)} jobs completed of {jobs}, each by one claim")
    return sorted((row["at"] - due[row["id"]]) * 1000 for row in begun)
