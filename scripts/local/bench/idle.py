"""Idle: what worker processes cost while there is nothing to do, and how punctually delayed jobs start.

Redis' MONITOR shows each command with the port that it came from, so each is counted for its process. Commands inside our Lua
scripts are not counted: no process sent them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress

import psutil

from scripts.local.bench import load
from scripts.local.bench.cost import cpu
from scripts.local.bench.isolation import add_tenants
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.progress import progress
from scripts.local.bench.rig import STAGES, Rig, World
from scripts.local.simulator.client import Simulator
from shared import db
from shared.broker.enqueue import enqueue, tickets_of

#: Seconds to let all processes come to rest, and seconds of the measurement.
SETTLE, IDLE = 6.0, 30.0
#: Delayed jobs: how many, seconds until the first is due, and seconds from the first to the last.
JOBS, FIRST, SPREAD = 200, 1.0, 5.0
#: Sent to Redis to end the monitor.
_END_MARK = "idle-is-over"
_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"

_DELAY = """
    with new_event as (
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select customer_id, id, 'message.sent', '{}' from webhook_endpoint, generate_series(1, %(jobs)s)
        returning id, customer_id
    )
    select job_add_v1(jsonb_agg(delivery_job_v1(customer_id, id)
        || jsonb_build_object('delay_seconds', %(first)s + random() * %(spread)s::float8))) from new_event
"""
_DUE = "select id, extract(epoch from run_at)::float8 as due_at from job where state = 'delayed'"
_STARTED = """
    select id, extract(epoch from started_at)::float8 as started_at, claims / 4096 as times_claimed
    from job where state = 'completed'
"""
_OPEN = "select count(*) from job where closed_at is null and id > 0"


def idle(rig: Rig, jobs: int = JOBS) -> Run:
    """All stages, maintenance and scheduler. Raises RuntimeError unless each delayed job ran once."""
    rig.empty()
    with Simulator.start(seed=1) as simulator:
        add_tenants(1, simulator.url)
        with rig.workers(World(simulator.environment(), []), {}, [*STAGES, "scheduler"]) as pids:
            time.sleep(SETTLE)
            resting = _measure_idle(rig, pids)
            delays = _start_delays(jobs)
        delivered = simulator.counts()["webhook"]["accepted"]
    if delivered != jobs:
        raise RuntimeError(f"Counts are not exact: {delivered} of {jobs} events were delivered.")
    punctuality = {f"start after due, {name}": value for name, value in percentiles(delays).items()}
    return {**resting, **punctuality, "latest ms": delays[-1]}


def _measure_idle(rig: Rig, pids: list[int]) -> Run:
    """Percent of a core and commands a second, of the busiest process and of all together."""
    cpu_before, transactions_before = {pid: cpu(pid) for pid in pids}, int(db.scalar(_TRANSACTIONS))
    commands = _CommandCounter(rig)
    progress.tell(f"measures {IDLE:.0f} s of nothing")
    time.sleep(IDLE)
    cpu_share = {pid: 100 * (cpu(pid) - cpu_before[pid]) / IDLE for pid in pids}
    transactions = int(db.scalar(_TRANSACTIONS)) - transactions_before
    command_rate = {pid: count / IDLE for pid, count in commands.end(pids).items()}
    return {
        "CPU of the busiest, %": max(cpu_share.values()),
        "CPU of all, %": sum(cpu_share.values()),
        "Redis commands/s, busiest": max(command_rate.values()),
        "Redis commands/s, all": sum(command_rate.values()),
        "transactions/s, all": transactions / IDLE,
    }


class _CommandCounter:
    """Counts Redis commands by the client port that they come from, from its creation on."""

    def __init__(self, rig: Rig) -> None:
        self._client, self._by_port = rig.client, Counter[int]()
        self._monitor = rig.client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for command in self._monitor.listen():
            if _END_MARK in command["command"]:
                return
            if command["client_type"] != "lua":
                self._by_port[int(command["client_port"])] += 1

    def end(self, pids: list[int]) -> dict[int, int]:
        """Ends the counting; returns the commands of each process."""
        self._client.echo(_END_MARK)
        self._thread.join()
        self._monitor.__exit__(None, None, None)
        return {pid: sum(self._by_port[port] for port in _ports(pid)) for pid in pids}


def _ports(pid: int) -> set[int]:
    with suppress(psutil.NoSuchProcess):
        return {connection.laddr.port for connection in psutil.Process(pid).net_connections("inet")}
    return set()


def _start_delays(jobs: int) -> list[float]:
    """Milliseconds from each delayed job's due time to its claim, sorted; negative if it was claimed early."""
    tickets = db.scalar(_DELAY, {"jobs": jobs, "first": FIRST, "spread": SPREAD})
    due = {row["id"]: row["due_at"] for row in db.rows(_DUE)}
    enqueue(tickets_of(tickets))
    load.until(lambda: not db.scalar(_OPEN), "delayed jobs are still open", FIRST + SPREAD + 30)
    started = db.rows(_STARTED)
    if {row["id"] for row in started} != set(due) or any(row["times_claimed"] != 1 for row in started):
        raise RuntimeError(f"Counts are not exact: {len(started)} of {jobs} jobs completed, or some took more than one claim.")
    return sorted((row["started_at"] - due[row["id"]]) * 1000 for row in started)
