"""What happens to a conversation at the moment at which it becomes a part of another one. Each race is forced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from shared import db
from shared.channels import changes, contacts, ownership
from shared.channels.inbound import InboundAccount, InboundEdit
from shared.channels.registry import channel
from shared.errors import Snooze
from shared.inbox import work
from shared.jobs import operator
from shared.jobs.completion import complete
from tests.builders import World
from tests.integration.desk_pages import person
from tests.integration.test_brakes import AWAY
from tests.integration.test_contacts import LID, PHONE, conversations, say
from tests.integration.test_ledger_races import another_session, until_waiting

NAMES = [LID, f"{PHONE}@c.us"]


@pytest.fixture
def two(world: World) -> list[dict[str, Any]]:
    """The conversations of one person, whose names are not known to be theirs."""
    for name in NAMES:
        say(world, "Hello", "whatsapp_qr", name)
    return conversations()


@contextmanager
def merging(world: World, work: Callable[[], Any]) -> Iterator[Any]:
    """Gives what the work returns, which waits for the conversations' merger."""
    with another_session() as merger, ThreadPoolExecutor(1) as pool:
        merger.execute("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, NAMES])
        assert merger.fetchone() == (True,)
        working = pool.submit(work)
        until_waiting(1)
        merger.connection.commit()
        yield working.result(45)


@pytest.mark.parametrize("key", [None, "k1"])
def test_a_note_follows_its_conversation(world: World, two: list[dict[str, Any]], key: str | None) -> None:
    older, newer = two
    with merging(world, lambda: work.note(newer["id"], "Emma", "She has called.", key)) as note:
        assert note["conversation_id"] == older["id"]
    assert work.note(newer["id"], "Emma", "And again.", key)["conversation_id"] == older["id"], "also afterwards"


@pytest.mark.parametrize("owner", ["person", "closed"])
def test_who_takes_or_closes_a_conversation_has_what_it_became(world: World, two: list[dict[str, Any]], owner: str) -> None:
    _, newer = two
    with merging(world, lambda: work.hand_to(newer["id"], owner, lambda: None)):
        assert [row["owner"] for row in conversations()] == [owner]


def test_who_gives_a_conversation_back_gives_back_what_it_became(world: World, two: list[dict[str, Any]]) -> None:
    _, newer = two
    ownership.assign(newer["id"], "person", "desk")
    with merging(world, lambda: work.hand_to(newer["id"], "bot", lambda: None)):
        assert [row["owner"] for row in conversations()] == ["bot"]


def test_who_takes_a_conversation_for_a_colleague_has_what_it_became(world: World, two: list[dict[str, Any]]) -> None:
    _, newer = two
    agent = person("agent", world.customer, "Emma")
    with merging(world, lambda: work.take(newer["id"], agent.id)):
        assert [(row["owner"], row["assigned_to"]) for row in conversations()] == [("person", agent.id)]


def test_a_provider_that_says_whose_a_thread_is_is_heard(world: World, two: list[dict[str, Any]]) -> None:
    with merging(world, lambda: ownership.assign_as_provider_says(world.chatbot, "whatsapp_qr", NAMES[1], "person")):
        assert [row["owner"] for row in conversations()] == ["person"]


def test_a_bot_that_falls_silent_does_so_in_what_the_conversation_became(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", NAMES[0])
    for _ in range(5):
        say(world, AWAY, "whatsapp_qr", NAMES[1])
    world.say(AWAY, channel="whatsapp_qr", user=NAMES[1])
    world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    answer = world.claim(world.jobs(queue="ai-processing")[-1]["id"])

    def answer_it() -> None:
        with pytest.raises(Snooze):
            world.stage(answer.id)(answer)

    with merging(world, answer_it):
        world.vanish()
    world.run(answer.id)
    assert world.jobs(id=answer.id)[0]["state"] == "completed"
    assert [row["brakes"] for row in conversations()] == [1]


def test_the_next_in_line_goes_on_when_the_first_one_ends_while_its_line_is_renamed(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", NAMES[0])
    for text in ("One", "Two"):
        world.say(text, channel="whatsapp_qr", user=NAMES[1])
        world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    first, second = world.jobs(queue="ai-processing")[-2:]
    job = world.claim(first["id"])
    with merging(world, lambda: complete(job)):
        pass
    older, *_ = conversations()
    [next_one] = world.jobs(id=second["id"])
    assert (next_one["ordering_key"], next_one["held"]) == (str(older["id"]), False)


def edit(world: World, external_id: str, text: str) -> str:
    """A customer's correction, as their channel tells of it."""
    edited = InboundEdit(raw={}, original_id=external_id, content=text)
    return changes.edit(channel("whatsapp_qr"), InboundAccount(0, "session", world.chatbot), edited)


def asking(world: World, name: str, external_id: str) -> dict[str, Any]:
    """The job of a question whose answer is under way."""
    world.say("Do you ship?", channel="whatsapp_qr", user=name, external_id=external_id)
    world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    job = world.jobs(queue="ai-processing")[-1]
    world.claim(job["id"])
    return job


def states(world: World, *jobs: dict[str, Any]) -> list[str]:
    return [world.jobs(id=job["id"])[0]["state"] for job in jobs]


def test_a_question_that_is_corrected_while_its_conversation_is_merged_is_read_once_more(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", NAMES[0])
    answer = asking(world, NAMES[1], "e1")
    with merging(world, lambda: edit(world, "e1", "Do you ship to Peru?")) as outcome:
        assert outcome == "changed"
    assert states(world, answer) == ["delayed"]


def test_of_two_answers_that_a_merger_left_side_by_side_the_one_to_the_corrected_question_is_given_anew(world: World) -> None:
    older, newer = (asking(world, name, f"e{number}") for number, name in enumerate(NAMES))
    assert contacts.learn(world.chatbot, "whatsapp_qr", NAMES)
    assert len(conversations()) == 1
    assert edit(world, "e1", "Do you ship to Peru?") == "changed"
    assert states(world, older, newer) == ["active", "delayed"]
    assert db.scalar("select content from message where external_id = 'e1'") == "Do you ship to Peru?"


def test_a_failed_job_that_runs_again_after_a_merger_stands_in_the_line_of_what_its_conversation_became(world: World) -> None:
    older, newer = (asking(world, name, f"e{number}") for number, name in enumerate(NAMES))
    failed = "state = 'failed', last_error = 'x', lease_until = null, claimed_by = null, closed_at = now()"
    db.rows(f"update job set {failed} where id = %s", [newer["id"]])
    assert contacts.learn(world.chatbot, "whatsapp_qr", NAMES)
    operator.requeue(newer["id"])
    [again] = world.jobs(id=newer["id"])
    assert (again["ordering_key"], again["payload"]["conversation_id"]) == (older["ordering_key"], int(older["ordering_key"]))
    assert again["held"], "behind the answer that is under way"
