"""Providers of all kinds through the worker: answers that cannot be sent are bought once and booked; others are understood."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from tests.builders import World

USAGE = {"prompt_tokens": 120, "completion_tokens": "500"}


def answers(simulator: Simulator, message: dict[str, Any], finish_reason: str, **more: Any) -> None:
    """From now on the AI answers so."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    body = {"id": "c-1", "model": "m-1", "choices": [choice], "usage": USAGE, **more}
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": body}])


@pytest.mark.parametrize(
    ("message", "finish_reason", "says"),
    [
        ({"content": ""}, "stop", "an empty reply (finish_reason stop)"),
        ({"content": None, "reasoning_content": "The margin is 40 %."}, "length", "raise the chatbot's max_tokens"),
        ({"content": "<think>The margin is 40 %."}, "length", "raise the chatbot's max_tokens"),
        ({"content": "We ship"}, "content_filter", "the answer was filtered (finish_reason content_filter)"),
        ({"content": None, "tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]}, "tool_calls", "an empty reply"),
    ],
)
def test_an_answer_that_is_of_no_use_is_bought_once_and_booked(
    world: World, simulator: Simulator, message: dict[str, Any], finish_reason: str, says: str
) -> None:
    answers(simulator, message, finish_reason)
    question = world.say()
    world.drain()
    world.dead_letters()
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["attempts"], len(simulator.record("ai"))) == ("failed", 1, 1)
    assert says in job["last_error"]
    assert "margin" not in str(world.messages(id=question)[0]["error"])
    [reply] = world.messages(role="assistant")
    assert reply["content"] == "We are busy."
    booked = db.rows("select message_id, quantity, prompt_tokens, completion_tokens, model from usage_log where kind = 'ai'")
    assert booked == [{"message_id": question, "quantity": 1, "prompt_tokens": 120, "completion_tokens": 500, "model": "m-1"}]


def test_what_several_tries_cost_is_added_up(world: World, simulator: Simulator) -> None:
    answers(simulator, {"content": ""}, "stop")
    question = world.say()
    world.drain()
    job = world.jobs(queue="ai-processing")[0]["id"]
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job])  # as an operator's requeue
    world.drain()
    booked = db.row("select message_id, quantity, prompt_tokens, completion_tokens from usage_log where kind = 'ai'")
    assert booked == {"message_id": question, "quantity": 2, "prompt_tokens": 240, "completion_tokens": 1000}


def test_a_refusals_own_words_are_sent(world: World, simulator: Simulator) -> None:
    answers(simulator, {"content": None, "refusal": "I cannot help with that."}, "stop")
    world.say()
    world.drain()
    [reply] = world.messages(role="assistant")
    assert (reply["content"], reply["metadata"]["finish_reason"]) == ("I cannot help with that.", "refusal")


@pytest.mark.parametrize(
    "name", ["alternating_roles", "reasoning_model", "without_system_role", "streams_only", "think_tags", "content_parts"]
)
def test_a_long_conversation_with_a_provider_of_another_kind(world: World, simulator: Simulator, name: str) -> None:
    simulator.faults([{"kind": "ai", "fault": "provider", "provider": name}])
    for number in range(8):
        world.say(f"When do you ship order {number}?")
        if number % 3 == 0:
            world.say("I mean the last one.")
        world.drain()
    replies = world.messages(role="assistant")
    assert len(replies) == 11
    assert not [reply for reply in replies if "fallback" in reply["metadata"]]
    assert not [reply for reply in replies if "margin" in reply["content"]]
