"""Replies from the provider's first word to the page: as they come, cut in the middle, and from the next provider."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import profiles
from shared.db.credentials import encrypt
from shared.models import Chatbot, ChatbotProvider
from shared.queues import Queue
from tests.builders import World
from tests.integration.widget_page import Page
from tests.pipeline.test_workers import until
from tests.site import read_events

ANSWER = "Thanks for asking! We ship within two days."
SHOWN = {"kind": "ai", "fault": "pace", "ms": 60}


@contextmanager
def looking(page: Page) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of an open page, whose stream the workers know of."""
    with page.stream() as answer:
        until(lambda: db.scalar("select count(*) from open_page") == 1)
        yield read_events(answer)


def answered(world: World) -> threading.Thread:
    """Whatever may run runs, beside the test."""
    thread = threading.Thread(target=world.drain)
    thread.start()
    return thread


def draft_and_message(events: Iterator[dict[str, Any]]) -> tuple[list[str], str]:
    """What the page showed at each event of a draft, and the message that took its place."""
    shown = [""]
    for event in events:
        if event.get("role") == "assistant":
            return shown[1:], event["content"]
        if "role" not in event:
            shown.append(shown[-1] + event["more"] if "more" in event else event["text"])
    raise AssertionError("no message came")


def retry_now(world: World) -> None:
    db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
    [job] = world.jobs(queue=Queue.AI)
    world.run(job["id"])
    world.drain()


def test_words_are_shown_as_they_come(world: World, page: Page, simulator: Simulator) -> None:
    simulator.faults([SHOWN])
    with looking(page) as events:
        page.say()
        running = answered(world)
        shown, message = draft_and_message(events)
        running.join()
    assert message == ANSWER
    assert len(shown) >= 3
    assert all(ANSWER.startswith(text) for text in shown)
    assert shown == sorted(shown, key=len)
    usage = db.row("select prompt_tokens, completion_tokens from usage_log where kind = 'ai'")
    assert usage is not None
    assert usage["completion_tokens"] == len(f"{ANSWER} [1]") // 4, "as the provider counts, which cites"
    assert db.scalar("select count(*) from reply_draft") == 0


@pytest.mark.parametrize("by", ["close", "reset", "silence"])
def test_a_provider_that_dies_in_mid_stream_is_asked_again(
    world: World, page: Page, simulator: Simulator, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_TIMEOUT_SECONDS", "3")
    config.reset()
    simulator.faults([SHOWN, {"kind": "ai", "fault": "cut", "by": by, "times": 1}])
    with looking(page) as events:
        page.say()
        world.drain()
        [job] = world.jobs(queue=Queue.AI)
        assert (job["state"], job["attempts"]) == ("delayed", 1)
        assert ANSWER.startswith(db.scalar("select text from reply_draft")), "it stays until there is more"
        retry_now(world)
        shown, message = draft_and_message(events)
    assert (message, len(world.messages(role="assistant"))) == (ANSWER, 1)
    assert all(ANSWER.startswith(text) for text in shown)
    assert db.scalar("select count(*) from usage_log where kind = 'ai'") == 1
    assert db.scalar("select count(*) from reply_draft") == 0


def test_another_provider_starts_the_draft_over(world: World, page: Page, simulator: Simulator) -> None:
    broken = 'data: {"choices": [{"delta": {"content": "Wrong words"}}]}\n\n'
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": broken, "match": "/first/"}, SHOWN])
    first, second = ({"base_url": f"{simulator.url}/{path}/v1", "api_key": encrypt("sk")} for path in ("first", "second"))
    own = {Chatbot.provider_base_url: first["base_url"], Chatbot.provider_api_key: first["api_key"]}
    db.rows(Chatbot.update(own).where(Chatbot.id == world.chatbot))
    db.rows(ChatbotProvider.insert(chatbot=world.chatbot, position=2, model="m", **second))
    with looking(page) as events:
        page.say()
        running = answered(world)
        shown, message = draft_and_message(events)
        running.join()
    assert message == ANSWER
    assert shown[-1] in ANSWER
    assert [record["path"].split("/")[1] for record in simulator.record("ai")] == ["first", "second"]


REFUSALS = {
    "stream_options": ({"message": "Unknown parameter: 'stream_options'."}, {"stream_options": None}, True),
    "stream": ({"message": "streaming is not supported for this model"}, {"stream": None}, False),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_a_provider_that_refuses_to_stream_is_asked_otherwise(
    world: World, page: Page, simulator: Simulator, refused: str
) -> None:
    problem, lesson, is_streamed = REFUSALS[refused]
    simulator.faults(
        [SHOWN, {"kind": "ai", "fault": "status", "status": 400, "body": {"error": problem}, "match": f'"{refused}"'}]
    )
    with looking(page) as events:
        page.say()
        world.drain()
        shown, message = draft_and_message(events)
    assert (message, bool(shown)) == (ANSWER, is_streamed)
    [reply] = world.messages(role="assistant")
    assert reply["metadata"].get("is_usage_estimated", False) is is_streamed, "nobody said what the stream cost"
    assert db.scalar("select completion_tokens from usage_log where kind = 'ai'") > 0
    assert db.scalar("select lessons from provider_profile") == lesson
    assert len(simulator.record("ai")) == 2
    profiles.forget()


def test_nothing_is_streamed_that_nobody_looks_at(world: World, page: Page, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": 500, "match": '"stream"'}])
    page.say()
    world.say(channel="whatsapp_cloud", user="4912345")
    world.drain()
    assert [reply["content"] for reply in world.messages(role="assistant")] == [ANSWER] * 2


def test_a_deleted_conversation_ends_the_stream(world: World, page: Page, simulator: Simulator) -> None:
    simulator.faults([{**SHOWN, "ms": 300}])
    with looking(page) as events:
        page.say()
        running = answered(world)
        next(event for event in events if "text" in event)
        db.rows("delete from conversation")
        running.join(30)
    [job] = world.jobs(queue=Queue.AI)
    assert (job["state"], job["attempts"], world.messages()) == ("completed", 1, [])
