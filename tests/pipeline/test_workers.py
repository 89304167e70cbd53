"""The Procfile's own command lines as real processes, and what happens when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psutil
import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db, queues
from tests.builders import World, times_claimed
from tests.pipeline.processes import ROOT, idle, running
from tests.waiting import until


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    """What the processes of `workers` have logged, each line with the name of its process type."""
    return []


@pytest.fixture
def lease() -> int:
    """Seconds of a lease: so many that no machine is too slow to renew it."""
    return 60


@pytest.fixture
def workers(environment: dict[str, str], lines: list[tuple[str, str]], lease: int) -> Iterator[ProcessManager]:
    """The stages of a message of the widget or of WhatsApp, and the housekeeping."""

    def keep(name: str, line: str) -> None:
        lines.append((name, line))

    names, often = ("incoming", "ai", "outgoing", "whatsapp_cloud", "maintenance"), {"SWEEP_INTERVAL_SECONDS": "1"}
    with running(*names, on_line=keep, JOB_LEASE_SECONDS=str(lease), **often) as processes:
        yield processes


@pytest.fixture
def all_types(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """All stages and the housekeeping, in processes of their own."""
    with running(*queues.MESSAGE_PROCESSES, "maintenance", "scheduler", JOB_LEASE_SECONDS="60") as processes:
        yield processes


@pytest.fixture
def small(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """All stages in one process with four threads."""
    with running("worker", WORKER_THREADS="4") as processes:
        yield processes


@pytest.mark.parametrize("way", ["all_types", "small"])
def test_messages_go_through_all_queues(world: World, way: str, request: pytest.FixtureRequest, simulator: Simulator) -> None:
    workers: ProcessManager = request.getfixturevalue(way)
    world.endpoint(world.customer)
    for channel, user in (("widget", "v-1"), ("whatsapp_cloud", "4912345"), ("whatsapp_qr", "4912346")):
        world.say(channel=channel, user=user)
    until(lambda: len(world.messages(role="assistant")) == 3 and idle())
    assert [m["status"] for m in world.messages(role="assistant")] == ["SENT"] * 3
    assert {job["queue"] for job in world.jobs(state="completed")} == {
        queue.value
        for queue, process_type in queues.PROCESS_TYPES.items()
        if process_type in queues.MESSAGE_PROCESSES and process_type not in ("media", "telegram")
    }
    calls = {kind: seen["accepted"] for kind, seen in simulator.counts().items()}
    assert calls.pop("typing", 0) <= 4, "at both accounts, as long as there is time for it"
    assert calls == {"ai": 3, "graph": 1, "waha": 1, "webhook": 9}, "three events of each message"
    assert not any(workers.restarts().values())


@pytest.mark.parametrize("lease", [5])  # a kill is noticed soon
def test_a_worker_killed_in_the_middle_of_a_call_loses_nothing(
    world: World, workers: ProcessManager, simulator: Simulator
) -> None:
    simulator.faults([{"kind": "ai", "fault": "hold", "times": 1}])
    world.say(channel="whatsapp_cloud", user="4912345")
    until(simulator.faults_are_drawn)
    workers.kill("ai")
    until(lambda: world.messages(role="assistant", status="SENT") and idle())
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["lost_claims"]) == ("completed", 1)
    assert len(world.messages(role="assistant")) == 1
    assert simulator.counts()["graph"]["accepted"] == 1


def test_a_worker_that_dies_is_replaced_and_its_work_taken_over_at_once(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "hold", "times": 1}])
    with running("incoming", "ai", JOB_LEASE_SECONDS="600") as manager:  # nobody waits for its end, and nobody sweeps
        world.say()
        until(simulator.faults_are_drawn)
        [child] = psutil.Process(manager.pids("ai")[0]).children()
        child.kill()
        until(lambda: world.jobs(queue="ai-processing", state="completed"))
        [done] = world.jobs(queue="ai-processing")
        assert (done["lost_claims"], manager.restarts()["ai"]) == (1, 0)


@pytest.mark.parametrize("lease", [5])
def test_a_slow_call_is_not_taken_over(world: World, workers: ProcessManager, simulator: Simulator, lease: int) -> None:
    simulator.faults([{"kind": "ai", "fault": "hold", "times": 1}])
    world.say()
    until(simulator.faults_are_drawn)
    [job] = world.jobs(queue="ai-processing")
    until(lambda: world.jobs(id=job["id"])[0]["lease_until"] > job["lease_until"] + timedelta(seconds=lease))
    simulator.clear_faults()
    until(lambda: world.messages(role="assistant", status="SENT") and idle())
    [job] = world.jobs(queue="ai-processing")
    assert (times_claimed(job), job["lost_claims"]) == (1, 0)
    assert simulator.counts()["ai"]["accepted"] == 1


def test_a_sigterm_hands_an_unfinished_call_back(world: World, simulator: Simulator) -> None:
    with asking(world, simulator, shutdown_ms=500) as supervisor:
        supervisor.terminate()
        assert supervisor.wait(120) == 0
    world.drain()
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], times_claimed(job), job["attempts"], job["lost_claims"]) == ("completed", 2, 1, 0)


@contextmanager
def asking(world: World, simulator: Simulator, shutdown_ms: int) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor whose worker asks an AI that does not answer; nobody waits for the end of its lease."""
    simulator.faults([{"kind": "ai", "fault": "hold", "times": 1}])
    world.say()
    world.run(world.jobs()[0]["id"])
    command = [sys.executable, "-m", "shared.jobs.supervisor", "dramatiq", "workers.ai", "--processes", "1", "--threads", "1"]
    limit, environment = ["--worker-shutdown-timeout", str(shutdown_ms)], {**os.environ, "JOB_LEASE_SECONDS": "600"}
    with subprocess.Popen([*command, *limit], cwd=ROOT, env=environment) as supervisor:
        until(lambda: world.jobs(queue="ai-processing", state="active"))
        yield supervisor


def test_an_ai_that_hangs_does_not_stop_the_stages_beside_it(world: World, small: ProcessManager, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "hold"}])
    for number in range(8):  # more than there are threads
        world.say(user=f"v-{number}")
    until(lambda: len(world.jobs(queue="ai-processing", state="active")) == 2)  # half of the threads
    world.say(user="v-8")
    until(lambda: len(world.messages(role="user")) == 9)
    assert len(world.jobs(queue="ai-processing", state="active")) == 2
    small.kill("worker")


def test_a_broken_job_spoils_none_that_is_done_together_with_it(world: World) -> None:
    for number in range(40):
        world.say(user=f"v-{number}")
    broken = [world.jobs(queue="incoming-messages")[number]["id"] for number in (5, 17)]
    db.rows('update job set payload = payload || \'{"message_id": "no number"}\' where id = %s', [broken[0]])
    db.rows("update job set payload = payload || '{\"chatbot_id\": 0}' where id = %s", [broken[1]])
    with running("incoming", INCOMING_THREADS="2"):
        until(lambda: all(job["closed_at"] for job in world.jobs(queue="incoming-messages")))
    jobs = {job["id"]: job for job in world.jobs(queue="incoming-messages")}
    assert {number for number, job in jobs.items() if job["state"] == "failed"} == set(broken)
    assert {job["attempts"] for number, job in jobs.items() if number not in broken} == {1}, "none of them failed"
    assert len(world.messages(role="user")) == 38


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_platform_may_signal_every_process_of_a_type_at_once(
    world: World, workers: ProcessManager, lines: list[tuple[str, str]], simulator: Simulator, number: signal.Signals
) -> None:
    simulator.faults([{"kind": "ai", "fault": "latency", "ms": 4_000, "times": 1}])
    world.say()
    until(lambda: world.jobs(queue="ai-processing", state="active"))
    supervisor, *others = workers.pids("ai")  # the worker, and what it may have for jobs that run alone
    before = {supervisor, *others}
    [worker] = [child.pid for child in psutil.Process(supervisor).children()]
    os.kill(worker, number)
    if number != signal.SIGQUIT:  # which it leaves to its supervisor
        until(lambda: any(name == "ai" and "Stopping worker process" in line for name, line in lines))
    os.kill(supervisor, number)  # sends its worker a second one
    until(lambda: not before & set(workers.pids("ai")))
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], times_claimed(job), job["lost_claims"]) == ("completed", 1, 0)


def test_a_second_signal_gives_back_what_a_worker_has_in_hand(world: World, simulator: Simulator) -> None:
    with asking(world, simulator, shutdown_ms=600_000) as supervisor:

        def has_ended() -> bool:  # within some seconds another signal is the same one
            supervisor.terminate()
            return supervisor.poll() is not None

        until(has_ended)
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["attempts"], job["lost_claims"]) == ("waiting", 0, 0)


def test_a_worker_killed_while_it_boots_is_started_again(world: World) -> None:
    world.say()
    with running("incoming") as manager:
        until(lambda: len(manager.pids("incoming")) == 2)
        [child] = psutil.Process(manager.pids("incoming")[0]).children()
        child.kill()
        until(lambda: world.jobs(queue="incoming-messages", state="completed"))
        assert manager.restarts()["incoming"] == 0, "the supervisor replaced it"
    assert [message["role"] for message in world.messages()] == ["user"]
    [job] = world.jobs(queue="incoming-messages")
    assert job["lost_claims"] == 0, "it was killed before it had begun"


def test_a_worker_that_dies_before_anybody_waits_for_it_is_replaced(world: World) -> None:
    """Its supervisor took it for the end of all workers, and ended itself."""
    world.say()
    command = [sys.executable, "-c", DEATH_AT_ONCE, "dramatiq", "workers.incoming", "--processes", "1", "--threads", "1"]
    with subprocess.Popen(command, cwd=ROOT) as supervisor:
        until(lambda: world.jobs(queue="incoming-messages", state="completed"))
        assert supervisor.poll() is None
        supervisor.terminate()
        assert supervisor.wait(60) == 0


#: Runs the supervisor; its first worker is dead before the supervisor has turned to it.
DEATH_AT_ONCE = """
import os, signal, sys
from shared.jobs import supervisor

start = supervisor.Supervisor._fill

def start_and_kill(self, slot):
    start(self, slot)
    if not slot.died:
        os.kill(slot.worker.process.pid, signal.SIGKILL)
        slot.worker.process.join()

supervisor.Supervisor._fill = start_and_kill
sys.exit(supervisor.main())
"""


def test_a_machine_without_a_process_left_is_waited_for(world: World) -> None:
    """A fork that failed ended the supervisor, and with it the stage."""
    world.say()
    command = [sys.executable, "-c", NO_PROCESS_LEFT, "dramatiq", "workers.incoming", "--processes", "1", "--threads", "1"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as supervisor:
        until(lambda: world.jobs(queue="incoming-messages", state="completed"))
        assert supervisor.poll() is None
        supervisor.terminate()
        said = supervisor.communicate(timeout=120)[1]
    assert supervisor.returncode == 0
    assert said.count("the machine starts no worker, tried again in 0 s: ") == 3


#: Runs the supervisor; the machine refuses the first worker, the one that replaces it, which a signal kills, and its standby.
NO_PROCESS_LEFT = """
import errno, os, signal, sys
from shared.jobs import supervisor

refused, fork, start = iter([True, False, True, True, False, True]), os.fork, supervisor.Supervisor._fill

def fork_or_refuse():
    if next(refused, False):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()

def start_and_kill(self, slot):
    start(self, slot)
    if not slot.died:
        os.kill(slot.worker.process.pid, signal.SIGKILL)

os.fork, supervisor.Supervisor._fill, supervisor.RESTART_PAUSE = fork_or_refuse, start_and_kill, (0.0, 0.1)
sys.exit(supervisor.main())
"""
