"""Races in the engine that a cold reading of it found. Each is forced here."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import health
from shared.channels.outcomes import Reason
from tests.builders import World
from tests.integration.test_channel_health import account, queue_replies
from tests.integration.test_ledger_races import another_session, until_waiting


def claim(session: Any, job: dict[str, Any]) -> None:
    """Claims a job for another worker, in a transaction that is open."""
    how = {"worker": "another", "lease": 60, "clock_skew": 0.05, "at_most_once": False, "durable": False, "begun": 0}
    session.execute("select job_id from job_claim_v2(%s, %s)", [job["queue"], json.dumps([how | {"n": 0, "job_id": job["id"]}])])
    assert session.rowcount == 1


def hold_two(world: World, simulator: Simulator) -> list[dict[str, Any]]:
    """Replies that are held, as their account cannot send; the first of them comes back to try it."""
    jobs = queue_replies(world, users=2)
    simulator.faults([{"kind": "graph", "fault": "revoked"}])
    for job in jobs:
        world.run(job["id"])
    simulator.clear_faults()
    return jobs


def test_a_message_that_comes_while_the_one_before_is_claimed_gets_a_job_of_its_own(world: World) -> None:
    db.rows("update chatbot set debounce_seconds = 5")
    world.say("one")
    world.drain()
    [answer] = world.jobs(queue="ai-processing")
    db.rows("update job set run_at = clock_timestamp() where id = %s", [answer["id"]])
    new = {"queue": "ai-processing", "ordering_key": answer["ordering_key"], "payload": answer["payload"]}
    debounced = [new | {"message_id": answer["message_id"], "delay_seconds": 5, "debounce": True}]
    with another_session() as claiming, ThreadPoolExecutor(1) as pool:
        claim(claiming, answer)
        added = pool.submit(db.scalar, "select job_add_v1(%s)", [json.dumps(debounced)])
        until_waiting(1)
        claiming.connection.commit()
        assert added.result(45) == [], "it is held behind the one that runs"
    assert [(job["state"], job["held"]) for job in world.jobs(queue="ai-processing")] == [("active", False), ("delayed", True)]


@pytest.mark.parametrize("ask", [health.retry, health.came_back])
def test_another_reply_tries_an_account_than_the_one_that_is_claimed_at_this_moment(
    world: World, simulator: Simulator, ask: Callable[[health.Account], object]
) -> None:
    oldest, next_one = hold_two(world, simulator)
    db.rows("update channel_health set reason = %s", [Reason.NOT_ACKNOWLEDGED])  # a call that passes says nothing of those
    db.rows("update job set run_at = clock_timestamp() where id = %s", [oldest["id"]])
    with another_session() as claiming, ThreadPoolExecutor(1) as pool:
        claim(claiming, oldest)
        asked = pool.submit(ask, replace(account(world), health={"reason": Reason.NOT_ACKNOWLEDGED}))
        while not asked.done() and not db.scalar("select count(*) from pg_locks where not granted"):
            pass
        claiming.connection.commit()
        asked.result(45)
    probe = "select id from job where state = 'delayed' and run_at <= (select probe_at + interval '1 second' from channel_health)"
    assert [row["id"] for row in db.rows(probe)] == [next_one["id"]]
