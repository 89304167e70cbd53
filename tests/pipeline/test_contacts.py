"""Names are learnt in all directions while messages arrive, in real processes: nothing is lost, nothing is answered twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import contacts
from shared.channels.whatsapp_qr import lids
from tests.builders import World
from tests.pipeline.processes import idle, running
from tests.waiting import until

#: Persons, each with two names and a conversation for each, and the messages that they write; a third comes under both names.
PERSONS, MESSAGES = 8, 120


class Said(NamedTuple):
    """A message: under which name it is delivered, and which other name it tells."""

    external_id: str
    name: str
    other: str | None


@pytest.fixture
def two_workers(environment: dict[str, str]) -> Iterator[None]:
    """Every stage in two processes with four threads each, as on two machines."""
    small = {"WORKER_THREADS": "4", "SWEEP_INTERVAL_SECONDS": "1"}
    with running("worker", **small), running("worker", **small):
        yield


def names_of(person: int) -> tuple[str, str]:
    """The two names of a person; the gateway knows that they are one's."""
    return f"49{person:010d}@c.us", f"90049{person:010d}@lid"


def plan(dice: random.Random) -> list[Said]:
    """The messages in the order of their delivery."""
    said = []
    for number in range(MESSAGES):
        names = list(names_of(dice.randrange(PERSONS)))
        dice.shuffle(names)
        said.append(Said(f"ID{number}", names[0], names[1] if dice.random() < 0.3 else None))
        if dice.random() < 0.3:
            said.append(Said(f"ID{number}", names[1], None))
    return said


def test_counts_are_exact_while_conversations_merge(world: World, two_workers: None, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "latency", "ms": 150}])
    for person in range(PERSONS):
        for name in names_of(person):
            world.say(channel="whatsapp_qr", user=name, external_id=f"FIRST{name}")
    until(lambda: db.scalar("select count(*) from message where role = 'user'") == 2 * PERSONS)
    dice = random.Random(19)

    def deliver(said: Said) -> None:
        message = {
            "chatbot_id": world.chatbot,
            "channel": "whatsapp_qr",
            "external_user_id": said.name,
            "content": f"And what of {said.external_id}?",
        }
        told = {"identities": [said.other]} if said.other else {}
        world.service.accept_message({**message, **told, "external_id": said.external_id})

    def learn(person: int) -> None:
        names = list(names_of(person))
        contacts.learn(world.chatbot, "whatsapp_qr", names if person % 2 else names[::-1])

    def look_up(_: int) -> None:
        lids.look_up()

    work = [(deliver, said) for said in plan(dice)] + [(learn, dice.randrange(PERSONS)) for _ in range(PERSONS)]
    work += [(look_up, number) for number in range(3)]
    dice.shuffle(work)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, what) for act, what in work]:  # type: ignore[arg-type]  # each is given what is its
            done.result(60)

    def are_learnt() -> bool:
        db.rows("update contact_identity set lookups = 0, lookup_at = null")  # whose conversations were busy has another turn
        lids.look_up()
        return bool(db.scalar("select count(*) from contact") == PERSONS)

    until(are_learnt)
    until(idle)
    until(lambda: not db.scalar("select count(*) from conversation where contact_id is null"))
    expected = MESSAGES + 2 * PERSONS
    questions, replies = world.messages(role="user"), world.messages(role="assistant")
    assert len({question["external_id"] for question in questions}) == len(questions) == expected
    assert Counter(reply["reply_to"] for reply in replies) == Counter(question["id"] for question in questions)
    assert {(reply["status"], reply["error"]) for reply in replies} == {("SENT", None)}
    assert {job["state"] for job in world.jobs()} == {"completed"}
    names = {row["id"]: row["external_user_id"] for row in db.rows("select id, external_user_id from conversation")}
    assert len(names) == PERSONS == db.scalar("select count(*) from contact")
    asked = Counter(question["address"] or names[question["conversation_id"]] for question in questions)
    sent = [request for request in simulator.record("waha") if request["text"]]
    assert Counter(request["key"] for request in sent) == asked, "each reply went to the name that asked"
    persons = {name: person for person in range(PERSONS) for name in names_of(person)}
    assert all(persons[names[question["conversation_id"]]] == persons[question["address"] or names[question["conversation_id"]]]
               for question in questions)  # fmt: skip
