"""PostgreSQL crashes before a claim is on its disk, and forgets it: whoever has that claim does not end the next one."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.jobs.ledger import leases
from shared.queues import Queue
from tests.builders import World
from tests.waiting import until


@contextmanager
def _unwritten() -> Iterator[None]:
    """PostgreSQL crashes at the end of the block, loses what was committed asynchronously meanwhile, and recovers by itself."""
    db.rows("checkpoint")
    writer = _writer()
    assert writer
    os.kill(writer, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(writer, signal.SIGKILL)
    until(lambda: _writer() not in (None, writer), "PostgreSQL to recover")


def _writer() -> int | None:
    """The process that writes asynchronous commits to the log."""
    pid = db.retry_on_outage(lambda: db.scalar("select pid from pg_stat_activity where backend_type = 'walwriter'"), 60)
    return cast(int | None, pid)


def _claim_elsewhere(job_id: int) -> None:
    """Another worker takes the job."""
    how = {"worker": "another", "lease": 60, "clock_skew": 0.05, "at_most_once": False, "durable": False, "begun": 0}
    assert db.rows("select claim from job_claim_v3('ai-processing', %s)", [json.dumps([how | {"n": 0, "job_id": job_id}])])


@pytest.fixture
def job_id(world: World, simulator: Simulator) -> Iterator[int]:
    """An AI job. This process asks the AI for it, which is going to fail, under a claim that PostgreSQL has forgotten; another
    worker has claimed it since."""
    world.say()
    world.run(world.jobs()[0]["id"])
    [job] = world.jobs(queue=Queue.AI)
    simulator.faults([{"kind": "ai", "fault": "hold", "times": 1}, {"kind": "ai", "fault": "status", "status": 503}])
    with _unwritten():
        running = threading.Thread(target=world.run, args=[job["id"]])
        running.start()
        until(simulator.faults_are_drawn)
    try:
        assert _state_of(world, job["id"]) == ("waiting", None), "the claim is forgotten"
        _claim_elsewhere(job["id"])
        yield job["id"]
    finally:
        simulator.clear_faults()
        running.join(60)


def _state_of(world: World, job_id: int) -> tuple[Any, Any]:
    [job] = world.jobs(id=job_id)
    return job["state"], job["claimed_by"]


def test_a_failure_under_a_forgotten_claim_does_not_end_the_next_one(job_id: int, world: World, simulator: Simulator) -> None:
    simulator.clear_faults()
    until(lambda: not leases._snapshot()[0], "the failure to be recorded, or not")
    assert _state_of(world, job_id) == ("active", "another")


def test_a_shutdown_under_a_forgotten_claim_does_not_give_the_next_one_back(job_id: int, world: World) -> None:
    assert leases.release_all() == []
    assert _state_of(world, job_id) == ("active", "another")


def test_the_numbers_of_claims_have_no_end(world: World) -> None:
    world.say()
    world.run(world.jobs()[0]["id"])
    [job] = world.jobs(queue=Queue.AI)
    db.rows("update job set claims = 500000 * 4096 + 4095 where id = %s", [job["id"]])
    _claim_elsewhere(job["id"])
    [claimed] = world.jobs(id=job["id"])
    assert 4096 <= claimed["claims"] < 2 * 4096
