"""Replies from the provider's first word to the page: as they come, cut in the middle, and from the next provider."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import profiles
from shared.channels.widget.drafts import Draft
from shared.db.credentials import encrypt
from shared.models import Chatbot, ChatbotProvider
from shared.queues import Queue
from tests.builders import World
from tests.integration.widget_page import Page
from tests.site import read_events
from tests.waiting import until

ANSWER = "Thanks for asking! We ship within two days."


class Looker:
    """Somebody who looks at a page: what it showed of a draft, one after the other, and the message that took its place."""

    def __init__(self, events: Iterator[dict[str, Any]]) -> None:
        self.shown: list[str] = []
        self._message: str | None = None
        self._thread = threading.Thread(target=self._look, args=[events])
        self._thread.start()

    def _look(self, events: Iterator[dict[str, Any]]) -> None:
        with suppress(AttributeError, OSError):  # the stream was closed meanwhile
            for event in events:
                if event.get("role") == "assistant":
                    self._message = event["content"]
                    return
                if "role" not in event:
                    self.shown.append(self.shown[-1] + event["more"] if "more" in event else event["text"])

    def message(self) -> str:
        """Waits for it."""
        self._thread.join(60)
        assert self._message is not None, "no message came"
        return self._message


@contextmanager
def looking(page: Page) -> Iterator[Looker]:
    """At an open page, whose stream the workers know of. The provider says no further word before the page shows the last one."""
    say = Draft.__call__

    def say_and_wait(draft: Draft, piece: str) -> None:
        say(draft, piece)
        until(lambda: not piece or looker.shown[-1:] == [draft.text] or draft.stopped)

    with page.stream() as answer, pytest.MonkeyPatch.context() as patch:
        until(lambda: db.scalar("select count(*) from open_page") == 1)
        looker = Looker(read_events(answer))
        patch.setattr(Draft, "__call__", say_and_wait)
        yield looker


def retry_now(world: World) -> None:
    db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
    [job] = world.jobs(queue=Queue.AI)
    world.run(job["id"])
    world.drain()


def test_words_are_shown_as_they_come(world: World, page: Page, simulator: Simulator) -> None:
    with looking(page) as looker:
        page.say()
        world.drain()
        assert looker.message() == ANSWER
    assert len(looker.shown) >= 3
    assert all(ANSWER.startswith(text) for text in looker.shown)
    assert looker.shown == sorted(looker.shown, key=len)
    usage = db.row("select prompt_tokens, completion_tokens from usage_log where kind = 'ai'")
    assert usage is not None
    assert usage["completion_tokens"] == len(f"{ANSWER} [1]") // 4, "as the provider counts, which cites"
    assert db.scalar("select count(*) from reply_draft") == 0


@pytest.mark.parametrize("by", ["close", "reset", "silence"])
def test_a_provider_that_dies_in_mid_stream_is_asked_again(
    world: World, page: Page, simulator: Simulator, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_TIMEOUT_SECONDS", "8" if by == "silence" else "60")
    config.reset()
    simulator.faults([{"kind": "ai", "fault": "cut", "by": by, "times": 1}])
    with looking(page) as looker:
        page.say()
        world.drain()
        [job] = world.jobs(queue=Queue.AI)
        assert (job["state"], job["attempts"]) == ("delayed", 1)
        assert ANSWER.startswith(db.scalar("select text from reply_draft")), "it stays until there is more"
        monkeypatch.setenv("AI_TIMEOUT_SECONDS", "60")  # the page may take its time to show what comes now
        config.reset()
        retry_now(world)
        assert looker.message() == ANSWER
    assert len(world.messages(role="assistant")) == 1
    assert all(ANSWER.startswith(text) for text in looker.shown)
    assert db.scalar("select count(*) from usage_log where kind = 'ai'") == 1
    assert db.scalar("select count(*) from reply_draft") == 0


def test_another_provider_starts_the_draft_over(world: World, page: Page, simulator: Simulator) -> None:
    broken = 'data: {"choices": [{"delta": {"content": "Wrong words"}}]}\n\n'
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": broken, "match": "/first/"}])
    first, second = ({"base_url": f"{simulator.url}/{path}/v1", "api_key": encrypt("sk")} for path in ("first", "second"))
    own = {Chatbot.provider_base_url: first["base_url"], Chatbot.provider_api_key: first["api_key"]}
    db.rows(Chatbot.update(own).where(Chatbot.id == world.chatbot))
    db.rows(ChatbotProvider.insert(chatbot=world.chatbot, position=2, model="m", **second))
    with looking(page) as looker:
        page.say()
        world.drain()
        assert looker.message() == ANSWER
    assert looker.shown[0] == "Wrong words"
    assert looker.shown[-1] in ANSWER
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
    simulator.faults([{"kind": "ai", "fault": "status", "status": 400, "body": {"error": problem}, "match": f'"{refused}"'}])
    with looking(page) as looker:
        page.say()
        world.drain()
        assert looker.message() == ANSWER
    assert bool(looker.shown) is is_streamed
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
    with looking(page) as looker:
        page.say()
        running = threading.Thread(target=world.drain)
        running.start()
        until(lambda: looker.shown)
        db.rows("delete from conversation")
        running.join(60)
    [job] = world.jobs(queue=Queue.AI)
    assert (job["state"], job["attempts"], world.messages()) == ("completed", 1, [])
