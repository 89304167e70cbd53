"""Runs one scenario: services, workers and simulator of its own, the load, the harm, the wait, the audit."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from scripts.commands.migrate import migrate
from scripts.local.chaos.audit import Audit, audit
from scripts.local.chaos.harm import PLATFORM_PATIENCE, Target, deploy
from scripts.local.chaos.plan import seed_tenants
from scripts.local.chaos.scenarios import Scenario
from scripts.local.chaos.statuses import StatusReceiver
from scripts.local.embedded import Services
from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import config, db, queues

ROOT = Path(__file__).parents[3]
POISON = Path(__file__).with_name("poison")
#: Seconds a load may take to be finished after the last harm.
PATIENCE = 600.0
#: The timeouts of the laboratory (seconds): a hanging provider must not set the pace of a test.
TIMEOUTS = {"AI_TIMEOUT_SECONDS": "5", "HTTP_TIMEOUT_SECONDS": "4"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Conditions:
    """How much load, and under which settings: AMBIGUOUS_SEND, and whether the channels report what they took."""

    messages: int
    seed: int
    ambiguous: str
    statuses: bool
    data: Path


def run(scenario: Scenario, conditions: Conditions, say: Say) -> Audit:
    """Runs a scenario on fresh services and returns its audit."""
    with ExitStack() as stack:
        lab = stack.enter_context(laboratory(scenario, conditions, say))
        begun = time.monotonic()
        result = _suffer(lab, scenario, conditions.messages, conditions.seed, say)
        result.seconds = round(time.monotonic() - begun, 1)
        return result


class Lab:
    """A running system and its outside world."""

    def __init__(self, services: Services, simulator: Simulator, processes: ProcessManager, environment: dict[str, str]) -> None:
        self.services, self.simulator, self.processes, self.environment = services, simulator, processes, environment


@contextmanager
def laboratory(scenario: Scenario, conditions: Conditions, say: Say) -> Iterator[Lab]:
    """Fresh services, tenants, simulator and workers, for the length of the block; this process uses them too."""
    data = conditions.data
    shutil.rmtree(data, ignore_errors=True)
    with ExitStack() as stack:
        services = Services(data)
        services.start()
        stack.callback(services.stop)
        simulator = stack.enter_context(Simulator.start(seed=conditions.seed))
        extra = {"AMBIGUOUS_SEND": conditions.ambiguous, "LOG_LEVEL": "WARNING", **TIMEOUTS}
        environment = {**os.environ, **services.environment(), **simulator.environment(), **extra}
        environment["PYTHONPATH"] = os.pathsep.join([str(POISON), str(ROOT)]) if scenario.poison_every else str(ROOT)
        _become(environment)
        migrate(environment["DATABASE_URL"])
        seed_tenants(simulator.url)
        simulator.faults([*scenario.faults, *_status_rules(stack, conditions.statuses)])
        processes = ProcessManager(
            ROOT / "Procfile", env=environment, cwd=ROOT, names=_names(), on_line=_log_to(data / "workers.log")
        )
        processes.start()
        stack.callback(processes.stop)
        say(f"{scenario.name}: {scenario.about}")
        yield Lab(services, simulator, processes, environment)


def _become(environment: dict[str, str]) -> None:
    """Gives this process the settings of the laboratory; each scenario has new ports and keys."""
    os.environ.update(environment)
    config.reset()
    db.reset()


def _status_rules(stack: ExitStack, statuses: bool) -> list[dict[str, Any]]:
    if not statuses:
        return []
    receiver = StatusReceiver()
    stack.callback(receiver.stop)
    rule = {"fault": "statuses", "url": receiver.url, "delay_ms": 200, "statuses": ["sent", "delivered"]}
    return [{"kind": kind, **rule} for kind in ("graph", "waha")]


def _names() -> list[str]:
    return [*queues.MODULES.values(), "maintenance", "scheduler"]


def _log_to(path: Path) -> Callable[[str, str], None]:
    log = path.open("a", buffering=1)

    def write(name: str, line: str) -> None:
        print(name, line.rstrip(), file=log)

    return write


def _suffer(lab: Lab, scenario: Scenario, messages: int, seed: int, say: Say) -> Audit:
    blows: list[str] = []
    stopping = threading.Event()

    def did(what: str) -> None:
        blows.append(what)
        say(f"  {what}")

    target = Target(lab.services, lab.processes, random.Random(seed), did, stopping, lambda: _answered() / messages)
    harms = [threading.Thread(target=one, args=(target,), daemon=True) for one in scenario.harms]
    producers = [_producer(lab, scenario, messages, seed) for _ in range(scenario.copies)]
    if scenario.ai_pause:
        copies = _without_ai(lab, scenario.ai_pause, say)
    for thread in harms:
        thread.start()
    _wait_for_load(producers, messages, say)
    stopping.set()
    for thread in harms:
        thread.join()
    _wait_until_idle(messages, say)
    poisoned = messages // scenario.poison_every if scenario.poison_every else 0
    result = audit(scenario.name, messages, poisoned, lab.simulator.record())
    result.blows, result.longest_shutdown = len(blows), max(target.shutdowns, default=0.0)
    if scenario.ai_pause:
        result.redis_copies = copies
        if copies:
            result.wrong.append(f"redis held {copies} second copies")
    if scenario.harms == (deploy,) and result.longest_shutdown >= PLATFORM_PATIENCE:  # frozen or killed, none could end
        result.wrong.append("a worker did not end by itself and was killed")
    return result


def _producer(lab: Lab, scenario: Scenario, messages: int, seed: int) -> subprocess.Popen[bytes]:
    arguments = [str(messages), str(seed), str(scenario.poison_every)]
    environment = {**lab.environment, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "scripts.local.chaos.producer", *arguments], env=environment, cwd=ROOT)


def _without_ai(lab: Lab, seconds: float, say: Say) -> int:
    """Lets a backlog grow and wait; returns how many ids Redis held more than once."""
    lab.processes.stop_one("ai")
    say(f"  no AI worker for {seconds:.0f} s")
    time.sleep(seconds)
    client = redis.Redis.from_url(lab.environment["REDIS_URL"])
    held = [name for lane in queues.lanes(queues.Queue.AI).values() for name in client.lrange(f"dramatiq:{lane}", 0, -1)]
    say(f"  {len(held)} AI jobs wait in Redis, {len(set(held))} of them different")
    lab.processes.start_one("ai")
    return len(held) - len(set(held))


def _wait_for_load(producers: list[subprocess.Popen[bytes]], messages: int, say: Say) -> None:
    """Until everything is enqueued and nine in ten are answered: the harm falls where the work is."""
    for producer in producers:
        if producer.wait(PATIENCE) != 0:
            raise RuntimeError("the producer failed; see its output above")
    deadline = time.monotonic() + PATIENCE
    while _answered() < 0.9 * messages and time.monotonic() < deadline:
        time.sleep(0.5)
    say(f"  {_answered()} of {messages} answered; no more harm")


def _wait_until_idle(messages: int, say: Say) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        open_jobs = _patient("select count(*) from job where closed_at is null and id > 0")
        if open_jobs == 0 and _patient("select count(*) from message where role = 'user'") >= messages:
            return
        time.sleep(0.5)
    say("  gave up waiting: jobs are still open")


def _answered() -> int:
    return _patient("select count(*) from message where role = 'assistant' and status <> 'PENDING'")


def _patient(sql: str) -> int:
    return int(db.retry_on_outage(lambda: db.scalar(sql), patience=60))
