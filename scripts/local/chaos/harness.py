"""Runs one scenario: services, workers and a simulator of its own, the load, the disruptions, the wait, the audit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from scripts.commands.migrate import migrate
from scripts.local.chaos.audit import Audit, audit
from scripts.local.chaos.disruptions import PLATFORM_GRACE, Target, deploy
from scripts.local.chaos.outside import Outside
from scripts.local.chaos.pages import OpenPages
from scripts.local.chaos.plan import seed_tenants
from scripts.local.chaos.scenarios import Scenario
from scripts.local.chaos.statuses import StatusReceiver
from scripts.local.chaos.surroundings import Surroundings, add_door, add_others, put_before_servers
from scripts.local.embedded import Services
from scripts.local.folders import ROOT
from scripts.local.leftovers import empty_folder
from scripts.local.processes import ProcessManager, die_with_parent, into_file
from scripts.local.simulator.client import Simulator
from shared import config, db, queues

#: Put first on PYTHONPATH, it makes marked messages kill the worker that processes them.
POISON = Path(__file__).with_name("poison")
#: The workers' timeouts (seconds): shorter than the defaults, so that a hanging provider does not set the pace of a run.
TIMEOUTS = {"AI_TIMEOUT_SECONDS": "5", "HTTP_TIMEOUT_SECONDS": "4"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Conditions:
    """How much load, and under which settings: AMBIGUOUS_SEND, and whether the channels report statuses.

    `small`: one process runs all stages.
    """

    messages: int
    seed: int
    ambiguous: str
    statuses: bool
    data: Path
    small: bool = False

    @property
    def workers(self) -> list[str]:
        """The process types that run jobs."""
        return ["worker"] if self.small else list(queues.MESSAGE_PROCESSES)


@dataclass(frozen=True)
class Harness:
    """A running system and its simulated outside world. `environment` is that of its processes."""

    services: Services
    simulator: Simulator
    outside: Outside
    processes: ProcessManager
    environment: dict[str, str]
    around: Surroundings


def run(scenario: Scenario, conditions: Conditions, say: Say) -> Audit:
    """Runs a scenario on fresh services and returns its audit."""
    with _start_harness(scenario, conditions, say) as harness:
        begun = time.monotonic()
        result = _run(harness, scenario, conditions, say)
        result.seconds = round(time.monotonic() - begun, 1)
        return result


@contextmanager
def _start_harness(scenario: Scenario, conditions: Conditions, say: Say) -> Iterator[Harness]:
    """Fresh services, tenants, simulator and workers for the length of the block; this process uses them too.

    The workers reach the servers through what the scenario puts before them, this process directly.
    """
    empty_folder(conditions.data)
    with ExitStack() as stack:
        services = Services(conditions.data)
        services.start()
        stack.callback(services.stop)
        simulator = stack.enter_context(Simulator.start(seed=conditions.seed))
        environment = _environment(scenario, conditions, {**services.environment(), **simulator.environment()})
        _use(environment)
        seed_tenants(simulator.url)
        around = put_before_servers(scenario.setup, services, stack)
        environment |= around.settings
        outside = _start_outside(scenario, conditions, simulator, stack)
        processes = _start_processes(scenario, conditions, environment, around, stack)
        say(f"{scenario.name}: {scenario.about}")
        yield Harness(services, simulator, outside, processes, environment, around)


def _environment(scenario: Scenario, conditions: Conditions, addresses: dict[str, str]) -> dict[str, str]:
    """That of a scenario's processes which reach the servers directly."""
    path = [POISON, ROOT] if scenario.poison_every else [ROOT]
    settings = {"AMBIGUOUS_SEND": conditions.ambiguous, "LOG_LEVEL": "WARNING", **TIMEOUTS, **scenario.settings}
    return {**os.environ, **addresses, **settings, "PYTHONPATH": os.pathsep.join(map(str, path))}


def _use(environment: dict[str, str]) -> None:
    """Has this process use the services too, whose ports and keys are new in each scenario, and makes the tables."""
    os.environ.update(environment)
    config.reset()
    db.reset()
    migrate(environment["DATABASE_URL"])


def _start_outside(scenario: Scenario, conditions: Conditions, simulator: Simulator, stack: ExitStack) -> Outside:
    """The providers, who may report statuses, and the customers, who may look at their pages."""
    receiver = StatusReceiver() if conditions.statuses or scenario.statuses else None
    if receiver:
        stack.callback(receiver.stop)
    if scenario.watched:
        stack.callback(OpenPages(conditions.messages, conditions.seed).stop)
    return Outside(simulator, [*scenario.faults], receiver)


def _start_processes(
    scenario: Scenario, conditions: Conditions, environment: dict[str, str], around: Surroundings, stack: ExitStack
) -> ProcessManager:
    """The processes of the system, and those that the scenario wants beside them."""
    on_line = into_file(conditions.data / "workers.log")
    names = conditions.workers if conditions.small else [*conditions.workers, "maintenance"]
    scheduler = [] if conditions.small else ["scheduler"]
    processes = ProcessManager(ROOT / "Procfile", environment, ROOT, [*names, *scheduler], on_line)
    processes.start()
    stack.callback(processes.stop)
    if scenario.setup.clock_offset:
        add_others(around, environment, scenario.setup.clock_offset, names, on_line, stack)
    if scenario.setup.door:
        add_door(around, environment, on_line, stack)
    return processes


def _run(harness: Harness, scenario: Scenario, conditions: Conditions, say: Say) -> Audit:
    messages = conditions.messages
    target = Target(
        harness.services,
        harness.processes,
        conditions.workers,
        random.Random(conditions.seed),
        say,
        lambda: _answered() / messages,
        harness.outside,
        harness.around,
    )
    if harness.around.door:
        harness.around.door.wait_until_open()
    if scenario.prepare:
        scenario.prepare(messages)
    deadline = time.monotonic() + scenario.limit
    with _producing(harness, scenario, conditions) as producers:
        redis_copies = _pause_ai(harness, scenario.ai_pause, say) if scenario.ai_pause else 0
        with _disrupted(target, scenario, deadline):
            wrong = [*_wait_for_load(producers, messages, 0.9 if scenario.check is None else 0.0, deadline, say)]
    wrong += _wait_until_idle(messages, scenario.limit, deadline)
    return _judge(harness, scenario, target, messages, redis_copies, wrong)


@contextmanager
def _disrupted(target: Target, scenario: Scenario, deadline: float) -> Iterator[None]:
    """The scenario's disruptions, each in a thread, for the length of the block."""
    threads = [threading.Thread(target=disruption, args=(target,), daemon=True) for disruption in scenario.disruptions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        target.stopping.set()
    for thread in threads:
        thread.join(max(1.0, deadline - time.monotonic()))


def _judge(harness: Harness, scenario: Scenario, target: Target, messages: int, redis_copies: int, wrong: list[str]) -> Audit:
    """What the load, the disruptions and the scenario's own checks found wrong, beside the audit of all rows."""
    result = audit(scenario, messages, harness.simulator.record(), target.over_at)
    result.wrong[:0] = wrong + target.wrong
    if scenario.check_record:
        result.wrong += scenario.check_record(harness.simulator.record())
    result.wrong += harness.around.door.wrong if harness.around.door else []
    result.injections, result.redis_copies = len(target.injections), redis_copies
    result.longest_shutdown = max(target.shutdowns, default=0.0)
    if redis_copies:
        result.wrong.append(f"Redis held {redis_copies} jobs twice")
    if scenario.disruptions and not target.injections:
        result.wrong.append("nothing was disrupted: the load was answered before; take more --messages")
    # In the other scenarios a worker may be frozen or dead when its SIGTERM comes.
    if scenario.disruptions == (deploy,) and result.longest_shutdown >= PLATFORM_GRACE:
        result.wrong.append(f"a worker did not end within {PLATFORM_GRACE:.0f} s of its SIGTERM and was killed")
    return result


@contextmanager
def _producing(harness: Harness, scenario: Scenario, conditions: Conditions) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that enqueue the load; at the end of the block none is left."""
    numbers = (conditions.messages, conditions.seed, scenario.poison_every, scenario.spread)
    command = [sys.executable, "-m", "scripts.local.chaos.producer", *map(str, numbers), ",".join(scenario.channels)]
    environment = {**harness.environment, "PYTHONPATH": str(ROOT)}
    producers = [subprocess.Popen(command, env=environment, cwd=ROOT, preexec_fn=die_with_parent) for _ in range(scenario.copies)]
    try:
        yield producers
    finally:
        for producer in producers:
            producer.kill()
            producer.wait()


def _pause_ai(harness: Harness, seconds: float, say: Say) -> int:
    """Lets a backlog of AI jobs grow and wait; returns how many of its ids Redis held more than once."""
    harness.processes.stop_one("ai")
    say(f"  no AI worker for {seconds:.0f} s")
    time.sleep(seconds)
    client = redis.Redis.from_url(harness.environment["REDIS_URL"])
    lanes = queues.lanes(queues.Queue.AI).values()
    ids = [message_id for lane in lanes for message_id in client.lrange(f"dramatiq:{lane}", 0, -1)]
    say(f"  {len(ids)} AI jobs wait in Redis, {len(set(ids))} of them different")
    harness.processes.start_one("ai")
    return len(ids) - len(set(ids))


def _wait_for_load(
    producers: list[subprocess.Popen[bytes]], messages: int, answered_share: float, deadline: float, say: Say
) -> Iterator[str]:
    """Until everything is enqueued, and this share answered, so that disruptions meet a busy system; what went wrong."""
    for producer in producers:
        try:
            if producer.wait(max(1.0, deadline - time.monotonic())) != 0:
                yield "the producer failed; its output above says why"
        except subprocess.TimeoutExpired:
            producer.kill()
            yield "the producer was not done in time: a call that enqueues a message hangs, or fails again and again"
    while answered_share * messages > _answered() and time.monotonic() < deadline:
        time.sleep(0.5)
    say(f"  {_answered()} of {messages} answered; disruptions end")


def _wait_until_idle(messages: int, limit: float, deadline: float) -> Iterator[str]:
    """Until no job is open and no message is missing; what is left over at the deadline."""
    while time.monotonic() < deadline:
        if _is_idle(messages):
            return
        time.sleep(0.5)
    if not _is_idle(messages):
        open_jobs = db.rows(
            "select queue, state, count(*) from job where closed_at is null and id > 0 group by 1, 2 order by 1, 2"
        )
        left = ", ".join(f"{row['count']} {row['state']} in {row['queue']}" for row in open_jobs)
        yield f"not done within {limit:.0f} s; jobs: {left or 'none open'}"


def _is_idle(messages: int) -> bool:
    return (
        _count("select count(*) from job where closed_at is null and id > 0") == 0
        and _count("select count(*) from message where role = 'user'") >= messages
    )


def _answered() -> int:
    return _count("select count(*) from message where role = 'assistant' and status <> 'PENDING'")


def _count(sql: str) -> int:
    """A count that waits for a PostgreSQL which a disruption has just crashed."""
    return int(db.retry_on_outage(lambda: db.scalar(sql), seconds=60))
