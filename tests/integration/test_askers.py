"""An item whose title is a customer's question loses it with the person: the item is the business's, the words are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared import config, db
from shared.privacy import erasure, retention
from shared.teaching import askers
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_erasure import OTHER, PHONE, PHRASE, contact_of, found_in_postgres, write
from tests.integration.test_front_door_api import Business
from tests.integration.test_retention import age

pytestmark = pytest.mark.usefixtures("own_folder")

QUESTION = f"Do you sell {PHRASE} in boxes?"
ANSWER = "Yes, in boxes of twelve, from our shop in Lindau on all days but Sundays, and fresh each morning.\nAsk for Paul."


def ask(door: FrontDoor, question: str, user: str = PHONE) -> int:
    """A question that the bot has no answer to; returns its gap."""
    message = write(door.world, question, user, external_id=f"wamid.{user}")
    door.world.drain()
    gap = db.row("select id, question from knowledge_gap where message_id = %s", [message])
    assert gap is not None
    assert gap["question"] == question
    return int(gap["id"])


def answered(business: Business, gap: int, **item: Any) -> dict[str, Any]:
    base = db.scalar("select knowledge_base_id from knowledge_gap where id = %s", [gap])
    answer = business("POST", f"/knowledge-bases/{base}/gaps/{gap}/answer", {"content": ANSWER, **item})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def title_of(item: int) -> str:
    return str(db.scalar("select title from knowledge_item where id = %s", [item]))


def test_the_words_of_an_erased_person_are_no_title_any_more(door: FrontDoor) -> None:
    mine = Business(door, door.world.customer)
    item = answered(mine, ask(door, QUESTION))
    assert item["title"] == QUESTION
    assert mine("PATCH", f"/knowledge-items/{item['id']}", {"title": QUESTION, "show_link": False}).status_code == 200
    assert erasure.erase(mine.customer, contact_of())
    assert title_of(item["id"]) == "Yes, in boxes of twelve, from our shop in Lindau on all days but Sundays, and…"
    assert found_in_postgres(PHRASE, PHONE) == {}


def test_who_else_asked_the_same_gives_the_next_title_until_they_go_too(door: FrontDoor) -> None:
    mine = Business(door, door.world.customer)
    ask(door, "Do you sell cake in boxes?", OTHER)
    item = answered(mine, ask(door, QUESTION))
    assert item["title"] == QUESTION
    others = contact_of(OTHER)
    assert erasure.erase(mine.customer, contact_of())
    assert title_of(item["id"]) == "Do you sell cake in boxes?"
    assert found_in_postgres(PHRASE, PHONE) == {}
    assert erasure.erase(mine.customer, others)
    assert title_of(item["id"]).startswith("Yes, in boxes of twelve")


def test_a_corrected_question_is_still_the_customers_and_another_title_is_not(door: FrontDoor) -> None:
    mine = Business(door, door.world.customer)
    corrected = answered(mine, ask(door, QUESTION), title=f"do you sell {PHRASE} in large boxes")
    own = answered(mine, ask(door, "Where can I park a bus?", OTHER), title="Delivery to Austria")
    assert erasure.erase(mine.customer, contact_of())
    assert erasure.erase(mine.customer, contact_of(OTHER))
    assert title_of(corrected["id"]).startswith("Yes, in boxes")
    assert title_of(own["id"]) == "Delivery to Austria"
    assert found_in_postgres(PHRASE) == {}


def test_a_title_that_somebody_wrote_anew_is_the_businesss(door: FrontDoor) -> None:
    mine = Business(door, door.world.customer)
    item = answered(mine, ask(door, QUESTION))
    assert mine("PATCH", f"/knowledge-items/{item['id']}", {"title": "Boxes"}).status_code == 200
    assert erasure.erase(mine.customer, contact_of())
    assert title_of(item["id"]) == "Boxes"


def test_the_audit_does_not_repeat_a_customers_question(door: FrontDoor) -> None:
    mine, desk = Business(door, door.world.customer), Visitor(door.app, person("owner", door.world.customer))
    item = answered(mine, ask(door, QUESTION))
    assert mine("PATCH", f"/knowledge-items/{item['id']}", {"show_link": False}).status_code == 200
    assert mine("DELETE", f"/knowledge-items/{item['id']}").status_code == 204
    other = answered(mine, ask(door, f"Is {PHRASE} sweet?", OTHER))
    page = f"/desk/c/{mine.customer}/knowledge/{other['knowledge_base_id']}/items/{other['id']}"
    assert desk.post(f"{page}/delete").status_code == 303
    rows = db.rows("select details from audit_entry where action like 'knowledge.%%'")
    assert len(rows) == 5
    assert PHRASE not in str(rows)


def test_an_answer_that_was_improved_loses_its_question_too(door: FrontDoor) -> None:
    world, agent = door.world, Visitor(door.app, person("agent", door.world.customer))
    write(world, QUESTION, external_id="wamid.1")
    world.drain()
    reply = db.row("select id, conversation_id from message where role = 'assistant'")
    assert reply is not None
    page = f"/desk/c/{world.customer}/conversations/{reply['conversation_id']}/messages/{reply['id']}/improve"
    assert agent.post(page, title=QUESTION, content=ANSWER).status_code == 303
    assert erasure.erase(world.customer, contact_of())
    assert found_in_postgres(PHRASE) == {}


@pytest.mark.parametrize("is_merged", [False, True])
def test_who_is_forgotten_with_the_last_message_takes_the_words_along(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch, is_merged: bool
) -> None:
    mine = Business(door, door.world.customer)
    item = answered(mine, ask(door, QUESTION))
    if is_merged:  # asked in what has become a part of the conversation
        db.rows("insert into merged_conversation (id, conversation_id) select 4711, id from conversation")
        db.rows("update knowledge_item set asked_in = 4711 where id = %s", [item["id"]])
    monkeypatch.setenv("KEEP_MESSAGES_DAYS", "30")
    config.reset()
    retention.prune()
    assert title_of(item["id"]) == QUESTION
    age(31)
    db.rows("delete from webhook_event")
    assert retention.prune()["conversations"] == 1
    assert title_of(item["id"]).startswith("Yes, in boxes of twelve")
    db.rows("delete from job")  # those that are done go by themselves
    assert found_in_postgres(PHRASE) == {}


@pytest.mark.parametrize(
    ("content", "title"),
    [("Yes.", "Yes."), ("\n  Two\tdays. \nMore", "Two days."), ("x" * 90, "x" * 79 + "…"), ("ab " * 40, "ab " * 25 + "ab…")],
)
def test_the_beginning_of_an_answer(content: str, title: str, root: Path) -> None:
    assert askers.beginning(content) == title
