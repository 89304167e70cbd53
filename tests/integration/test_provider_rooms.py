"""A chatbot's own provider that hangs: its customer has a few threads, its people hear the fallback, and nobody else waits."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.ai import provider
from shared.ai.failover import Failover
from shared.db import credentials
from shared.http.bulkhead import MAX_SLOTS, Bulkhead, customer_room
from tests.builders import World
from tests.waiting import until

_people = itertools.count()


@pytest.fixture
def ai(world: World) -> ModuleType:
    """The stage's module."""
    return importlib.import_module("workers.ai")


@pytest.fixture
def fresh(world: World, ai: ModuleType, monkeypatch: pytest.MonkeyPatch) -> World:
    """The stage has called nobody yet."""
    threads = ai._failover.bulkhead._threads
    monkeypatch.setattr(ai, "_failover", Failover(Bulkhead(threads, no_response=(provider.NoAnswer,))))
    return world


def own_provider(world: World) -> tuple[int, int]:
    """A customer whose chatbot has a provider of its own."""
    return world.tenant(12_000, provider_base_url=f"{world.simulator.url}/v1", provider_api_key=credentials.encrypt("sk-own"))


def ask(world: World, chatbot: int, people: int, meanwhile: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
    """So many people write to a chatbot, and all of its jobs run once, at the same moment; `meanwhile` is done beside them."""
    for _ in range(people):
        world.say("When do you ship?", user=f"v-{next(_people)}", chatbot_id=chatbot)
    for job in world.jobs(queue="incoming-messages", state="waiting"):
        world.run(job["id"])
    jobs = [job["id"] for job in world.jobs(queue="ai-processing", state="waiting")]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(world.run, job) for job in jobs]
        meanwhile()
        for one in running:
            one.result()
    return [job for job in world.jobs(queue="ai-processing") if job["id"] in jobs]


def test_a_provider_that_hangs_takes_ever_fewer_threads_of_its_customer_alone(fresh: World, simulator: Simulator) -> None:
    _, chatbot = own_provider(fresh)
    simulator.faults([{"kind": "ai", "fault": "hold"}, {"kind": "ai", "fault": "reset_after"}])

    def hang_until_the_others_were_refused() -> None:
        until(lambda: len(fresh.jobs(queue="ai-processing", state="delayed")) == 60 - MAX_SLOTS)
        simulator.faults([{"kind": "ai", "fault": "reset_after"}])  # also for a call that is on its way

    jobs = ask(fresh, chatbot, 60, hang_until_the_others_were_refused)
    simulator.clear_faults()
    hung = [job for job in jobs if job["attempts"] == 1]
    refused = [job for job in jobs if job["attempts"] == 0]
    assert (len(hung), len(refused)) == (MAX_SLOTS, 60 - MAX_SLOTS)
    assert {job["state"] for job in jobs} == {"delayed"}, "no room costs no attempt"
    assert all("has 32 calls without a response" in job["last_error"] for job in refused)
    assert {job["state"] for job in ask(fresh, fresh.chatbot, 40)} == {"completed"}, "the operator's provider has no room"
    again = ask(fresh, own_provider(fresh)[1], 20)
    assert {job["state"] for job in again} == {"completed"}, "another customer, at the same address"


def test_who_finds_no_room_at_a_provider_that_hangs_hears_the_fallback_in_time(
    fresh: World, ai: ModuleType, simulator: Simulator
) -> None:
    _, chatbot = own_provider(fresh)
    simulator.faults([{"kind": "ai", "fault": "reset_after"}])
    ask(fresh, chatbot, MAX_SLOTS)
    [hanging] = [room for room in ai._failover.bulkhead._rooms if room.what == "the chatbot's provider"]
    with ai._failover.bulkhead.slot(hanging, age=0):
        [job] = ask(fresh, chatbot, 1)
        assert (job["state"], job["attempts"]) == ("delayed", 0)
        db.rows(
            "update job set state = 'waiting', run_at = null, started_at = started_at - interval '59 s' where id = %s",
            [job["id"]],
        )
        fresh.run(job["id"])
    [job] = fresh.jobs(id=job["id"])
    assert job["state"] == "failed"
    assert "AI_PATIENCE_SECONDS" in job["last_error"]


def test_many_questions_to_a_provider_that_answers_are_not_given_up(fresh: World, ai: ModuleType) -> None:
    _, chatbot = own_provider(fresh)
    ask(fresh, chatbot, 1)
    customer = db.scalar("select customer_id from chatbot where id = %s", [chatbot])
    with ExitStack() as stack:
        for _ in range(MAX_SLOTS):
            stack.enter_context(ai._failover.bulkhead.slot(customer_room(customer), age=0))
        [job] = ask(fresh, chatbot, 1)
        for age in ("59 s", "10 minutes"):
            assert (job["state"], job["attempts"]) == ("delayed", 0)
            set_back = "update job set state = 'waiting', run_at = null, started_at = started_at - %s::interval where id = %s"
            db.rows(set_back, [age, job["id"]])
            fresh.run(job["id"])
            [job] = fresh.jobs(id=job["id"])
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job["id"]])
    fresh.run(job["id"])
    assert fresh.jobs(id=job["id"])[0]["state"] == "completed"
