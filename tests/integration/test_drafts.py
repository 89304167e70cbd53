"""Replies while they are written: what a page sees of them, what ends them, and what is left of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared import db
from shared.channels import ownership
from shared.channels.widget import drafts
from shared.channels.widget.drafts import AnswerUnwanted, Draft
from shared.errors import LeaseLost
from shared.jobs.completion import complete
from shared.jobs.ledger import Job
from shared.models import Conversation
from shared.queues import Queue
from tests.builders import World, prune, stage_of_queue
from tests.integration.widget_page import Page, key_of
from tests.site import read_events, serving
from tests.waiting import until
from web.app import create_app
from web.widget.sse import WidgetHub

DRAFTS = "select text from reply_draft"


def asked(world: World, page: Page, content: str = "When do you ship?") -> Job:
    """The job of a question that a worker has claimed."""
    page.say(content)
    world.run(world.jobs(queue=Queue.INCOMING)[-1]["id"])
    return world.claim(world.jobs(queue=Queue.AI)[-1]["id"])


def draft_of(job: Job) -> Draft:
    return Draft(job, job.payload["message_id"])


def written(draft: Draft, *pieces: str) -> None:
    """Gives it these pieces, and waits until they are written."""
    for piece in pieces:
        draft(piece)
    until(lambda: db.scalar(DRAFTS) == draft.text)


def keep_writing(draft: Draft) -> None:
    """Until it is stopped."""
    until(lambda: draft("word "))


def finish(world: World, job: Job) -> None:
    """The answer itself, and its way to the page."""
    stage_of_queue(Queue.AI)(job)
    world.drain()


@pytest.fixture
def stream(page: Page) -> Iterator[Callable[..., Iterator[dict[str, Any]]]]:
    """Opens streams; returns their events."""
    answers = []

    def opened(seen: int = 0) -> Iterator[dict[str, Any]]:
        answers.append(page.stream(seen))
        return read_events(answers[-1])

    yield opened
    for answer in answers:
        answer.close()


def test_a_page_sees_a_reply_grow_begin_again_and_become_a_message(world: World, page: Page, stream: Any) -> None:
    events, job = stream(), asked(world, page)
    question = next(events)
    draft = draft_of(job)
    written(draft, "", "We")
    assert next(events) == {"reply_to": question["id"], "text": "We", "revision": question["revision"]}
    written(draft, " ship 😀")
    assert next(events) == {"reply_to": question["id"], "more": " ship 😀", "revision": question["revision"]}
    written(draft, "", "Our ", "parcels")
    assert next(events)["text"].startswith("Our ")
    draft.close()
    finish(world, job)
    reply = next(event for event in events if "content" in event)
    assert (reply["reply_to"], "two days" in reply["content"]) == (question["id"], True)
    assert db.scalar(DRAFTS) is None


def test_a_page_sees_no_tags_of_a_reply_that_is_written_in_html(world: World, page: Page, stream: Any) -> None:
    events, job = stream(), asked(world, page)
    next(events)
    draft = draft_of(job)
    written(draft, "<p>We ship <b>soo")
    assert next(events)["html"] == '<p dir="auto">We ship <strong>soo</strong></p>'
    draft.close()


def test_a_page_that_comes_back_goes_on_in_the_same_draft(world: World, page: Page, client: FlaskClient, stream: Any) -> None:
    events, job = stream(), asked(world, page)
    question = next(events)
    draft = draft_of(job)
    written(draft, "We ship")
    assert next(events)["text"] == "We ship"
    again = stream(question["revision"])
    assert next(again) == {"reply_to": question["id"], "text": "We ship", "revision": question["revision"]}
    with serving(create_app()) as other:  # another web process
        client.site = other  # type: ignore[attr-defined]
        elsewhere = stream(question["revision"])
        assert next(elsewhere)["text"] == "We ship"
        written(draft, " soon")
        assert [next(one)["more"] for one in (events, again, elsewhere)] == [" soon"] * 3
        draft.close()
        finish(world, job)
        # The answer is written as a draft of its own first, of which a stream may see a part.
        replies = [next(event for event in one if "content" in event) for one in (events, again, elsewhere)]
        assert [reply["reply_to"] for reply in replies] == [question["id"]] * 3


class Failing(Draft):
    """One whose answer an error of ours keeps from being read."""

    has_failed = False

    def settle(self, row: dict[str, Any] | None) -> None:
        self.has_failed = True
        raise ValueError(row)


def test_an_error_with_one_draft_keeps_no_other_from_being_written(world: World, page: Page, stream: Any) -> None:
    stream()
    job = asked(world, page)
    failing = Failing(job, job.payload["message_id"])
    failing("We")
    until(lambda: failing.has_failed)
    written(draft_of(job), "Our parcels")


def test_many_pieces_are_few_writes(world: World, page: Page, stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "INTERVAL", 3_600.0)
    stream()
    draft, before = draft_of(asked(world, page)), db.scalar("select pg_current_xact_id()::text::bigint")
    written(draft, "word ")
    for _ in range(500):
        draft("word ")
    until(lambda: draft.due_at - time.monotonic() > drafts.INTERVAL / 2)  # what came meanwhile waits for that
    assert db.scalar(DRAFTS) == "word "
    draft("x" * drafts.MAX_TEXT)
    draft.due_at = 0.0  # the interval is over, which the thread sees with the next draft
    draft_of(asked(world, Page(page.client, key_of(world.chatbot))))("Our parcels")
    until(lambda: db.scalar("select max(length(text)) from reply_draft") == drafts.MAX_TEXT)
    assert db.scalar("select pg_current_xact_id()::text::bigint") - before < 60


STOPS = {
    "its claim": ("update job set claims = claims + 1 where state = 'active'", LeaseLost),
    "its job": ("update job set state = 'waiting', lease_until = null, claimed_by = null where state = 'active'", LeaseLost),
    "its conversation": ("delete from conversation", AnswerUnwanted),
    "the bot's leave to speak": ("update conversation set braked_until = now() + interval '1 hour'", AnswerUnwanted),
}


@pytest.mark.parametrize("loss", STOPS)
def test_a_draft_stops_that_has_lost(world: World, page: Page, loss: str) -> None:
    draft = draft_of(asked(world, page))
    written(draft, "We")
    statement, problem = STOPS[loss]
    db.rows(statement)
    with pytest.raises(problem):
        keep_writing(draft)
    draft.close()
    assert db.scalar(DRAFTS) in ("We", None)


def test_what_was_begun_before_a_person_came_is_not_shown_again_when_the_bot_has_it_back(
    world: World, page: Page, stream: Any
) -> None:
    events, job = stream(), asked(world, page)
    question = next(events)
    draft = draft_of(job)
    written(draft, "We")
    assert next(events)["text"] == "We"
    [row] = db.rows(Conversation.select(Conversation.id))
    with db.transaction():
        for owner in ("person", "bot"):  # before the draft grows
            ownership.assign(row["id"], owner, "desk")
    told = next(events)
    assert told == {**question, "revision": told["revision"]}, "that the bot answers it"
    assert next(events) == {"reply_to": question["id"], "text": None, "revision": told["revision"]}
    with pytest.raises(AnswerUnwanted, match="taken_over"):
        keep_writing(draft)
    draft.close()
    assert db.scalar(DRAFTS) is None
    complete(job)
    world.drain()
    answered = next(events)
    assert answered["reply_to"] == question["id"]
    assert not answered.get("text", "").startswith("We word"), "the answer is another one"


def test_a_draft_that_a_person_overtook_is_taken_back(world: World, page: Page, stream: Any) -> None:
    events, job = stream(), asked(world, page)
    draft = draft_of(job)
    written(draft, "We")
    assert [next(events).get("text", "") for _ in range(2)] == ["", "We"]
    # As if it had been written by a statement that began before the conversation changed hands.
    db.rows("update conversation set owner = 'person', owner_since = clock_timestamp()")
    with pytest.raises(AnswerUnwanted, match="taken_over"):
        keep_writing(draft)
    assert db.scalar(DRAFTS) is None
    assert next(events)["text"] is None


def test_nothing_is_written_after_the_end(world: World, page: Page) -> None:
    draft = draft_of(asked(world, page))
    written(draft, "We")
    draft(" ship")
    draft.close()
    before = db.scalar(DRAFTS)
    time.sleep(3 * drafts.INTERVAL)
    assert db.scalar(DRAFTS) == before


def test_a_draft_that_ends_without_a_reply_is_taken_back(
    world: World,
    page: Page,
    stream: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WidgetHub, "reconcile", 1.0)
    events, job = stream(), asked(world, page)
    question = next(events)
    draft = draft_of(job)
    written(draft, "We")
    assert next(events)["text"] == "We"
    draft.close()
    db.rows("update reply_draft set updated_at = now() - interval '1 hour'")
    assert prune()["drafts"] == 0, "its job goes on"
    db.rows("update job set state = 'completed', closed_at = now(), lease_until = null, claimed_by = null where state = 'active'")
    assert prune()["drafts"] == 1
    assert next(events) == {"reply_to": question["id"], "text": None, "revision": question["revision"]}


def test_the_fallback_takes_a_drafts_place(world: World, page: Page, stream: Any) -> None:
    events, job = stream(), asked(world, page)
    question = next(events)
    written(draft_of(job), "We")
    assert next(events) == {"reply_to": question["id"], "text": "We", "revision": question["revision"]}
    db.rows("update job set state = 'failed', last_error = 'gone', lease_until = null, claimed_by = null where id = %s", [job.id])
    assert world.dead_letter(job.id)
    world.drain()
    assert db.scalar(DRAFTS) is None
    fallback = next(events)
    assert (fallback["reply_to"], fallback["content"]) == (question["id"], "We are busy.")


def test_only_a_conversation_that_somebody_looks_at_is_watched(
    world: World, page: Page, client: FlaskClient, stream: Any
) -> None:
    def is_watched(job: Job) -> Any:
        assert job.loaded is not None
        return job.loaded["is_watched"]

    job = asked(world, page)
    assert is_watched(job) is False
    finish(world, job)
    stream()
    until(lambda: db.scalar("select count(*) from open_page") == 1)
    assert is_watched(asked(world, page)) is True
    other = Page(client, key_of(world.chatbot))
    assert is_watched(asked(world, other)) is False
    db.rows("update open_page set open_until = now() - interval '1 second'")
    prune()
    assert db.scalar("select count(*) from open_page") == 0


def test_messages_are_read_although_nobody_may_write(
    world: World, page: Page, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Any) -> None:
        raise db.service_down(Exception("read only"))

    monkeypatch.setattr(drafts, "mark_open", refused)
    events = stream()
    page.say()
    world.drain()
    assert [next(events)["role"], next(events)["role"]] == ["user", "assistant"]
