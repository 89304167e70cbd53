"""A customer whose searches take long keeps nobody waiting: they are made after the claim, in a room of the customer's own."""

from __future__ import annotations

import importlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest

from shared import db
from shared.ai.search import _connections_for, search
from shared.http.bulkhead import Room
from shared.models import Chatbot
from tests.builders import World
from tests.waiting import until

_people = itertools.count()

QUESTION = "How much is the roast coffee of farm 7, please? "


@pytest.fixture
def ai(world: World) -> ModuleType:
    """The stage's module."""
    return importlib.import_module("workers.ai")


def base_of(chatbot: int) -> int:
    return int(db.scalar(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == chatbot)))


@pytest.fixture
def large(world: World) -> tuple[int, int]:
    """A customer whose base is large, and its chatbot."""
    customer, chatbot = world.tenant()
    db.rows(
        "insert into knowledge_item (knowledge_base_id, title, content) select %s, 'Farm ' || n, 'Roast coffee, price ' || n"
        " from generate_series(1, 600) n",
        [base_of(chatbot)],
    )
    return customer, chatbot


def asked(world: World, chatbot: int, text: str = QUESTION) -> int:
    """The job of a question's answer."""
    world.say(text, user=f"v-{next(_people)}", chatbot_id=chatbot)
    world.run(world.jobs(queue="incoming-messages", state="waiting")[-1]["id"])
    return int(world.jobs(queue="ai-processing", state="waiting")[-1]["id"])


def loaded(world: World, job_id: int) -> dict[str, Any]:
    """What its claim read."""
    context = world.claim(job_id).loaded
    assert context is not None
    return context


def test_a_claim_searches_where_that_is_quick_and_no_longer(world: World, large: tuple[int, int]) -> None:
    quick = loaded(world, asked(world, world.chatbot, "When do you ship?"))
    assert (quick["is_searched"], quick["items"][0]["title"]) == (True, "Shipping")
    of_many_items = loaded(world, asked(world, large[1]))
    assert (of_many_items["is_searched"], of_many_items["items"]) == (False, None)
    chatbot = world.tenant()[1]
    for number in range(10):
        world.know(base_of(chatbot), f"Farm {number}", "Roast coffee")
    assert loaded(world, asked(world, chatbot))["is_searched"]
    long = loaded(world, asked(world, chatbot, QUESTION * 80))
    assert (long["is_searched"], long["items"]) == (False, None)


def test_what_the_claim_did_not_search_for_is_found_afterwards(world: World, large: tuple[int, int]) -> None:
    world.run(asked(world, large[1]))
    [reply] = world.messages(role="assistant")
    assert "price 7" in reply["content"], "the simulator's model repeats what it was given"


def test_one_customers_searches_have_a_room_and_wait_without_an_attempt(
    world: World, ai: ModuleType, large: tuple[int, int]
) -> None:
    customer, chatbot = large
    other = world.tenant()[1]
    world.know(base_of(other), "Roast coffee", "Seven euros. " * 3_000)
    with ExitStack() as rooms:
        for _ in range(ai.MAX_SEARCHES):
            rooms.enter_context(ai._searches.slot(Room("the customer's knowledge search", customer), age=0))
        refused, answered = asked(world, chatbot), asked(world, other, QUESTION * 80)
        world.run(refused)
        world.run(answered)
    [job] = world.jobs(id=refused)
    assert (job["state"], job["attempts"], job["started_at"]) == ("delayed", 0, None), "it does not wait for a provider"
    assert world.jobs(id=answered)[0]["state"] == "completed", "another customer has a room of its own"
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [refused])
    world.run(refused)
    assert world.jobs(id=refused)[0]["state"] == "completed"


def test_one_customers_searches_leave_connections_for_others(world: World, large: tuple[int, int]) -> None:
    with ExitStack() as connections, ThreadPoolExecutor(1) as pool:
        for _ in range(4):  # half of DB_POOL_SIZE
            connections.enter_context(_connections_for(large[0]))
        waiting = pool.submit(search, base_of(large[1]), QUESTION)
        until(lambda: waiting.running())
        assert search(base_of(world.chatbot), "When do you ship?")[0]["title"] == "Shipping"
        assert not waiting.done()
        connections.close()
        assert waiting.result()[0]["title"] == "Farm 7"


def test_what_a_model_searches_for_needs_the_same_room(world: World, ai: ModuleType) -> None:
    call = {"name": "search_knowledge", "arguments": '{"query": "velocipedes"}'}
    searches = {"choices": [{"message": {"tool_calls": [{"function": call}]}, "finish_reason": "tool_calls"}]}
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": searches, "times": 1}])
    job_id = asked(world, world.chatbot, "Do you sell bicycles, and which?")
    with ExitStack() as rooms:
        for _ in range(ai.MAX_SEARCHES):
            rooms.enter_context(ai._searches.slot(Room("the customer's knowledge search", world.customer), age=0))
        world.run(job_id)
    [job] = world.jobs(id=job_id)
    assert (job["state"], job["attempts"], job["started_at"] is None) == ("delayed", 0, False), "a provider was called"
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job_id])
    world.run(job_id)
    assert world.jobs(id=job_id)[0]["state"] == "completed"
